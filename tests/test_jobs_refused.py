"""Steps that are refused: options, what a worker returns, a dump that another run works on."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.shard_workers import IDS, KINDS, Maker, run

from lipsound2.errors import LipsoundError
from lipsound2.files import folder_lock


def test_wrong_options(tmp_path: Path) -> None:
    for options in ({"nj": 0}, {"launcher": "moon"}, {"ids": []}, {"ids": ["a", "a"]}, {"shard_size": 0}):
        with pytest.raises(LipsoundError, match="crop: "):
            run(tmp_path / "dump", Maker(tmp_path / "log"), **options)


def test_a_worker_that_forgets_a_kind_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(LipsoundError, match=r"returned nothing for 'lips' of clip 's0-c00' \(a bug\)"):
        run(tmp_path / "dump", Maker(tmp_path / "log"), kinds={**KINDS, "lips": {}})
    with pytest.raises(LipsoundError, match=r"returned 'face' for clip 's0-c00', which is no kind"):
        run(tmp_path / "dump", Maker(tmp_path / "log"), kinds={"mel": {}})


def test_lock_is_free_when_a_run_has_ended(tmp_path: Path) -> None:
    with folder_lock(tmp_path / "dump" / ".locks" / "crop", "step crop"), pytest.raises(LipsoundError, match="in use"):
        run(tmp_path / "dump", Maker(tmp_path / "log"))
    assert run(tmp_path / "dump", Maker(tmp_path / "log"), ids=IDS[:2]).done == 2
