"""Options of a training, its learning rate, AdamW and Muon, the running average."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from helpers import toy_task  # noqa: F401 - makes the task known
from torch import nn

from lipsound2.data.yaml_files import write_yaml
from lipsound2.errors import LipsoundError
from lipsound2.tasks import load_config
from lipsound2.train_config import TrainConfig
from lipsound2.training.muon import orthogonal
from lipsound2.training.optimizer import RunningAverage, learning_rate, make_optimizer


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"lr": 0.0}, "lr"),
        ({"min_lr": 1.0}, "min_lr"),
        ({"max_epochs": 0}, "max_updates"),
        ({"betas": (0.9,)}, "betas"),
        ({"ema": 1.0}, "ema"),
        ({"accumulate": 0}, "accumulate"),
    ],
)
def test_options_that_cannot_work(wrong: dict[str, object], word: str) -> None:
    with pytest.raises(LipsoundError, match=word):
        TrainConfig(**wrong)


def test_config_of_an_unknown_task_or_key(tmp_path: Path) -> None:
    for content, words in (({"task": "regres"}, "regress"), ({}, "task"), ({"task": "toy", "lrr": 1}, "'lr'")):
        write_yaml(tmp_path / "c.yaml", content)
        with pytest.raises(LipsoundError, match=words):
            load_config(tmp_path / "c.yaml")


def test_learning_rate_rises_then_falls_along_a_cosine() -> None:
    config = TrainConfig(lr=1.0, min_lr=0.1, warmup=10)
    assert learning_rate(config, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate(config, 4, 0.0) == pytest.approx(0.5)
    assert learning_rate(config, 100, 0.0) == pytest.approx(1.0)
    assert learning_rate(config, 100, 0.5) == pytest.approx(0.55)
    assert learning_rate(config, 100, 1.0) == pytest.approx(0.1)
    assert learning_rate(TrainConfig(lr=1.0, schedule="constant", warmup=0), 0, 0.9) == 1.0


def test_weight_decay_spares_biases_and_scales() -> None:
    model = nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3))
    decayed, spared = make_optimizer(model, TrainConfig(weight_decay=0.5)).param_groups
    assert decayed["weight_decay"] == 0.5
    assert [p.ndim for p in decayed["params"]] == [3]
    assert spared["weight_decay"] == 0.0
    assert [p.ndim for p in spared["params"]] == [1, 1, 1]


def test_muon_turns_matrices_and_leaves_the_rest_to_adamw() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6))
    model.bias = nn.Parameter(torch.zeros(2, 9))  # a table of biases: two axes, no matrix
    other = copy.deepcopy(model)
    optimizers = [
        make_optimizer(m, TrainConfig(optimizer=o, lr=0.1, precision="fp32"))
        for m, o in ((model, "muon"), (other, "adamw"))
    ]
    before = model[0].weight.detach().clone()
    for m, optimizer in zip((model, other), optimizers, strict=True):
        for seed, p in enumerate(m.parameters()):
            p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(seed))
        optimizer.step()
    for name in ("0.bias", "1.weight", "bias"):
        assert torch.equal(model.get_parameter(name), other.get_parameter(name))
    # All directions equally long, the size that of AdamW's steps.
    lengths = torch.linalg.svdvals((model[0].weight - before).flatten(1).detach()) / (0.1 * 0.2 * 36**0.5)
    assert ((lengths > 0.6) & (lengths < 1.3)).all(), lengths


def test_muon_goes_on_where_it_was_saved() -> None:
    torch.manual_seed(0)
    models = [nn.Linear(5, 3) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    config = TrainConfig(optimizer="muon", lr=0.1, precision="fp32")
    optimizers = [make_optimizer(model, config) for model in models]

    def update(number: int, seed: int) -> None:
        for p in models[number].parameters():
            p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(seed))
        optimizers[number].step()

    for seed in range(3):
        update(0, seed)
    update(1, 0)
    state = optimizers[1].state_dict()
    optimizers[1] = make_optimizer(models[1], config)
    optimizers[1].load_state_dict(state)
    for seed in (1, 2):
        update(1, seed)
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_orthogonal_keeps_directions_and_evens_lengths(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    for shape in ((8, 30), (30, 8), (8, 9)):
        matrix = torch.randn(shape) @ torch.diag(torch.logspace(0, -2, shape[1]))
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        lengths = (u.T @ orthogonal(matrix[None], dtype)[0] @ v.T).diagonal()
        assert ((lengths > 0.6) & (lengths < 1.3)).all(), lengths
        exact = orthogonal(matrix[None].double(), torch.float64)[0].float()  # step by step, whatever the shape
        tolerance = 1e-4 if dtype == torch.float32 else 0.1
        torch.testing.assert_close(orthogonal(matrix[None], dtype)[0], exact, atol=tolerance, rtol=0)


def test_running_average_follows_floats_and_copies_counters() -> None:
    model = nn.BatchNorm1d(2)
    running = RunningAverage(model, 0.9)
    with torch.no_grad():
        model.weight.fill_(2.0)
        model.running_mean.fill_(4.0)
        model.num_batches_tracked.fill_(7)
    running.update(model, updates=1000)
    assert running.model.weight.tolist() == pytest.approx([1.1, 1.1])
    assert running.model.running_mean.tolist() == pytest.approx([0.4, 0.4])
    assert running.model.num_batches_tracked == 7
    assert not running.model.weight.requires_grad
