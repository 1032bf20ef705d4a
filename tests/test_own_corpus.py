"""Videos of people's own are prepared: names in any letters, texts that are missing, folders without videos."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from helpers.wild_corpora import copy, make_own, reasons, said, sets_of

from lipsound2.corpora import own, prepare
from lipsound2.data.datadir import DataDir, validate
from lipsound2.errors import LipsoundError


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> dict[str, Path]:
    """A folder of somebody's own videos, made once; tests that change it copy it first."""
    folder = tmp_path_factory.mktemp("own")
    make_own(folder / "own")
    return {"own": folder / "own"}


def test_videos_of_ones_own_are_prepared(generated, tmp_path, capsys):
    root = generated["own"] / "my videos"
    prepare("own", root, tmp_path, protocol="own")
    told = capsys.readouterr().out
    whole = DataDir(tmp_path / "all")
    assert validate(tmp_path / "all") == 0
    assert set(whole.utt2spk.values()) == {"Anna_Muller", "bob", "speaker", "x"}
    plain = {id for id in whole.ids if not re.search(r"_[0-9a-f]{6}$", id)}
    assert plain == {
        *(f"Anna_Muller-day_{day}_Grusse_{name}" for day in (1, 2) for name in (1, 2)),
        *("bob-clip", "bob-Clip_two", "speaker-loose", "x-x"),
    }
    doubled = sorted(set(whole.ids) - plain)
    assert [id.rpartition("_")[0] for id in doubled] == ["bob-clip", "x-x"]
    assert "2 x double-name (kept)" in told
    assert "6 x other-name (kept)" in told
    rows = (tmp_path / "problems.tsv").read_text(encoding="utf-8")
    assert "'Anna Müller/day 1/Grüße 1' is Anna_Muller-day_1_Grusse_1" in rows
    assert whole.text["speaker-loose"] == " ".join(said(9))
    sets = sets_of(tmp_path / "own")
    assert {name: len(part) for name, part in sets.items()} == {"train": 6, "valid": 2, "test": 2}
    # A clip keeps its id when another comes.
    more = copy(root, tmp_path / "more")
    shutil.copy(more / "loose.mp4", more / "another.mp4")
    assert set(own.scan(more).by_id) == {*whole.ids, "speaker-another"}


def test_texts_that_are_missing_or_cannot_be_read(generated, tmp_path, capsys):
    root = copy(generated["own"], tmp_path / "copy") / "my videos"
    (root / "loose.txt").write_bytes(b"caf\xe9")
    (root / "bob" / "Clip two.txt").write_text("\n")
    (root / "bob" / "notes.txt").write_text("buy milk")
    found = own.scan(root)
    assert reasons(found) >= Counter({"unreadable-text": 1, "empty-text": 1})
    assert "1 texts have no video of their name beside them (notes.txt first)" in found.notes
    assert sum(not recording.text for recording in found.by_id.values()) == 2
    prepare("own", root, tmp_path / "data", protocol="own")
    sets = sets_of(tmp_path / "data" / "own")
    assert validate(tmp_path / "data" / "all") == 0
    whole = DataDir(tmp_path / "data" / "all")
    assert len(whole.text) == len(whole) - 2
    assert f"words are counted where there is a text; 2 of {len(whole)} clips have none" in capsys.readouterr().out
    for part in sets.values():
        assert set(part.text) == set(part.ids) & set(whole.text)
    for text in root.rglob("*.txt"):
        text.unlink()
    capsys.readouterr()
    prepare("own", root, tmp_path / "data", protocol="own")
    assert "; 0 with text" in capsys.readouterr().out


def test_lists_say_what_the_corpus_does_not(generated, tmp_path, capsys):
    root = copy(generated["own"], tmp_path / "copy") / "my videos"
    (root / "bob" / "Clip two.txt").unlink()
    prepare("own", root, tmp_path / "before")
    told = DataDir(tmp_path / "before/all").text
    bare, texted = "bob-Clip_two", "x-x"
    assert bare not in told
    (tmp_path / "lists").mkdir()
    rows = [f"{bare}\tx.mp4\tbin blue", f"{texted}\ty.mp4\t", "mine\tloose.mp4\t"]
    (tmp_path / "lists/train.tsv").write_text("\n".join(rows), encoding="utf-8")
    prepare("own", root, tmp_path / "data", protocol="lists", lists=tmp_path / "lists")
    texts = DataDir(tmp_path / "data/lists/train").text
    assert dict(texts) == {bare: "bin blue", texted: told[texted]}
    problems = (tmp_path / "data/problems.tsv").read_text(encoding="utf-8")
    assert "\tnot-in-corpus\tlisted in train.tsv; the id of this file is speaker-loose\tloose.mp4" in problems
    assert "transcript-mismatch" not in problems
    (tmp_path / "lists/valid.tsv").write_text(f"{texted}\ty.mp4\t", encoding="utf-8")
    (tmp_path / "lists/train.tsv").write_text(rows[0], encoding="utf-8")
    (tmp_path / "lists/train_small.tsv").write_text(f"{bare}\tx.mp4\tbin red", encoding="utf-8")
    with pytest.raises(
        LipsoundError, match=r"bob-Clip_two: train\.tsv says 'bin blue', and train_small\.tsv 'bin red'"
    ):
        prepare("own", root, tmp_path / "other", protocol="lists", lists=tmp_path / "lists")


def test_one_clip_of_one_person_is_counted_in_the_singular(generated, tmp_path, capsys):
    root = tmp_path / "mine"
    root.mkdir()
    shutil.copy(generated["own"] / "my videos" / "loose.mp4", root)
    prepare("own", root, tmp_path / "data")
    told = capsys.readouterr().out
    assert told.startswith("found 1 clip of 1 speaker (speaker); 0 with text, 0 with word times\n")
    assert told.endswith("/all: 1 clip\n")


def test_a_folder_without_videos(tmp_path):
    with pytest.raises(LipsoundError, match="no such folder; give the folder of the videos"):
        own.scan(tmp_path / "nowhere")
    (tmp_path / "papers").mkdir()
    with pytest.raises(LipsoundError, match=r"no video found \(wanted \.mp4 .*, found papers\)"):
        own.scan(tmp_path)
    (tmp_path / "papers" / "empty.mp4").touch()
    found = own.scan(tmp_path)
    assert reasons(found) == {"empty-file": 1}
    with pytest.raises(LipsoundError, match="no clip of videos of your own that can be used"):
        prepare("own", tmp_path, tmp_path / "data", protocol="own")
    (tmp_path / "papers" / "full.mp4").write_bytes(b"clip")
    with pytest.raises(LipsoundError, match=r"3 clips at least are wanted \(to train, to choose, to test\), found 1"):
        prepare("own", tmp_path, tmp_path / "data", protocol="own")
