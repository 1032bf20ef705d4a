"""ESTOI of speech alone: which frames are speech, that the rest does not count, and what cannot be scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lipsound2
from lipsound2.audio.io import load_audio
from lipsound2.errors import ClipFailure
from lipsound2.metrics.estoi_speech_scorer import scorer, speech_frames
from lipsound2.metrics.requested import Request
from lipsound2.metrics.speech import estoi, to_rate

RATE = 16_000
score = scorer(Request("estoi_speech"))


def said(seed: int = 0, seconds: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """(N,) something like syllables between silence, and where they are."""
    time = np.arange(round(seconds * RATE)) / RATE
    inside = (time > 0.8) & (time < 2.2)
    rng = np.random.default_rng(seed)
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * time + rng.uniform(0, 6))
    voice = sum(np.sin(2 * np.pi * f * time * (1 + 0.02 * np.sin(5 * time))) / f for f in range(120, 4000, 120))
    return 40 * voice * syllables * inside, inside


def of(speech: np.ndarray, reference: np.ndarray) -> float:
    return score("clip", speech, reference)["estoi_speech"]


def test_frames_of_speech_are_found_above_hum():
    speech, inside = said()
    hum = 0.02 * np.sin(2 * np.pi * 50 * np.arange(len(speech)) / RATE)
    noise = np.random.default_rng(1).normal(0, 1e-4, len(speech))
    found = speech_frames(to_rate(speech + hum + noise, RATE, 10_000))
    wanted = inside[np.minimum((np.arange(len(found)) * 128 + 128) * 8 // 5, len(inside) - 1)]
    assert (found == wanted).mean() > 0.95


def test_noise_in_pauses_is_not_counted_and_noise_in_speech_is():
    clean, inside = said()
    floor = np.random.default_rng(1).normal(0, 1e-3, len(clean))
    reference = clean + floor
    other = clean + np.random.default_rng(2).normal(0, 1e-3, len(clean))  # the same speech, other noise
    hiss = np.random.default_rng(3).normal(0, 0.05, len(clean))
    assert of(other, reference) > 0.97
    assert of(other + hiss * ~inside, reference) > 0.95 > of(other + hiss * inside, reference)
    assert of(reference, reference) == pytest.approx(1, abs=1e-6)


def test_what_cannot_be_scored_is_told():
    speech, _ = said()
    for reference in (np.ones(100), np.pad(speech[20000:22000], 200)):
        with pytest.raises(ClipFailure, match="too-short"):
            of(reference, reference)
    assert lipsound2.metrics.estoi_speech(speech, np.zeros(len(speech))) == 0
    assert lipsound2.metrics.estoi_speech(speech, speech) > 0.99


@pytest.mark.real
def test_real_clips_are_cut_as_their_word_times_say(grid: Path):
    right: list[np.ndarray] = []
    for path in sorted((grid / "s1").glob("*.mp4"))[:12]:
        lines = (grid / "align" / "s1" / f"{path.stem}.align").read_text().split("\n")
        rows = [line.split() for line in lines if line.strip()]
        waveform = load_audio(path)
        found = speech_frames(to_rate(waveform, RATE, 10_000))
        seconds = (np.arange(len(found)) * 128 + 128) / 10_000
        words = [(int(a) / 25_000, int(b) / 25_000) for a, b, word in rows if word not in ("sil", "sp")]
        right.append(found == np.any([(seconds >= a) & (seconds < b) for a, b in words], axis=0))
        assert of(waveform, waveform) == pytest.approx(1, abs=1e-6)
        assert of(np.roll(waveform, RATE // 2), waveform) < estoi(waveform, waveform)
    assert np.concatenate(right).mean() > 0.9
