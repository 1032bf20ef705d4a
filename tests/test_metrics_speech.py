"""Metrics by the rule: values, lengths, rates, and floors instead of gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pystoi
import pytest
import soundfile
from helpers.experiments import synthetic_clips
from pesq import pesq
from scipy.signal import resample_poly

from lipsound2.errors import ClipFailure
from lipsound2.metrics.audio_sources import read_wav
from lipsound2.metrics.registry import STANDARD, rule
from lipsound2.metrics.speech import estoi, fit, measure, stoi, to_rate
from lipsound2.timing import SAMPLES_PER_FRAME

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    waveform = synthetic_clips(1)["s1-clip0"].waveform
    return waveform, waveform + np.random.default_rng(0).normal(0, 0.02, len(waveform))


def test_values_are_those_of_the_packages_at_the_rates_of_the_rule(pair) -> None:
    reference, speech = pair
    values = measure(reference, speech).values
    narrow = [resample_poly(np.float64(waveform), 1, 2) for waveform in pair]
    assert values["stoi"] == pytest.approx(pystoi.stoi(reference, speech, 16000), abs=1e-6)
    assert values["estoi"] == pytest.approx(pystoi.stoi(reference, speech, 16000, extended=True), abs=1e-6)
    assert values["pesq_nb"] == pytest.approx(pesq(8000, *narrow, "nb"), abs=1e-5)
    assert values["pesq_wb"] == pytest.approx(pesq(16000, np.float64(reference), speech, "wb"), abs=1e-5)
    assert values["stoi"] == stoi(reference, speech)
    assert values["estoi"] == estoi(reference, speech)


def test_a_audio_against_itself_is_perfect_and_noise_is_worse(pair) -> None:
    reference, speech = pair
    own, noisy = measure(reference, reference).values, measure(reference, speech).values
    assert own["stoi"] > 0.999
    assert own["estoi"] > 0.999
    assert own["pesq_wb"] > 4.6
    assert own["pesq_nb"] > 4.5
    assert all(noisy[name] < own[name] - 0.05 for name in STANDARD)


def test_length_is_fitted_to_the_reference_and_counted(pair) -> None:
    reference, speech = pair
    exact = measure(reference, speech)
    longer = measure(reference, np.concatenate([speech, np.ones(SAMPLES_PER_FRAME + 1)]))
    assert longer.values == exact.values
    assert (longer.difference, longer.mismatched_length) == (SAMPLES_PER_FRAME + 1, True)
    assert not exact.mismatched_length
    assert not measure(reference, speech[:-SAMPLES_PER_FRAME]).mismatched_length
    padded = np.concatenate([speech[:20000], np.zeros(len(speech) - 20000)])
    assert measure(reference, speech[:20000]).values == measure(reference, padded).values
    assert fit(np.arange(3.0), 5).tolist() == [0, 1, 2, 0, 0]


@pytest.mark.parametrize(
    ("reference", "speech", "reason"),
    [
        (1.0, np.zeros(32000), "silent"),
        (1.0, np.full(32000, 1e-6), "silent"),
        (1.0, np.zeros(0), "silent"),
        (1.0, np.full(32000, np.nan), "not-finite"),
        (0.0, np.ones(32000), "silent-reference"),
    ],
)
def test_what_cannot_be_scored_is_at_the_floor_with_a_reason(pair, reference: float, speech, reason: str) -> None:
    scores = measure(reference * pair[0], speech)
    assert scores.values == {"stoi": 0.0, "estoi": 0.0, "pesq_nb": 1.0, "pesq_wb": 1.0}
    assert scores.failures == dict.fromkeys(STANDARD, reason)


def test_a_metric_that_fails_leaves_the_others(pair) -> None:
    short = pair[0][8000 : 8000 + 4400]  # enough for PESQ, not for STOI
    scores = measure(short, short)
    assert scores.failures["stoi"] == scores.failures["estoi"] == "too-short"
    assert scores.values["stoi"] == 0.0
    assert measure(short[:2000], short[:2000]).failures["pesq_wb"] == "too-short"


def test_pesq_without_an_utterance_is_a_counted_failure(pair, monkeypatch) -> None:
    import pesq as package

    def nobody(*_: object, **__: object) -> float:
        raise package.NoUtterancesError(b"No utterances detected")

    monkeypatch.setattr(package, "pesq", nobody)
    scores = measure(*pair)
    assert scores.failures == {"pesq_nb": "no-utterance", "pesq_wb": "no-utterance"}
    assert (scores.values["pesq_nb"], scores.values["pesq_wb"]) == (1.0, 1.0)
    assert scores.values["stoi"] > 0.5


def test_scores_are_repeatable_and_leave_the_callers_random_numbers_alone(pair) -> None:
    reference, speech = pair
    speech = speech.copy()
    speech[:16000] = 0  # exact zeros: pystoi divides noise of its own there
    np.random.seed(7)
    first = estoi(reference, speech)
    drawn = np.random.random()
    np.random.seed(8)
    assert estoi(reference, speech) == first
    np.random.seed(7)
    assert np.random.random() == drawn


def test_files_of_another_rate_and_with_two_channels(tmp_path: Path, pair) -> None:
    reference, _ = pair
    soundfile.write(tmp_path / "a.wav", np.stack([to_rate(reference, 16000, 48000)] * 2, axis=1), 48000, "FLOAT")
    read = read_wav(tmp_path / "a.wav")
    assert read.shape == reference.shape
    assert np.abs(read - reference)[100:-100].max() < 0.01
    assert stoi(reference, read) > 0.999


def test_files_that_cannot_be_read_have_a_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    for name, reason in (("empty.wav", "unreadable"), ("absent.wav", "missing")):
        with pytest.raises(ClipFailure) as caught:
            read_wav(tmp_path / name)
        assert caught.value.reason == reason


def test_the_page_on_scores_states_the_rule() -> None:
    page = (ROOT / "docs" / "scores.md").read_text()
    for line in rule([]).splitlines():
        assert f"- {line}\n" in page
