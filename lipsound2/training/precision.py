"""Precision of matrix products in training: `precision: auto` is settled once, by what is fast on this machine.

What was settled is written into the experiment, and a training that goes on elsewhere keeps it.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import torch

from lipsound2.models import processor
from lipsound2.tasks import RunConfig
from lipsound2.train_config import Precision
from lipsound2.training.distributed import World

log = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
RESOLVED: tuple[Precision, ...] = ("fp32", "bf16")  # what `auto` becomes


def resolved(run: RunConfig, world: World) -> RunConfig:
    """The config with `precision: auto` as process 0's device multiplies fastest, the same on every process."""
    if run.train.precision != "auto":
        _warn(run.train.precision, world.device)
        return run
    bf16 = world.total([float(world.first and processor.best(world.device) == "bf16")])[0] > 0
    return with_precision(run, "bf16" if bf16 else "fp32")


def with_precision(run: RunConfig, precision: Precision) -> RunConfig:
    """The config with another precision."""
    return replace(run, train=replace(run.train, precision=precision))


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """A block whose products are in a settled precision."""
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")


def _warn(precision: str, device: torch.device) -> None:
    """Say that a precision which was chosen elsewhere, or by hand, is slow here."""
    if precision == "fp32" or device.type != "cpu" or (precision == "bf16" and processor.bf16_speed() > 1):
        return
    slower = (
        f", {1 / processor.bf16_speed():.0f} times more slowly than float32" if precision == "bf16" else " very slowly"
    )
    log.warning(
        "precision %s: this processor emulates it%s. A training that was begun so goes on so, and ends with the same "
        "weights; to train in fp32 here, begin in another folder with --init and 'precision: auto'",
        precision,
        slower,
    )
