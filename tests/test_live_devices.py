"""Keys, loudspeaker, and the folder for what was said, without hardware."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from helpers.audio_devices import FakeSoundDevice

from lipsound2.errors import LipsoundError
from lipsound2.live.kept import Kept
from lipsound2.live.keys import StreamKeys
from lipsound2.live.loudspeaker import Silent, SoundDevice, find_loudspeaker


def test_keys_of_a_pipe_and_of_a_terminal():
    end, begin = os.pipe()
    with os.fdopen(end) as stream:
        keys = StreamKeys(stream)
        assert keys.pressed() == ""
        os.write(begin, b" 2")
        assert [keys.pressed() for _ in range(3)] == [" ", "2", ""]
        os.write(begin, b"\x1b[A")  # an arrow key
        assert keys.pressed() == ""
        os.write(begin, b"r\x1b[A\x1bOP\x1b[3~2")  # keys before and behind such ones, read at once
        assert [keys.pressed() for _ in range(3)] == ["r", "2", ""]
        os.write(begin, b"\x1b")
        assert keys.pressed() == "\x1b"
        os.close(begin)
        assert keys.pressed() == ""


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
    assert Silent().wait() is None


def test_kept_files_do_not_replace_others(tmp_path):
    assert Kept(tmp_path).next() == tmp_path / "001"
    (tmp_path / "007.wav").write_text("mine")
    kept = Kept(tmp_path)
    (tmp_path / "008.txt").write_text("of another session, which began at the same time")
    assert kept.next() == tmp_path / "009"
