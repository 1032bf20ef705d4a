"""A training in several processes: the updates of one, resumed, and warned of once."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import toy_task
from helpers.toy_training import ENVIRONMENT, Toy, assert_close, curves, torchrun, wait_for
from helpers.toy_training import toy as toy  # a fixture

from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import LipsoundError
from lipsound2.files import sha256
from lipsound2.training.distributed import World
from lipsound2.training.train import experiment_lock


@pytest.mark.slow
def test_two_processes_make_the_updates_of_one(toy: Toy) -> None:
    # 7 batches an epoch: in the last update the second process has nothing to do.
    changes = {"dropout": 0.0, "unnormed": True, "batch_size": 4, "batch_frames": 10_000, "lr": 1e-3, "min_lr": 1e-4}
    toy_task.write_data(toy.folder, train=26, valid=4)
    torchrun(toy, 2, "two", **changes, workers=1)
    one = toy.train("one", accumulate=2, **changes)
    assert [row["update"] for row in curves(toy.folder / "two")] == [row["update"] for row in curves(one)] == [4, 8, 12]
    for ours, theirs in zip(curves(toy.folder / "two"), curves(one), strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-4)
    assert_close(toy.folder / "two", one, 1e-4)
    assert read_yaml(toy.folder / "two" / "versions.yaml")["runs"][0]["hardware"]["processes"] == 2
    # The experiment of two processes is taken up by one, with twice the accumulation.
    toy.train("two", accumulate=2, **{**changes, "max_epochs": 4})
    with pytest.raises(LipsoundError, match="made of 2 batches, now of 1"):
        toy.train("two", **{**changes, "max_epochs": 5})


@pytest.mark.slow
def test_two_processes_resume(toy: Toy) -> None:
    changes = {"max_epochs": 4, "workers": 1, "checkpoint_minutes": 0.0}
    torchrun(toy, 2, "whole", **changes)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launcher, *toy.command("broken", **changes)]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(lambda: len(list((toy.folder / "broken" / "checkpoints").glob("update-*.pt"))) == 2, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for child in ranks_of(toy.folder / "broken"):
        os.kill(child, signal.SIGKILL)
    torchrun(toy, 2, "broken", **changes)
    assert sha256(toy.folder / "broken" / "model.safetensors") == sha256(toy.folder / "whole" / "model.safetensors")


def ranks_of(exp: Path) -> list[int]:
    """Processes whose command line names the experiment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(exp).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended meanwhile
    return found


def test_fault_D1_what_all_processes_would_warn_of_is_told_once(tmp_path: Path) -> None:
    logger = logging.getLogger("lipsound2")
    before = logger.level
    warns = logging.getLogger("lipsound2.training.precision")
    try:
        with experiment_lock(tmp_path / "exp", World(1, 2, torch.device("cpu"))):
            assert not warns.isEnabledFor(logging.WARNING)
            assert warns.isEnabledFor(logging.ERROR)
    finally:
        logger.setLevel(before)
    with experiment_lock(tmp_path / "exp", World(0, 2, torch.device("cpu"))):
        assert warns.isEnabledFor(logging.WARNING)
