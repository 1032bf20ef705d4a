"""Live use without hardware: a file or ffmpeg's own source as the camera, scripted keys, a folder for what is said."""

from __future__ import annotations

import ctypes
import io
import os
import pty
import re
import subprocess
import sys
import threading
import time
import types
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.audio_devices import FakeSoundDevice, Player
from helpers.camera_files import seeing
from helpers.video_making import write_clip

from lipsound2.audio.io import load_audio
from lipsound2.cli import main
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.inference.freed_memory import give_back
from lipsound2.inference.onednn_cache import remember_few_shapes
from lipsound2.inference.phrases import Phrases
from lipsound2.live import capture, session, tracker
from lipsound2.live.kept import Kept
from lipsound2.live.lip_pauses import Sentence
from lipsound2.live.loudspeaker import SoundDevice
from lipsound2.live.preview import Terminal
from lipsound2.live.reading import Answer, Reader
from lipsound2.live.session import Parts, Session
from lipsound2.live.tracker import LiveTracker
from lipsound2.live.typing_out import Typist
from lipsound2.live.voice_activity import FileAudio
from lipsound2.live.watch import GOOD
from lipsound2.model_names import CONFIG, PRETRAINED
from lipsound2.video.decode import read_video

SAID = {"bbil3s": "bin blue in l three soon", "bbaf3s": "bin blue at f three soon"}


@pytest.fixture(scope="module")
def reader() -> Reader:
    torch.set_num_threads(1)
    return Reader("grid-s1-parallel", "grid-s1-asr", "griffin-lim:8", "cpu", "facemesh", None)


@pytest.fixture(autouse=True)
def patient(monkeypatch) -> None:
    """On a busy machine frames wait, and none is dropped: it is the words that are tested here."""
    monkeypatch.setattr(capture, "_WAITING", 100_000)


class Script:
    """Keys that are pressed when so many frames were seen, and those that are pressed when an answer is there."""

    by_hand = False

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


def run(clip: Path, keys: dict[int, str], reader: Reader, folder: Path, *, then: str = "", **parts):
    """Lines of a session, and its loudspeaker; without keys it reads on and on."""
    out, player = io.StringIO(), Player()
    made = {"loudspeaker": player, "spare": Kept(folder / "spare"), "kept": Kept(folder)} | parts
    with seeing(clip, Terminal(out)) as view, Session(view, Parts(reader, **made)) as running:
        view.keys = Script(keys, then, view.tracker, out)
        if keys:
            running.by_key()
        else:
            running.continuously(FileAudio(clip))
    return out.getvalue().splitlines(), player


def with_rests(clips: list[Path], path: Path, before: float = 1.0, behind: float = 1.2) -> Path:
    """Clips one behind the other, with their first and last frames still for a while; no audio."""
    frames = []
    for clip in clips:
        video = read_video(clip)[0]
        still = [video[0]] * round(before * 25), [video[-1]] * round(behind * 25)
        frames += [cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (*still[0], *video, *still[1])]
    write_clip(path, frames, [number / 25 for number in range(len(frames))])
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
    lines, _ = run(grid / "s1" / "bbaf3s.mp4", {0: " "}, reader, tmp_path)
    assert any(line.startswith(SAID["bbaf3s"]) for line in lines)


def test_a_file_that_ends_before_any_key_is_told(grid, reader, tmp_path):
    lines, _ = run(grid / "s1" / "bbaf3s.mp4", {10_000: " "}, reader, tmp_path)
    assert lines[-1].startswith("nothing was recorded: press the space bar while it plays, or give --continuous")


def test_two_sentences_and_one_that_is_too_short(grid, reader, tmp_path, monkeypatch):
    given_back = []
    monkeypatch.setattr(session, "give_back", lambda: given_back.append(True))
    clip = with_rests([grid / "s1" / f"{name}.mp4" for name in SAID], tmp_path / "camera.mp4")
    keys = {3: " ", 5: " ", 22: " ", 104: " ", 155: " ", 232: " "}
    lines, player = run(clip, keys, reader, tmp_path / "kept")
    assert any(line.startswith("not read: too-short") for line in lines)
    assert [(tmp_path / "kept" / f"00{n}.txt").read_text().strip() for n in (1, 2)] == [*SAID.values()]
    assert len(player.played) == 2
    assert len(given_back) == 3  # memory, behind each


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
def test_freed_memory_is_given_back():
    arrays = [np.ones(12_000) for _ in range(1000)]
    kept, full = (
        arrays[-1],
        resident(),
    )  # it lies behind the others, which the library keeps for that once they are freed
    del arrays[:]
    assert give_back()
    assert resident() < full - 60e6
    assert kept.sum() == 12_000


