"""Cameras without hardware: names, faults, frames that are late or left out, by ffmpeg's own source and by files."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from lipsound2.cli import main
from lipsound2.errors import LipsoundError
from lipsound2.live import camera, reading
from lipsound2.live.camera import DeviceCamera, Shot, open_camera
from lipsound2.live.capture import Capture, Ended
from lipsound2.video.frame import ArrayFrame
from lipsound2.video.frame_copy import LONGEST_SIDE


def test_names_of_cameras(tmp_path, monkeypatch):
    (tmp_path / "clip.mp4").write_bytes(b"x")
    assert open_camera(str(tmp_path / "clip.mp4")).recorded == tmp_path / "clip.mp4"
    monkeypatch.setattr(sys, "platform", "linux")
    assert open_camera("0")._device == "/dev/video0"
    assert open_camera("v4l2:/dev/video3")._device == "/dev/video3"
    assert open_camera("opencv:1").name == "opencv:1"
    monkeypatch.setattr(sys, "platform", "win32")
    assert open_camera("2").name == "opencv:2"
    with pytest.raises(LipsoundError, match=r"--camera .*klip.mp4: no such file; did you mean .*clip.mp4\?"):
        open_camera(str(tmp_path / "klip.mp4"))


def shots_of(name: str) -> list[Shot]:
    return [*open_camera(name).shots(threading.Event())]


def test_fault_camera_that_is_not_there():
    with pytest.raises(
        LipsoundError, match=r"--camera v4l2:/dev/video77: there is no '/dev/video77'; is it plugged in"
    ):
        shots_of("v4l2:/dev/video77")
    with pytest.raises(LipsoundError, match="OpenCV finds no such camera"):
        shots_of("opencv:77")


def test_fault_camera_permission_denied(monkeypatch):
    def denied(*_: object) -> None:
        raise av.error.PermissionError(13, "Permission denied", "/dev/video0")

    monkeypatch.setattr(camera, "_open", denied)
    with pytest.raises(LipsoundError, match="permission denied; sudo usermod -aG video"):
        shots_of("v4l2:/dev/video0")


def test_fault_camera_that_refuses_a_size_is_taken_as_it_is(monkeypatch):
    asked, real = [], camera._open

    def picky(device, kind, options):
        asked.append(options)
        if options:
            raise av.error.InvalidDataError(22, "Invalid argument", device)
        return real("testsrc2=size=320x240:rate=20:duration=0.5", "lavfi", {})

    monkeypatch.setattr(camera, "_open", picky)
    assert len(shots_of("v4l2:/dev/video0")) == 10
    assert asked == [{"video_size": "640x480", "framerate": "30"}, {}]


class Changed:
    """A container of PyAV with other frames: those that `change` makes of its own."""

    def __init__(self, container, change: Callable[[int, av.VideoFrame], None]) -> None:
        self.streams, self._container, self._change = container.streams, container, change

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def decode(self, stream) -> Iterator[av.VideoFrame]:
        for number, frame in enumerate(self._container.decode(stream)):
            self._change(number, frame)
            yield frame


def test_fault_camera_unplugged(monkeypatch, capsys, tmp_path):
    """The stream ends, or the device is gone."""
    real = camera._open

    def unplugged(number: int, _: av.VideoFrame) -> None:
        if number == 5:
            raise OSError(19, "No such device")

    monkeypatch.setattr(camera, "_open", lambda *given: Changed(real(*given), unplugged))
    with pytest.raises(LipsoundError, match=r"gives no more frames \(No such device\); is it still plugged in"):
        shots_of("lavfi:testsrc2=duration=1")
    monkeypatch.setattr(camera, "_open", real)
    monkeypatch.setattr(sys, "stdin", None)
    command = ["live", "--camera", "lavfi:testsrc2=duration=0.4,realtime", "--preview", "off", "--loudspeaker", "off"]
    assert main(command) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("gives no more frames; is it still plugged in?")


def test_fault_the_clock_of_a_camera_is_set(monkeypatch):
    """Back by an hour, then forward by two: no frame is lost, and none is repeated for an hour."""
    real = camera._open

    def set_clock(number: int, frame: av.VideoFrame) -> None:
        frame.pts = round((number / 25 + (9000, 5400, 12600)[number // 5]) / frame.time_base)

    monkeypatch.setattr(camera, "_open", lambda *given: Changed(real(*given), set_clock))
    shots = shots_of("lavfi:testsrc2=duration=0.6")
    assert np.diff([shot.time for shot in shots]) == pytest.approx(np.full(14, 0.04), abs=1e-6)


@pytest.mark.parametrize("verb", [["live"], ["record", "corpus", "--prompts", "grid", "--microphone", "off"]])
@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("v4l2:/dev/null", "--camera v4l2:/dev/null: permission denied; sudo usermod -aG video"),
        ("v4l2:/dev/video77", "--camera v4l2:/dev/video77: there is no '/dev/video77'; is it plugged in?"),
        ("notes.mp4", "--camera notes.mp4: cannot be opened"),
    ],
)
def test_fault_camera_is_told_in_a_line_before_models_are_loaded(verb, name, wanted, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("notes.mp4").write_text("no video")
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr(camera.os, "access", lambda *_: False)
    monkeypatch.setattr(reading, "Reader", None)
    assert main([*verb, "--preview", "off", "--loudspeaker", "off", "--camera", name]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert wanted in line


def test_ctrl_c_ends_a_session_in_a_line(monkeypatch, capsys):
    """There is nothing to go on with."""

    def pressed(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(camera, "open_camera", pressed)
    assert main(["live"]) == 130
    assert capsys.readouterr().err == "lipsound2 live: interrupted\n"


def test_fault_camera_of_4k_is_reduced():
    shots = shots_of("lavfi:testsrc2=size=3840x2160:rate=30:duration=0.2")
    assert [shot.frame.size for shot in shots] == [(960, 540)] * 6
    assert np.diff([shot.time for shot in shots]) == pytest.approx([1 / 30] * 5)
    assert max(shots[0].frame.size) <= LONGEST_SIDE


def test_a_reader_that_is_late_drops_frames_and_counts_them():
    capture = Capture(open_camera("lavfi:testsrc2=size=64x48:rate=25:duration=4"))
    capture._thread.join(20)
    assert all(capture.take(0.1) for _ in range(50))
    assert capture.dropped == 50
    with pytest.raises(Ended):
        capture.take(0.1)
    assert capture.measured == pytest.approx(25, rel=0.01)


def test_frames_that_nobody_wants_are_not_dropped():
    stopped = threading.Event()

    class Many:
        name, fps, recorded = "many", 25.0, None

        def shots(self, stop):
            for number in range(200):
                if number == 20:
                    stopped.wait(20)
                yield Shot(number / 25, 0.04, ArrayFrame(np.zeros((8, 8), np.uint8)))

    capture = Capture(Many())
    assert capture.take(5) is not None
    with capture.unattended():
        stopped.set()
        capture._thread.join(20)
        with pytest.raises(Ended):  # those that waited are gone as well
            capture.take(0.1)
    assert capture.dropped == capture.skipped == 0


def test_frames_that_the_camera_left_out_are_counted():
    class Gaps:
        name, fps, recorded = "gaps", 25.0, None

        def shots(self, stop):
            stamps = [number / 25 for number in range(60) if number not in (40, 41, 50)]
            for stamp in stamps:
                yield Shot(stamp, 0.04, ArrayFrame(np.zeros((8, 8), np.uint8)))

    capture = Capture(Gaps())
    capture._thread.join(5)
    assert capture.skipped == 3


def test_device_cameras_have_no_file():
    assert DeviceCamera("lavfi", "testsrc2", "lavfi:testsrc2").recorded is None
