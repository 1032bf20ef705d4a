"""Tables and data dirs: what is written is read, what is wrong is named with the command that repairs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipsound2.cli import main
from lipsound2.corpora.folds import combine, subset
from lipsound2.data.datadir import DataDir, fix, read_table, validate, write_table
from lipsound2.errors import LipsoundError
from lipsound2.files import temporary_of

IDS = ["s1-bbaf2n", "s1-lgwx3a", "s10-bbaf2n", "s2-bbaf2n"]
TRICKY = ["a", "b", "é", "😀", "\u2028", "\x85", "\x0b", "\ufeff", "|", ":", "#", "\x1f", "\uffff"]
word = st.text(st.sampled_from(["a", "b", "é", "😀", "-", "|", "\u3000", "\uffff"]), min_size=1, max_size=6)
line = st.text(st.sampled_from([*TRICKY, " "]), min_size=1, max_size=8).filter(lambda text: text == text.strip(" "))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data dir in order, with its media."""
    for name in IDS:
        (tmp_path / f"{name} ü.mp4").touch()
    DataDir.write(
        tmp_path / "train",
        utt2spk={name: name.split("-")[0] for name in reversed(IDS)},
        video={name: f"{tmp_path}/{name} ü.mp4" for name in IDS},
        text={name: f"BIN {name}" for name in IDS},
        utt2num_frames=dict.fromkeys(IDS, "75"),
    )
    return tmp_path / "train"


def edit(path: Path, old: str, new: str) -> None:
    content = path.read_text(encoding="utf-8")
    assert old in content
    path.write_text(content.replace(old, new, 1), encoding="utf-8")


# ---- tables --------------------------------------------------------------------------------------------------------


