"""Mels: framing, filters as librosa's, equality with the definition written out, inverse, configs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from lipsound2.audio.mel import (
    MELS,
    MelConfig,
    MelInverse,
    frames_of,
    mel_config,
    mel_filters,
    mel_spectrogram,
    same_mel,
)
from lipsound2.errors import LipsoundError

EVERY = pytest.mark.parametrize("config", MELS.values(), ids=MELS)


def signals() -> dict[str, np.ndarray]:
    """Audio on which mistakes show: a loud sine beside quiet bands, noise at two levels, silence."""
    rng = np.random.default_rng(0)
    time = np.arange(8000) / 16000
    return {
        "sine": np.sin(2 * np.pi * 764.3 * time).astype(np.float32),
        "noise": (0.1 * rng.standard_normal(8000)).astype(np.float32),
        "hiss": (1e-5 * rng.standard_normal(8000)).astype(np.float32),
        "silence": np.zeros(8000, np.float32),
    }


def written_out(waveform: np.ndarray, config: MelConfig) -> np.ndarray:
    """The definition, frame by frame: reflect padding of (n_fft - hop) / 2, window in the middle of n_fft points."""
    padded = np.pad(waveform.astype(np.float64), (config.n_fft - config.hop) // 2, mode="reflect")
    window = np.zeros(config.n_fft)
    begin = (config.n_fft - config.window) // 2
    window[begin : begin + config.window] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.window) / config.window)
    rows = [
        mel_filters(config) @ np.abs(np.fft.rfft(padded[start : start + config.n_fft] * window))
        for start in range(0, len(waveform) // config.hop * config.hop, config.hop)
    ]
    return np.log(np.maximum(rows, config.floor))


@EVERY
@pytest.mark.parametrize("name", ["sine", "noise", "hiss", "silence"])
def test_equals_the_definition(config: MelConfig, name: str) -> None:
    waveform = signals()[name]
    assert (
        np.abs(mel_spectrogram(torch.from_numpy(waveform), config).numpy() - written_out(waveform, config)).max() < 1e-5
    )


@EVERY
def test_filters_are_those_of_librosa(config: MelConfig) -> None:
    """With them the definition is librosa's mel. Its own STFT is left out: it is compiled for half a minute."""
    filters = pytest.importorskip("librosa.filters", reason="librosa is not installed (extra: bench)")
    theirs = filters.mel(
        sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.bands, fmin=config.fmin, fmax=config.fmax
    )
    assert np.abs(mel_filters(config) - theirs).max() < 1e-7


def test_filters_have_unit_area_and_slaneys_centers() -> None:
    config = dataclasses.replace(MELS["fine"], n_fft=16384)  # bins fine enough to measure areas
    filters = mel_filters(config)
    np.testing.assert_allclose(filters.sum(1) * config.sample_rate / config.n_fft, 1.0, rtol=0.01)
    # 8 kHz is 15 + 27 ln(8) / ln(6.4) = 45.25 mel; the 27th of 82 edges lies at 26 / 81 of it, still below 1 kHz.
    mel = (15 + 27 * np.log(8) / np.log(6.4)) * 26 / 81
    assert filters[25].argmax() * config.sample_rate / config.n_fft == pytest.approx(mel * 200 / 3, abs=1.0)


@pytest.mark.parametrize(("name", "frames"), [("fine", 300), ("paper", 187)])
def test_a_grid_clip_has_so_many_frames(name: str, frames: int) -> None:
    config = mel_config(name)
    assert frames_of(75 * 640, config) == frames
    assert mel_spectrogram(torch.randn(2, 3, 75 * 640), config).shape == (2, 3, frames, 80)


@EVERY
@pytest.mark.parametrize("extra", [0, 1, 159])
def test_frames_are_samples_over_hop(config: MelConfig, extra: int) -> None:
    samples = 5 * config.hop + extra
    assert mel_spectrogram(torch.randn(samples), config).shape[0] == samples // config.hop


@EVERY
def test_frames_are_centered_on_their_hop(config: MelConfig) -> None:
    waveform = torch.zeros(20 * config.hop)
    waveform[10 * config.hop + config.hop // 2] = 1.0  # the middle of frame 10
    level = mel_spectrogram(waveform, config).exp().sum(-1)
    assert int(level.argmax()) == 10
    torch.testing.assert_close(level[8:10], level[11:13].flip(0), rtol=1e-4, atol=1e-6)


def test_gradient_is_finite_on_silence_and_after_inference_mode() -> None:
    config = dataclasses.replace(MELS["fine"], bands=79)  # its filters are not cached yet
    with torch.inference_mode():
        mel_spectrogram(torch.randn(3200), config)
    waveform = torch.cat([torch.zeros(3200), 0.1 * torch.randn(3200)]).requires_grad_()
    mel_spectrogram(waveform, config).sum().backward()
    assert waveform.grad is not None
    assert torch.isfinite(waveform.grad).all()
    assert waveform.grad.abs().sum() > 0


@EVERY
def test_audio_that_is_too_short_is_refused(config: MelConfig) -> None:
    assert mel_spectrogram(torch.randn(config.shortest), config).shape[0] == config.shortest // config.hop
    with pytest.raises(LipsoundError, match=f"{config.shortest - 1} samples is too short"):
        mel_spectrogram(torch.randn(config.shortest - 1), config)


@EVERY
def test_the_inverse_has_the_mel_it_was_made_from(config: MelConfig) -> None:
    torch.manual_seed(0)
    time = torch.arange(16000) / 16000
    voice = sum(torch.sin(2 * torch.pi * 130 * k * time) / k for k in range(1, 30)) * 0.1
    mel = mel_spectrogram(voice + 1e-3 * torch.randn(16000), config)
    magnitude = MelInverse(mel, config).magnitude()
    assert magnitude.shape == (len(mel), config.bins)
    assert (magnitude >= 0).all()
    again = magnitude @ torch.from_numpy(mel_filters(config)).float().T
    limit = (
        0.04 if config.name == "speecht5" else 0.03
    )  # its bands begin at 80 Hz, near the voice's first harmonic at 130
    assert (again - mel.exp()).norm() / mel.exp().norm() < limit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hop": 700}, "0 < hop <= window <= n_fft"),
        ({"hop": 161}, "must be even"),
        ({"fmax": 9000.0}, "fmax <= 8000 Hz"),
        ({"floor": 0.0}, "must be positive"),
    ],
)
def test_impossible_configs_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(LipsoundError, match=message):
        dataclasses.replace(MELS["fine"], **change)


def test_mels_that_differ_are_reported_apart_by_key(tmp_path) -> None:
    other = dataclasses.replace(MELS["fine"], hop=128, floor=1e-4)
    with pytest.raises(
        LipsoundError, match="the vocoder v was made for another mel than 'fine': hop is 128, wanted 160"
    ):
        same_mel(other, MELS["fine"], "the vocoder v")
    same_mel(dataclasses.replace(MELS["fine"], name="mine"), MELS["fine"], "the vocoder v")
    with pytest.raises(LipsoundError, match="unknown mel 'coarse'; one of: fine, paper"):
        mel_config("coarse")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@EVERY
def test_cuda_equals_cpu(config: MelConfig) -> None:
    waveform = torch.from_numpy(signals()["noise"])
    torch.testing.assert_close(
        mel_spectrogram(waveform.cuda(), config).cpu(), mel_spectrogram(waveform, config), atol=1e-5, rtol=0
    )
