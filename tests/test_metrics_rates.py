"""Intervals of error rates: the exact ones where those are known, coverage by simulation, and unseen speakers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lipsound2.data.datadir import DataDir
from lipsound2.errors import LipsoundError
from lipsound2.metrics import rates
from lipsound2.metrics.unseen import about
from lipsound2.metrics.wer import score_texts

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
from bench_intervals import CASES, coverage


@pytest.mark.parametrize("case", CASES)
def test_fault_B5_intervals_hold_the_true_rate(case):
    ours, _, empty = coverage(CASES[case], sets=250, seed=1, draws=0)
    assert ours >= (0.8 if "26 clips to 1" in case else 0.91)  # one speaker tells little of others
    assert empty == 0


def test_single_errors_are_counted_exactly():
    """Garwood's interval of a Poisson count, but for Student's t."""
    errors = np.zeros((4000, 1))
    errors[:7] = 1
    found = rates.rates(errors, np.full((4000, 1), 6.0))[0]
    exact = stats.chi2.ppf(0.025, 14) / 2, stats.chi2.ppf(0.975, 16) / 2
    assert (24000 * found.low, 24000 * found.high) == pytest.approx(exact, rel=0.01)


def test_fault_B5_shares_of_clips_are_exactly_binomial():
    for wrong, clips in ((0, 50), (3, 50), (49, 50), (50, 50), (3, 10), (1, 2), (0, 1)):
        errors = np.zeros((clips, 1))
        errors[:wrong] = 1
        found = rates.rates(errors, np.ones((clips, 1)))[0]
        exact = stats.binomtest(wrong, clips).proportion_ci(method="exact")
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_fault_B5_no_error_is_not_certainty():
    text = {f"s1-{n}": "bin blue at f two now" for n in range(50)}
    found = score_texts(text, text, dict.fromkeys(text, "s1"), "en").summary
    assert (found.rates["wer"].low, found.rates["wer"].high) == (0, pytest.approx(0.0123, abs=1e-4))
    assert found.rates["ser"].high == pytest.approx(0.0711, abs=1e-4)
    assert all(slot.rate.high > 0.07 for slot in found.further["grid"].slots.values())


def test_a_difference_of_nothing_is_not_certain_either():
    found = rates.differences(np.zeros((50, 1)), np.full((50, 1), 6.0))[0]
    assert found.low == -found.high < 0


def test_differences_hold_the_true_one():
    random = np.random.default_rng(0)
    errors = random.binomial(6, 0.1, (50, 300)) - random.binomial(6, 0.04, (50, 300))
    found = rates.differences(errors, np.full(errors.shape, 6.0))
    assert np.mean([one.low <= 0.06 <= one.high for one in found]) > 0.92


def test_means_of_speakers_hold_the_true_one():
    random = np.random.default_rng(0)
    values = 0.4 + np.repeat(random.normal(0, 0.05, (6, 300)), 10, 0) + random.normal(0, 0.1, (60, 300))
    found = rates.means(values, [f"s{number // 10}" for number in range(60)])
    assert 0.91 < np.mean([one.low <= 0.4 <= one.high for one in found]) < 0.99


def test_a_speaker_of_most_clips_does_not_make_intervals_narrow():
    random = np.random.default_rng(0)
    clips = [26, 6, 2, 1, 1, 1, 1, 1, 1]
    values = 0.4 + np.repeat(random.normal(0, 0.05, (9, 300)), clips, 0) + random.normal(0, 0.02, (40, 300))
    found = rates.means(values, np.repeat([*"abcdefghi"], clips).tolist())
    assert 0.91 < np.mean([one.low <= 0.4 <= one.high for one in found]) < 0.99


@pytest.mark.parametrize("units", [np.zeros((3, 1)), np.ones((2, 1)), np.ones((3, 2))])
def test_rates_need_units(units):
    with pytest.raises(ValueError):
        rates.rates(np.ones((3, 1)), units)
    with pytest.raises(ValueError, match="at least one clip"):
        rates.rates(np.ones((0, 1)), np.ones((0, 1)))


def test_fault_B5_people_nobody_trained_on_are_what_varies(tmp_path):
    sets = {"train": ("s1", "s2"), "test": ("s1", "s2"), "unseen": ("s3", "s4", "s5"), "single": ("s9",)}
    for name, people in sets.items():
        DataDir.write(tmp_path / name, utt2spk={f"{who}-{n}": who for who in people for n in range(4)})
    told = {name: about("auto", tmp_path / name, dict(DataDir(tmp_path / name).utt2spk), name) for name in sets}
    assert {name for name, (unseen, _) in told.items() if unseen} == {"unseen"}
    assert told["unseen"][1] == "unseen; intervals about people like these 3 speakers"
    unseen = dict(DataDir(tmp_path / "unseen").utt2spk)
    assert not about("same", tmp_path / "unseen", unseen, "x")[0]
    assert about("unseen", None, unseen, "x")[0]
    with pytest.raises(LipsoundError, match="--speakers unseen: x are of one speaker"):
        about("unseen", None, {"s9-1": "s9"}, "x")
    text = dict.fromkeys(unseen, "a b c d")
    heard = {name: "a b c d" if who == "s3" else "a x y d" for name, who in unseen.items()}
    narrow, wide = (score_texts(text, heard, unseen, "en", unseen=flag).summary.rates["wer"] for flag in (False, True))
    assert narrow.mean == wide.mean
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
