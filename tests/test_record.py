"""Recording a corpus of one's own: a file as the camera, scripted keys; what is written can be read by egs/own."""

from __future__ import annotations

import io
import os
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.audio_devices import FakeSoundDevice, Player
from helpers.camera_files import seeing
from helpers.video_making import write_clip as make_clip

from lipsound2.audio.io import load_audio
from lipsound2.cli import main
from lipsound2.corpora.own import scan
from lipsound2.errors import LipsoundError
from lipsound2.live import prompted
from lipsound2.live.audio_input import FileInput, MicrophoneInput, NoInput
from lipsound2.live.camera import OpenCvCamera
from lipsound2.live.capture import Capture
from lipsound2.live.clip_writer import write_clip
from lipsound2.live.preview import Terminal
from lipsound2.live.prompted import PromptedSession, Take
from lipsound2.live.prompts import Place, read_prompts
from lipsound2.live.tracker import LiveTracker
from lipsound2.video.decode import Source, read_video
from lipsound2.video.detect import make_detector
from lipsound2.video.frame import ArrayFrame
from lipsound2.video.frame_copy import copied

FIRST, SECOND = "bin blue in l three soon", "place red at c four now"


class Script:
    """Keys by what the screen asks for last."""

    def __init__(self, out: io.StringIO, answers: list[tuple[str, str]]) -> None:
        self._out, self._answers = out, [*answers]
        self._rests = False  # between two keys, which take a moment each

    def pressed(self) -> str:
        self._rests = not self._rests
        if self._rests:
            return ""
        if self._answers and self._answers[0][0] in self._out.getvalue().rpartition("\x1b[K")[2]:
            return self._answers.pop(0)[1]
        return ""


class LiveOut(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(
    clip: Path,
    folder: Path,
    prompts: list[str],
    answers: list[tuple[str, str]],
    player: Player | None = None,
    audio: Path | None = None,
):
    out = LiveOut()
    with seeing(clip, Terminal(out)) as view:
        view.keys = Script(out, answers)
        count = PromptedSession(view, Place(folder), prompts, FileInput(audio or clip), player or Player()).run()
    return count, out.getvalue()


def test_a_sentence_is_recorded_with_its_audio_and_text(grid, tmp_path):
    clip = grid / "s1" / "bbil3s.mp4"
    count, out = run(clip, tmp_path / "me", [FIRST, SECOND], [("record", " "), ("recording 1.2", " "), ("next", "q")])
    assert count == 1
    assert f"1 of 2: {FIRST}" in out
    assert "better repeat it" not in out
    video, line = read_video(tmp_path / "me" / "001.mp4")
    assert 30 <= len(video) <= 40
    assert line.fps == pytest.approx(25, rel=0.02)
    found = scan(tmp_path)
    (recording,) = found.by_id.values()
    assert (recording.speaker, recording.text) == ("me", FIRST)
    # Its frames and its audio are those of the camera's file, from one place on.
    theirs = read_video(clip)[0]
    distances = [np.abs(theirs[at].astype(int) - video[5].astype(int)).mean() for at in range(len(theirs))]
    first = int(np.argmin(distances)) - 5
    assert min(distances) < 3
    ours, whole = load_audio(tmp_path / "me" / "001.mp4"), load_audio(clip, start=0.0)
    shift = np.argmax(np.correlate(whole, ours[: 640 * 20], "valid")) / 640
    assert shift == pytest.approx(first, abs=1.5)


def test_one_repeats_plays_and_goes_on(grid, tmp_path, monkeypatch):
    monkeypatch.setattr(prompted.time, "sleep", lambda _: None)
    player, unattended, real = Player(), [], Capture.unattended

    def noted(capture):
        unattended.append(len(player.played))
        return real(capture)

    monkeypatch.setattr(Capture, "unattended", noted)
    answers = [
        *(("record", " "), ("recording 0.2", " "), ("[r] repeat", "p"), ("[r] repeat", "r")),
        *(("record", " "), ("recording 0.6", " "), ("[r] repeat", " "), ("record", "q")),
    ]
    clip, long = grid / "s1" / "bbil3s.mp4", tmp_path / "long.mp4"
    video = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in read_video(clip)[0]] * 8  # a slow machine is late
    make_clip(long, video, [number / 25 for number in range(len(video))])
    count, out = run(long, tmp_path / "me", [FIRST, SECOND], answers, player, clip)
    assert count == 1
    assert len(player.played) == 1
    assert unattended == [0]  # the frames that come meanwhile are not told as dropped
    assert out.count(f"1 of 2: {FIRST}") == 2
    assert f"2 of 2: {SECOND}" in out
    assert "better repeat it: it is 0." in out
    assert sorted(path.name for path in (tmp_path / "me").iterdir()) == ["001.mp4", "001.txt"]
    assert len(read_video(tmp_path / "me" / "001.mp4")[0]) >= 15


