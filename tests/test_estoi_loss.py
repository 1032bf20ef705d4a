"""The loss that follows extended STOI: its ends, its blind spots, and that it ranks blurred speech as STOI does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lipsound2.audio.mel import MELS, mel_spectrogram
from lipsound2.tasks.estoi_loss import estoi_loss

FINE = MELS["fine"]


def _mel(seconds: float = 1.6, seed: int = 0) -> torch.Tensor:
    """(1, S, 80): something like syllables, four a second, in two formants that move."""
    rng = np.random.default_rng(seed)
    size, bands = int(seconds * 100), np.arange(80)
    time = np.arange(size)[:, None] / 100
    phase = rng.uniform(0, 6, 3)
    loud = 2 * np.sin(2 * np.pi * 4 * time + phase[0])
    first, second = 12 + 6 * np.sin(9 * time + phase[1]), 35 + 12 * np.sin(7 * time + phase[2])
    peaks = np.exp(-((bands - first) ** 2) / 30) + 0.7 * np.exp(-((bands - second) ** 2) / 60)
    return torch.from_numpy(loud + 4 * peaks - 6).float()[None]


def test_the_ends():
    mel = _mel()
    frames = torch.tensor([mel.shape[1]])
    assert estoi_loss(mel, mel, frames, FINE).item() == pytest.approx(0, abs=1e-3)
    assert estoi_loss(mel + 1.0, mel, frames, FINE).item() == pytest.approx(0, abs=1e-2), "loudness is not heard"
    assert estoi_loss(_mel(seed=5), mel, frames, FINE).item() > 0.5
    assert estoi_loss(torch.zeros_like(mel), mel, frames, FINE).item() == pytest.approx(1, abs=0.1)


def test_blur_costs():
    mel = _mel()
    frames = torch.tensor([mel.shape[1]])
    blurred = [F.avg_pool1d(mel.transpose(1, 2), k, 1, k // 2).transpose(1, 2) for k in (3, 9, 21)]
    losses = [estoi_loss(b, mel, frames, FINE).item() for b in blurred]
    assert losses == sorted(losses)
    assert losses[0] < 0.1 < losses[2]


@pytest.mark.parametrize("padding", [-12.0, 0.0, 3.0])
def test_padding_does_not_count(padding):
    """Of a clip whose quiet syllables lie 35 dB below the loud ones: the padding moves no threshold."""
    mel, guess = _mel(), _mel(seed=5)
    mel = mel - 4 * (torch.arange(mel.shape[1]) > 60)[None, :, None]
    frames = torch.tensor([120])
    alone = estoi_loss(guess[:, :120], mel[:, :120], frames, FINE)
    padded = [F.pad(each[:, :120], (0, 0, 0, 40), value=padding) for each in (guess, mel)]
    torch.testing.assert_close(estoi_loss(*padded, frames, FINE), alone)


def test_short_and_silent_clips_cost_nothing_and_slopes_are_finite():
    short = _mel(0.3).requires_grad_()
    assert estoi_loss(short, short, torch.tensor([30]), FINE).tolist() == [0]
    silent = torch.full((1, 160, 80), -11.5, requires_grad=True)
    estoi_loss(silent, torch.full((1, 160, 80), -11.5), torch.tensor([160]), FINE).sum().backward()
    assert silent.grad is not None
    assert torch.isfinite(silent.grad).all()


def test_its_slope_leads_to_the_target():
    mel = _mel()
    guess = (0.5 * mel + 0.5 * _mel(seed=5)).requires_grad_()
    frames = torch.tensor([mel.shape[1]])
    optimizer = torch.optim.Adam([guess], 0.05)
    first = estoi_loss(guess, mel, frames, FINE).item()
    for _ in range(50):
        optimizer.zero_grad()
        estoi_loss(guess, mel, frames, FINE).sum().backward()
        optimizer.step()
    assert estoi_loss(guess, mel, frames, FINE).item() < 0.3 * first


@pytest.mark.real
def test_it_ranks_real_speech_as_the_measure_does(grid):
    pytest.importorskip("pystoi")
    from pystoi import stoi

    from lipsound2.audio.griffin_lim import mel_to_waveform
    from lipsound2.audio.io import load_audio

    waveform = load_audio(grid / "s1" / "bbaf3s.mp4", start=0.0, seconds=3.0)
    mel = mel_spectrogram(torch.from_numpy(waveform), FINE)
    found = []
    for width in (1, 9, 21, 45):
        blurred = F.avg_pool1d(mel.T[None], width, 1, width // 2)[0].T
        loss = estoi_loss(blurred[None], mel[None], torch.tensor([len(mel)]), FINE).item()
        spoken = mel_to_waveform(blurred, FINE, iterations=16).numpy()[: len(waveform)]
        found.append((1 - loss, stoi(waveform[: len(spoken)], spoken, 16000, extended=True)))
    ours, measure = np.array(found).T
    assert (np.diff(ours) < 0).all()
    assert (np.diff(measure) < 0).all()
    assert np.corrcoef(ours, measure)[0, 1] > 0.85
