"""The verb `train` on the toy task: experiments, refusals, faults, signals, processes, precision."""

from __future__ import annotations

import logging
import math
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers import toy_task

from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.errors import LipsoundError
from lipsound2.files import folder_lock, sha256
from lipsound2.models import processor
from lipsound2.tasks import load_config
from lipsound2.training import checkpoint
from lipsound2.training.average import read_weights
from lipsound2.training.distributed import World
from lipsound2.training.train import experiment_lock, train

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


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


# What an experiment holds


def test_an_experiment(toy: Toy) -> None:
    exp = toy.train(max_epochs=6)
    rows = curves(exp)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["score"] > rows[0]["score"] + 0.02, "it learns"
    assert load_config(exp / "config.yaml").mapping() == read_yaml(exp / "config.yaml")
    run = read_yaml(exp / "versions.yaml")["runs"][0]
    assert run["packages"]["torch"] == torch.__version__
    assert run["state"] == "all epochs are done"
    assert run["updates"] == rows[-1]["update"]
    assert (exp / "toy.txt").exists(), "what the task saves"
    weights = read_weights(exp / "model.safetensors")
    assert set(weights) == set(toy_task.ToyModel(toy_task.ToyConfig()).state_dict())
    assert len(list((exp / "checkpoints").glob("weights-*"))) <= 4


def test_keys_given_beside_the_config(toy: Toy) -> None:
    path = toy.config()
    assert train(path, exp=toy.folder / "exp", override="max_epochs: 1, lr: 1e-3", **toy.data) == 0
    assert load_config(toy.folder / "exp" / "config.yaml").train.max_epochs == 1
    with pytest.raises(LipsoundError, match=r"toy.yaml with --override: unknown key 'lrr'; did you mean 'lr'"):
        train(path, exp=toy.folder / "other", override="lrr: 1", **toy.data)


