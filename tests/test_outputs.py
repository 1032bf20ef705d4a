"""Outputs of verbs: looked at before any work, never an input, a device or another's."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lipsound2 import cli
from lipsound2.cli import main
from lipsound2.errors import LipsoundError
from lipsound2.files import atomic_path, write_text
from lipsound2.outputs import check_apart, check_file, check_folder

# What each verb writes; `speak` and `transcribe` look at theirs themselves, `validate` writes nothing.
WRITTEN = {
    "score-text": {"out"},
    "generate": {"root"},
    "download": {"root"},
    "prepare": {"data"},
    "fix": {"dir"},
    "fold": {"out"},
    "subset": {"out"},
    "combine": {"out"},
    "crop": {"dump"},
    "mel": {"dump"},
    "targets": {"dump"},
    "convert-avsr": {"out"},
    "convert-hifigan": {"out"},
    "convert-lrw": {"out"},
    "convert-pase": {"out"},
    "convert-trunk": {"out"},
    "record": {"corpus"},
    "voices": {"dump"},
    "sync": {"dump"},
    "words": {"out"},
    "features": {"dump"},
    "train": {"exp"},
    "tokens": {"out"},
    "average": {"exp", "output"},
    "synthesize": {"out"},
    "decode": {"out"},
    "score": {"out"},
    "report": {"exp", "out", "publish"},
    "compare": {"out", "markdown"},
    "export": {"out"},
    "share": {"out"},
    "pack": {"out"},
    "ngram": {"out"},
}


@pytest.mark.parametrize("verb", sorted(set(cli.VERBS) - {"speak", "transcribe"}))
def test_every_verb_declares_what_it_writes(verb):
    assert cli.declared(cli.load(verb), cli.Output).keys() == WRITTEN.get(verb, set())


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.arpa"
    path.write_text("bin blue at a one now\n")
    return path


def refused(capsys, *arguments: object) -> str:
    """The one line that a command ends with."""
    assert main([str(argument) for argument in arguments]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "--debug" not in told
    return told


def hard(path: Path, other: Path) -> None:
    path.hardlink_to(other)


def soft(path: Path, other: Path) -> None:
    path.symlink_to(other)


@pytest.mark.parametrize("link", [hard, soft])
def test_fault_A1_an_output_that_is_the_input_is_refused(text, tmp_path, capsys, monkeypatch, link):
    before = text.read_text()
    linked = tmp_path / "linked.arpa"
    link(linked, text)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in (text, linked, "text.arpa", "./sub/../text.arpa"):
        assert "input" in refused(capsys, "ngram", text, name)
        assert text.read_text() == before


def test_fault_A1_a_folder_that_is_the_input_is_refused(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/utt2spk").write_text("a-1 a\n")
    (tmp_path / "link").symlink_to("data")
    assert "input" in refused(capsys, "subset", tmp_path / "data", tmp_path / "link", "--clips", 1)
    assert "input" in refused(capsys, "combine", tmp_path / "data", tmp_path / "data")
    assert (tmp_path / "data/utt2spk").read_text() == "a-1 a\n"
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["utt2spk"]


def test_fault_A1_devices_pipes_and_sockets_are_never_replaced(text, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.arpa")
    (tmp_path / "null.arpa").symlink_to("/dev/null")
    (tmp_path / "out.arpa").symlink_to("/dev/stdout")
    (tmp_path / "folder.arpa").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.arpa"))
        for name in ("pipe", "null", "out", "folder", "socket"):
            path = tmp_path / f"{name}.arpa"
            before = path.lstat()
            assert "not a file" in (told := refused(capsys, "ngram", text, path)) or "open file" in told
            with pytest.raises(LipsoundError, match="cannot write"), atomic_path(path):
                pytest.fail("it was about to be written")
            assert path.lstat().st_ino == before.st_ino
    assert Path("/dev/null").is_char_device()


def test_fault_A1_a_link_stays_one_and_what_it_names_is_written(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to("far/file")
    for content in ("new", "newer"):  # to what is not there yet, and to what is
        check_file(tmp_path / "link")
        write_text(tmp_path / "link", content)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "far/file").read_text() == content
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(LipsoundError, match="cannot write"):
        check_file(tmp_path / "loop")


def test_fault_A1_two_outputs_of_one_name_are_refused(tmp_path):
    (tmp_path / "link").symlink_to("a.mp4")
    check_apart([tmp_path / "a.mp4", tmp_path / "b.mp4"])
    with pytest.raises(LipsoundError, match="two outputs"):
        check_apart([tmp_path / "a.mp4", tmp_path / "link"])


def test_fault_H25_a_place_that_cannot_be_written_is_told_before_the_work(text, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "nowhere").symlink_to("absent/folder")
    for folder in ("/sys", "/proc", "/sys/new/er", tmp_path / "file", tmp_path / "file/below", tmp_path / "nowhere"):
        assert "cannot write" in refused(capsys, "ngram", text, Path(folder) / "out.arpa")
        assert "cannot write" in refused(capsys, "generate", folder if folder != "/sys" else "/sys/corpus")
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "nowhere", "text.arpa"]


def test_fault_A2_a_corpus_is_not_generated_into_another_one(tmp_path, capsys):
    (tmp_path / "s1").mkdir()
    (tmp_path / "s1/bbaf2n.mpg").write_bytes(b"mine")
    assert "no generated corpus" in refused(capsys, "generate", tmp_path, "--clips", 1, "--speakers", 1)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".lock") == ["s1"]


def test_fault_H25_a_folder_to_come_is_looked_at_and_not_made(tmp_path):
    check_file(tmp_path / "a/b/c.wav")
    check_folder(tmp_path / "a/b")
    assert list(tmp_path.iterdir()) == []


def test_fault_H26_names_that_a_file_system_cannot_take_are_told_before_the_work(text, tmp_path, capsys):
    for name in (f"{'x' * 251}.arpa", "\udcff.arpa", "a\0b.arpa", f"{'y' * 256}/a.arpa", "z/" * 2500 + "a.arpa"):
        assert "cannot write" in refused(capsys, "ngram", text, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["text.arpa"]


@pytest.mark.parametrize("name", [f"{'x' * 245}.arpa", f"{'ü' * 125}.arpa", f"a.{'x' * 250}"])
def test_fault_H26_a_name_as_long_as_the_file_system_takes_is_written(tmp_path, name):
    check_file(tmp_path / name)
    write_text(tmp_path / name, "whole")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_fault_A1_a_suffix_of_another_kind_is_refused(text, tmp_path, capsys):
    (tmp_path / "text").write_text("a-1 bin blue\n")
    assert "ends in" in refused(capsys, "ngram", text, tmp_path / "text")
    assert "is a device" in refused(capsys, "ngram", text, "/dev/null")
    (tmp_path / "config.yaml").write_text("task: none\n")
    assert "ends in" in refused(capsys, "report", tmp_path, "--out", tmp_path / "config.yaml")


def test_fault_A1_compare_leaves_a_text_alone_that_it_did_not_write(tmp_path, capsys):
    (tmp_path / "README.md").write_text("# Mine\n")
    assert "another text" in refused(capsys, "compare", "a=exp/a", tmp_path / "README")
    assert (tmp_path / "README.md").read_text() == "# Mine\n"
