"""By how much one recording lags another of the same speech: the shift at which their features fit best."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LARGEST = 0.1  # seconds: lags are looked for up to here, either way. Clips of GRID's s1 have 0.09 at most.


class Lag(NamedTuple):
    """A lag, and how well the features fit there.

    Attributes:
        rows: by which the first lags the second, with a fraction; whole where the best shift is the largest one.
        correlation: cosine of the features at that shift, their mean over time taken out, -1 to 1.
        inside: whether a larger shift would fit less well.
    """

    rows: float
    correlation: float
    inside: bool


def lag(features: np.ndarray, other: np.ndarray, most: int) -> Lag:
    """The lag of features behind others.

    Rows that have no counterpart at a shift do not count. Between whole rows the cosine is a parabola through the best
    shift and its neighbors.

    Args:
        features: (S, D) float, such as a log-mel.
        other: (R, D), their rows as long in time.
        most: largest shift in rows; smaller where the features are shorter than three times as much.

    Returns:
        The lag; 0 where there are fewer than three rows, or nothing moves.
    """
    length = min(len(features), len(other))
    first, second = (np.asarray(each[:length], np.float64) for each in (features, other))
    most = min(most, length // 3)
    if not most:
        return Lag(0.0, 0.0, False)
    shifts = range(-most, most + 1)
    fit = np.array(
        [_cosine(first[max(0, k) : length + min(0, k)], second[max(0, -k) : length - max(0, k)]) for k in shifts]
    )
    best = int(fit.argmax())
    if not fit.any():
        return Lag(0.0, 0.0, False)
    if not 0 < best < len(fit) - 1:
        return Lag(float(shifts[best]), float(fit[best]), False)
    before, peak, after = fit[best - 1 : best + 2]
    bend = before - 2 * peak + after
    return Lag(shifts[best] + (float((before - after) / (2 * bend)) if bend else 0.0), float(peak), True)


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine of two (S, D), their means over S taken out; 0 where one of them does not move."""
    first, second = first - first.mean(0), second - second.mean(0)
    scale = np.linalg.norm(first) * np.linalg.norm(second)
    return float((first * second).sum() / scale) if scale else 0.0