def test_a_finished_training_is_skipped_a_changed_config_refused(toy: Toy, caplog: pytest.LogCaptureFixture) -> None:
    exp = toy.train()
    before = (exp / "model.safetensors").stat().st_mtime_ns
    toy.train(workers=1, log_every=7)
    assert "nothing to do" in caplog.text
    assert (exp / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(LipsoundError, match=r"another config: dropout 0\.2 -> 0\.3; lr 0\.02 -> 0\.01;"):
        toy.train(dropout=0.3, lr=0.01)
    with pytest.raises(LipsoundError, match="max_epochs 3 -> 2"):
        toy.train(max_epochs=2)
    with pytest.raises(LipsoundError, match="begun from fresh weights, not from"):
        toy.train(max_epochs=4, init="exp")
    toy.train(max_epochs=4)
    assert len(curves(exp)) == 4, "a limit may grow"
    toy_task.write_data(toy.folder, train=25, valid=4)
    with pytest.raises(LipsoundError, match="other clips: 24"):
        toy.train(max_epochs=4)


def test_a_checkpoint_of_a_version_that_named_tensors_otherwise(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.train()
    monkeypatch.setattr(toy_task.ToyModel, "state_dict", lambda self, **_: {"elsewhere": torch.zeros(1)})
    toy.train("old", max_epochs=1)
    monkeypatch.undo()
    with pytest.raises(LipsoundError, match=r"old: its newest checkpoint holds other tensors .* in a new folder$"):
        toy.train("old")


def test_two_runs_in_one_folder(toy: Toy) -> None:
    with folder_lock(toy.folder / "exp", "train"), pytest.raises(LipsoundError, match="in use by another run"):
        toy.train()
    toy.train()


def test_limits(toy: Toy) -> None:
    exp = toy.train("updates", max_epochs=0, max_updates=5, valid_every=50)
    assert [row["update"] for row in curves(exp)] == [5], "the end is always evaluated"
    rows = curves(toy.train("patience", max_epochs=30, patience=1, lr=1e-9, min_lr=0.0, warmup=0, ema=0.999))
    assert len(rows) < 30
    assert rows[-1]["score"] <= max(row["score"] for row in rows[:-1])


def test_evaluating_more_often_changes_no_weight(toy: Toy) -> None:
    often, seldom = toy.train("often", average="last", keep_best=1), toy.train("seldom", valid_every=3, average="last")
    assert len(curves(often)) == 3 > len(curves(seldom)) == 1
    assert sha256(often / "checkpoints" / "weights-00000012.safetensors") == sha256(
        seldom / "checkpoints" / "weights-00000012.safetensors"
    )


def test_workers_change_no_weight(toy: Toy) -> None:
    alone, helped = toy.train("alone", workers=0), toy.train("helped", workers=2)
    assert sha256(alone / "model.safetensors") == sha256(helped / "model.safetensors")


def test_accumulated_batches_are_one_large_batch(toy: Toy) -> None:
    # Without dropout, noise and batch statistics the two differ by rounding alone.
    plain = {"dropout": 0.0, "noise": 0.0, "unnormed": True, "max_epochs": 1, "clip_grad": 0.0}
    small = toy.train("small", batch_size=4, batch_frames=10_000, accumulate=6, **plain)
    large = toy.train("large", batch_size=24, batch_frames=10_000, **plain)
    assert curves(small)[0]["update"] == curves(large)[0]["update"] == 1
    assert_close(small, large)


def assert_close(first: Path, second: Path, tolerance: float = 1e-5) -> None:
    ours, theirs = (read_weights(exp / "model.safetensors") for exp in (first, second))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=tolerance, atol=tolerance, msg=name)


def test_begin_with_weights_of_another(toy: Toy) -> None:
    toy.train("first")
    rows = curves(toy.train("second", init="first", lr=1e-6, min_lr=0.0, max_epochs=1))
    assert rows[0]["score"] == pytest.approx(curves(toy.folder / "first")[-1]["score"], abs=0.02)
    text = (toy.folder / "second" / "train.log").read_text()
    assert "13 tensors taken, 0 of another shape" in text
    assert read_yaml(toy.folder / "second" / "versions.yaml")["runs"][0]["init"] == str(toy.folder / "first")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision(toy: Toy, precision: str) -> None:
    rows = curves(toy.train(precision=precision, max_epochs=4))
    assert rows[-1]["score"] > rows[0]["score"]
    state = checkpoint.newest(toy.folder / "exp" / "checkpoints")
    assert state["model"]["out.weight"].dtype == torch.float32
    assert bool(state["scaler"]) == (precision == "fp16")


def test_fault_D1_auto_is_settled_once_and_pinned(
    toy: Toy, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "bf16_speed", lambda: 2.0)
    exp = toy.train(precision="auto", max_epochs=1)
    assert load_config(exp / "config.yaml").train.precision == "bf16"
    assert "emulates" not in caplog.text
    weights = sha256(exp / "model.safetensors")
    # On another machine: what is done is done, and what goes on goes on as it began.
    monkeypatch.setattr(processor, "bf16_speed", lambda: 0.1)
    toy.train(precision="auto", max_epochs=1)
    assert "nothing to do" in caplog.text
    assert sha256(exp / "model.safetensors") == weights
    toy.train(precision="auto", max_epochs=2)
    assert "precision bf16: this processor emulates it, 10 times more slowly than float32" in caplog.text
    assert load_config(exp / "config.yaml").train.precision == "bf16"
    assert load_config(toy.train("new", precision="auto", init="exp") / "config.yaml").train.precision == "fp32"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="oneDNN's switch is for x86")
