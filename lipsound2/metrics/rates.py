"""Confidence intervals of error rates that hold for few errors, and for unseen speakers.

A bootstrap of clips without an error gives [0, 0], which is no interval. Here errors are clustered by clip, and their
sum is treated as a Poisson variable of the same mean and variance (exact for single errors: Garwood, 1936; for
clusters: Fay and Feuer, 1997). A share of clips is binomial (Clopper and Pearson). For unseen speakers the clusters are
speakers, and Student's t accounts for their small number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from lipsound2.metrics.bootstrap import LEVEL, Interval

_HIGH = (1 + LEVEL) / 2
_LOW = 1 - _HIGH


def rates(errors: np.ndarray, units: np.ndarray, speakers: Sequence[str] | None = None) -> list[Interval]:
    """Sums of errors divided by sums of units, each with its 95 % interval.

    Args:
        errors: (n, k) whole numbers, of n clips.
        units: (n, k) positive, such as words.
        speakers: of the clips, when the intervals are about speakers like these; None: about clips of these.

    Raises:
        ValueError: no clips, unequal shapes, or units that are not positive.
    """
    errors, units = _checked(errors, units)
    found = []
    for column in range(errors.shape[1]):
        wrong, total = errors[:, column], units[:, column]
        share = (total == 1).all() and np.isin(wrong, (0, 1)).all()
        rate = wrong.sum() / total.sum()
        # The variance of a binomial share is known, so its interval is exact.
        variance = 0.0 if share and speakers is None else _variance(wrong, total, speakers)
        low, high = _share(rate, variance, len(total)) if share else _count(rate, variance, total.sum())
        found.append(Interval(float(rate), float(low), float(high)))
    return found


def differences(gains: np.ndarray, units: np.ndarray, speakers: Sequence[str] | None = None) -> list[Interval]:
    """Sums of paired differences of errors divided by sums of units; see `rates`.

    Errors that only the first system makes and those that only the second makes are two rates; the interval of their
    difference comes from theirs (Zou and Donner, 2008).

    Args:
        gains: (n, k) whole numbers, errors of one system less those of another on the same clip.
        units: (n, k) positive.
        speakers: see `rates`.
    """
    gains, units = _checked(gains, units)
    found = []
    for column in range(gains.shape[1]):
        gain, unit = gains[:, column], units[:, column]
        more, less = np.maximum(gain, 0), np.maximum(-gain, 0)
        total = unit.sum()
        sides = [(one.sum() / total, _variance(one, unit, speakers)) for one in (more, less)]
        (a, a_low, a_high), (b, b_low, b_high) = ((rate, *_count(rate, spread, total)) for rate, spread in sides)
        # The two rates are not independent: their covariance, from the variance of the difference.
        shared = (sides[0][1] + sides[1][1] - _variance(gain, unit, speakers)) / 2
        scale = np.sqrt(sides[0][1] * sides[1][1])
        r = float(np.clip(shared / scale, -1, 1)) if scale > 0 else 0.0
        low = _apart(a - a_low, b_high - b, r)
        high = _apart(a_high - a, b - b_low, r)
        found.append(Interval(float(a - b), float(a - b - low), float(a - b + high)))
    return found


def means(values: np.ndarray, speakers: Sequence[str]) -> list[Interval]:
    """Means over clips and 95 % intervals about speakers like these: their sums vary, and Student's t tells how few.

    Args:
        values: (n, k) float.
        speakers: of the clips, at least two.
    """
    values, ones = _checked(values, np.ones_like(values))
    found = []
    for column in range(values.shape[1]):
        mean = values[:, column].mean()
        margin = stats.norm.ppf(_HIGH) * np.sqrt(_variance(values[:, column], ones[:, column], speakers))
        found.append(Interval(float(mean), float(mean - margin), float(mean + margin)))
    return found


def _checked(numbers: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    numbers, units = np.asarray(numbers, np.float64), np.asarray(units, np.float64)
    if numbers.ndim != 2 or numbers.shape != units.shape or len(numbers) == 0 or not (units > 0).all():
        raise ValueError(f"expected (clips, numbers) over positive ones, at least one clip; found {numbers.shape}")
    return numbers, units


def _variance(numbers: np.ndarray, units: np.ndarray, speakers: Sequence[str] | None) -> float:
    """Variance of a ratio of sums, widened as Student's t is beside the normal distribution; 0 for a single clip."""
    apart = numbers - numbers.sum() / units.sum() * units
    clips = len(apart)
    found = [_widened(clips / (clips - 1) * (apart**2).sum() / units.sum() ** 2, clips)] if clips > 1 else [0.0]
    if speakers is not None and (people := len(set(speakers))) > 1:
        found.append(_widened(_among(numbers, units, np.unique(np.asarray(speakers), return_inverse=True)[1]), people))
    return max(found)


def _among(numbers: np.ndarray, units: np.ndarray, speakers: np.ndarray) -> float:
    """Variance of a ratio of sums over clips (n,), drawn with their speakers (n,): numbers from 0, two at least.

    Deviations of the speakers' sums from what the ratio tells them would be too small where most clips are of one of
    them: he draws the ratio to himself. So how far speakers differ is seen in their own rates, each counted alike, less
    what the clips of each leave open; with equally many clips both come to the same.
    """
    each, count = np.bincount(speakers, units), np.bincount(speakers)
    rate = np.bincount(speakers, numbers) / each
    spare = len(numbers) - len(each)
    noise = ((numbers - rate[speakers] * units) ** 2).sum() / spare if spare else 0.0
    differ = max(0.0, np.var(rate, ddof=1) - (noise * count / each**2).mean())
    return float((differ * (each**2).sum() + noise * len(numbers)) / units.sum() ** 2)


def _widened(variance: float, groups: int) -> float:
    return float(variance * (stats.t.ppf(_HIGH, groups - 1) / stats.norm.ppf(_HIGH)) ** 2)


def _count(rate: float, variance: float, total: float) -> tuple[float, float]:
    """Interval of a rate of errors; there may be more errors than units."""
    # At least the variance of independent single errors.
    variance = max(variance, max(rate * (1 - rate), 1 / total) / total)
    bunch = variance / rate if rate > 0 else 1 / total
    count = rate / bunch
    low = bunch * stats.gamma.ppf(_LOW, count) if rate > 0 else 0.0
    return low, bunch * stats.gamma.ppf(_HIGH, count + 1)


def _share(rate: float, variance: float, clips: int) -> tuple[float, float]:
    """Interval of a share of clips, with the effective number of independent clips (Korn and Graubard, 1998)."""
    spread = rate * (1 - rate)
    counted = min(spread / variance, clips) if variance > 0 else clips
    wrong = rate * counted
    low = stats.beta.ppf(_LOW, wrong, counted - wrong + 1) if rate > 0 else 0.0
    return low, stats.beta.ppf(_HIGH, wrong + 1, counted - wrong) if rate < 1 else 1.0


def _apart(one: float, other: float, r: float) -> float:
    return float(np.sqrt(max(one**2 + other**2 - 2 * r * one * other, 0.0)))
