"""Outputs of `transcribe`: which files, where, and what is refused before any work."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lipsound2.cli import load, main, verb_parser
from lipsound2.decoding.hypothesis import DOUBTFUL, Alternative, Hypothesis, Word
from lipsound2.inference import clip_readers, recognizers

SAID = Hypothesis(
    "bin <blue> now",
    [Word("bin", 0.1, 0.3, 0.99), Word("<blue>", 0.3, 0.5, 0.4), Word("now", 0.5, 0.7, 0.9)],
    -1.0,
    0.36,
    [Alternative("bin red now", 0.5), Alternative("bin now", 0.01)],
)


class Recognizer:
    """Always recognizes the same."""

    name = "same"

    def recognize(self, audio):
        return [SAID for _ in audio]


@pytest.fixture
def clip(tmp_path, monkeypatch) -> Path:
    """An audio file in the current folder; the recognizer is a short one."""
    monkeypatch.setattr(recognizers, "recognizer", lambda *args, **options: Recognizer())
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).normal(0, 0.1, 16000)
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", noise, 16000)
    return Path("a.wav")


def status_of(words: str) -> object:
    """Exit status of a call; argparse ends the program itself."""
    try:
        return main(["transcribe", *words.split()])
    except SystemExit as stop:
        return stop.code


def files() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*") if path.is_file() and path.suffix != ".wav")


@pytest.mark.parametrize(
    ("words", "made"),
    [
        ("a.wav", []),
        ("a.wav --srt --vtt --txt", ["a.srt", "a.txt", "a.vtt"]),
        ("a.wav --json x.json --srt s/y.srt", ["s/y.srt", "x.json"]),
        ("a.wav --output-dir out", ["out/a.txt"]),
        ("a.wav b.wav --output-dir out --srt --json", [f"out/{n}" for n in ("a.json", "a.srt", "b.json", "b.srt")]),
        ("a.wav b.wav --vtt", ["a.vtt", "b.vtt"]),
        (". --srt subs", ["subs/a.srt", "subs/b.srt"]),
        ("a.wav b.wav --output-dir out --srt subs", ["out/a.txt", "out/b.txt", "subs/a.srt", "subs/b.srt"]),
        ("a.wav --srt=z.srt", ["z.srt"]),
        ("--json a.wav", []),
        ("--json -- a.wav", []),
        ("--jso --txt t.txt a.wav", ["t.txt"]),
    ],
)
def test_files_go_where_they_are_asked_for(words, made, clip):
    assert main(["transcribe", *words.split()]) == 0
    assert files() == made


def test_each_format_is_printed_alone(clip, capsys):
    printed = {}
    for suffix in ("txt", "srt", "vtt", "json"):
        assert main(["transcribe", "a.wav", f"--{suffix}", "-"]) == 0
        printed[suffix] = capsys.readouterr().out
    assert printed["txt"] == "bin <blue> now\n"
    assert printed["srt"].startswith("1\n00:00:00,100 --> 00:00:00,700\n")
    assert printed["vtt"].startswith("WEBVTT\n\nNOTE model same\n")
    assert json.loads(printed["json"])["confidence"] == 0.36
    main(["transcribe", "a.wav", "--json"])
    assert capsys.readouterr().out == printed["json"]
    assert files() == []


def test_alternatives_are_printed_and_written_as_many_as_asked(clip, capsys):
    main(["transcribe", "a.wav", "--alternatives", "1"])
    assert capsys.readouterr().out == "bin <blue> now\n  0.500  bin red now\n"
    for words, number in (([], 2), (["--alternatives", "1"], 1), (["--alternatives", "0"], None)):
        main(["transcribe", "a.wav", "--json", *words])
        row = json.loads(capsys.readouterr().out)
        assert len(row["alternatives"]) == number if number else "alternatives" not in row


def test_doubtful_words_are_marked_on_a_terminal_and_nowhere_else(clip, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    main(["transcribe", "a.wav", "--txt"])
    assert sys.stdout.getvalue() == "bin [<blue>?] now\n"
    assert Path("a.txt").read_text() == "bin <blue> now\n"


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        ("nothing.wav", 1, "nothing.wav: no such file"),
        ("nothing.wav nought.wav", 1, "none of the 2 clips can be used; the first: nothing.wav: no such file"),
        ("a.wav --srt a.wav", 1, "a.wav: is the input, which would be lost"),
        ("a.wav --txt x.doc", 1, "expected a file name that ends in .txt, found '.doc'"),
        ("a.wav --vtt a.wav/x.vtt", 1, "cannot write a.wav/x.vtt: "),
        ("a.wav --json=x.txt", 1, "expected a file name that ends in .json, found '.txt'"),
        (
            "a.wav --txt",
            1,
            "a.txt: lies beside a.wav already, and would be lost; remove it, or name a file: --txt FILE",
        ),
        (". --txt", 1, "a.txt: lies beside a.wav already, and would be lost; remove it, or choose a folder"),
        (". --output-dir .", 1, "a.txt: lies beside a.wav already"),
        (". --vtt all.vtt", 1, "--vtt all.vtt: is one file, for one clip; for several clips give a folder: --vtt DIR"),
        (". --vtt -", 2, "--vtt -: is for one clip; for several clips give a folder: --vtt DIR"),
        ("a.wav --srt - --json", 2, "--srt and --json: only one of them can be printed"),
        ("a.wav --alternatives -1", 2, "--alternatives: found '-1'"),
        ("--srt a.wav", 2, "--srt took 'a.wav' as its file: write the clip first"),
        ("--srt", 2, "missing: MEDIA"),
        ("a.wav --txt --srt=", 2, "found an empty name"),
    ],
)
def test_what_cannot_be_written_is_one_line_before_any_work(words, status, told, clip, capsys, monkeypatch):
    Path("a.txt").write_text("what was really said")
    monkeypatch.setattr(clip_readers, "load", lambda *args, **options: pytest.fail("models were loaded"))
    assert status_of(words) == status
    shown = capsys.readouterr()
    assert told in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""
    assert files() == ["a.txt"]
    assert Path("a.txt").read_text() == "what was really said"


@pytest.mark.parametrize(
    "words",
    [
        "a.wav --phrases mine/a.txt --txt mine/a.txt",
        "a.wav --phrases mine/a.txt --output-dir mine",
        "a.wav b.wav --phrases mine/a.txt --txt mine",
        "a.wav --grammar mine/a.txt --txt mine/a.txt",
        "a.wav --lm mine/a.txt --txt link.txt",
        "a.wav --face speaking --asd mine/a.txt --txt mine/a.txt",
        "a.wav --asr mine --txt mine/a.txt",
        "a.wav --asr whisper:mine --txt mine/a.txt",
        "a.wav --model mine --output-dir mine",
    ],
)
def test_fault_A1_what_is_read_beside_the_clips_is_not_written_over(words, clip, capsys, monkeypatch):
    mine = Path("mine/a.txt")
    mine.parent.mkdir()
    mine.write_text("bin blue now\n")
    Path("link.txt").symlink_to(mine)
    monkeypatch.setattr("lipsound2.video.speaking.check_choice", lambda *args: None)
    monkeypatch.setattr(clip_readers, "load", lambda *args, **options: pytest.fail("models were loaded"))
    assert status_of(words) == 1
    assert "input" in (told := capsys.readouterr().err)
    assert "which would be lost; choose another name for the output" in told
    assert told.count("\n") == 1
    assert mine.read_text() == "bin blue now\n"


def test_a_clip_from_standard_input_has_no_place_beside_it(clip, monkeypatch, capsys):
    class Piped(io.TextIOWrapper):
        def isatty(self) -> bool:
            return False

    for words, status in (("--srt", 2), ("--srt x.srt", 0), ("--srt --output-dir out", 0), ("--json", 0)):
        monkeypatch.setattr(sys, "stdin", Piped(io.BytesIO(clip.read_bytes())))
        assert main(["transcribe", "-", *words.split()]) == status
    assert "the clip comes from standard input; give its file a name: --srt FILE" in capsys.readouterr().err
    assert files() == ["out/stdin.srt", "x.srt"]


def test_help_tells_the_threshold_and_that_files_may_be_left_out():
    text = " ".join(verb_parser("transcribe", load("transcribe")).format_help().split())
    assert f"below {DOUBTFUL:g} are marked as doubtful: bin [blue?] now" in text
    assert "[--srt [FILE]]" in text
