"""Classical features of audio at 100 frames a second: what PASE+'s workers are to predict, and MFCC as a target.

All of them are frames of `audio.mel`: centered on the middle of their own 10 ms, reflected at the ends, T = samples //
160. Everything works on batches and on any device, without gradients in mind.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lipsound2.audio.mel import MelConfig, magnitude_spectrogram, mel_filters
from lipsound2.timing import SAMPLE_RATE

HOP = 160  # samples a frame
_FLOOR = 1e-5  # of magnitudes, as the mel's
_BANDS = 40  # of the filter banks
_DELTA_REACH = 2  # frames to each side
_PITCH = (60.0, 400.0)  # Hz, of voices
_VOICED = 0.5  # of the normalized autocorrelation at the pitch period
_OCTAVE_COST = 0.05
_PITCH_WINDOW = 800  # samples: three periods of the deepest voice


def deltas(features: Tensor) -> Tensor:
    """Features with their slopes, and the slopes of those, behind them.

    A slope is that of the regression line over five frames (HTK Book, 5.9), the ends repeated.

    Args:
        features: (B, T, D).

    Returns:
        (B, T, 3 * D).
    """
    found = [features]
    for _ in range(2):
        last = found[-1]
        padded = F.pad(last.transpose(1, 2), (_DELTA_REACH, _DELTA_REACH), mode="replicate").transpose(1, 2)
        length = last.shape[1]
        slope = torch.zeros_like(last)
        for shift in range(1, _DELTA_REACH + 1):
            after = padded[:, _DELTA_REACH + shift :][:, :length]
            slope += shift * (after - padded[:, _DELTA_REACH - shift :][:, :length])
        found.append(slope / (2 * sum(shift**2 for shift in range(1, _DELTA_REACH + 1))))
    return torch.cat(found, dim=2)


def _frames(window: int, bands: int = _BANDS) -> MelConfig:
    """Frames of so many samples; the Fourier transform is the next power of two."""
    return MelConfig(name=f"{window}", n_fft=max(512, 1 << (window - 1).bit_length()), window=window, bands=bands)


def log_power(waveform: Tensor, window: int) -> Tensor:
    """Natural logarithm of the power spectrum (B, T, bins) of audio (B, L), plain."""
    return 2 * magnitude_spectrogram(waveform, _frames(window)).clamp_min(_FLOOR).log()


def filter_bank(waveform: Tensor, window: int) -> Tensor:
    """Log-mel bands (B, T, 40) of audio (B, L); in float32, which is enough for a worker and half the time."""
    config = _frames(window)
    magnitude = magnitude_spectrogram(waveform, config)
    return (magnitude @ _mel_weights(config, magnitude.device).T).clamp_min(_FLOOR).log()


@functools.lru_cache(maxsize=8)
@torch.inference_mode(False)  # what is kept must serve training too
def _mel_weights(config: MelConfig, device: torch.device) -> Tensor:
    return torch.from_numpy(mel_filters(config)).to(device, torch.float32)


def gammatone(waveform: Tensor, window: int) -> Tensor:
    """Log-magnitudes (B, T, 40) of audio (B, L) behind a bank of gammatone filters from 50 Hz to 8 kHz.

    Power spectra weighted with the filters' responses, which is near to filtering and averaging and much cheaper
    (Ellis, 2009, `fft2gammatonemx`).
    """
    config = _frames(window)
    power = magnitude_spectrogram(waveform, config).square() @ _gammatone_weights(config, waveform.device).T
    return 0.5 * power.clamp_min(_FLOOR**2).log()


@functools.lru_cache(maxsize=8)
@torch.inference_mode(False)
def _gammatone_weights(config: MelConfig, device: torch.device) -> Tensor:
    """Power responses (40, bins) of gammatone filters of order 4, of unit area, equally far apart in ERB rate.

    Bandwidths are Glasberg and Moore's (1990); 1.019 of one is the filter's own (Patterson et al., 1992).
    """
    low, high = (21.4 * math.log10(1 + 0.00437 * edge) for edge in (50.0, SAMPLE_RATE / 2))
    rates = torch.linspace(low, high, _BANDS + 2, dtype=torch.float64)[1:-1, None]
    centers = (10 ** (rates / 21.4) - 1) / 0.00437
    widths = 1.019 * 24.7 * (0.00437 * centers + 1)
    bins = torch.linspace(0, SAMPLE_RATE / 2, config.bins, dtype=torch.float64)
    weights = (1 + ((bins - centers) / widths) ** 2) ** -4
    return (weights / weights.sum(1, keepdim=True)).to(device, torch.float32)


def cepstrum(waveform: Tensor, window: int, order: int) -> Tensor:
    """Mel-frequency cepstral coefficients (B, T, order) of audio (B, L), the zeroth first: an orthonormal DCT-II."""
    bands = filter_bank(waveform, window)
    places = (torch.arange(_BANDS, device=waveform.device) + 0.5) * math.pi / _BANDS
    transform = (torch.arange(order, device=waveform.device)[:, None] * places).cos() * math.sqrt(2 / _BANDS)
    transform[0] /= math.sqrt(2)
    return bands @ transform.T


def prosody(waveform: Tensor) -> Tensor:
    """Prosody (B, T, 4) of audio (B, L).

    Natural logarithm of the pitch in Hz, interpolated where speech is unvoiced; 1 where it is voiced, else 0; logarithm
    of the root mean square; zero-crossing rate. Published PASE+ takes the pitch from pysptk's SWIPE'; here it is the
    highest peak of the autocorrelation, normalized by that of the window.
    """
    config = MelConfig(name="prosody", window=_PITCH_WINDOW, n_fft=1 << (2 * _PITCH_WINDOW - 1).bit_length())
    power = magnitude_spectrogram(waveform, config).square()
    window = torch.hann_window(_PITCH_WINDOW, device=waveform.device)
    own = torch.fft.irfft(torch.fft.rfft(window, n=config.n_fft).abs().square())
    shortest, longest = (round(SAMPLE_RATE / hertz) for hertz in reversed(_PITCH))
    likeness = torch.fft.irfft(power)[..., : longest + 1] / own[: longest + 1]
    likeness = likeness / likeness[..., :1].clamp_min(_FLOOR**2)
    inside = likeness[..., 1:-1]
    peaks = (inside > likeness[..., :-2]) & (inside >= likeness[..., 2:])
    # Every multiple of a period is one too: shorter ones are preferred (Boersma, 1993, the octave cost).
    lags = torch.arange(1, longest, device=waveform.device)
    scores = torch.where(peaks, inside - _OCTAVE_COST * (lags / shortest).log2(), -1.0)
    best = scores[..., shortest - 1 :].argmax(-1, keepdim=True) + shortest - 1
    found = torch.where(peaks, inside, -1.0).gather(-1, best)[..., 0]
    energy = 0.5 * (power.mean(-1) / own[0]).clamp_min(_FLOOR**2).log()
    voiced = (found > _VOICED) & (energy > math.log(10 * _FLOOR))
    pitch = _interpolated((SAMPLE_RATE / (best[..., 0] + 1)).log(), voiced)
    crossings = F.pad((waveform[:, 1:] * waveform[:, :-1] < 0).float(), (0, 1))
    frames = voiced.shape[1]
    crossings = crossings[:, : frames * HOP].unflatten(1, (frames, HOP)).mean(-1)
    return torch.stack([pitch, voiced.float(), energy, crossings], dim=2)


def _interpolated(values: Tensor, known: Tensor) -> Tensor:
    """Values (B, T) where they are known; on straight lines between, level outside; 120 Hz where nothing is."""
    length = values.shape[1]
    places = torch.arange(length, device=values.device).expand_as(values)
    before = torch.where(known, places, -1).cummax(1).values
    after = torch.where(known, places, length).flip(1).cummin(1).values.flip(1)
    left = torch.where(before >= 0, before, after).clamp(0, length - 1)
    right = torch.where(after < length, after, before).clamp(0, length - 1)
    share = (places - left) / (right - left).clamp_min(1)
    line = torch.lerp(values.gather(1, left), values.gather(1, right), share.clamp(0, 1))
    return torch.where(known.any(1, keepdim=True), line, math.log(120.0))


# Windows are those of PASE+'s cfg/workers/workers+.cfg where it names one (the long ones), else 25 ms. Its power
# spectra have 1025 bins and these 257: the same spectra, interpolated four times less.
FEATURES: dict[str, tuple[int, Callable[[Tensor], Tensor]]] = {
    "power": (257, functools.partial(log_power, window=400)),
    "power_long": (257, functools.partial(log_power, window=512)),
    "fbank": (40, functools.partial(filter_bank, window=400)),
    "fbank_long": (40, functools.partial(filter_bank, window=1024)),
    "gammatone": (40, functools.partial(gammatone, window=400)),
    "gammatone_long": (40, functools.partial(gammatone, window=2048)),
    "mfcc": (13, functools.partial(cepstrum, window=400, order=13)),
    "mfcc_long": (20, functools.partial(cepstrum, window=2048, order=20)),
    "prosody": (4, prosody),
}


def acoustic(name: str, waveform: Tensor) -> Tensor:
    """Features of that name with both orders of slopes.

    Args:
        name: one of `FEATURES`.
        waveform: (B, L) float32 in [-1, 1] at 16 kHz.

    Returns:
        (B, T, D): T = L // 160, D three times the number beside the name.
    """
    return deltas(FEATURES[name][1](waveform))


def dimensions(name: str) -> int:
    """D of `acoustic`."""
    return 3 * FEATURES[name][0]
