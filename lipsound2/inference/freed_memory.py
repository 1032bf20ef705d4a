"""Memory that was freed, of a process that runs for hours."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> bool:
    """Have the C library give freed memory back to the system.

    glibc keeps what threads free, in pieces that the next clip does not always fit in, so that a process grows for
    hours though nothing is held (docs/results/live.md). This takes some ten milliseconds.

    Returns:
        Whether there was some to give back; False also where the C library is not glibc.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    return trim is not None and bool(trim(0))
