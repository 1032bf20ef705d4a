"""Trainings of the toy task in a folder: in this process, as a command, in several processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers import toy_task
from lipsound2.data.yaml_files import write_yaml
from lipsound2.training.average import read_weights
from lipsound2.training.train import train

CONFIG: dict[str, Any] = {
    "task": "toy",
    "max_epochs": 3,
    "batch_frames": 150,
    "warmup": 3,
    "lr": 0.02,
    "workers": 0,
    "tensorboard": False,
    "log_every": 2,
    "keep_best": 2,
    "precision": "fp32",  # the tests compare runs to a few digits
}

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


class Toy:
    """A folder with the toy's data dirs, and the verb in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        toy_task.write_data(folder, train=24, valid=4)

    def config(self, **changes: Any) -> Path:
        write_yaml(self.folder / "toy.yaml", {**CONFIG, **changes})
        return self.folder / "toy.yaml"

    def train(self, exp: str = "exp", init: str | None = None, **changes: Any) -> Path:
        path = self.folder / exp
        before = self.folder / init if init else None
        assert train(self.config(**changes), exp=path, init=before, **self.data) == 0
        return path

    @property
    def data(self) -> dict[str, Path]:
        return {"train": self.folder / "train", "valid": self.folder / "valid", "dump": self.folder}

    def command(self, exp: str = "exp", **changes: Any) -> list[str]:
        paths = {**self.data, "exp": self.folder / exp}
        options = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
        return [toy_task.__file__, str(self.config(**changes)), *options]


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    torch.set_num_threads(1)
    return Toy(tmp_path)


def curves(exp: Path) -> list[dict[str, float]]:
    header, *lines = (exp / "curves.tsv").read_text().splitlines()
    return [dict(zip(header.split("\t"), map(float, line.split("\t")), strict=True)) for line in lines]


def assert_close(first: Path, second: Path, tolerance: float = 1e-5) -> None:
    ours, theirs = (read_weights(exp / "model.safetensors") for exp in (first, second))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=tolerance, atol=tolerance, msg=name)


def wait_for(condition: Any, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert process.poll() is None, process.stderr.read() if process.stderr else "it ended"
        assert time.monotonic() < deadline, "it hangs"
        time.sleep(0.05)


def torchrun(toy: Toy, processes: int, exp: str, **changes: Any) -> None:
    """The verb under torchrun, gloo between the processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [*launcher, *toy.command(exp, **changes)], env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
