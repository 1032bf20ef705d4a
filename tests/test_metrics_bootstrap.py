"""Bootstrap intervals against scipy's, against theory, and paired."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lipsound2.metrics import bootstrap


def test_interval_is_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(1).beta(2, 3, 60)
    (ours,) = bootstrap.intervals(values[:, None])
    theirs = stats.bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=5).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.003)


def test_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    samples = random.normal(0.5, 0.1, (50, 300))  # 300 studies of 50 clips, all in one call
    covered = [part.low <= 0.5 <= part.high for part in bootstrap.intervals(samples, resamples=1000)]
    assert 0.90 <= np.mean(covered) <= 0.98


def test_columns_of_a_clip_are_drawn_together() -> None:
    random = np.random.default_rng(2)
    easy = random.normal(0.5, 0.2, 40)
    means = bootstrap.resampled_means(np.stack([easy + 0.1, easy], axis=1))
    assert np.ptp(means[:, 0] - means[:, 1]) < 1e-12
    (paired,) = bootstrap.intervals(np.full((40, 1), 0.1))
    assert (paired.low, paired.high) == pytest.approx((0.1, 0.1))


def test_blocks_change_nothing_and_the_seed_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).normal(size=(30, 2))
    whole = bootstrap.resampled_means(values, resamples=500, seed=4)
    monkeypatch.setattr(bootstrap, "_BLOCK", 30 * 7)
    assert np.allclose(bootstrap.resampled_means(values, resamples=500, seed=4), whole, atol=1e-12)
    assert not np.allclose(bootstrap.resampled_means(values, resamples=500, seed=5), whole, atol=1e-3)


def test_no_clips_have_no_mean() -> None:
    with pytest.raises(ValueError, match="at least one clip"):
        bootstrap.intervals(np.zeros((0, 1)))
