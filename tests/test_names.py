"""Names that come out of data and become files and folders cannot reach out of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lipsound2.cli import main
from lipsound2.corpora.lists import read_lists
from lipsound2.corpora.recordings import Recording, Recordings
from lipsound2.data.datadir import DataDir
from lipsound2.data.names import Names, no_file_name
from lipsound2.errors import LipsoundError

ODD = ("../../../ev-a", "..", ".hidden-a", "a/b", "/a-b", "a-\x01b", "a-\x7f", f"a-{'x' * 199}", f"a-{'ü' * 100}")
GOOD = ("s1-bbaf2n", "-abcDEF_123-00001", "id00012-21Uxsk56VDQ-00001", "说话人-一", f"a-{'x' * 198}", "a..b-c", "a-.")


def test_fault_A15_what_cannot_name_a_file_is_told_from_what_can():
    assert all(map(no_file_name, (*ODD, "", "\0")))
    assert not any(map(no_file_name, GOOD))
    names = Names.of([*ODD, *GOOD])
    assert [name for name, _ in names.odd()] == sorted(ODD, key=str.encode)
    assert Names(names.keys[::2]).odd() == [pair for pair in names.odd() if pair[0] in names[::2]]
    assert Names.of(GOOD).odd() == Names.of([]).odd() == []
    assert Names(np.array([b"", b"a"])).odd() == [("", "it is empty")]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data dir, one of whose ids reaches out of it."""
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "a.mp4").write_bytes(b"x")
    rows = {"utt2spk": {"../../../ev-a": "../../../ev", "s1-a": "s1"}, "text": {"../../../ev-a": "bin", "s1-a": "lay"}}
    rows["video.scp"] = dict.fromkeys(rows["utt2spk"], str(tmp_path / "a.mp4"))
    rows["spk2utt"] = {"../../../ev": "../../../ev-a", "s1": "s1-a"}
    for name, table in rows.items():
        (folder / name).write_text("".join(f"{key} {value}\n" for key, value in table.items()))
    return folder


@pytest.mark.parametrize("verb", ["crop", "subset", "combine"])
def test_fault_A15_ids_that_reach_out_of_their_folder_are_refused_by_every_verb(data, tmp_path, capsys, verb):
    more = ["--clips", "2"] if verb == "subset" else []
    assert main([verb, str(data), str(tmp_path / "out"), *more]) == 1
    assert "'../../../ev-a' cannot name a file: it has a '/' in it" in capsys.readouterr().err


def test_fault_A15_fix_drops_such_a_clip(data, capsys):
    assert main(["validate", str(data)]) == 1
    assert "it has a '/' in it" in capsys.readouterr().out
    assert main(["fix", str(data)]) == 0
    assert list(DataDir(data).ids) == ["s1-a"]


def test_fault_A15_data_dirs_are_not_written_with_such_ids(tmp_path):
    with pytest.raises(LipsoundError, match="cannot name a file"):
        DataDir.write(tmp_path / "data", utt2spk={"a-b/c": "a"}, text={"a-b/c": "bin"})
    found = Recordings()
    assert not found.add("a-b/c", Recording("a", video="/x.mp4"))
    assert not found.add("a-b", Recording("../a", video="/x.mp4"))
    assert [problem.reason for problem in found.problems] == ["not-an-id", "not-an-id"]


@pytest.mark.parametrize("name", ["...tsv", ".tsv", ".train.tsv", "-x.tsv"])
def test_fault_A15_lists_whose_name_is_no_set_are_refused(tmp_path, name):
    (tmp_path / name).write_text("s1-a\ts1/a.mp4\tbin\n")
    with pytest.raises(LipsoundError, match="cannot name a set"):
        read_lists(tmp_path)
