"""Where one who speaks on and on pauses: by the lips, by the audio of a file, and by a microphone."""

from __future__ import annotations

import sys

import numpy as np
from helpers.audio_devices import FakeSoundDevice
from helpers.video_making import write_clip

from lipsound2.live.lip_pauses import PauseFinder
from lipsound2.live.voice_activity import FileAudio, Microphone, NoAudio


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


def test_a_microphone_is_measured(monkeypatch):
    package = FakeSoundDevice([])
    monkeypatch.setitem(sys.modules, "sounddevice", package)
    microphone = Microphone()
    (stream,) = package.streams
    assert microphone.heard(0.0) is None
    noise = np.random.default_rng(0).normal(0, 1, (100 * 160, 1)).astype(np.float32)
    stream.callback(noise * 1e-3, 0, None, None)
    assert microphone.heard(0.0) is False
    stream.callback(noise[:800] * 0.1, 0, None, None)
    assert microphone.heard(0.0) is True
