"""Which clips of a set are shown: evenly from the best to the worst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from lipsound2.metrics.registry import PRIMARY
from lipsound2.metrics.summary import Row

T = TypeVar("T")


def choose(rows: Sequence[Row], clips: int) -> list[tuple[str, str]]:
    """Clips from best to worst by the model's ESTOI, evenly through the ranks, each with its place in words."""
    judged = [row for row in rows if PRIMARY in row.scores.values]
    own = [row for row in judged if row.system == "generated"] or judged
    ranked = sorted(own, key=lambda row: (-row.scores.values[PRIMARY], row.id))
    return spread([row.id for row in ranked], clips)


def spread(
    ranked: Sequence[str], clips: int, ends: tuple[str, str, str] = ("best", "median", "worst")
) -> list[tuple[str, str]]:
    """Some of the clips, which are given from best to worst, evenly, each with its place in words.

    Args:
        ranked: ids.
        clips: how many.
        ends: what the first, the middle and the last are called.
    """
    if not ranked or clips < 1:
        return []
    last = len(ranked) - 1
    places = sorted({round(place) for place in np.linspace(0, last, min(clips, len(ranked)))} | {last // 2})
    while len(places) > clips and len(places) > 3:
        # The median was added: of its neighbors the nearer one goes.
        places.remove(min((place for place in places[1:-1] if place != last // 2), key=lambda p: abs(p - last // 2)))
    words = {0: ends[0], last // 2: ends[1], last: ends[2]}
    return [(ranked[place], f"{words.get(place, f'rank {place + 1}')} of {len(ranked)}") for place in places]


def evenly(items: Sequence[T], count: int) -> list[T]:
    """Some of the items, evenly, in their order."""
    places = sorted({round(place) for place in np.linspace(0, len(items) - 1, min(count, len(items)))})
    return [items[place] for place in places]