def test_at_the_prompt_space_alone_begins_a_recording(grid, tmp_path):
    answers = [("record", "r"), ("record", "p"), ("record", "q")]
    count, out = run(grid / "s1" / "bbil3s.mp4", tmp_path / "me", [FIRST], answers)
    assert (count, "recording 0" in out) == (0, False)
    assert not (tmp_path / "me").exists()


def test_a_recording_goes_on_where_it_was_left(grid, tmp_path):
    place = Place(tmp_path / "me")
    frames = [
        (n / 25, copied(decoded)) for n, decoded in zip(range(6), Source(grid / "s1" / "bbil3s.mp4"), strict=False)
    ]
    place.folder.mkdir()
    (place.folder / "001.txt").write_text(FIRST + "\n")  # the machine stopped before its video was there
    assert place.recorded() == {}
    assert place.next().name == "002.mp4"
    write_clip(place.folder / "001.mp4", frames, 25.0, None, 16000)
    assert place.recorded() == {FIRST: place.folder / "001.mp4"}
    count, out = run(grid / "s1" / "bbil3s.mp4", place.folder, [FIRST, SECOND], [("record", "q")])
    assert count == 1
    assert f"2 of 2: {SECOND}" in out
    assert FIRST not in out


def test_fault_a_disk_that_is_full_leaves_no_half_recording(grid, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise LipsoundError("cannot write 001.mp4: No space left on device")

    monkeypatch.setattr(prompted, "write_clip", full)
    with pytest.raises(LipsoundError, match="No space left"):
        run(grid / "s1" / "bbil3s.mp4", tmp_path / "me", [FIRST], [("record", " "), ("recording 0.4", " ")])
    assert Place(tmp_path / "me").recorded() == {}


def test_fault_a_repeat_that_cannot_be_written_leaves_the_recording_before(grid, tmp_path, monkeypatch):
    written = []

    def once(path: Path, *given: object) -> None:
        if written:
            raise LipsoundError("cannot write 001.mp4: No space left on device")
        written.append(path)
        write_clip(path, *given)

    monkeypatch.setattr(prompted, "write_clip", once)
    again = [("record", " "), ("recording 0.4", " "), ("next", "r"), ("record", " "), ("recording 0.4", " ")]
    with pytest.raises(LipsoundError, match="No space left"):
        run(grid / "s1" / "bbil3s.mp4", tmp_path / "me", [FIRST], again)
    assert Place(tmp_path / "me").recorded() == {FIRST: written[0]}
    assert len(read_video(written[0])[0]) >= 10


def test_frames_of_other_cameras_are_written_too(tmp_path):
    frames = [(n / 20, ArrayFrame(np.full((49, 65, 3), 20 * n, np.uint8))) for n in range(10)]
    audio = np.sin(np.arange(8000) / 10).astype(np.float32) * 0.3
    write_clip(tmp_path / "a.mp4", frames, 20.0, audio, 16000)
    source = Source(tmp_path / "a.mp4")
    levels = [decoded.rgb().mean() for _, _, decoded in source.timed()]
    assert np.abs(np.array(levels) - 20 * np.arange(10)).max() < 6
    assert np.corrcoef(load_audio(tmp_path / "a.mp4", start=0.0)[200:7000], audio[200:7000])[0, 1] > 0.98


def test_what_is_doubtful_is_told(grid):
    tracker = LiveTracker(make_detector("facemesh"))
    seen = [tracker.see(copied(decoded)) for decoded in Source(grid / "s1" / "bbil3s.mp4")][:20]
    blank = [LiveTracker(make_detector("facemesh")).see(ArrayFrame(np.zeros((120, 160, 3), np.uint8)))] * 20
    times = [n / 25 for n in range(20)]
    good = np.sin(np.arange(12800)).astype(np.float32) * 0.4
    assert Take(seen, times, 0.8, good).doubts() == []
    assert Take(seen, times, 0.8, None).doubts() == []
    assert Take(blank, times, 0.8, good).doubts() == ["the mouth is seen in 0% of the frames"]
    assert Take(seen, times, 0.8, good / 100).doubts()[0].startswith("hardly anything is heard")
    assert Take(seen, times, 0.8, good * 2.5).doubts()[0].startswith("the audio is cut off")


def test_prompts(tmp_path):
    sentences = read_prompts("grid", 0)
    assert len(set(sentences)) == 50
    assert sentences == read_prompts("grid", 60)[:50]
    assert all(len(text.split()) == 6 for text in sentences)
    mine = tmp_path / "mine.txt"
    mine.write_text("Good morning\n\n Good   morning\nI am cold\n")
    assert read_prompts(str(mine), 0) == ["Good morning", "I am cold"]
    assert read_prompts(str(mine), 1) == ["Good morning"]


def test_a_microphone_records_from_the_first_frame_on(monkeypatch):
    package = FakeSoundDevice([])
    monkeypatch.setitem(sys.modules, "sounddevice", package)
    microphone = MicrophoneInput()
    (stream,) = package.streams
    stream.callback(np.full((160, 1), 0.1, np.float32), 160, None, None)  # before the key
    microphone.begin(0.0)
    stream.callback(np.full((160, 1), 0.2, np.float32), 160, None, None)
    np.testing.assert_array_equal(microphone.end(0.02), np.float32([0.2] * 160 + [0.0] * 160))
    microphone.close()
    assert not package.streams
    assert NoInput().end(1.0) is None


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--prompts", "nothing.txt"), "--prompts nothing.txt: is neither 'grid' nor a file"),
        (("--prompts", "grid", "--speaker", "a/b"), "--speaker 'a/b': wanted a name"),
        (("--prompts", "grid", "--speaker", ".."), "--speaker '..': wanted a name"),
        (
            ("--prompts", "grid", "--speaker", "x" * 300, "--camera", "lavfi:testsrc2"),
            "a name of 300 bytes, and the file system takes 255",
        ),
        (("--prompts", "grid", "--camera", "nothing.mp4"), "no such file"),
        (("--prompts", "grid", "--camera", "lavfi:testsrc2"), "the package 'sounddevice' cannot be imported"),
    ],
)
def test_mistakes_are_told_in_one_line(options, wanted, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["record", "corpus", "--preview", "off", *options]) == 1
    (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("lipsound2 record:")]
    assert wanted in line


