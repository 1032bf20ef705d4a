"""Mel-spectrograms: one definition for features, models, Griffin-Lim and vocoders.

Frame `s` looks at samples `s * hop - (window - hop) / 2 ... s * hop + (window + hop) / 2`, that is, it is centered on
the middle of its own hop. Audio is padded by reflection at both ends, so there are exactly `samples // hop` frames. A
video frame of 640 samples has four of them (`fine`) or two and a half (`paper`).
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from lipsound2.audio.mel_settings import (
    MELS,
    MelConfig,
    frames_of,
    mel_config,
    mel_filters,
    same_mel,
)
from lipsound2.errors import LipsoundError

__all__ = ["MELS", "MelConfig", "frames_of", "mel_config", "mel_filters", "same_mel"]

# Below this power a bin is silence. It keeps the gradient of the root finite. At a magnitude of 1e-9 it stays four
# orders below the floor of the logarithm, so the mel is that of the plain magnitude (librosa, power=1).
_SILENT_POWER = 1e-18
_STEPS = 6  # from a smooth spectrum to one that has the mel


def mel_spectrogram(waveform: Tensor, config: MelConfig) -> Tensor:
    """Log-mel-spectrogram of audio.

    Worked out in float64: in float32 the rounding of loud bins reaches the floor of quiet bands beside them (4e-4 on
    speech, 7e-3 on a sine).

    Args:
        waveform: (..., samples) float32 in [-1, 1], at `config.sample_rate`.
        config: the mel.

    Returns:
        (..., S, bands) natural logarithm of the mel magnitude, at least `log(floor)`; S = samples // hop.

    Raises:
        LipsoundError: the audio is shorter than the reflection at its ends needs.
    """
    magnitude = magnitude_spectrogram(waveform.double(), config)
    bands = magnitude @ _filters_on(config, magnitude.device, magnitude.dtype).T
    return bands.clamp_min(config.floor).log().to(waveform.dtype)


def magnitude_spectrogram(waveform: Tensor, config: MelConfig) -> Tensor:
    """Magnitude spectrogram (..., S, n_fft // 2 + 1) of audio (..., samples), framed as the mel is."""
    spectrum = torch.view_as_real(
        torch.fft.rfft(frame(waveform, config) * hann(config, waveform.device, waveform.dtype), n=config.n_fft)
    )
    return spectrum.square().sum(-1).clamp_min(_SILENT_POWER).sqrt()


def frame(waveform: Tensor, config: MelConfig) -> Tensor:
    """Overlapping frames (..., S, window) of audio (..., samples), reflected at both ends; a view, to be read only.

    The window lies in the middle of the n_fft points. Where it lies changes the phase alone, so only its own samples
    are taken, and the reflection by (n_fft - hop) / 2 shrinks to (window - hop) / 2.
    """
    samples = waveform.shape[-1]
    if samples < config.shortest:
        raise LipsoundError(
            f"audio of {samples} samples is too short for the mel '{config.name}', which needs {config.shortest}"
        )
    flat = waveform.reshape(-1, samples)
    padded = F.pad(flat[:, None], (config.overhang, config.overhang), mode="reflect")[:, 0]
    frames = padded.unfold(-1, config.window, config.hop)[:, : frames_of(samples, config)]
    return frames.reshape(*waveform.shape[:-1], *frames.shape[1:]) if waveform.dim() != 2 else frames


@functools.lru_cache(maxsize=16)
@torch.inference_mode(False)
def hann(config: MelConfig, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """The periodic Hann window (window,)."""
    return torch.hann_window(config.window, dtype=torch.float64).to(device, dtype)


@functools.lru_cache(maxsize=16)
@torch.inference_mode(False)  # what is kept must serve training too
def _filters_on(config: MelConfig, device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(mel_filters(config)).to(device, dtype)


class MelInverse:
    """Magnitudes that have a given mel.

    80 sums do not tell 513 magnitudes. One step multiplies every bin by the mean of what its bands lack (Lee and Seung,
    2001, for the generalized Kullback-Leibler divergence): this comes nearer to the mel. What the mel does not tell,
    such as the harmonics, stays as in the magnitudes it is given.

    Args:
        mel: (..., S, bands) natural logarithm.
        config: the mel.
    """

    def __init__(self, mel: Tensor, config: MelConfig) -> None:
        self._bands = mel.exp()
        self._filters = _filters_on(config, mel.device, mel.dtype)
        # The lowest and the highest bin lie in no band: they stay empty.
        self._shares = self._filters / self._filters.sum(0).clamp_min(1e-9)

    def step(self, magnitude: Tensor) -> Tensor:
        """One step from magnitudes (..., S, n_fft // 2 + 1) towards the mel."""
        found = magnitude @ self._filters.T
        return magnitude * ((self._bands / found.clamp_min(1e-12)) @ self._shares)

    def magnitude(self) -> Tensor:
        """Magnitudes (..., S, n_fft // 2 + 1) out of the mel alone, within 2 % on speech, from a smooth spectrum on."""
        magnitude = (self._bands / self._filters.sum(1)) @ self._shares
        for _ in range(_STEPS):
            magnitude = self.step(magnitude)
        return magnitude
