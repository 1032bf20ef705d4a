"""Data dirs in parts and as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipsound2.corpora.folds import combine, fold, subset
from lipsound2.data.datadir import DataDir
from lipsound2.errors import LipsoundError


def write(path: Path, names: list[str], **tables: dict[str, str]) -> DataDir:
    texts = {name: f"what {name} says" for name in names}
    wav = {name: f"/sounds/with blank/{name}.wav" for name in names}
    return DataDir.write(path, utt2spk={name: name.split("-")[0] for name in names}, text=texts, wav=wav, **tables)


def test_parts_are_disjoint_whole_and_balanced(tmp_path: Path) -> None:
    names = [f"s{speaker}-{clip:03}" for speaker in (1, 2) for clip in range(7)]
    data = write(tmp_path / "d", names, word_times={"s1-003": "0.1 0.2 bin"})
    fold(data.path, tmp_path / "out", folds=3)
    held = [DataDir(tmp_path / f"out/{number}/held") for number in (1, 2, 3)]
    assert sorted(name for part in held for name in part.ids) == names
    for number, part in enumerate(held, start=1):
        rest = DataDir(tmp_path / f"out/{number}/train")
        assert set(rest.ids) == set(names) - set(part.ids)
        for speaker in ("s1", "s2"):
            assert 2 <= sum(name.startswith(speaker) for name in part.ids) <= 3
    combine(tuple(str(part.path) for part in held), tmp_path / "whole")
    for table in ("text", "wav.scp", "utt2spk", "spk2utt", "word_times"):
        assert (tmp_path / "whole" / table).read_bytes() == (data.path / table).read_bytes()


def test_speakers_are_not_torn_apart(tmp_path: Path) -> None:
    sizes = {"a": 1, "b": 5, "c": 2, "d": 1}
    names = [f"{speaker}-{clip}" for speaker, size in sizes.items() for clip in range(size)]
    data = write(tmp_path / "d", names)
    fold(data.path, tmp_path / "out", folds=2, by="speaker")
    held = [DataDir(tmp_path / f"out/{number}/held") for number in (1, 2)]
    assert [{*part.utt2spk.values()} for part in held] == [{"b"}, {"a", "c", "d"}]
    assert {*DataDir(tmp_path / "out/1/train").ids} == {*held[1].ids}
    fold(data.path, tmp_path / "each", folds=0, by="speaker")
    left_out = [{*DataDir(tmp_path / f"each/{number}/held").utt2spk.values()} for number in (1, 2, 3, 4)]
    assert left_out == [{"b"}, {"c"}, {"a"}, {"d"}]
    with pytest.raises(LipsoundError, match=r"expected 2 to 4, the speakers of .*, found 5"):
        fold(data.path, tmp_path / "more", folds=5, by="speaker")


@pytest.mark.parametrize("folds", [0, 1, 4])
def test_too_few_or_too_many_parts_are_refused(tmp_path: Path, folds: int) -> None:
    data = write(tmp_path / "d", ["a-1", "a-2", "a-3"])
    with pytest.raises(LipsoundError, match=r"--folds: expected 2 to 3, .* found"):
        fold(data.path, tmp_path / "out", folds=folds)


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one", ["a-1", "a-2"]), write(tmp_path / "other", ["a-2", "b-1"])
    with pytest.raises(LipsoundError, match="'a-2' is in another of the data dirs too"):
        combine((str(one.path), str(other.path)), tmp_path / "out")
    bare = DataDir.write(tmp_path / "bare", utt2spk={"c-1": "c"}, text={"c-1": "yes"})
    with pytest.raises(LipsoundError, match=r"one has the table 'wav.scp', .*bare has none"):
        combine((str(one.path), str(bare.path)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_fault_C7_a_data_dir_given_twice_or_none_is_told(tmp_path: Path) -> None:
    one = write(tmp_path / "one", ["a-1", "a-2"])
    with pytest.raises(LipsoundError, match="one: stands twice among the data dirs"):
        combine((str(one.path), str(tmp_path / "one" / ".")), tmp_path / "out")
    with pytest.raises(LipsoundError, match="no data dir is named"):
        combine((), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_subsets_are_balanced_and_lie_within_one_another(tmp_path: Path) -> None:
    names = [f"s{speaker}-{clip:03}" for speaker in (1, 2, 3) for clip in range(20)]
    data = write(tmp_path / "d", names, word_times={"s1-003": "0.1 0.2 bin"})
    chosen = {}
    for count in (3, 10, 30):
        subset(data.path, tmp_path / str(count), clips=count)
        chosen[count] = set(DataDir(tmp_path / str(count)).ids)
        for speaker in ("s1", "s2", "s3"):
            assert count // 3 <= sum(name.startswith(speaker) for name in chosen[count]) <= -(-count // 3)
    assert chosen[3] < chosen[10] < chosen[30]
    subset(data.path, tmp_path / "half", share=0.5)
    assert set(DataDir(tmp_path / "half").ids) == chosen[30]
    subset(data.path, tmp_path / "other", clips=30, seed=1)
    assert set(DataDir(tmp_path / "other").ids) != chosen[30]


def test_a_subset_leaves_no_class_empty(tmp_path: Path) -> None:
    names = [f"s1-{clip:03}" for clip in range(12)]
    texts = {name: ("yes", "no", "maybe")[place % 3] for place, name in enumerate(names)}
    data = DataDir.write(tmp_path / "d", utt2spk=dict.fromkeys(names, "s1"), text=texts)
    subset(data.path, tmp_path / "out", clips=3, by="text")
    assert sorted(DataDir(tmp_path / "out").text.values()) == ["maybe", "no", "yes"]
    with pytest.raises(LipsoundError, match=r"2 clips of .* leave some of its 3 classes empty; take more"):
        subset(data.path, tmp_path / "out", clips=2, by="text")
    for wrong in ({}, {"clips": 2, "share": 0.1}, {"share": 1.5}):
        with pytest.raises(LipsoundError, match="give one of them, a share at most 1"):
            subset(data.path, tmp_path / "out", **wrong)
    with pytest.raises(LipsoundError, match="has 12, found 13"):
        subset(data.path, tmp_path / "out", clips=13)


def test_fault_A11_classes_are_those_of_clips_with_a_text(tmp_path: Path) -> None:
    names = [f"s1-{clip:03}" for clip in range(9)]
    data = DataDir.write(tmp_path / "d", utt2spk=dict.fromkeys(names, "s1"), text=dict.fromkeys(names[:6], "yes"))
    subset(data.path, tmp_path / "out", clips=6, by="text")
    assert sorted(DataDir(tmp_path / "out").ids) == names[:6]
    with pytest.raises(LipsoundError, match=r"6 of the 9 clips of .* have a text, 7 are wanted"):
        subset(data.path, tmp_path / "more", clips=7, by="text")
