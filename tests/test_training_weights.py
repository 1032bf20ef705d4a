"""Averages of weights, their files, and what a network takes of the weights of another."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from lipsound2.errors import LipsoundError
from lipsound2.training import checkpoint
from lipsound2.training.average import Evaluated, average, best, last, mean_weights, read_weights, write_weights
from lipsound2.training.init import initialize

TABLE = [Evaluated(10, 1, 0.1), Evaluated(20, 2, 0.3), Evaluated(30, 3, 0.3), Evaluated(40, 4, 0.2)]


def test_best_and_last() -> None:
    assert [row.update for row in best(TABLE, 3)] == [20, 30, 40], "of equal scores the earlier first"
    assert [row.update for row in last(TABLE, 2)] == [40, 30]
    assert best([Evaluated(1, 1, -math.inf), *TABLE], 5)[-1].update == 1


def write_experiment(exp: Path) -> None:
    """Weights of an evaluation are its update number; checkpoints know the table."""
    for row in TABLE:
        weights = {"w": torch.full((2,), float(row.update)), "n": torch.tensor(row.update)}
        write_weights(exp / "checkpoints" / row.file, weights, {})
    state = {"update": 40, "table": [vars(row) for row in TABLE], "average": None, "model": {"w": torch.ones(2)}}
    checkpoint.save(exp / "checkpoints", state)


def test_average_takes_buffers_and_keeps_counters(tmp_path: Path) -> None:
    write_experiment(tmp_path)
    average(tmp_path, best=2)
    weights = read_weights(tmp_path / "model.safetensors")
    assert weights["w"].tolist() == [25.0, 25.0]
    assert weights["n"] == 20
    average(tmp_path, last=4, output=tmp_path / "other.safetensors")
    assert read_weights(tmp_path / "other.safetensors")["w"].tolist() == [25.0, 25.0]
    for wrong in ({"best": 9}, {"best": 0}, {"best": 1, "last": 1}):
        with pytest.raises(LipsoundError):
            average(tmp_path, **wrong)
    with pytest.raises(LipsoundError, match="no such experiment"):
        average(tmp_path / "empty")


@pytest.mark.parametrize(
    "other", [{"a": torch.ones(3)}, {"b": torch.ones(2)}, {"a": torch.ones(2), "b": torch.ones(1)}]
)
def test_weights_of_another_network_have_no_mean(tmp_path: Path, other: dict[str, torch.Tensor]) -> None:
    write_weights(tmp_path / "1.safetensors", {"a": torch.zeros(2)}, {})
    write_weights(tmp_path / "2.safetensors", other, {})
    with pytest.raises(LipsoundError, match=r"2\.safetensors: holds other tensors than .*1\.safetensors"):
        mean_weights([tmp_path / "1.safetensors", tmp_path / "2.safetensors"])


@pytest.mark.parametrize("asked", [{}, {"best": 2}, {"last": 2}])
def test_an_average_of_weights_that_are_gone(tmp_path: Path, asked: dict[str, int]) -> None:
    write_experiment(tmp_path)
    for path in (tmp_path / "checkpoints").glob("weights-*"):
        path.unlink()
    wanted = rf"checkpoints: weights of the {next(iter(asked), 'best')} .* are missing, all {2 if asked else 4} of them"
    with pytest.raises(LipsoundError, match=wanted) as caught:
        average(tmp_path, **asked)
    assert "None" not in str(caught.value)


def test_fault_A2_an_average_is_not_written_over_weights_that_are_kept_or_another_experiments(tmp_path: Path) -> None:
    write_experiment(tmp_path / "a")
    kept = tmp_path / "a/checkpoints" / TABLE[0].file
    (tmp_path / "link.safetensors").symlink_to(kept)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/config.yaml").write_text("task: toy\n")
    for output in (kept, tmp_path / "link.safetensors", tmp_path / "b/model.safetensors"):
        with pytest.raises(LipsoundError, match="would be lost"):
            average(tmp_path / "a", last=4, output=output)
    assert read_weights(kept)["w"].tolist() == [TABLE[0].update] * 2
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["config.yaml"]


def test_equal_weights_are_equal_files(tmp_path: Path) -> None:
    for name in "ab":
        write_weights(tmp_path / name, {"w": torch.ones(2), "v": torch.zeros(1)}, {"b": 1, "a": [1, 2]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert mean_weights([tmp_path / "a"])["w"].tolist() == [1.0, 1.0]
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:40])
    with pytest.raises(LipsoundError, match="not a whole safetensors file"):
        read_weights(tmp_path / "a")


def test_what_is_taken_of_other_weights_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    weights = {"0.weight": torch.ones(3, 2), "0.bias": torch.ones(3), "1.weight": torch.ones(5, 3), "x": torch.ones(1)}
    write_weights(tmp_path / "model.safetensors", weights, {})
    with caplog.at_level(logging.INFO):
        loaded = initialize(model, tmp_path)
    assert loaded.taken == ["0.weight", "0.bias"]
    assert loaded.other_shape == [("1.weight", [4, 3], [5, 3])]
    assert (loaded.missing, loaded.unused) == (["1.bias"], ["x"])
    assert bool((model[0].weight == 1).all())
    assert "2 tensors taken, 1 of another shape, 1 not in the file, 1 not in this network" in caplog.text
    with pytest.raises(LipsoundError, match="not one tensor"):
        initialize(nn.Conv1d(7, 7, 1), tmp_path)
    with pytest.raises(LipsoundError, match="no weights there"):
        initialize(model, tmp_path / "nothing")


def test_weights_of_an_unfinished_experiment_and_of_a_checkpoint(tmp_path: Path) -> None:
    write_experiment(tmp_path)
    for source in (tmp_path, checkpoint.existing(tmp_path / "checkpoints")[0]):
        model = nn.Module()
        model.w = nn.Parameter(torch.zeros(2))
        assert initialize(model, source).taken == ["w"]
        assert model.w.tolist() == [1.0, 1.0]