def test_the_verb(grid, tmp_path, monkeypatch, capsys):
    """The end of the camera ends a recording, which is kept."""
    end, begin = os.pipe()
    os.write(begin, b" ")
    os.close(begin)
    clip = grid / "s1" / "bbil3s.mp4"
    command = ["record", str(tmp_path / "mine"), "--prompts", "grid", "--count", "1", "--camera", str(clip)]
    with os.fdopen(end) as keys:
        monkeypatch.setattr(sys, "stdin", keys)
        assert main([*command, "--preview", "off", "--loudspeaker", "off"]) == 0
    assert "1 of 1 sentences are recorded" in capsys.readouterr().out
    assert len(read_video(tmp_path / "mine" / "me" / "001.mp4")[0]) == 75
    assert main([*command, "--preview", "off", "--loudspeaker", "off"]) == 0
    assert "all 1 sentences are recorded" in capsys.readouterr().out


def test_a_camera_of_opencv_gives_times(monkeypatch, grid):
    """OpenCV's own reader takes a file as well: its frames are those of the file, in color, with increasing times."""
    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda _number: real(str(grid / "s1" / "bbil3s.mp4")))

    shots = [*OpenCvCamera(0).shots(threading.Event())]
    assert len(shots) == 75
    assert (np.diff([shot.time for shot in shots]) > 0).all()
    assert np.abs(shots[7].frame.pixels.astype(int) - read_video(grid / "s1" / "bbil3s.mp4")[0][7]).mean() < 4
