"""Precision of matrix products in training: `precision: auto` is settled once, by what is fast on this machine.

A processor without bfloat16 in its instructions emulates it, at a tenth of the speed of float32. One that has it is
about twice as fast with it. What torch says of a processor does not always hold for the library behind it, so on a CPU
two products are timed. What was settled is written into the experiment, and a training that goes on elsewhere keeps it.
"""

from __future__ import annotations

import functools
import logging
import time
from dataclasses import replace

import torch

from lipsound2.tasks import RunConfig
from lipsound2.train_config import Precision
from lipsound2.training.distributed import World

log = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
RESOLVED: tuple[Precision, ...] = ("fp32", "bf16")  # what `auto` becomes
_SIDE, _TURNS = 384, 5  # of the matrices that are timed: a few milliseconds in all where bfloat16 is native


def resolved(run: RunConfig, world: World) -> RunConfig:
    """The config with `precision: auto` as process 0's device multiplies fastest, the same on every process."""
    if run.train.precision != "auto":
        _warn(run.train.precision, world.device)
        return run
    bf16 = world.total([float(world.first and best(world.device) == "bf16")])[0] > 0
    return with_precision(run, "bf16" if bf16 else "fp32")


def with_precision(run: RunConfig, precision: Precision) -> RunConfig:
    """The config with another precision."""
    return replace(run, train=replace(run.train, precision=precision))


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """A block whose products are in a settled precision."""
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")


def best(device: torch.device) -> Precision:
    """`bf16` where the device has it natively, else `fp32` (fp16, which scales its loss, has to be asked for)."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if bf16_speed() > 1 else "fp32"


@functools.cache
def bf16_speed() -> float:
    """How many times as fast as float32 this processor multiplies bfloat16: 2 or more if it has it, else below 0.5."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.ones(_SIDE, _SIDE, dtype=dtype)
        turns = []
        for _ in range(_TURNS):
            begun = time.perf_counter()
            matrix @ matrix
            turns.append(time.perf_counter() - begun)
        seconds[dtype] = min(turns)  # the others were disturbed
    return seconds[torch.float32] / seconds[torch.bfloat16]


def _warn(precision: str, device: torch.device) -> None:
    """Say that a precision which was chosen elsewhere, or by hand, is slow here."""
    if precision == "fp32" or device.type != "cpu" or (precision == "bf16" and bf16_speed() > 1):
        return
    slower = f", {1 / bf16_speed():.0f} times more slowly than float32" if precision == "bf16" else " very slowly"
    log.warning(
        "precision %s: this processor emulates it%s. A training that was begun so goes on so, and ends with the same "
        "weights; to train in fp32 here, begin in another folder with --init and 'precision: auto'",
        precision,
        slower,
    )
