"""A training that is killed, however often and wherever, ends with the same weights as one that is not."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
import torch._dynamo  # the optimizer imports it at its first step: here, once, for all runs
from helpers import toy_task

from lipsound2.data.yaml_files import write_yaml
from lipsound2.files import sha256
from lipsound2.training import average, checkpoint
from lipsound2.training import train as verb

KILLS = 20
# Everything at once: workers, accumulation, running average, early stop, averaging, checkpoints in mid-epoch.
CONFIG = {
    "task": "toy",
    "max_epochs": 20,
    "patience": 1,
    "batch_frames": 120,
    "accumulate": 2,
    "schedule": "constant",
    "warmup": 3,
    "lr": 0.02,
    "ema": 0.8,
    "keep_best": 3,
    "workers": 2,
    "checkpoint_minutes": 0.0002,
    "tensorboard": False,
    "log_every": 5,
}


def run(folder: Path, exp: Path, kill_at: int = 0, moment: str = "") -> None:
    """Train in this process; end it by SIGKILL at the `kill_at`-th call of a function, or at a named moment."""
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # for the loader's workers, as in a training by itself
    if moment:
        MOMENTS[moment]()
    if kill_at:
        sys.setprofile(_Countdown(kill_at))
    verb.train(folder / "toy.yaml", train=folder / "train", valid=folder / "valid", dump=folder, exp=exp)
    calls = sys.getprofile()
    sys.setprofile(None)
    if isinstance(calls, _Countdown):
        (folder / "calls").write_text(str(calls.made))


class _Countdown:
    """A profile function that ends its process at the n-th call of a Python or C function, or return from one."""

    def __init__(self, last: int) -> None:
        self.last, self.made, self.process = last, 0, os.getpid()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if os.getpid() != self.process:  # a worker has inherited it
            sys.setprofile(None)
            return
        self.made += 1
        if self.made == self.last:
            os.kill(self.process, signal.SIGKILL)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _half_written() -> None:
    """In the middle of writing the fourth checkpoint's temporary file."""
    whole, count = Path.write_bytes, [0]

    def write(path: Path, data: bytes) -> int:
        count[0] += path.suffix == ".pt"
        if count[0] < 4:
            return whole(path, data)
        whole(path, data[: len(data) // 2])
        _die()
        return 0

    Path.write_bytes = write  # type: ignore[method-assign]


def _before(owner: Any, name: str, times: int) -> Callable[[], None]:
    """When the function `name` of `owner` is called for the `times`-th time."""

    def arrange() -> None:
        function, count = getattr(owner, name), [0]

        def counted(*arguments: Any, **options: Any) -> Any:
            count[0] += 1
            if count[0] == times:
                _die()
            return function(*arguments, **options)

        setattr(owner, name, counted)

    return arrange


MOMENTS: dict[str, Callable[[], None]] = {
    "half a checkpoint": _half_written,
    "a checkpoint not yet renamed": _before(Path, "replace", 20),
    "evaluated, not yet in a checkpoint": _before(verb.Monitor, "evaluated", 3),
    "evaluating": _before(toy_task.Toy, "evaluate", 2),
    "averaging": _before(verb, "mean_weights", 1),
    "averaged, not yet written": _before(average, "serialize", 8),
    "all but the stamp": _before(verb.Fingerprint, "write", 1),
}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., int]]:
    """Start `run` in a process forked from one that has imported everything; returns its exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["test_training_resume"])
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "OMP_NUM_THREADS")}
    os.environ |= {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}

    def start(*arguments: Any) -> int:
        process = context.Process(target=run, args=arguments)
        process.start()
        process.join(120)
        assert process.exitcode is not None, "the training hangs"
        return process.exitcode

    yield start
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Config and data dirs."""
    folder = tmp_path_factory.mktemp("toy")
    toy_task.write_data(folder, train=60, valid=10)
    write_yaml(folder / "toy.yaml", CONFIG)
    return folder


@pytest.fixture(scope="module")
def unbroken(folder: Path, start: Callable[..., int]) -> tuple[str, int]:
    """SHA-256 of the weights of a training nobody killed, and how many calls it made."""
    exp = folder / "unbroken"
    assert start(folder, exp, sys.maxsize) == 0
    rows = (exp / "curves.tsv").read_text().splitlines()
    assert 5 < len(rows) < CONFIG["max_epochs"], "the early stop is part of the test"
    return sha256(exp / "model.safetensors"), int((folder / "calls").read_text())


def same_as_unbroken(exp: Path, folder: Path, weights: str) -> None:
    """Weights and curves are those of the unbroken run, and nothing half written is left."""
    assert sha256(exp / "model.safetensors") == weights
    assert (exp / "curves.tsv").read_text() == (folder / "unbroken" / "curves.tsv").read_text()
    assert len(checkpoint.existing(exp / checkpoint.FOLDER)) == 2
    assert (exp / ".stamp.json").exists()
    assert list(exp.rglob(".*.tmp*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("chain", range(4))
def test_killed_at_random(chain: int, folder: Path, start: Callable[..., int], unbroken: tuple[str, int]) -> None:
    weights, calls = unbroken
    chance = random.Random(chain)
    exp = folder / f"chain{chain}"
    for kill in range(KILLS // 4):
        # Early enough that every run of the chain is truly killed; the moments below cover the end.
        assert start(folder, exp, chance.randrange(1, calls // 5)) == -signal.SIGKILL, f"kill {kill}"
    assert start(folder, exp) == 0
    same_as_unbroken(exp, folder, weights)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at(moment: str, folder: Path, start: Callable[..., int], unbroken: tuple[str, int]) -> None:
    exp = folder / moment
    assert start(folder, exp, 0, moment) == -signal.SIGKILL
    assert not (exp / ".stamp.json").exists()
    assert start(folder, exp) == 0
    same_as_unbroken(exp, folder, unbroken[0])
