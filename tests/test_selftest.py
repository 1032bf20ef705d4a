"""`selftest`: right on this machine, and it sees what is wrong."""

from __future__ import annotations

import configparser
from dataclasses import replace
from pathlib import Path

import pytest

from lipsound2 import selftest
from lipsound2.cli import main
from lipsound2.errors import LipsoundError

ROOT = Path(__file__).resolve().parents[1]


def test_it_is_right_here_and_tells_what_there_is(capsys):
    assert main(["selftest"]) == 0
    said = capsys.readouterr().out
    assert "All is as it should be." in said
    assert "set by" in said
    for word in ("processor", "torch", "detector", "extras", "time"):
        assert f"\n{word}" in said
    assert max(map(len, said.splitlines())) < 160


def test_other_numbers_are_told_line_by_line(capsys, monkeypatch):
    stored = selftest.stored()
    mel = [[value + 0.2 for value in row] for row in stored.mel]
    wrong = replace(stored, video_frames=74, mel=mel, words={"lay": 0.9, "nine": 0.6})
    monkeypatch.setattr(selftest, "stored", lambda: wrong)
    assert main(["selftest"]) == 1
    said = capsys.readouterr().out
    assert "DIFFERENT   75 video frames, wanted 74" in said
    assert "DIFFERENT   the mel is off by 0.2" in said
    assert "DIFFERENT   'lay' with confidence 0.00, wanted 0.90" in said
    assert said.count("DIFFERENT") == 3  # a word that was not sure may be another one
    assert "open an issue" in said


def test_an_installation_without_the_clip_is_told(monkeypatch):
    monkeypatch.setattr(selftest, "CLIP", Path("nowhere.mp4"))
    with pytest.raises(LipsoundError, match="install lipsound2 again"):
        selftest.stored()


def test_every_extra_of_a_user_is_known():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = set(setup["options.extras_require"])
    ours = {
        "text",
        "kaldi",
        "bench",
        "judge",
        "oracle",
        "docs",
        "test",
    }  # of the toolkit's own development, and one that is empty
    assert selftest.EXTRAS.keys() <= extras
    assert extras - selftest.EXTRAS.keys() - ours <= {"type"}


def test_missing_extras_are_told_with_what_they_give(monkeypatch):
    monkeypatch.setitem(selftest.EXTRAS, "asr", ("no_such_module_1x", "a recognizer of English"))
    lines = selftest.environment()
    assert "  missing   asr: a recognizer of English" in lines
    assert any(line.startswith("  install   ") for line in lines)
