"""What a training writes to go on from: checkpoints, and curves without rows of a killed run."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from lipsound2.errors import LipsoundError
from lipsound2.training import checkpoint
from lipsound2.training.monitor import Curves


def test_newest_whole_checkpoint_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for update in (1, 2, 3):
        checkpoint.save(tmp_path, {"update": update, "weights": torch.full((3,), float(update))})
    newest, before = checkpoint.existing(tmp_path)
    assert checkpoint.newest(tmp_path)["update"] == 3
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        state = checkpoint.newest(tmp_path)
    assert state["update"] == 2
    assert state["weights"].tolist() == [2.0, 2.0, 2.0]
    assert newest.name in caplog.text
    assert newest.with_suffix(".broken").exists(), "nothing is thrown away"
    before.write_bytes(before.read_bytes()[:100])
    assert checkpoint.newest(tmp_path) is None


def test_a_checkpoint_of_the_same_update_takes_the_place_of_the_other(tmp_path: Path) -> None:
    for update, value in ((1, 0), (2, 0), (2, 1)):
        checkpoint.save(tmp_path, {"update": update, "value": value})
    assert [path.name[:15] for path in checkpoint.existing(tmp_path)] == ["update-00000002", "update-00000001"]
    assert checkpoint.newest(tmp_path)["value"] == 1


def test_checkpoint_of_another_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, {"update": 1})
    monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
    with pytest.raises(LipsoundError, match="format 1"):
        checkpoint.newest(tmp_path)


def test_evaluation_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with checkpoint.own_randomness(0, torch.device("cpu")):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with checkpoint.own_randomness(0, torch.device("cpu")):
        assert torch.equal(torch.rand(2), inside)


def test_rows_of_a_killed_run_are_taken_out_of_the_curves(tmp_path: Path) -> None:
    curves = Curves(tmp_path / "curves.tsv", 0)
    for update in (5, 10, 15):
        curves.add({"update": update, "score": update / 10})
    curves = Curves(tmp_path / "curves.tsv", 10)
    curves.add({"update": 15, "score": 0.25, "extra": 1.0})
    expected = "update\tscore\textra\n5\t0.5\t\n10\t1\t\n15\t0.25\t1\n"
    assert (tmp_path / "curves.tsv").read_text() == expected
    assert len(Curves(tmp_path / "curves.tsv", 99).rows) == 3