def test_few_shapes_are_remembered_but_for_what_the_user_says(monkeypatch):
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", raising=False)
    remember_few_shapes()
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "64"
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "7")
    remember_few_shapes()
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "7"


def resident() -> int:
    """Memory of this process, bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Slow:
    """A reader that is not done before it is told so."""

    phrases = None

    def __init__(self) -> None:
        self.done, self.read_of = threading.Event(), []

    def read(self, recording, on_speech):
        self.read_of.append(len(recording))
        self.done.wait(60)
        return Answer("bin")


@pytest.mark.parametrize("rate", [25, 5])
def test_the_longest_recording_ends_by_itself_and_is_read(tmp_path, monkeypatch, rate):
    """Whatever frames the grid still holds then."""
    for module in (tracker, session):
        monkeypatch.setattr(module, "LONGEST", 1)
    write_clip(tmp_path / "a.mp4", [np.zeros((64, 64), np.uint8)] * 2 * rate, [n / rate for n in range(2 * rate)])
    reader = Slow()
    reader.done.set()
    lines, _ = run(tmp_path / "a.mp4", {0: " "}, reader, tmp_path)
    assert "1 s are the longest that is read at once: this is read now" in lines
    assert reader.read_of == [25]


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
    reader = Reader("grid-s1-parallel", "", "griffin-lim:8", "cpu", "facemesh", Phrases.read(mine))
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


def test_fault_camera_of_5_frames_a_second_is_told_and_keeps_its_time(grid, reader, tmp_path):
    clip = tmp_path / "slow.mp4"
    slow = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in read_video(grid / "s1" / "bbil3s.mp4")[0][::5]]
    write_clip(clip, slow, [number / 5 for number in range(len(slow))])
    lines, player = run(clip, {0: " "}, reader, tmp_path / "kept")
    assert any(line.startswith("a slow camera: 5 frames a second") for line in lines)
    assert player.played[0][0] == 75 * 640  # three seconds, whatever the camera's rate


class Large(Sequence[np.ndarray]):
    """Frames of 360x288, each as one of 3840x2160 when it is asked for."""

    def __init__(self, video: np.ndarray) -> None:
        self._video = video

    def __len__(self) -> int:
        return len(self._video)

    def __getitem__(self, index):
        gray = cv2.cvtColor(self._video[index], cv2.COLOR_RGB2GRAY)
        large = cv2.resize(gray, (2700, 2160), interpolation=cv2.INTER_CUBIC)
        return cv2.copyMakeBorder(large, 0, 0, 570, 570, cv2.BORDER_REPLICATE)


def test_fault_camera_of_4k_is_told_and_read(grid, reader, tmp_path):
    clip, frames = tmp_path / "large.mp4", Large(read_video(grid / "s1" / "bbil3s.mp4")[0])
    write_clip(clip, frames, [number / 25 for number in range(len(frames))])
    lines, _ = run(clip, {0: " "}, reader, tmp_path / "kept")
    assert lines[0] == f"camera {clip}: 3840x2160, 25 frames a second; that is more than is needed, and is reduced"
    assert f"camera {clip}: the file ends here" in lines
    assert any(line.startswith(SAID["bbil3s"]) for line in lines)


def test_fault_loudspeaker_pulled_out_while_it_is_used(grid, reader, tmp_path, monkeypatch):
    package = FakeSoundDevice(["speakers"])
    monkeypatch.setitem(sys.modules, "sounddevice", package)
    plays = SoundDevice()
    package.devices.clear()
    lines, _ = run(grid / "s1" / "bbil3s.mp4", {0: " "}, reader, tmp_path, loudspeaker=plays, kept=None)
    (line,) = [line for line in lines if "from now on speech is written into" in line]
    assert line.startswith("the loudspeaker cannot play: device unavailable")
    assert len(load_audio(tmp_path / "spare" / "001.wav")) == 75 * 640


def test_texts_are_typed_where_the_cursor_is(monkeypatch, grid, reader, tmp_path):
    typed = []
    keyboard = types.ModuleType("pynput.keyboard")

    class Controller:
        class InvalidCharacterException(Exception):  # noqa: N818 - pynput's name
            pass

        class InvalidKeyException(Exception):  # noqa: N818 - likewise
            pass

        def type(self, text: str) -> None:
            if typed:
                raise self.InvalidCharacterException(0, text)
            typed.append(text)

    keyboard.Controller = Controller
    monkeypatch.setitem(sys.modules, "pynput", types.ModuleType("pynput"))
    monkeypatch.setitem(sys.modules, "pynput.keyboard", keyboard)
    typist = Typist()
    run(grid / "s1" / "bbil3s.mp4", {0: " "}, reader, tmp_path, typist=typist)
    assert typed == [SAID["bbil3s"] + " "]
    lines, _ = run(grid / "s1" / "bbil3s.mp4", {0: " "}, reader, tmp_path, typist=typist)
    assert any(re.match(f"--type: '{SAID['bbil3s']}' cannot be typed", line) for line in lines)


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
    clip = with_rests([grid / "s1" / "bbil3s.mp4"], tmp_path / "camera.mp4", before=2.0, behind=3.0)
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
        until(f"[space] record  [q] quit   {GOOD}"[:79])
        os.write(mine, b" ")
        until("recording 4")
        os.write(mine, b" ")
        until("words after")
        until("[1-9] say a text")  # the file has ended
        os.write(mine, b" 1")
        until("[1] bin")
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


@pytest.mark.parametrize(
    ("options", "status", "wanted"),
    [
        (("--camera", "0", "--microphone"), 2, "--microphone: finds pauses for --continuous"),
        (("--camera", "nothing.mp4"), 1, "no such file"),
        (("--camera", "lavfi:testsrc2", "--model", "grid-s1-asr"), 1, "reads no lips"),
        (("--camera", "lavfi:testsrc2", "--model", "nothing"), 1, "nothing: no experiment or pack"),
        (("--camera", "lavfi:testsrc2", "--asr", "nothing"), 1, "nothing: no experiment or pack"),
        (("--camera", "lavfi:testsrc2", "--vocoder", "nothing"), 1, "unknown vocoder 'nothing'"),
        (("--camera", "lavfi:testsrc2", "--phrases", "nothing.txt"), 1, "there is no file 'nothing.txt'"),
        *(
            (
                ("--camera", "lavfi:testsrc2", "--model", "grid-s1-vsr", option, value),
                1,
                f"{option} {value}: is for speech, and grid-s1-vsr reads the lips without any; leave {option} out",
            )
            for option, value in (("--asr", "grid-s1-asr"), ("--vocoder", "griffin-lim"), ("--loudspeaker", "mine"))
        ),
    ],
)
def test_mistakes_are_told_in_one_line(options, status, wanted, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["live", "--preview", "off", "--loudspeaker", "off", *options]) == status
    (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("lipsound2 live:")]
    assert wanted in line


def test_own_sentences_are_of_the_language_of_the_reader(caplog, capsys, monkeypatch, tmp_path):
    """In English these two would be the same, and a line would say so."""
    monkeypatch.chdir(tmp_path)
    Path("reader").mkdir()
    write_yaml(Path("reader/config.yaml"), read_yaml(PRETRAINED / "grid-s1-vsr" / CONFIG) | {"language": "zh"})
    Path("mine.txt").write_text("2\ntwo\n")
    command = ["live", "--preview", "off", "--camera", "lavfi:testsrc2", "--phrases", "mine.txt"]
    assert main([*command, "--model", "reader"]) == 1
    assert capsys.readouterr().err.startswith("lipsound2 live: reader: no tokenizer")
    assert "stands there twice" not in caplog.text
