"""From audio to the shape of a mouth, as one sees it: opening, width, teeth, tongue.

Opening follows the energy and the first formant, width and rounding follow the second, teeth the share of high
frequencies. Formants are the centers of gravity of a linear-prediction envelope in two bands: they move continuously
and need no tracking.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import get_window, resample_poly

from lipsound2.timing import FRAME_RATE

_RATE = 10000  # of the analysis: five formants lie below 5 kHz
_HOP, _WINDOW, _ORDER, _POINTS = 100, 300, 12, 256
_F1_BAND, _F2_BAND = (200.0, 1000.0), (850.0, 2800.0)  # Hz
_SILENCE, _LOUD = -36.0, -5.0  # dB below the loudest moment: mouth shut, mouth as open as the vowel wants


@dataclass(frozen=True)
class Articulation:
    """The mouth at each frame, all (frames,) float32.

    Args:
        opening: between the lips, 0 shut to 1 wide open.
        width: of the mouth, -1 rounded to 1 spread.
        teeth: how closed the teeth are, 0 apart to 1 together.
        tongue: 0 low and back to 1 high and in front.
        energy: loudness of the voiced part, 0 silent to 1; the head moves with it.
    """

    opening: np.ndarray
    width: np.ndarray
    teeth: np.ndarray
    tongue: np.ndarray
    energy: np.ndarray

    def __len__(self) -> int:
        return len(self.opening)


@dataclass(frozen=True)
class Measures:
    """Measured every 10 ms, all (steps,) float64: energy (dB below the loudest), formants (Hz), share of hiss."""

    energy: np.ndarray
    f1: np.ndarray
    f2: np.ndarray
    hiss: np.ndarray


def measure(waveform: np.ndarray, rate: int) -> Measures:
    """Energy, formants and hiss of audio.

    Args:
        waveform: (samples,) float in [-1, 1].
        rate: samples a second.

    Returns:
        One value per 10 ms; step k is centered on k x 10 ms.
    """
    low = resample_poly(np.asarray(waveform, dtype=np.float64), _RATE, rate)
    power = np.abs(np.fft.rfft(_frames(low), 2 * _POINTS, axis=1)) ** 2
    frequencies = np.linspace(0, _RATE / 2, _POINTS + 1)
    # Prediction fits the loud harmonics of the voice alone unless the spectrum is tilted up first.
    envelope = _envelope(power * np.abs(1 - 0.95 * np.exp(-2j * np.pi * frequencies / _RATE)) ** 2)
    voiced = power[:, (frequencies > 100) & (frequencies < 4000)].sum(1)
    hissing = power[:, frequencies > 3500].sum(1)
    energy = 10 * np.log10(voiced + 1e-12)
    return Measures(
        energy=energy - energy.max(),
        f1=_center(envelope, frequencies, _F1_BAND),
        f2=_center(envelope, frequencies, _F2_BAND),
        hiss=hissing / (power[:, frequencies > 100].sum(1) + 1e-9),
    )


def articulate(waveform: np.ndarray, rate: int, frames: int, fps: float = FRAME_RATE) -> Articulation:
    """The mouth that makes this audio.

    Args:
        waveform: (samples,) float in [-1, 1].
        rate: samples a second.
        frames: how many.
        fps: frames a second; frame i shows the moment (i + 1/2) / fps, as a shutter would.
    """
    heard = measure(waveform, rate)
    energy = np.clip((heard.energy - _SILENCE) / (_LOUD - _SILENCE), 0, 1)
    height = np.clip((heard.f1 - 330) / 370, 0, 1)
    front = np.clip((heard.f2 - 1650) / 650, -1, 1)
    hiss = np.clip((heard.hiss - 0.2) / 0.4, 0, 1)
    spoken = np.clip(energy * 1.6, 0, 1)  # a quiet vowel is as wide as a loud one
    curves = {
        "opening": energy * (0.22 + 0.78 * height) * (1 - 0.6 * hiss) + 0.1 * hiss * spoken,
        "width": front * spoken,
        "teeth": hiss * np.clip((heard.energy + 60) / 20, 0, 1),
        "tongue": (0.5 + 0.5 * front) * (1 - 0.5 * height),
        "energy": energy,
    }
    centers = (np.arange(frames) + 0.5) / fps * _RATE / _HOP
    steps = np.arange(len(energy))
    blur = 0.35 * _RATE / _HOP / fps  # what moves within a frame is blurred, and a lip is not faster than that
    return Articulation(
        **{
            name: np.interp(centers, steps, gaussian_filter1d(curve, blur, mode="nearest")).astype(np.float32)
            for name, curve in curves.items()
        }
    )


def _frames(waveform: np.ndarray) -> np.ndarray:
    """Windowed frames (steps, _WINDOW), centered on multiples of the hop."""
    padded = np.pad(waveform, (_WINDOW // 2, _WINDOW))
    views = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    return views[: len(waveform) // _HOP + 1] * get_window("hamming", _WINDOW)


def _envelope(power: np.ndarray) -> np.ndarray:
    """Linear-prediction envelopes (steps, _POINTS + 1) of power spectra, by the autocorrelation method."""
    correlation = np.fft.irfft(power, axis=1)[:, : _ORDER + 1]
    correlation[:, 0] = correlation[:, 0] * 1.0001 + 1e-9
    lags = np.abs(np.arange(_ORDER)[:, None] - np.arange(_ORDER)[None])
    weights = np.linalg.solve(correlation[:, lags], correlation[:, 1:, None])[..., 0]
    inverse = np.fft.rfft(np.concatenate([np.ones((len(weights), 1)), -weights], 1), 2 * _POINTS, axis=1)
    return 1 / (np.abs(inverse) ** 2 + 1e-9)


def _center(envelope: np.ndarray, frequencies: np.ndarray, band: tuple[float, float]) -> np.ndarray:
    """Center of gravity in Hz of each envelope within a band."""
    inside = (frequencies >= band[0]) & (frequencies <= band[1])
    weights = envelope[:, inside] ** 1.5  # the peak counts, its skirts hardly
    return (weights * frequencies[inside]).sum(1) / weights.sum(1)
