"""The Griffin-Lim of `griffin_lim`, for one clip and without torch: what exported models speak through.

The same steps in the same order, in numpy and scipy; there is no batch, no random start and no GPU. `griffin_lim`
tells why each of them is there.
"""

from __future__ import annotations

import numpy as np

from lipsound2.audio.mel_settings import MelConfig, mel_filters
from lipsound2.errors import LipsoundError

DEFAULT_ITERATIONS = 60
REFINE_EVERY = 4  # rounds; every round gains nothing more and costs twice the time
MOMENTUM = 0.99
_STEPS = 6  # from a smooth spectrum to one that has the mel
_SILENT_POWER = 1e-20


def mel_to_waveform(
    mel: np.ndarray,
    config: MelConfig,
    iterations: int = DEFAULT_ITERATIONS,
    prefix: np.ndarray | None = None,
    num_fixed: int = 0,
) -> np.ndarray:
    """Speech from a log-mel-spectrogram.

    Args:
        mel: (S, bands) natural logarithm.
        config: the mel.
        iterations: rounds of Griffin-Lim.
        prefix: the first samples (hops of the longest window or more), where an earlier piece has spoken them. The
            rounds start from them, and what follows goes on with their phases.
        num_fixed: how many samples of `prefix` come out unchanged.

    Returns:
        (S * hop,) float32.

    Raises:
        LipsoundError: the clip is shorter than a window reaches.
    """
    frames = len(mel)
    least = -(-config.shortest // config.hop)
    if frames < least:
        raise LipsoundError(
            f"Griffin-Lim: a clip of {frames} frames is too short for the mel '{config.name}', which needs {least}"
        )
    bands = np.exp(mel.astype(np.float32))
    filters = mel_filters(config).astype(np.float32)
    shares = filters / np.maximum(filters.sum(0), 1e-9)

    def match_mel(magnitude: np.ndarray) -> np.ndarray:
        wanted: np.ndarray = magnitude * ((bands / np.maximum(magnitude @ filters.T, 1e-12)) @ shares)
        return wanted

    magnitude = (bands / filters.sum(1)) @ shares
    for _ in range(_STEPS):
        magnitude = match_mel(magnitude)
    framing = _Framing(config, frames)
    phases = _peak_phases(magnitude, config)
    fixed = np.zeros(0, np.float32)
    if prefix is not None and len(prefix):
        fixed = prefix[:num_fixed]
        spoken = np.angle(framing.analyze(prefix)[: (len(prefix) - config.overhang) // config.hop]).astype(np.float32)
        phases += spoken[-1] - phases[len(spoken) - 1]
        phases[: len(spoken)] = spoken
    waveform = framing.synthesize(magnitude * np.exp(1j * phases))
    waveform[: len(fixed)] = fixed
    previous = waveform
    for number in range(1, iterations + 1):
        spectrum = framing.analyze(waveform + MOMENTUM * (waveform - previous))
        power = spectrum.real**2 + spectrum.imag**2 + np.float32(_SILENT_POWER)
        if number % REFINE_EVERY == 0:
            magnitude = match_mel(np.sqrt(power))
        previous, waveform = waveform, framing.synthesize(spectrum * (magnitude / np.sqrt(power)))
        waveform[: len(fixed)] = fixed
    return waveform


def _peak_phases(magnitude: np.ndarray, config: MelConfig) -> np.ndarray:
    """Phases (S, bins) float32 that turn from frame to frame with the frequency of the nearest spectral peak."""
    bins = magnitude.shape[1]
    level = np.log(np.maximum(magnitude, 1e-9))
    left = np.pad(level[:, :-1], ((0, 0), (1, 0)), constant_values=-25.0)
    right = np.pad(level[:, 1:], ((0, 0), (0, 1)), constant_values=-25.0)
    is_peak = (level > left) & (level >= right)
    bend = np.minimum(left - 2 * level + right, -1e-6)
    index = np.arange(bins)
    top = (index + np.clip(0.5 * (left - right) / bend, -0.5, 0.5)).astype(np.float32)
    below = np.maximum.accumulate(np.where(is_peak, index, -bins), axis=1)
    above = np.minimum.accumulate(np.where(is_peak, index, 2 * bins)[:, ::-1], axis=1)[:, ::-1]
    nearest = np.where(index - below <= above - index, below, above).clip(0, bins - 1)
    frequency = np.take_along_axis(top, nearest, axis=1) / config.n_fft  # turns a sample
    frequency[1:] = (frequency[1:] + frequency[:-1]) / 2
    turns = np.cumsum(frequency.astype(np.float64) * config.hop, axis=0)
    turns -= index * (0.5 * config.window / config.n_fft)
    return (np.remainder(turns, 1.0) * (2 * np.pi)).astype(np.float32)


class _Framing:
    """Analysis and least-squares synthesis of audio of `frames` frames."""

    def __init__(self, config: MelConfig, frames: int) -> None:
        self._config, self._frames, self._samples = config, frames, frames * config.hop
        self._overlap = -(-config.window // config.hop)
        turns = np.arange(config.window) / config.window
        self._window = (0.5 - 0.5 * np.cos(2 * np.pi * turns)).astype(np.float32)
        total = self._overlap_add(np.broadcast_to(self._window**2, (frames, config.window)))
        self._weight = np.divide(1, total, out=np.zeros_like(total), where=total > 1e-8)

    def analyze(self, waveform: np.ndarray) -> np.ndarray:
        """Spectra (S, bins) complex64 of audio (samples,), continued by reflection."""
        padded = np.pad(waveform, self._config.overhang, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, self._config.window)[:: self._config.hop]
        from scipy import fft  # here: a name of a vocoder is read without it

        spectra: np.ndarray = fft.rfft(frames * self._window, n=self._config.n_fft)
        return spectra

    def synthesize(self, spectrum: np.ndarray) -> np.ndarray:
        """Audio (samples,) float32 whose frames come nearest to the given spectra (S, bins)."""
        from scipy import fft

        frames = fft.irfft(spectrum, n=self._config.n_fft)[:, : self._config.window] * self._window
        return self._overlap_add(frames) * self._weight

    def _overlap_add(self, frames: np.ndarray) -> np.ndarray:
        hop, whole = self._config.hop, self._overlap * self._config.hop
        pieces = np.pad(frames, ((0, 0), (0, whole - frames.shape[1]))).reshape(self._frames, self._overlap, hop)
        total = np.zeros((self._frames + self._overlap - 1, hop), np.float32)
        for shift in range(self._overlap):
            total[shift : shift + self._frames] += pieces[:, shift]
        return total.reshape(-1)[self._config.overhang :][: self._samples]
