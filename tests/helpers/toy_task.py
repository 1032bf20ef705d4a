"""A tiny real task for the tests of the trainer: "clips" of noise whose running mean is to be predicted.

As a program it is the verb `train` with this task known: `python toy_task.py CONFIG --train DIR --valid DIR ...`.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from lipsound2 import tasks
from lipsound2.data.datadir import DataDir
from lipsound2.tasks.base import Evaluation, Loss, Prepared, Task

BANDS = 4


@dataclass(frozen=True)
class ToyConfig:
    """Keys of the toy.

    Attributes:
        width: of its network.
        dropout: share of values dropped.
        noise: added to samples.
        unnormed: no batch norm, so that batches do not matter.
        poison: clip with a target that is no number.
        unreadable: clip that cannot be opened.
        refused: clip that the machine fails to read.
        deadly: clip that kills the process that reads it.
    """

    width: int = 8
    dropout: float = 0.2
    noise: float = 0.1
    unnormed: bool = False
    poison: str = ""
    unreadable: str = ""
    refused: str = ""
    deadly: str = ""


@dataclass
class ToyBatch:
    """Padded clips (B, T, BANDS) and their lengths (B,)."""

    ids: list[str]
    inputs: Tensor
    targets: Tensor
    lengths: Tensor

    @property
    def num_frames(self) -> int:
        return int(self.lengths.sum())

    def to(self, device: torch.device) -> ToyBatch:
        inputs, targets, lengths = (each.to(device) for each in (self.inputs, self.targets, self.lengths))
        return replace(self, inputs=inputs, targets=targets, lengths=lengths)


class ToyClips:
    """Noise made from the clip's name; the data dir's utt2num_frames is not needed."""

    def __init__(self, data: DataDir, config: ToyConfig) -> None:
        self.ids = data.ids
        self.lengths = [10 + sum(name.encode()) % 23 for name in self.ids]
        self.config = config

    def get(self, index: int, rng: np.random.Generator | None) -> tuple[str, np.ndarray, np.ndarray]:
        name = self.ids[index]
        if name == self.config.unreadable:
            raise OSError(f"cannot open {name}")
        if name == self.config.refused:
            raise OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        if name == self.config.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        source = np.random.default_rng(list(name.encode()))
        clean = source.standard_normal((self.lengths[index], BANDS), dtype=np.float32)
        target = np.cumsum(clean, axis=0) / np.arange(1, len(clean) + 1, dtype=np.float32)[:, None]
        if name == self.config.poison:
            target[3] = np.nan
        noisy = clean if rng is None else clean + self.config.noise * rng.standard_normal(clean.shape, dtype=np.float32)
        return name, noisy, target


class ToyModel(nn.Module):
    """Convolution, batch norm, GRU, dropout: a bit of everything that has a state."""

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.front = nn.Conv1d(BANDS, config.width, 3, padding=1)
        self.norm: nn.Module = nn.Identity() if config.unnormed else nn.BatchNorm1d(config.width)
        self.recurrence = nn.GRU(config.width, config.width, batch_first=True)
        self.drop = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.width, BANDS)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.norm(self.front(inputs.transpose(1, 2)).relu()).transpose(1, 2)
        result: Tensor = self.out(self.drop(self.recurrence(hidden)[0]))
        return result


@dataclass(frozen=True)
class ToyAssets:
    """What a training set adds: the number of its clips."""

    clips: int = 0


@dataclass(frozen=True)
class Toy(Task[ToyAssets, ToyModel, ToyClips, ToyBatch]):
    """See `lipsound2.tasks.base.Task`."""

    name: ClassVar[str] = "toy"

    settings: ToyConfig

    def inputs(self, dump: Path) -> list[Path]:
        return []

    def prepare(self, train: DataDir, valid: DataDir, dump: Path) -> Prepared[ToyClips, ToyAssets]:
        clips = ToyClips(train, self.settings)
        return Prepared(clips, ToyClips(valid, self.settings), ToyAssets(len(clips.ids)))

    def save(self, assets: ToyAssets, exp: Path) -> None:
        (exp / "toy.txt").write_text("saved\n")

    def restore(self, exp: Path) -> ToyAssets:
        return ToyAssets()

    def describe(self, assets: ToyAssets) -> dict[str, str]:
        return {"Input": "noise", "Output": "its running mean"}

    def collate(self, samples: list[tuple[str, np.ndarray, np.ndarray]]) -> ToyBatch:
        lengths = torch.tensor([len(sample[1]) for sample in samples])
        inputs = torch.zeros(len(samples), int(lengths.max()), BANDS)
        targets = torch.zeros_like(inputs)
        for row, (_, noisy, target) in enumerate(samples):
            inputs[row, : len(noisy)], targets[row, : len(target)] = torch.from_numpy(noisy), torch.from_numpy(target)
        return ToyBatch([sample[0] for sample in samples], inputs, targets, lengths)

    def build(self, assets: ToyAssets) -> ToyModel:
        return ToyModel(self.settings)

    def loss(self, model: nn.Module, batch: ToyBatch, assets: ToyAssets, progress: float) -> Loss:
        inside = (torch.arange(batch.inputs.shape[1], device=batch.inputs.device) < batch.lengths[:, None])[..., None]
        errors = (model(batch.inputs).float() - batch.targets).abs()
        total = errors.masked_fill(~inside, 0.0).sum()
        weight = float(inside.sum()) * BANDS
        return Loss(total, weight, {"l1": float(total.detach()) / weight})

    def evaluate(self, model: nn.Module, valid: ToyClips, assets: ToyAssets, device: torch.device | str) -> Evaluation:
        torch.rand(3)  # an evaluation may draw numbers; training must not feel it
        batch = self.collate([valid.get(index, None) for index in range(len(valid.ids))]).to(device)
        loss = self.loss(model, batch, assets, 1.0)
        error = float(loss.total) / loss.weight
        frame = np.zeros((8, 8, 3), np.uint8)
        return Evaluation(-error, {"error": error}, {"picture": frame}, {"audio": np.zeros(160, np.float32)})


def write_data(folder: Path, train: int, valid: int) -> None:
    """Data dirs `train` and `valid` below `folder`, of so many clips."""
    for name, count in (("train", train), ("valid", valid)):
        DataDir.write(folder / name, utt2spk={f"s1-{name}{number:03d}": "s1" for number in range(count)})


tasks.TASKS["toy"] = f"{__name__}:Toy"

if __name__ == "__main__":
    from lipsound2 import cli

    sys.exit(cli.main(["train", *sys.argv[1:]]))
