"""Memory of a training on the CPU."""

from __future__ import annotations

import ctypes

# Parameters of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Have the C library keep what is freed, instead of giving it back to the system and asking for it anew.

    A training step frees and takes the same large tensors over and over, and the system clears every page it hands out.
    Keeping them saves a sixth of the time of a recurrent network, for a third more memory (docs/results/cpu.md).

    Returns:
        Whether the C library takes this setting; glibc does.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))
