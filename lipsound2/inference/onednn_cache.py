"""How many shapes of inputs oneDNN, the library behind the layers, remembers."""

from __future__ import annotations

import os

_MOST = 64  # layers with the shape of their input: those of a sentence or two


def remember_few_shapes() -> None:
    """Have oneDNN, which computes layers on the CPU, remember few of the shapes that it was asked for.

    It remembers 1024 by itself. As each length of a sentence has shapes of its own, memory grew by 0.7 MB with each
    length that was new (docs/results/live.md). To be called before torch computes anything. What the user has set
    stays.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(_MOST))
