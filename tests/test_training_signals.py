"""Signals to a training: it stops with a checkpoint, and at once within an evaluation."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
import torch
from helpers.toy_training import ENVIRONMENT, Toy, wait_for
from helpers.toy_training import toy as toy  # a fixture

from lipsound2.data.datadir import DataDir
from lipsound2.data.yaml_files import read_yaml
from lipsound2.files import sha256
from lipsound2.tasks import load_config
from lipsound2.training import checkpoint
from lipsound2.training.distributed import World
from lipsound2.training.stop import StopAsked, StopSwitch
from lipsound2.training.train import begin_or_resume, log_stop


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_a_checkpoint(toy: Toy, number: int, status: int) -> None:
    changes = {"max_epochs": 30, "workers": 1, "log_every": 1}
    process = subprocess.Popen(
        [sys.executable, *toy.command("stopped", **changes)], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    log = toy.folder / "stopped" / "train.log"
    wait_for(lambda: log.exists() and "update 5 " in log.read_text(), process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == status, errors
    assert "the same command goes on from here" in errors
    assert "Traceback" not in errors
    stopped = checkpoint.newest(toy.folder / "stopped" / "checkpoints")
    assert stopped["update"] >= 5
    assert not (toy.folder / "stopped" / "model.safetensors").exists()
    assert read_yaml(toy.folder / "stopped" / "versions.yaml")["runs"][0]["state"] == "stopped"
    stopped, whole = toy.train("stopped", **changes), toy.train("whole", **changes)
    assert sha256(stopped / "model.safetensors") == sha256(whole / "model.safetensors")


def test_fault_D1_a_signal_is_answered_while_an_update_runs() -> None:
    program = """
import hashlib, logging
from lipsound2.training.stop import StopSwitch
logging.basicConfig(level=logging.INFO, format="%(message)s")
switch = StopSwitch()
with switch.listen():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha512", b"", b"", 2_000_000)  # one step of the interpreter's, of seconds
    print("over", flush=True)
print(switch.signal, flush=True)
"""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": ENVIRONMENT}
    process = subprocess.Popen([sys.executable, "-c", program], **options)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)  # it is within that step
    process.send_signal(signal.SIGTERM)
    lines = process.communicate(timeout=180)[0].splitlines()
    assert lines[0].startswith("SIGTERM: this update is finished and a checkpoint written")
    assert lines[1:] == ["over", "15"]


def test_a_signal_cuts_an_evaluation_short_but_nothing_else() -> None:
    switch = StopSwitch()
    with switch.listen():
        with pytest.raises(StopAsked), switch.may_raise():
            signal.raise_signal(signal.SIGTERM)
        assert switch.status == 143
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert switch.status == 130


@pytest.mark.parametrize(("number", "status"), [(0, 143), (signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_process_that_got_no_signal_ends_as_after_one(toy: Toy, number: int, status: int) -> None:
    """Of several processes all stop when one of them got a signal."""
    run, switch, world = load_config(toy.config()), StopSwitch(), World(0, 1, torch.device("cpu"))
    data = run.task.prepare(DataDir(toy.folder / "train"), DataDir(toy.folder / "valid"), toy.folder)
    loop = begin_or_resume(run, data, world, toy.folder / "exp", None, switch)
    switch.signal = number
    assert log_stop(switch, loop) == status