@given(st.dictionaries(word, line, max_size=8))
def test_tables_round_trip_sorted_by_bytes(tmp_path_factory: pytest.TempPathFactory, table: dict[str, str]) -> None:
    path = tmp_path_factory.mktemp("table") / "text"
    write_table(path, table)
    assert read_table(path) == table
    keys = [row.split(b" ")[0] for row in path.read_bytes().split(b"\n")[:-1]]
    assert keys == sorted(keys)
    assert list(read_table(path)) == [key.decode() for key in keys]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"b 1\na 2\n", "text:2: the key 'a' stands after 'b'"),
        (b"a 1\na 2\n", "text:2: the key 'a' stands twice"),
        (b"a 1\nb\n", "text:2: expected 'key value', found 'b'"),
        (b"a 1\n\nb 2\n", "text:2"),
        (b"a 1\nb \xff\n", "text:2: expected UTF-8"),
    ],
)
def test_reading_is_strict(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(LipsoundError, match=message) as caught:
        read_table(tmp_path / "text")
    assert f"lipsound2 fix {tmp_path}" in str(caught.value)


@pytest.mark.parametrize("value", ["rm -rf / |", "| sh", "|"])
def test_commands_are_neither_read_nor_written(tmp_path: Path, value: str) -> None:
    (tmp_path / "video.scp").write_text(f"a {value}\n")
    with pytest.raises(LipsoundError, match=r"video\.scp:1: 'a' is a command"):
        read_table(tmp_path / "video.scp")
    with pytest.raises(LipsoundError, match="command"):
        write_table(tmp_path / "wav.scp", {"a": value})
    write_table(tmp_path / "text", {"a": value})  # a transcript may hold the sign


@pytest.mark.parametrize("row", [{"": "x"}, {"a b": "x"}, {"a\n": "x"}, {"a": ""}, {"a": " x"}, {"a": "x\ny"}])
def test_writing_is_strict(tmp_path: Path, row: dict[str, str]) -> None:
    with pytest.raises(LipsoundError):
        write_table(tmp_path / "text", row)
    assert not (tmp_path / "text").exists()


# ---- data dirs -----------------------------------------------------------------------------------------------------


def test_data_dir_reads_what_it_wrote(folder: Path) -> None:
    data = DataDir(folder)
    assert (data.name, data.ids, len(data)) == ("train", IDS, 4)
    assert data.wav == {}
    assert data.video["s1-bbaf2n"].endswith("/s1-bbaf2n ü.mp4")
    assert data.text["s2-bbaf2n"] == "BIN s2-bbaf2n"
    assert (folder / "spk2utt").read_text() == "s1 s1-bbaf2n s1-lgwx3a\ns10 s10-bbaf2n\ns2 s2-bbaf2n\n"


def test_not_a_data_dir(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(LipsoundError, match="not a data dir"):
            DataDir(path)
    DataDir.write(tmp_path / "lists/train", utt2spk={"s1-a": "s1"})
    with pytest.raises(LipsoundError, match=r"/train does not exist, so .*; did you mean .*/lists/train\?$"):
        DataDir(tmp_path / "train")


def test_subset_keeps_all_tables(folder: Path, tmp_path: Path) -> None:
    part = DataDir(folder).subset(["s2-bbaf2n", "s1-lgwx3a"], tmp_path / "part")
    assert part.ids == ["s1-lgwx3a", "s2-bbaf2n"]
    assert part.table("utt2num_frames") == dict.fromkeys(part.ids, "75")
    assert validate(part.path) == 0
    with pytest.raises(LipsoundError, match="'s9-x' first"):
        part.subset(["s9-x"], tmp_path / "none")


def test_subset_with_segments_keeps_the_recordings_used(folder: Path, tmp_path: Path) -> None:
    media = tmp_path / "long.mp4"
    media.touch()
    data = DataDir.write(
        tmp_path / "cut",
        utt2spk={"s1-a": "s1", "s1-b": "s1"},
        video={"r1": str(media), "r2": str(media)},
        segments={"s1-a": "r1 0 1.5", "s1-b": "r2 2 3"},
    )
    assert validate(data.path) == 0
    assert list(data.subset(["s1-b"], tmp_path / "part").video) == ["r2"]


def test_writing_again_removes_tables_that_are_not_given(folder: Path) -> None:
    data = DataDir.write(folder, utt2spk={"s1-a": "s1"}, wav={"s1-a": "a.wav"})
    assert (data.video, data.text, data.wav) == ({}, {}, {"s1-a": "a.wav"})


def test_tables_must_have_the_same_ids(tmp_path: Path) -> None:
    with pytest.raises(
        LipsoundError, match=r"wav.scp: its 1 ids are not the 2 of utt2spk; the first that differs is 's1-b'"
    ):
        DataDir.write(tmp_path, utt2spk={"s1-a": "s1", "s1-b": "s1"}, wav={"s1-a": "x"})
    with pytest.raises(LipsoundError, match=r"text: its 1 ids are not the 2 of utt2spk; .* 's1-c'"):
        DataDir.write(tmp_path, utt2spk={"s1-a": "s1", "s1-b": "s1"}, text={"s1-c": "x"})


def test_fault_A11_a_clip_need_not_have_a_text(tmp_path: Path) -> None:
    media = tmp_path / "a.mp4"
    media.touch()
    clips = {"s1-a": "s1", "s1-b": "s1"}
    data = DataDir.write(tmp_path / "data", utt2spk=clips, video=dict.fromkeys(clips, str(media)), text={"s1-a": "x"})
    assert validate(data.path) == 0
    assert fix(data.path) == 0
    assert dict(DataDir(data.path).text) == {"s1-a": "x"}
    assert len(DataDir(data.path)) == 2
    part = data.subset(["s1-b"], tmp_path / "part")
    assert (part.text, list(part.ids)) == ({}, ["s1-b"])


# ---- validate and fix ----------------------------------------------------------------------------------------------

DAMAGES = {
    "unsorted": ("text", "s1-bbaf2n BIN s1-bbaf2n\n", "", "s1-bbaf2n BIN s1-bbaf2n\n", "sorted by bytes"),
    "double": ("text", "s1-bbaf2n ", "s1-bbaf2n BIN s1-bbaf2n\ns1-bbaf2n ", "", "same row twice"),
    "rows-differ": ("text", "s1-bbaf2n ", "s1-bbaf2n LAY\ns1-bbaf2n ", "", "wanted one row"),
    "empty-text": ("text", "s1-bbaf2n BIN s1-bbaf2n\n", "s1-bbaf2n\n", "", "found nothing after the id"),
    "ids": ("utt2num_frames", "s10-bbaf2n 75\n", "", "", "found 3 ids ('s10-bbaf2n' is missing"),
    "too-much": ("text", "", "", "s3-x BIN\n", "'s3-x' is too much"),
    "pipe": ("video.scp", "ü.mp4\n", "ü.mp4 |\n", "", "nothing is ever executed"),
    "no-file": ("video.scp", "ü.mp4\n", "u.mp4\n", "", "wanted a file that is there"),
    "prefix": ("utt2spk", "s1-bbaf2n s1", "s1-bbaf2n s2", "", "wanted an id 's2-...'"),
    "spk2utt": ("spk2utt", "s1-bbaf2n ", "", "", "found 1 clips"),
    "frames": ("utt2num_frames", "75", "many", "", "a whole number above 0"),
}  # file, what is replaced, by what, what is added at the end, what is said


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_named_and_repaired(folder: Path, capsys: pytest.CaptureFixture[str], damage: str) -> None:
    name, old, new, end, message = DAMAGES[damage]
    edit(folder / name, old, new)
    with (folder / name).open("a", encoding="utf-8") as file:
        file.write(end)
    assert main(["validate", str(folder)]) == 1
    said = [row for row in capsys.readouterr().out.splitlines() if message in row]
    assert said
    assert all(str(folder / name) in row and "found" in row and "repair with: lipsound2" in row for row in said)
    before = (folder / name).read_bytes()
    if damage == "prefix":  # nobody but the corpus knows who speaks
        assert fix(folder) == 1
        return
    assert main(["fix", str(folder)]) == 0
    assert validate(folder) == 0
    kept = folder / ".backup" / "1" / name
    assert kept.read_bytes() == before if (folder / name).read_bytes() != before else not kept.exists()
    dropped = damage in ("rows-differ", "empty-text", "ids", "pipe", "no-file", "frames")
    assert len(DataDir(folder)) == 4 - dropped


def test_bytes_that_are_not_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "text").write_bytes((folder / "text").read_bytes().replace(b"BIN s2", b"\xff s2"))
    assert validate(folder) == 1
    assert "wanted UTF-8 text" in capsys.readouterr().out
    assert fix(folder) == 0
    assert DataDir(folder).ids == IDS[:3]


def test_absent_spk2utt_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "spk2utt").unlink()
    assert validate(folder) == 1
    assert fix(folder) == 0
    said = capsys.readouterr().out
    assert "spk2utt: found no such file" in said
    assert "spk2utt: written anew, 3 rows" in said
    assert "nothing to repair" not in said


