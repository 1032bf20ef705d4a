"""Weights of the judges of tables of results, out of the packages that carry them."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from helpers.recipe_copies import ROOT

from lipsound2.errors import LipsoundError

sys.path.insert(0, str(ROOT / "egs/grid/local"))
import carried

PARTS = (b"first half, ", b"second half")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages with a part of the weights each; returns their folder."""
    for number, part in enumerate(PARTS, 1):
        data = tmp_path / f"weights_part_{number}/data"
        data.mkdir(parents=True)
        (data.parent / "__init__.py").write_text("")
        (data / f"model.bin.part{number}").write_bytes(part)
    (data / "config.json").write_text("{}")
    monkeypatch.syspath_prepend(str(tmp_path))
    digest = hashlib.sha256(b"".join(PARTS)).hexdigest()
    monkeypatch.setattr(carried, "PARTS", {"base": (("weights_part_1", "weights_part_2"), digest)})
    return tmp_path


def test_weights_in_parts_are_put_together_once(packages: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    name = carried.heard_by("faster-whisper:base,prompt=grid,language=en", work)
    folder = work / "whisper-base"
    assert name == f"faster-whisper:{folder},prompt=grid,language=en"
    assert (folder / "model.bin").read_bytes() == b"".join(PARTS)
    assert (folder / "config.json").is_file()
    (packages / "weights_part_1/data/model.bin.part1").unlink()
    assert carried.heard_by("faster-whisper:base", work) == f"faster-whisper:{folder}"


def test_other_weights_are_refused(packages: Path, tmp_path: Path) -> None:
    (packages / "weights_part_2/data/model.bin.part2").write_bytes(b"of another model")
    with pytest.raises(LipsoundError, match="install them again"):
        carried.heard_by("faster-whisper:base", tmp_path / "work")
    assert not (tmp_path / "work/whisper-base/model.bin").exists()


def test_what_no_package_carries_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carried, "PARTS", {"base": (("no_such_package_1", "no_such_package_2"), "")})
    for name in ("faster-whisper:base,prompt=grid", "faster-whisper:small", "pocketsphinx:grid", "grid-s1-asr"):
        assert carried.heard_by(name, tmp_path) == name
