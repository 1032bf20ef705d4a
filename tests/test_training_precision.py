"""The precision of a training: half precision, and `auto`, which is settled once."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch
from helpers.toy_training import ENVIRONMENT, Toy, curves
from helpers.toy_training import toy as toy  # a fixture

from lipsound2.files import sha256
from lipsound2.models import processor
from lipsound2.tasks import load_config
from lipsound2.training import checkpoint


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
    subprocess.run([sys.executable, "-c", program], env=old, check=True, timeout=180)