def test_in_order_says_so_and_fix_changes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(folder) == 0
    assert capsys.readouterr().out == f"{folder}: in order, 4 clips\n"
    assert fix(folder) == 0
    assert "nothing to repair" in capsys.readouterr().out
    assert not (folder / ".backup").exists()


def test_many_problems_of_a_kind_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "utt2num_frames").write_text("".join(f"{name} no\n" for name in IDS))
    assert validate(folder, show=1) == 1
    assert "and 3 more of this kind" in capsys.readouterr().out


def test_a_disk_that_is_not_mounted_drops_nothing(folder: Path) -> None:
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    for path in folder.parent.glob("*.mp4"):
        path.unlink()
    assert validate(folder) == 1
    assert validate(folder, media=False) == 0
    with pytest.raises(LipsoundError, match="is the corpus' disk mounted"):
        fix(folder)
    assert content == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_absent_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(tmp_path / "nowhere") == 1
    assert "no such folder" in capsys.readouterr().out
    with pytest.raises(LipsoundError, match="lipsound2 prepare"):
        fix(tmp_path / "nowhere")


rows = st.lists(
    st.sampled_from([*(f"{name} BIN" for name in IDS), "s1-bbaf2n LAY", "s1-bbaf2n", "s9-x y", "", "\x85 |", "\tz"]),
    max_size=8,
)


