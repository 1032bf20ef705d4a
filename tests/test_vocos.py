"""Vocos: exact lengths, what a sample depends on, the transform, and what it knows before it has learned anything."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from lipsound2.audio.mel import MELS, mel_spectrogram
from lipsound2.errors import LipsoundError
from lipsound2.models.vocoders.vocos import Vocos, VocosConfig

TINY = VocosConfig(width=16, layers=2)


@pytest.fixture(params=sorted(MELS))
def mel(request: pytest.FixtureRequest):
    return MELS[request.param]


def make(mel, config: VocosConfig = TINY) -> Vocos:
    torch.manual_seed(0)
    return Vocos(config, mel).eval()


def test_the_papers_size() -> None:
    # 13.5 M with 100 bands of a 24 kHz mel and hops of 256; here 80.
    size = sum(weight.numel() for weight in make(MELS["paper"], VocosConfig()).parameters())
    assert size == pytest.approx(13.5e6, rel=0.02)


@pytest.mark.parametrize("frames", [1, 7, 32])
def test_lengths_are_exact(mel, frames: int) -> None:
    model = make(mel)
    assert model(torch.randn(2, frames, 80) - 4).shape == (2, frames * mel.hop)


def test_a_sample_depends_on_what_the_reach_says(mel) -> None:
    model, frames = make(mel).double(), 101
    spectrum = torch.randn(1, frames, 80, dtype=torch.float64) - 4
    changed = spectrum.clone()
    changed[:, 50] += 1
    differ = (model(spectrum) != model(changed))[0].nonzero().flatten() // mel.hop
    first, last = int(differ.min()), int(differ.max())
    assert 50 - model.receptive_field <= first <= 50 - 0.6 * model.receptive_field
    assert 50 + 0.6 * model.receptive_field <= last <= 50 + model.receptive_field


def test_the_matrices_are_the_inverse_fourier_transform(mel) -> None:
    model = make(mel)
    rng = np.random.default_rng(0)
    spectrum = rng.standard_normal((3, mel.bins)) + 1j * rng.standard_normal((3, mel.bins))
    spectrum[:, [0, -1]] = spectrum[:, [0, -1]].real
    real, imaginary = (torch.from_numpy(part).float() for part in (spectrum.real, spectrum.imag))
    found = real @ model.cosines + imaginary @ model.sines
    # Ours count from the window's middle.
    wanted = np.roll(np.fft.irfft(spectrum, mel.n_fft), mel.window // 2, axis=-1)[:, : found.shape[1]]
    assert np.abs(found.numpy() - wanted).max() < 1e-5


def test_before_it_has_learned_anything_the_mel_is_near(mel) -> None:
    rng = np.random.default_rng(0)
    waveform = torch.from_numpy(
        np.convolve(rng.standard_normal(16000), np.hanning(9), "same").astype(np.float32) * 0.05
    )
    wanted = mel_spectrogram(waveform, mel)
    with torch.no_grad():
        found = mel_spectrogram(make(mel)(wanted[None])[0], mel)
    assert float((found - wanted).abs().mean()) < 0.7


def test_every_weight_learns(mel) -> None:
    model = make(mel).train()
    model(torch.randn(2, 12, 80) - 4).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in model.parameters())


@pytest.mark.parametrize(
    ("keys", "message"),
    [({"layers": 0}, "layers, expansion: expected 1"), ({"discriminator_width": 2.0}, "discriminator_width")],
)
def test_what_cannot_be_built_is_refused(keys: dict, message: str) -> None:
    with pytest.raises(LipsoundError, match=message):
        dataclasses.replace(TINY, **keys)
