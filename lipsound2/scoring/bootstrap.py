"""Percentile bootstrap: how far a mean over these clips may lie from the mean over all such clips.

Clips are the units that are drawn, with replacement; the seed is fixed, so a table can be computed again to the digit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
SEED = 0
_BLOCK = 1 << 22  # numbers drawn at once: 32 MB


@dataclass(frozen=True)
class Interval:
    """A mean and its interval."""

    mean: float
    low: float
    high: float

    def rounded(self) -> dict[str, float]:
        """For a file: five digits."""
        return {"mean": round(self.mean, 5), "low": round(self.low, 5), "high": round(self.high, 5)}

    def format(self, digits: int = 3) -> str:
        """`0.421 [0.398, 0.444]`."""
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def resampled_means(values: np.ndarray, *, resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """Means of clips drawn with replacement.

    Args:
        values: (n, k) float, k numbers of each of n clips; a draw takes all k of a clip, so columns stay paired.
        resamples: R, draws.
        seed: of the draws.

    Returns:
        (R, k) float64.
    """
    return _resampled_sums(np.asarray(values, np.float64), resamples, seed) / len(values)


def _resampled_sums(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    n = len(values)
    generator = np.random.default_rng(seed)
    rows = max(1, _BLOCK // n)
    sums = []
    for start in range(0, resamples, rows):
        drawn = generator.integers(0, n, size=(min(rows, resamples - start), n))
        # How often each clip was drawn, times the values: all columns in one product.
        counts = np.zeros((len(drawn), n))
        np.add.at(counts, (np.arange(len(drawn))[:, None], drawn), 1.0)
        sums.append(counts @ values)
    return np.concatenate(sums)


def intervals(
    values: np.ndarray, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = SEED
) -> list[Interval]:
    """Mean and percentile interval of every column.

    Args:
        values: (n, k) float, n > 0.
        level: share of the draws inside the interval.
        resamples: draws.
        seed: of the draws.

    Raises:
        ValueError: no clips.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or len(values) == 0:
        raise ValueError(f"expected (clips, numbers) with at least one clip, found {values.shape}")
    tail = (1 - level) / 2
    low, high = np.quantile(resampled_means(values, resamples=resamples, seed=seed), [tail, 1 - tail], axis=0)
    return [Interval(*map(float, row)) for row in zip(values.mean(axis=0), low, high, strict=True)]


def interval(values: np.ndarray, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = SEED) -> Interval:
    """`intervals` of (n,) numbers; of paired differences this is the paired bootstrap."""
    return intervals(np.asarray(values)[:, None], level=level, resamples=resamples, seed=seed)[0]


def ratios(
    numerators: np.ndarray,
    denominators: np.ndarray,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> list[Interval]:
    """Ratios of sums over clips, such as errors to words, and the percentile interval of each.

    Of the differences of two systems' errors on the same words this is the paired bootstrap (Bisani and Ney 2004).

    Args:
        numerators: (n, k) float, n > 0.
        denominators: (n, k) float, positive.
        level: share of the draws inside the interval.
        resamples: draws; each takes all numbers of a clip.
        seed: of the draws.

    Returns:
        k intervals; `mean` is the ratio of the sums, not the mean of the clips' ratios.

    Raises:
        ValueError: no clips, unequal shapes, or a denominator that is not positive.
    """
    values = np.stack([np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)])
    if values.ndim != 3 or values.shape[1] == 0 or not (values[1] > 0).all():
        raise ValueError(f"expected (clips, numbers) over positive ones, at least one clip; found {values.shape[1:]}")
    k = values.shape[2]
    # Sums, not means: sums of whole numbers are exact, so equal rates stay equal to the last bit.
    drawn = _resampled_sums(np.concatenate(values, axis=1), resamples, seed)
    tail = (1 - level) / 2
    low, high = np.quantile(drawn[:, :k] / drawn[:, k:], [tail, 1 - tail], axis=0)
    total = values.sum(axis=1)
    return [Interval(*map(float, row)) for row in zip(total[0] / total[1], low, high, strict=True)]