@settings(max_examples=40)
@given(rows)
def test_fix_always_ends_in_order_or_changes_nothing(tmp_path_factory: pytest.TempPathFactory, text: list[str]) -> None:
    folder = tmp_path_factory.mktemp("messy")
    (folder / "x.mp4").touch()
    utt2spk = {name: name.split("-")[0] for name in IDS}
    DataDir.write(folder, utt2spk=utt2spk, video=dict.fromkeys(IDS, f"{folder}/x.mp4"))
    (folder / "utt2lang").write_text("\n".join(text), encoding="utf-8")
    good = {name for name in IDS if f"{name} BIN" in text}
    if "s1-bbaf2n LAY" in text or "s1-bbaf2n" in text:
        good.discard("s1-bbaf2n")
        if "s1-bbaf2n LAY" in text and not {"s1-bbaf2n BIN", "s1-bbaf2n"} & set(text):
            good.add("s1-bbaf2n")
    before = (folder / "utt2lang").read_bytes()
    if good:
        assert fix(folder) == 0
        assert set(DataDir(folder).ids) == good
        assert fix(folder) == 0
    else:
        with pytest.raises(LipsoundError, match="nothing was changed"):
            fix(folder)
        assert (folder / "utt2lang").read_bytes() == before


def made(path: Path, *ids: str, made_by: str = "") -> DataDir:
    return DataDir.write(path, utt2spk=dict.fromkeys(ids, "a"), text=dict.fromkeys(ids, "bin"), made_by=made_by)


def test_fault_A2_a_data_dir_is_not_written_over_what_another_command_made(tmp_path):
    made(tmp_path / "hand", "a-1", "a-2")
    made(tmp_path / "test", "a-1", made_by="lipsound2 prepare grid /corpus")
    source = made(tmp_path / "all", "a-1", "a-2", "a-3")
    for folder in ("hand", "test"):
        before = (tmp_path / folder / "utt2spk").read_text()
        with pytest.raises(LipsoundError, match="would be lost"):
            subset(source.path, tmp_path / folder, clips=3)
        assert (tmp_path / folder / "utt2spk").read_text() == before
    # By the same command, or the same clips, as a recipe that is run again does.
    subset(source.path, tmp_path / "new", clips=1)
    subset(source.path, tmp_path / "new", clips=2)
    subset(source.path, tmp_path / "again", clips=2)
    combine((str(tmp_path / "new"),), tmp_path / "again")
    assert len(DataDir(tmp_path / "again")) == 2


def test_fault_A2_a_data_dir_is_not_written_into_a_folder_of_something_else(tmp_path):
    source = made(tmp_path / "all", "a-1", "a-2")
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp/config.yaml").write_text("task: toy\n")
    with pytest.raises(LipsoundError, match=r"no data dir and holds 'config\.yaml'"):
        subset(source.path, tmp_path / "exp", clips=1)
    assert [path.name for path in (tmp_path / "exp").iterdir()] == ["config.yaml"]
    # What a run left that was killed.
    (tmp_path / "half").mkdir()
    (tmp_path / "half/text").write_text("a-1 bin\n")
    (tmp_path / "half/.made_by").write_text("lipsound2 fold\n")
    assert len(source.subset(["a-2"], tmp_path / "half")) == 1


def test_fault_A2_a_refused_prepare_leaves_the_other_corpus_as_it_was(tmp_path):
    for corpus in ("one", "two"):
        (tmp_path / corpus / "ann").mkdir(parents=True)
        (tmp_path / corpus / "ann" / f"{corpus}.mp4").write_bytes(b"x")
    assert main(["prepare", "own", str(tmp_path / "one"), str(tmp_path / "data")]) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    assert main(["prepare", "own", str(tmp_path / "two"), str(tmp_path / "data")]) == 1
    after = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    assert {path for path in after if after[path] != before.get(path)} <= {tmp_path / "data/.lock"}


def test_fault_A14_what_a_killed_process_left_in_a_data_dir_goes_when_it_is_written_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    with monkeypatch.context() as there:
        there.setattr(os, "getpid", lambda: killed.pid)
        left = temporary_of(folder / "text")
    left.write_text("half")
    DataDir.write(folder, utt2spk={"s1-a": "s1"})
    assert not left.exists()
