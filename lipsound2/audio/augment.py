"""Augmentation of audio: PASE+'s encoder gets the augmented audio, its workers predict features of the clean audio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lipsound2.errors import LipsoundError
from lipsound2.timing import SAMPLE_RATE

_ROOMS = (0.1, 0.6)  # seconds until an echo has died away by 60 dB
_ECHO = (-10.0, 3.0)  # dB, echoes against direct audio
_QUIETEST = 0.05  # of the peak, under `scale`


@dataclass
class AudioAugmentConfig:
    """How audio is augmented in training; the defaults are PASE+'s, where it has the same augmentation.

    Its room responses are measured and its noises recorded, which are further downloads; ours are made of random
    numbers. Its clipping, holes, low passes and second speakers are left out.

    Attributes:
        scale: bring every chunk of audio to a random peak, targets and all.
        reverberation: share of the chunks that get reverberation.
        noise: share of the chunks that get noise.
        noise_snr: decibels of signal to noise, from and to.
    """

    scale: bool = True
    reverberation: float = 0.5
    noise: float = 0.4
    noise_snr: tuple[float, ...] = (0.0, 10.0)

    def __post_init__(self) -> None:
        """Refuse what cannot be done, by name."""
        for key in ("reverberation", "noise"):
            if not 0 <= getattr(self, key) <= 1:
                raise LipsoundError(f"{key}: expected a share from 0 to 1, found {getattr(self, key)}")
        if len(self.noise_snr) != 2 or self.noise_snr[0] > self.noise_snr[1]:
            raise LipsoundError(f"noise_snr: expected two numbers, the lower first, found {list(self.noise_snr)}")


def scale(waveform: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
    """Audio (L,) with a random peak of at most 1; without `rng`, of 0.5. Silence stays as it is."""
    peak = float(np.abs(waveform).max(initial=0.0))
    wanted = 0.5 if rng is None else rng.uniform(_QUIETEST, 1.0)
    return waveform * np.float32(wanted / peak) if peak else waveform


def augment(waveform: np.ndarray, config: AudioAugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Audio (L,) float32 in a room, and with noise, each by chance."""
    if rng.random() < config.reverberation:
        waveform = in_room(waveform, rng)
    if rng.random() < config.noise:
        waveform = with_noise(waveform, rng.uniform(config.noise_snr[0], config.noise_snr[1]), rng)
    return waveform


def in_room(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Audio in a room of noise that dies away exponentially (Moorer, 1979), as loud as before, not delayed."""
    seconds = rng.uniform(*_ROOMS)
    times = np.arange(1, round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    echo = rng.standard_normal(len(times)) * 10 ** (-3 * times / seconds)
    echo *= 10 ** (rng.uniform(*_ECHO) / 20) / np.sqrt(np.square(echo).sum())
    from scipy import signal  # here: it takes half as long to import as torch

    heard = signal.fftconvolve(waveform, np.concatenate([[1.0], echo]))[: len(waveform)]
    loudness = np.sqrt(np.square(waveform).sum() / max(np.square(heard).sum(), 1e-12))
    return (heard * loudness).astype(np.float32)


def with_noise(waveform: np.ndarray, snr: float, rng: np.random.Generator) -> np.ndarray:
    """Audio with noise of a random color, white to brown, at a ratio of `snr` decibels over the whole."""
    spectrum = np.fft.rfft(rng.standard_normal(len(waveform)))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1) ** -rng.uniform(0.0, 1.0)
    noise = np.fft.irfft(spectrum, n=len(waveform))
    power = np.square(waveform, dtype=np.float64).mean() / max(np.square(noise).mean(), 1e-12)
    return (waveform + noise * np.sqrt(power * 10 ** (-snr / 10))).astype(np.float32)
