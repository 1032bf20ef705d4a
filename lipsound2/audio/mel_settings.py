"""What a mel-spectrogram is made of, and its filters: without torch, for exported models and comparisons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lipsound2.config import to_mapping
from lipsound2.errors import LipsoundError
from lipsound2.timing import SAMPLE_RATE


@dataclass(frozen=True)
class MelConfig:
    """What a mel-spectrogram is made of. Two sets of features fit together only when all of this is equal.

    Attributes:
        name: short name; the kind in the dump is `mel-<name>`.
        sample_rate: samples per second.
        n_fft: points of the Fourier transform.
        window: samples of the (periodic) Hann window, at most `n_fft`.
        hop: samples from frame to frame.
        bands: number of mel bands.
        fmin: lower edge of the first band in Hz.
        fmax: upper edge of the last band in Hz.
        floor: smallest mel magnitude before the logarithm.
    """

    name: str
    sample_rate: int = SAMPLE_RATE
    n_fft: int = 1024
    window: int = 640
    hop: int = 160
    bands: int = 80
    fmin: float = 0.0
    fmax: float = 8000.0
    floor: float = 1e-5

    def __post_init__(self) -> None:
        where = f"mel '{self.name}'"
        if not 0 < self.hop <= self.window <= self.n_fft:
            raise LipsoundError(
                f"{where}: expected 0 < hop <= window <= n_fft, found hop {self.hop}, window {self.window}, "
                f"n_fft {self.n_fft}"
            )
        if self.n_fft % 2 or (self.window - self.hop) % 2:
            raise LipsoundError(
                f"{where}: n_fft and (window - hop) must be even so that frames lie symmetrically, found n_fft "
                f"{self.n_fft}, window {self.window}, hop {self.hop}"
            )
        if not 0 <= self.fmin < self.fmax <= self.sample_rate / 2:
            raise LipsoundError(
                f"{where}: expected 0 <= fmin < fmax <= {self.sample_rate / 2:g} Hz, "
                f"found {self.fmin:g} and {self.fmax:g}"
            )
        if self.bands < 1 or self.floor <= 0:
            raise LipsoundError(f"{where}: bands and floor must be positive, found {self.bands} and {self.floor:g}")

    @property
    def overhang(self) -> int:
        """Samples a frame's window reaches beyond its hop, on each side."""
        return (self.window - self.hop) // 2

    @property
    def shortest(self) -> int:
        """The least samples of audio: one frame, and enough to reflect."""
        return max(self.hop, self.overhang + 1)

    @property
    def silence(self) -> float:
        """The least value of a log-mel."""
        return math.log(self.floor)

    @property
    def bins(self) -> int:
        """Frequency bins of a magnitude spectrum."""
        return self.n_fft // 2 + 1


MELS: dict[str, MelConfig] = {
    # Four mel frames a video frame at 25 fps; the finer grid keeps more speech through Griffin-Lim.
    "fine": MelConfig(name="fine", n_fft=1024, window=640, hop=160),
    # LipSound2, section III-C: 64 ms windows, 16 ms hops, two and a half mel frames a video frame.
    "paper": MelConfig(name="paper", n_fft=1024, window=1024, hop=256),
    # What SpeechT5's vocoder speaks (microsoft/speecht5_hifigan): the same frames, other bands, a lower floor.
    "speecht5": MelConfig(name="speecht5", n_fft=1024, window=1024, hop=256, fmin=80.0, fmax=7600.0, floor=1e-10),
}
# Input of recognizers: a window of 25 ms, as is usual for ASR.
SPEECH = MelConfig(name="speech", n_fft=512, window=400, hop=160, bands=80)


def mel_config(name: str) -> MelConfig:
    """The mel of that name.

    Raises:
        LipsoundError: there is none.
    """
    if name not in MELS:
        raise LipsoundError(f"unknown mel '{name}'; one of: {', '.join(MELS)}")
    return MELS[name]


def same_mel(found: MelConfig, wanted: MelConfig, what: str) -> None:
    """Make sure that two mels are the same.

    Args:
        found: the mel something was made with.
        wanted: the mel that is needed.
        what: the thing, for the message, such as `the vocoder exp/hifigan`.

    Raises:
        LipsoundError: they differ; the message names the differing keys with both values.
    """
    ours, theirs = to_mapping(wanted), to_mapping(found)
    # The name alone decides nothing: two names for one setting are the same mel.
    differing = [
        f"{key} is {theirs[key]}, wanted {ours[key]}" for key in ours if key != "name" and ours[key] != theirs[key]
    ]
    if differing:
        raise LipsoundError(f"{what} was made for another mel than '{wanted.name}': {'; '.join(differing)}")


def check_spoken(shape: Sequence[int], not_finite: int, config: MelConfig) -> None:
    """Make sure that a vocoder can speak a mel.

    Args:
        shape: of the mel, (..., S, bands).
        not_finite: how many of its values are no numbers.
        config: the mel the vocoder speaks.

    Raises:
        LipsoundError: it has other bands, no frames, or values that are no numbers.
    """
    *_, frames, bands = shape
    if bands != config.bands:
        raise LipsoundError(f"vocoder: expected {config.bands} bands for the mel '{config.name}', found {bands}")
    if not frames:
        raise LipsoundError("vocoder: the mel has no frames; give a clip of one video frame or more")
    if not_finite:
        raise LipsoundError(
            f"vocoder: {not_finite} of the mel's {math.prod(shape)} values are no numbers; look at the model that "
            "made it"
        )


def frames_of(samples: int, config: MelConfig) -> int:
    """Mel frames of audio of that many samples."""
    return samples // config.hop


def fit_frames(features: np.ndarray, frames: int, fill: float) -> np.ndarray:
    """Features (S, D) cut to `frames`, or padded with `fill`; of a mel, `MelConfig.silence`. (frames, D) float32."""
    missing = max(0, frames - len(features))
    return np.pad(features[:frames], ((0, missing), (0, 0)), constant_values=fill).astype(np.float32)


def mel_filters(config: MelConfig) -> np.ndarray:
    """Slaney's mel filter bank (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above, each of unit area.

    Returns:
        (bands, n_fft // 2 + 1) float64.
    """
    bins = np.linspace(0.0, config.sample_rate / 2, config.bins)
    return slaney_filters(bins, config.bands, config.fmin, config.fmax)


def slaney_filters(bins: np.ndarray, bands: int, fmin: float, fmax: float) -> np.ndarray:
    """Slaney's filters (bands, len(bins)) float64 at the frequencies `bins` in Hz."""
    edges = _mel_to_hz(np.linspace(_hz_to_mel(fmin), _hz_to_mel(fmax), bands + 2))
    low, center, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.minimum((bins - low) / (center - low), (high - bins) / (high - center)).clip(min=0.0)
    return triangles * (2.0 / (high - low))


_LINEAR_HZ = 200.0 / 3.0  # Hz per mel below the knee
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _LINEAR_HZ
_LOG_STEP = np.log(6.4) / 27.0  # 27 mels from 1 to 6.4 kHz


def _hz_to_mel(hertz: float) -> float:
    if hertz < _KNEE_HZ:
        return hertz / _LINEAR_HZ
    return float(_KNEE_MEL + np.log(hertz / _KNEE_HZ) / _LOG_STEP)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < _KNEE_MEL, mel * _LINEAR_HZ, _KNEE_HZ * np.exp((mel - _KNEE_MEL) * _LOG_STEP))
