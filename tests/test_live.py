"""Live use without hardware: a file or ffmpeg's own source as the camera, scripted keys, a folder for what is said."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from helpers.video_making import write_clip

from lipsound2.audio.io import load_audio
from lipsound2.cli import main
from lipsound2.errors import LipsoundError
from lipsound2.live import camera, loudspeaker, preview, session
from lipsound2.live.camera import DeviceCamera, FileCamera, Shot, open_camera
from lipsound2.live.capture import Capture, Ended
from lipsound2.live.keys import StreamKeys
from lipsound2.live.lip_pauses import PauseFinder, Sentence
from lipsound2.live.loudspeaker import Kept, Silent, SoundDevice, find_loudspeaker
from lipsound2.live.preview import Terminal, preview_image
from lipsound2.live.reading import Answer, Reader
from lipsound2.live.session import Parts, Session
from lipsound2.live.tracker import LiveTracker, Recording
from lipsound2.live.typing_out import Typist
from lipsound2.live.viewer import View
from lipsound2.live.voice_activity import FileAudio, Microphone, NoAudio
from lipsound2.live.watch import GOOD, Watch
from lipsound2.video.align import REGIONS
from lipsound2.video.cropper import Cropper
from lipsound2.video.decode import Source, read_video
from lipsound2.video.detect import make_detector
from lipsound2.video.frame import ArrayFrame
from lipsound2.video.frame_copy import LONGEST_SIDE, copied

SAID = {"bbil3s": "bin blue in l three soon", "bgwo4p": "bin green with o four please"}


@pytest.fixture(scope="module")
def rgb(grid: Path) -> np.ndarray:
    """A clip (T, H, W, 3) uint8 RGB of one face."""
    return read_video(grid / "s1" / "bbil3s.mp4")[0]


@pytest.fixture(scope="module")
def reader() -> Reader:
    torch.set_num_threads(1)
    return Reader("grid-s1-parallel", "grid-s1-asr", "griffin-lim:8", "cpu", "facemesh", None)


class Script:
    """Keys that are pressed when so many frames were seen, and those that are pressed when an answer is there."""

    def __init__(self, keys: dict[int, str], then: str, tracker: LiveTracker, out: io.StringIO) -> None:
        self._keys, self._then, self._out = dict(keys), [*then], out
        self.seen, see = 0, tracker.see

        def counted(frame):
            self.seen += 1
            return see(frame)

        tracker.see = counted

    def pressed(self) -> str:
        due = [number for number in self._keys if number <= self.seen]
        if not due and self._then and "words after" in self._out.getvalue():
            return self._then.pop(0)
        return self._keys.pop(due[0]) if due else ""


class Player:
    """A loudspeaker that keeps what it is given."""

    def __init__(self) -> None:
        self.played: list[tuple[int, int]] = []

    def play(self, waveform: np.ndarray, rate: int) -> None:
        self.played.append((len(waveform), rate))

    def wait(self) -> None:
        pass


def run(clip: Path, keys: dict[int, str], reader: Reader, folder: Path, *, then: str = "", **parts):
    """Lines of a session, and its loudspeaker; without keys it reads on and on."""
    out, player = io.StringIO(), Player()
    tracker = LiveTracker(make_detector("facemesh"))
    capture = Capture(FileCamera(clip))
    made = {
        "keys": Script(keys, then, tracker, out),
        "screen": Terminal(out),
        "loudspeaker": player,
        "spare": Kept(folder / "spare"),
        "kept": Kept(folder),
    }
    made |= parts
    view = View(capture, tracker, Watch("largest"), made.pop("keys"), made.pop("screen"))
    try:
        with Session(view, Parts(reader, **made)) as running:
            if keys:
                running.by_key()
            else:
                running.continuously(FileAudio(clip))
    finally:
        capture.close()
    return out.getvalue().splitlines(), player


def with_rests(clips: list[Path], path: Path, before: float = 1.0, behind: float = 1.2) -> Path:
    """Clips one behind the other, with their first and last frames still for a while; no audio."""
    frames, times = [], 0
    for clip in clips:
        video = read_video(clip)[0]
        still = [video[0]] * round(before * 25), [video[-1]] * round(behind * 25)
        frames += [cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (*still[0], *video, *still[1])]
        times = len(frames)
    write_clip(path, frames, [number / 25 for number in range(times)])
    return path


def test_the_whole_path_from_a_file_to_words_and_speech(grid, reader, tmp_path):
    clip = with_rests([grid / "s1" / "bbil3s.mp4"], tmp_path / "camera.mp4", behind=20.0)
    lines, player = run(clip, {22: " ", 104: " "}, reader, tmp_path / "kept", then="71q")
    assert GOOD in lines
    assert any(line.startswith(SAID["bbil3s"]) for line in lines)
    (spent,) = [line for line in lines if line.startswith("words after")]
    steps = dict(re.findall(r"(\w+) (\d+\.\d\d)(?:,|$)", spent.partition(": ")[2]))
    assert [*steps] == ["capture", "track", "crops", "model", "vocoder", "play", "words"]
    assert any(line.startswith("[7]: there is no such text") for line in lines)
    assert (tmp_path / "kept" / "001.txt").read_text() == SAID["bbil3s"] + "\n"
    said = load_audio(tmp_path / "kept" / "001.wav")
    assert [player.played[0]] == [(len(said), 16000)]
    assert len(player.played) == 2  # once as it was read, once by the key 1
    assert 78 * 640 <= len(said) <= 86 * 640
    assert float(np.abs(said).max()) > 0.05


def test_a_file_that_ends_while_it_is_recorded_is_read_up_to_there(grid, reader, tmp_path):
    lines, _ = run(grid / "s1" / "bgwo4p.mp4", {0: " "}, reader, tmp_path)
    assert any(line.startswith(SAID["bgwo4p"]) for line in lines)


def test_two_sentences_and_one_that_is_too_short(grid, reader, tmp_path):
    clip = with_rests([grid / "s1" / f"{name}.mp4" for name in SAID], tmp_path / "camera.mp4")
    keys = {3: " ", 5: " ", 22: " ", 104: " ", 155: " ", 232: " "}
    lines, player = run(clip, keys, reader, tmp_path / "kept")
    assert any(line.startswith("not read: too-short") for line in lines)
    assert [(tmp_path / "kept" / f"00{n}.txt").read_text().strip() for n in (1, 2)] == [*SAID.values()]
    assert len(player.played) == 2


class Slow:
    """A reader that is not done before it is told so."""

    phrases = None

    def __init__(self) -> None:
        self.done, self.read_of = threading.Event(), []

    def read(self, recording, on_speech):
        self.read_of.append(len(recording))
        self.done.wait(60)
        return Answer("bin")


@pytest.mark.parametrize("continuous", [False, True])
def test_on_a_slow_machine_few_sentences_wait(grid, tmp_path, monkeypatch, continuous):
    """Memory stays bounded, and what is not read is told."""
    slow, line = Slow(), Terminal.line
    told = "not read: this machine is too slow" if continuous else "3 sentences are still to be read"

    def shown(terminal: Terminal, text: str) -> None:
        line(terminal, text)
        if told in text:
            slow.done.set()

    monkeypatch.setattr(Terminal, "line", shown)
    keys = {} if continuous else dict.fromkeys(range(4, 70, 6), " ")
    if continuous:
        monkeypatch.setattr(session, "PauseFinder", lambda: Often())
    lines, _ = run(grid / "s1" / "bbil3s.mp4", keys, slow, tmp_path)
    assert any(told in text for text in lines)
    assert len(slow.read_of) >= 3


class Often:
    """Finds a sentence in every ten frames."""

    needed = 0

    def __init__(self) -> None:
        self._count = 0

    def add(self, motion, loud=None):
        self._count += 1
        return None if self._count % 10 else Sentence(self._count - 10, self._count, self._count)

    def end(self):
        return None


def test_own_sentences_are_ranked_and_a_number_says_one(grid, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("lay red by a one soon\nbin blue in l three soon\nplace green at f two now\n")
    reader = Reader("grid-s1-parallel", "grid-s1-asr", "griffin-lim:8", "cpu", "facemesh", mine)
    clip = with_rests([grid / "s1" / "bbil3s.mp4"], tmp_path / "camera.mp4", behind=20.0)
    lines, player = run(clip, {22: " ", 104: " "}, reader, tmp_path / "quiet", then="q")
    assert "press a number to say it" in lines
    assert any(re.match(r"  \[1\] +\d+%  bin blue in l three soon", line) for line in lines)
    assert not player.played
    assert not (tmp_path / "quiet").exists()
    spoken = []

    def say(text: str) -> tuple[np.ndarray, int]:
        spoken.append(text)
        return np.zeros(800, np.float32), 16000

    _, player = run(clip, {22: " ", 104: " "}, reader, tmp_path / "kept", then="1q", say=say)
    assert spoken == ["bin blue in l three soon"]
    assert player.played == [(800, 16000)]
    assert (tmp_path / "kept" / "001.txt").read_text() == "bin blue in l three soon\n"


def test_captions_while_one_speaks_on_and_on(grid, reader, tmp_path):
    clip = with_rests([grid / "s1" / f"{name}.mp4" for name in SAID], tmp_path / "camera.mp4")
    lines, _ = run(clip, {}, reader, tmp_path / "kept")
    found = [re.match(r"(\d+\.\d\d)-(\d+\.\d\d) s  (.*)  \(\d+%, \d+\.\d s behind the lips\)", line) for line in lines]
    captions = [match for match in found if match]
    assert [match[3] for match in captions] == [*SAID.values()]
    # Rests are from 4 s to 6.2 s.
    assert 0.5 < float(captions[0][1]) < 2.0
    assert 3.0 < float(captions[0][2]) < 5.2 < float(captions[1][1])


def test_the_verb_with_keys_from_a_pipe(grid, tmp_path, monkeypatch, capsys):
    end, begin = os.pipe()
    os.write(begin, b" ")
    os.close(begin)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with os.fdopen(end) as keys:
        monkeypatch.setattr(sys, "stdin", keys)
        assert main(["live", "--camera", str(grid / "s1" / "bbil3s.mp4"), "--preview", "off"]) == 0
    out = capsys.readouterr().out
    assert SAID["bbil3s"] in out
    assert "no loudspeaker: the package 'sounddevice' cannot be imported" in out
    assert "speech is written into live" in out
    assert [path.name for path in sorted(Path("live").iterdir())] == ["001.txt", "001.wav"]


def test_the_verb_in_a_terminal(grid, tmp_path):
    """A pseudo terminal: keys act at once and are not shown; the terminal is as before behind it."""
    clip = with_rests([grid / "s1" / "bbil3s.mp4"], tmp_path / "camera.mp4", before=2.0, behind=20.0)
    mine, other = pty.openpty()
    import termios

    before = termios.tcgetattr(other)
    command = [sys.executable, "-m", "lipsound2", "live", "--camera", str(clip), "--loudspeaker", "off"]
    child = subprocess.Popen(
        [*command, "--preview", "off"], stdin=other, stdout=other, stderr=subprocess.DEVNULL, cwd=tmp_path
    )
    shown = ""

    def until(wanted: str) -> None:
        nonlocal shown
        end = time.monotonic() + 120
        while wanted not in shown:
            assert time.monotonic() < end, shown
            shown += os.read(mine, 4096).decode("utf-8", "replace")

    try:
        until(f"{GOOD}   [space] record")
        os.write(mine, b" ")
        until("recording 4")
        os.write(mine, b" ")
        until("words after")
        os.write(mine, b"q")
        assert child.wait(60) == 0
    finally:
        child.kill()
    assert (
        SAID["bbil3s"].split()[-3:] == shown.partition("words after")[0].split("%)")[-2].split("\n")[-1].split()[-4:-1]
    )
    assert termios.tcgetattr(other) == before
    os.close(mine)
    os.close(other)


# The camera


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


def test_fault_camera_unplugged(monkeypatch, capsys, tmp_path):
    """The stream ends, or the device is gone."""
    real = camera._open

    class Gone:
        def __init__(self, container):
            self.streams, self._container = container.streams, container

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            self._container.close()

        def decode(self, stream) -> Iterator[av.VideoFrame]:
            for number, frame in enumerate(self._container.decode(stream)):
                if number == 5:
                    raise OSError(19, "No such device")
                yield frame

    monkeypatch.setattr(camera, "_open", lambda *given: Gone(real(*given)))
    with pytest.raises(LipsoundError, match=r"gives no more frames \(No such device\); is it still plugged in"):
        shots_of("lavfi:testsrc2=duration=1")
    monkeypatch.setattr(camera, "_open", real)
    monkeypatch.setattr(sys, "stdin", None)
    command = ["live", "--camera", "lavfi:testsrc2=duration=0.4,realtime", "--preview", "off", "--loudspeaker", "off"]
    assert main(command) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("gives no more frames; is it still plugged in?")


def test_fault_camera_of_4k_is_reduced():
    shots = shots_of("lavfi:testsrc2=size=3840x2160:rate=30:duration=0.2")
    assert [shot.frame.size for shot in shots] == [(960, 540)] * 6
    assert np.diff([shot.time for shot in shots]) == pytest.approx([1 / 30] * 5)
    assert max(shots[0].frame.size) <= LONGEST_SIDE


def test_fault_camera_of_5_frames_a_second_is_told_and_keeps_its_time(grid, rgb, reader, tmp_path):
    clip = tmp_path / "slow.mp4"
    slow = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in rgb[::5]]
    write_clip(clip, slow, [number / 5 for number in range(len(slow))])
    lines, player = run(clip, {0: " "}, reader, tmp_path / "kept")
    assert any(line.startswith("a slow camera: 5 frames a second") for line in lines)
    assert player.played[0][0] == 75 * 640  # three seconds, whatever the camera's rate


def test_a_reader_that_is_late_drops_frames_and_counts_them():
    capture = Capture(open_camera("lavfi:testsrc2=size=64x48:rate=25:duration=4"))
    capture._thread.join(20)
    assert all(capture.take(0.1) for _ in range(50))
    assert capture.dropped == 50
    with pytest.raises(Ended):
        capture.take(0.1)
    assert capture.measured == pytest.approx(25, rel=0.01)


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


def test_fault_a_file_that_is_no_video(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    (tmp_path / "notes.mp4").write_text("no video")
    assert main(["live", "--camera", str(tmp_path / "notes.mp4"), "--preview", "off", "--loudspeaker", "off"]) == 1
    assert "notes.mp4: cannot be opened" in capsys.readouterr().err.splitlines()[-1]


# What is seen


def test_crops_are_those_of_the_file(grid):
    """What looks at frames as they come gives the landmarks of what may look ahead, to a pixel of the crop."""
    clip = grid / "s1" / "bbil3s.mp4"
    offline = Cropper(("mouth",))(clip)
    tracker, recording = LiveTracker(make_detector("facemesh")), Recording()
    for decoded in Source(clip):
        recording.add(tracker.see(copied(decoded)))
    found = recording.landmarks()
    assert found.shape == offline.landmarks.shape
    scenes = [(0, len(found))]
    ours, theirs = (
        REGIONS["mouth"].transforms(points[:, :136].reshape(-1, 68, 2), scenes) for points in (found, offline.landmarks)
    )
    middle = np.array([47.5, 47.5, 1])
    step = np.hypot(theirs[:, 0, 0], theirs[:, 1, 0])
    assert np.median(np.linalg.norm((ours - theirs) @ middle, axis=1) / step) < 1.0


def told(frames: list[np.ndarray], fps: float | None = 25.0, face: str = "largest") -> list[str]:
    tracker, watch = LiveTracker(make_detector("facemesh"), face), Watch(face)
    return [line for frame in frames if (line := watch.add(tracker.see(ArrayFrame(frame)), fps))]


def test_fault_dark_and_empty_and_two_faces_are_told_at_once(rgb):
    assert told([*rgb[:12]]) == [GOOD]
    (dark,) = told([frame // 8 for frame in rgb[:12]])
    assert dark.startswith("too dark: ")
    (nobody,) = told([np.full_like(rgb[0], 120)] * 12)
    assert nobody.startswith("no face is seen: ")
    both = np.concatenate([rgb[:12], rgb[:12]], axis=2)
    (line,) = told([*both], face="right")
    assert line.startswith("2 faces: the right is followed, at the right of the frame")
    (slow,) = told([*rgb[:12]], fps=5.0)
    assert slow.startswith("a slow camera: 5 frames a second")
    small = [cv2.resize(frame, None, fx=0.35, fy=0.35, interpolation=cv2.INTER_AREA) for frame in rgb[:12]]
    wide = [cv2.copyMakeBorder(frame, 60, 60, 60, 60, cv2.BORDER_REPLICATE) for frame in small]
    (far,) = told(wide)
    assert far.startswith("the face is small")


def test_a_mouth_outside_of_the_frame_is_told(rgb):
    height = int(LiveTracker(make_detector("facemesh")).see(ArrayFrame(rgb[0])).face.points[57, 1]) - 4
    (line,) = told([np.ascontiguousarray(frame[:height]) for frame in rgb[:12]])
    assert line.startswith("the mouth is not seen")


def test_the_face_that_is_followed_stays_the_same(rgb):
    """A second one that comes, and is larger, is not taken in the middle of a sentence."""
    alone = np.concatenate([rgb[:20], np.full_like(rgb[:20], 90)], axis=2)
    large = np.stack([cv2.resize(frame, None, fx=1.2, fy=1.2)[20:308, :360] for frame in rgb[20:40]])
    both = np.concatenate([rgb[20:40], large], axis=2)
    tracker = LiveTracker(make_detector("facemesh"))
    places = [tracker.see(ArrayFrame(frame)).face.box[0] for frame in (*alone, *both)]
    assert max(places) < 360


def test_the_preview_is_a_mirror_with_a_box_around_the_mouth(rgb):
    sight = LiveTracker(make_detector("facemesh")).see(ArrayFrame(rgb[0]))
    green, red = preview_image(sight, recorded=False), preview_image(sight, recorded=True)
    assert green.shape == rgb[0].shape
    differ = np.argwhere((green != red).any(-1))
    (top, left), (bottom, right) = differ.min(0), differ.max(0)
    points = sight.face.points[48:68]
    assert left < rgb.shape[2] - 1 - points[:, 0].max() < right
    assert top < points[:, 1].mean() < bottom
    outside = np.ones(len(green), bool)
    outside[top : bottom + 1] = False
    np.testing.assert_array_equal(green[outside], rgb[0][outside, ::-1])


def test_a_window_needs_a_display(monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY", raising=False)
    with preview.find_screen("window") as screen:
        assert isinstance(screen, Terminal)
    assert re.match("no window: .*; --preview off goes without", capsys.readouterr().out)


# Pauses


def test_sentences_end_where_lips_rest():
    finder = PauseFinder()
    motion = [0.03] * 40 + [0.15] * 50 + [0.03] * 5 + [0.15] * 20 + [0.03] * 40 + [0.2] * 3 + [0.03] * 40
    found = [(number, each) for number, level in enumerate(motion) if (each := finder.add(level))]
    ((at, sentence),) = found  # one sentence, with a breath in it; what moves for an eighth of a second is none
    assert sentence.first < 40 < 115 <= sentence.end
    assert 115 <= sentence.closed < 120
    assert at < 135
    assert finder.end() is None


def test_audio_makes_a_sentence_go_on():
    motion = [0.03] * 40 + [0.15] * 30 + [0.03] * 20 + [0.15] * 30 + [0.03] * 20
    loud = [False] * 40 + [True] * 80 + [False] * 20
    alone, together = PauseFinder(), PauseFinder()
    assert len([each for level in motion if (each := alone.add(level))]) == 2
    assert len([each for level, heard in zip(motion, loud, strict=True) if (each := together.add(level, heard))]) == 1


def test_one_who_never_rests_is_read_all_the_same():
    finder = PauseFinder()
    found = [each for _ in range(5) for level in (*[0.03] * 2, *[0.15] * 200) if (each := finder.add(level))]
    assert found
    assert all(each.end - each.first <= 10 * 25 + 20 for each in found)


def test_the_audio_of_a_file_tells_who_is_heard(grid, tmp_path):
    voice = FileAudio(grid / "s1" / "bbil3s.mp4")
    heard = [bool(voice.heard(number / 25)) for number in range(75)]
    assert 15 < sum(heard) < 65
    assert not heard[0]
    write_clip(tmp_path / "silent.mp4", [np.zeros((48, 64), np.uint8)] * 5, [number / 25 for number in range(5)])
    assert FileAudio(tmp_path / "silent.mp4").heard(0.1) is None
    assert NoAudio().heard(0.0) is None


# Keys, loudspeaker, cursor


def test_keys_of_a_pipe_and_of_a_terminal():
    end, begin = os.pipe()
    with os.fdopen(end) as stream:
        keys = StreamKeys(stream)
        assert keys.pressed() == ""
        os.write(begin, b" 2")
        assert [keys.pressed() for _ in range(3)] == [" ", "2", ""]
        os.write(begin, b"\x1b[A")  # an arrow key
        assert keys.pressed() == ""
        os.write(begin, b"\x1b")
        assert keys.pressed() == "\x1b"
        os.close(begin)
        assert keys.pressed() == ""


class FakeSoundDevice(types.ModuleType):
    """The package without a machine's hardware."""

    class PortAudioError(Exception):
        pass

    def __init__(self, devices: list[str]) -> None:
        super().__init__("sounddevice")
        self.devices, self.played = devices, []

    def query_devices(self, device=None, kind=None):
        if kind is None:
            return [{"name": name, "max_output_channels": 2} for name in self.devices]
        if not self.devices or (isinstance(device, str) and device not in self.devices):
            raise ValueError("No output device matching")
        return {}

    def play(self, waveform, rate, device=None):
        if not self.devices:
            raise self.PortAudioError("device unavailable")
        self.played.append((waveform, rate, device))

    def wait(self):
        pass


