"""VoxCeleb2, LRW, LRS2, LRS3: their layouts as known are read."""

from __future__ import annotations

from pathlib import Path

from helpers.speech_corpora import Layout
from helpers.wild_corpora import write_tree

from lipsound2.corpora import lrs2, lrs3, lrw, voxceleb2
from lipsound2.corpora.corpus import Options


def test_voxceleb2_as_the_layout_has_it(tmp_path):
    root = write_tree(Layout.read("voxceleb2"), tmp_path)
    found = voxceleb2.scan(root / "VoxCeleb2", Options(lists=root / "vox-en.id"))
    assert {id: (r.speaker, r.part, Path(r.wav).suffix) for id, r in found.by_id.items()} == {
        "id00012-21Uxsk56VDQ-00001": ("id00012", "dev", ".m4a"),
        "id00012-21Uxsk56VDQ-00002": ("id00012", "dev", ""),
        "id00012-_raOc3-IRsw-00110": ("id00012", "dev", ".m4a"),
        "id00017-01dfn2spqyE-00001": ("id00017", "test", ".m4a"),
        "id05668-XWKC1JUM_ow-00053": ("id05668", "dev", ""),
    }
    assert not found.problems
    assert found.lists["english-test"] == ["id00017-01dfn2spqyE-00001"]
    assert found.lists["english-dev"] == ["id00012-21Uxsk56VDQ-00001", "id05668-XWKC1JUM_ow-00053"]
    # A folder further down, and the archives' names for folders.
    assert len(voxceleb2.scan(root / "VoxCeleb2" / "dev").by_id) == 4
    (root / "VoxCeleb2" / "test").rename(root / "vox2_test_mp4")
    assert {r.part for r in voxceleb2.scan(root / "vox2_test_mp4").by_id.values()} == {"test"}


def test_lrw_as_the_layout_has_it(tmp_path):
    found = lrw.scan(write_tree(Layout.read("lrw"), tmp_path))
    assert {id: (r.part, r.text, r.words) for id, r in found.by_id.items()} == {
        "lrw-ABOUT-train-00001": ("train", "ABOUT", "0.315 0.845 ABOUT"),
        "lrw-ABOUT-val-00001": ("val", "ABOUT", "0.48 0.68 ABOUT"),
        "lrw-ABOUT-test-00001": ("test", "ABOUT", "0.405 0.755 ABOUT"),
        "lrw-AFTER-test-00008": ("test", "AFTER", "0.375 0.785 AFTER"),
    }
    assert not found.problems
    assert found.notes == ["2 of 500 words are here"]


def test_lrs2_as_the_layout_has_it(tmp_path):
    found = lrs2.scan(write_tree(Layout.read("lrs2"), tmp_path))
    assert {id: (r.part, r.text.split()[0], r.words) for id, r in found.by_id.items()} == {
        "5535415699068794046-main-00001": ("train", "WHEN", ""),
        "5535415699068794046-pretrain-00001": (
            "pretrain",
            "WE'LL",
            "0.08 0.31 WE'LL 0.31 0.52 SEE 0.52 0.71 WHAT 0.71 1.20 HAPPENS",
        ),
        "6300370419826092098-main-00001": ("val", "WHEN", ""),
        "6330311066473698535-main-00011": ("test", "AND", ""),
    }
    assert not found.problems
    assert not found.notes
    # The lists inside the folder, and only that folder given.
    for part in ("train", "val", "test", "pretrain"):
        (tmp_path / f"{part}.txt").rename(tmp_path / "mvlrs_v1" / f"{part}.txt")
    assert len(lrs2.scan(tmp_path / "mvlrs_v1").by_id) == 4


def test_lrs3_as_the_layout_has_it(tmp_path):
    found = lrs3.scan(write_tree(Layout.read("lrs3"), tmp_path))
    assert {id: (r.speaker, r.part, r.text, r.words) for id, r in found.by_id.items()} == {
        "0Fi83BHQsMA-00002": ("0Fi83BHQsMA", "test", "AND AT THE SAME TIME", ""),
        "0af00UcTOSc-50001": ("0af00UcTOSc", "trainval", "SO THE TECHNOLOGY IS THERE", ""),
        "ZzugJPASNB8-50001": ("ZzugJPASNB8", "trainval", "IT'S A BIG IDEA", ""),
        "0akiEFwtkyA-pretrain-00031": (
            "0akiEFwtkyA",
            "pretrain",
            "A LITTLE MORE",
            "0.10 0.22 A 0.22 0.61 LITTLE 0.61 1.02 MORE",
        ),
    }
    assert not found.problems
    assert found.lists["valid"] == ["ZzugJPASNB8-50001"]
    sets = lrs3.LRS3.protocols["lrs3"].split(found)
    assert {name: sorted(ids) for name, ids in sets.items()} == {
        "train": ["0af00UcTOSc-50001", "0akiEFwtkyA-pretrain-00031"],
        "valid": ["ZzugJPASNB8-50001"],
        "test": ["0Fi83BHQsMA-00002"],
    }
    (tmp_path / "lrs3-valid.id").unlink()
    found = lrs3.scan(tmp_path / "lrs3")
    assert "held out by hash" in found.notes[0]
    assert len(lrs3.LRS3.protocols["lrs3-trainval"].split(found)["valid"]) == 1
