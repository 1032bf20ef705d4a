"""What this machine multiplies fast.

A processor without bfloat16 in its instructions emulates it, at a tenth of the speed of float32. One that has it is
about twice as fast with it. What torch says of a processor does not always hold for the library behind it, so on a CPU
two products are timed.
"""

from __future__ import annotations

import functools
import time
from typing import Literal

import torch

_SIDE, _TURNS = 384, 5  # of the matrices that are timed: a few milliseconds in all where bfloat16 is native


def best(device: torch.device) -> Literal["fp32", "bf16"]:
    """`bf16` where the device has it natively, else `fp32`."""
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