def test_speech_goes_to_the_loudspeaker(monkeypatch):
    package = FakeSoundDevice(["speakers"])
    monkeypatch.setitem(sys.modules, "sounddevice", package)
    SoundDevice().play(np.zeros(3, np.float32), 16000)
    assert [(len(waveform), rate, device) for waveform, rate, device in package.played] == [(3, 16000, None)]
    with pytest.raises(LipsoundError, match="there is none called 'headphones'; found: speakers"):
        SoundDevice("headphones")


def test_fault_no_loudspeaker(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", FakeSoundDevice([]))
    plays, why = find_loudspeaker("default")
    assert isinstance(plays, Silent)
    assert why == "no loudspeaker: this machine has none; found: nothing that plays"
    assert find_loudspeaker("off")[1] == ""


def test_fault_loudspeaker_pulled_out_while_it_is_used(grid, reader, tmp_path, monkeypatch):
    package = FakeSoundDevice(["speakers"])
    monkeypatch.setitem(sys.modules, "sounddevice", package)
    plays = SoundDevice()
    package.devices.clear()
    lines, _ = run(grid / "s1" / "bbil3s.mp4", {0: " "}, reader, tmp_path, loudspeaker=plays, kept=None)
    (line,) = [line for line in lines if "from now on speech is written into" in line]
    assert line.startswith("the loudspeaker cannot play: device unavailable")
    assert len(load_audio(tmp_path / "spare" / "001.wav")) == 75 * 640


def test_a_microphone_is_measured(monkeypatch):
    streams = []

    class Stream:
        def __init__(self, callback, **_: object) -> None:
            self.callback = callback
            streams.append(self)

        def start(self) -> None:
            pass

    package = FakeSoundDevice([])
    package.InputStream = Stream
    monkeypatch.setitem(sys.modules, "sounddevice", package)
    microphone = Microphone()
    assert microphone.heard(0.0) is None
    noise = np.random.default_rng(0).normal(0, 1, (100 * 160, 1)).astype(np.float32)
    streams[0].callback(noise * 1e-3, 0, None, None)
    assert microphone.heard(0.0) is False
    streams[0].callback(noise[:800] * 0.1, 0, None, None)
    assert microphone.heard(0.0) is True


def test_texts_are_typed_where_the_cursor_is(monkeypatch, grid, reader, tmp_path):
    typed = []
    keyboard = types.ModuleType("pynput.keyboard")

    class Controller:
        class InvalidCharacterException(Exception):  # noqa: N818 - pynput's name
            pass

        class InvalidKeyException(Exception):  # noqa: N818 - likewise
            pass

        def type(self, text: str) -> None:
            typed.append(text)

    keyboard.Controller = Controller
    monkeypatch.setitem(sys.modules, "pynput", types.ModuleType("pynput"))
    monkeypatch.setitem(sys.modules, "pynput.keyboard", keyboard)
    run(grid / "s1" / "bbil3s.mp4", {0: " "}, reader, tmp_path, typist=Typist())
    assert typed == [SAID["bbil3s"] + " "]


def test_kept_files_do_not_replace_others(tmp_path):
    assert Kept(tmp_path).next() == tmp_path / "001"
    (tmp_path / "007.txt").write_text("mine")
    assert Kept(tmp_path).next() == tmp_path / "008"


@pytest.mark.parametrize(
    ("options", "status", "wanted"),
    [
        (("--camera", "0", "--microphone"), 2, "--microphone: finds pauses for --continuous"),
        (("--camera", "nothing.mp4"), 1, "no such file"),
        (("--camera", "lavfi:testsrc2", "--model", "grid-s1-asr"), 1, "reads no lips"),
        (("--camera", "lavfi:testsrc2", "--model", "nothing"), 1, "nothing: no experiment or pack"),
        (("--camera", "lavfi:testsrc2", "--phrases", "nothing.txt"), 1, "there is no file 'nothing.txt'"),
    ],
)
def test_mistakes_are_told_in_one_line(options, status, wanted, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["live", "--preview", "off", "--loudspeaker", "off", *options]) == status
    (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("lipsound2 live:")]
    assert wanted in line


def test_device_cameras_have_no_file():
    assert DeviceCamera("lavfi", "testsrc2", "lavfi:testsrc2").recorded is None
    assert loudspeaker.Silent().wait() is None
