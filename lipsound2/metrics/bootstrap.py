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

    def percent(self) -> str:
        """`19.0 [15.7, 22.7]`, of fractions."""
        return Interval(100 * self.mean, 100 * self.low, 100 * self.high).format(1)


def resampled_means(values: np.ndarray, *, resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """Means of clips drawn with replacement.

    Args:
        values: (n, k) float, k numbers of each of n clips; a draw takes all k of a clip, so columns stay paired.
        resamples: R, draws.
        seed: of the draws.

    Returns:
        (R, k) float64.
    """
    values = np.asarray(values, np.float64)
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
    return np.concatenate(sums) / n


def intervals(values: np.ndarray, *, resamples: int = RESAMPLES, seed: int = SEED) -> list[Interval]:
    """Mean and percentile interval of every column.

    Args:
        values: (n, k) float, n > 0; of paired differences this is the paired bootstrap.
        resamples: draws.
        seed: of the draws.

    Raises:
        ValueError: no clips.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or len(values) == 0:
        raise ValueError(f"expected (clips, numbers) with at least one clip, found {values.shape}")
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(resampled_means(values, resamples=resamples, seed=seed), [tail, 1 - tail], axis=0)
    return [Interval(*map(float, row)) for row in zip(values.mean(axis=0), low, high, strict=True)]
