"""MFCC as python_speech_features computes them, which networks that others published were trained on."""

from __future__ import annotations

import numpy as np

from lipsound2.timing import SAMPLE_RATE

CEPSTRA = 13
_FILTERS, _POINTS, _WINDOW, _STEP, _LIFTER = 26, 512, 400, 160, 22
OVERHANG = _WINDOW - _STEP  # samples of the last frame beyond its step
_AT_ONCE = 4096  # frames


def mfcc(speech: np.ndarray) -> np.ndarray:
    """(frames, 13) of speech (N,) in [-1, 1], 16 kHz: python_speech_features' defaults on 16-bit samples.

    Frames are 25 ms long and 10 ms apart, the first begins with the audio; the first coefficient is the log energy.
    """
    from scipy.fft import dct

    waveform = np.clip(np.round(speech * 32768), -32768, 32767)
    waveform = np.append(waveform[:1], waveform[1:] - 0.97 * waveform[:-1])
    count = 1 + max(0, -(-(len(waveform) - _WINDOW) // _STEP))
    waveform = np.pad(waveform, (0, max(0, (count - 1) * _STEP + _WINDOW - len(waveform))))
    audio_frames = np.lib.stride_tricks.sliding_window_view(waveform, _WINDOW)[::_STEP][:count]
    filters, lift = _filters().T, 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(CEPSTRA) / _LIFTER)
    least = np.finfo(float).eps
    found = np.empty((count, CEPSTRA))
    for first in range(0, count, _AT_ONCE):
        at = slice(first, first + _AT_ONCE)
        power = np.abs(np.fft.rfft(audio_frames[at].astype(float), _POINTS)) ** 2 / _POINTS
        energy, bands = power.sum(1), power @ filters
        found[at] = dct(np.log(np.where(bands == 0, least, bands)), type=2, axis=1, norm="ortho")[:, :CEPSTRA] * lift
        found[at, 0] = np.log(np.where(energy == 0, least, energy))
    return found


def _filters() -> np.ndarray:
    """(26, 257) triangles between whole bins, which lie evenly on O'Shaughnessy's mel scale."""
    mels = np.linspace(0, 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700), _FILTERS + 2)
    edges = np.floor((_POINTS + 1) * 700 * (10 ** (mels / 2595) - 1) / SAMPLE_RATE)[:, None]
    low, center, high = edges[:-2], edges[1:-1], edges[2:]
    bins = np.arange(_POINTS // 2 + 1)
    rising, falling = (bins - low) / (center - low), (high - bins) / (high - center)
    return np.where((low <= bins) & (bins < center), rising, np.where((center <= bins) & (bins < high), falling, 0.0))