def test_fault_D1_a_processor_without_bfloat16_trains_in_float32() -> None:
    program = """
import torch
from lipsound2.models.modules.layers import run_lstm
from lipsound2.models.processor import best, bf16_speed
assert best(torch.device("cpu")) == "fp32", bf16_speed()
lstm = torch.nn.LSTM(8, 4)
torch.manual_seed(1)
with torch.autocast("cpu", torch.bfloat16):
    run_lstm(lstm, torch.ones(3, 2, 8)).sum().backward()
drawn = torch.rand(1)
torch.manual_seed(1)
assert torch.equal(torch.rand(1), drawn), "trying draws no number of the training's"
assert lstm.weight_ih_l0.grad.abs().sum() > 0
"""
    old = {**ENVIRONMENT, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    subprocess.run([sys.executable, "-c", program], env=old, check=True, timeout=60)


@pytest.mark.slow
def test_compiled(toy: Toy) -> None:
    # The running average is evaluated as it is, which spares compiling for evaluation.
    changes = {"max_updates": 2, "ema": 0.5, "batch_size": 8}
    plain, compiled = toy.train("plain", **changes), toy.train("compiled", compile=True, **changes)
    assert set(read_weights(plain / "model.safetensors")) == set(read_weights(compiled / "model.safetensors"))
    assert_close(plain, compiled, 1e-3)


def test_tensorboard_events(toy: Toy) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    exp = toy.train(tensorboard=True)
    events = EventAccumulator(str(exp))
    events.Reload()
    tags = events.Tags()
    assert {"train/loss", "train/l1", "train/lr", "train/gradient", "speed/frames", "valid/score"} <= set(
        tags["scalars"]
    )
    assert tags["images"] == ["picture"]
    assert tags["audio"] == ["audio"]
    assert [event.value for event in events.Scalars("valid/score")] == pytest.approx(
        [row["score"] for row in curves(exp)], rel=1e-4
    )


def test_keys_the_weights_do_not_depend_on_are_taken_over(toy: Toy, caplog: pytest.LogCaptureFixture) -> None:
    exp = toy.train(max_epochs=2, log_every=50)
    weights = sha256(exp / "model.safetensors")
    toy.train(max_epochs=2, log_every=7)
    assert "nothing to do" in caplog.text
    assert "keys that the weights do not depend on" in caplog.text
    assert read_yaml(exp / "config.yaml")["log_every"] == 7
    assert sha256(exp / "model.safetensors") == weights


# Faults


def test_a_loss_that_is_no_number_names_the_clips(toy: Toy) -> None:
    with pytest.raises(
        LipsoundError, match=r"update \d+ \(epoch 1\): the loss is nan, at clips .*s1-train007"
    ) as caught:
        toy.train(poison="s1-train007", batch_size=3)
    header, *rows = (toy.folder / "exp" / "nonfinite.tsv").read_text().splitlines()
    assert header == "update\tepoch\tid"
    assert len(rows) == 3
    assert any(row.endswith("\ts1-train007") for row in rows)
    assert "lower 'lr'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_clip_that_cannot_be_read(toy: Toy, workers: int) -> None:
    with pytest.raises(LipsoundError, match="clip s1-train003 of the training set: cannot open s1-train003"):
        toy.train(unreadable="s1-train003", workers=workers)


def test_a_worker_that_is_killed(toy: Toy) -> None:
    with pytest.raises(LipsoundError, match=r"ended by itself .*goes on from the last checkpoint"):
        toy.train(deadly="s1-train003", workers=1)


def test_a_damaged_checkpoint_is_passed_over(toy: Toy, caplog: pytest.LogCaptureFixture) -> None:
    whole = toy.train("whole", max_epochs=4)
    exp = toy.train(max_epochs=4, checkpoint_minutes=0.0)
    (exp / ".stamp.json").unlink()
    newest = checkpoint.existing(exp / "checkpoints")[0]
    newest.write_bytes(newest.read_bytes()[:-7])
    toy.train(max_epochs=4, checkpoint_minutes=0.0)
    assert f"{newest.name} is damaged" in caplog.text
    assert sha256(exp / "model.safetensors") == sha256(whole / "model.safetensors")
    assert len(curves(exp)) == 4


def test_more_gpus_than_there_are(toy: Toy) -> None:
    for wanted in (torch.cuda.device_count() + 1, torch.cuda.device_count() + 2):
        with pytest.raises(LipsoundError, match=f"--ngpu {wanted}: torch finds"):
            train(toy.config(), exp=toy.folder / "exp", ngpu=wanted, **toy.data)


# Signals


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_a_checkpoint(toy: Toy, number: int, status: int) -> None:
    changes = {"max_epochs": 30, "workers": 1, "log_every": 1}
    process = subprocess.Popen(
        [sys.executable, *toy.command("stopped", **changes)], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    log = toy.folder / "stopped" / "train.log"
    wait_for(lambda: log.exists() and "update 5 " in log.read_text(), process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
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
    lines = process.communicate(timeout=90)[0].splitlines()
    assert lines[0].startswith("SIGTERM: this update is finished and a checkpoint written")
    assert lines[1:] == ["over", "15"]


def wait_for(condition: Any, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, process.stderr.read() if process.stderr else "it ended"
        assert time.monotonic() < deadline, "it hangs"
        time.sleep(0.05)


# Several processes


def torchrun(toy: Toy, processes: int, exp: str, **changes: Any) -> None:
    """The verb under torchrun, gloo between the processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [*launcher, *toy.command(exp, **changes)], env=ENVIRONMENT, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr[-3000:]


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


def test_the_log_tells_hours_to_the_end(toy: Toy) -> None:
    text = (toy.train() / "train.log").read_text()
    for words in ("M parameters on cpu", "hours to the end", "frames/s", "waiting for clips"):
        assert words in text
    assert "nan" not in text
    assert "after 3 updates of" in text
    assert math.isfinite(yaml.safe_load((toy.folder / "exp" / "versions.yaml").read_text())["hours"])
