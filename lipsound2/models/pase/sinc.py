"""Convolution with band-pass filters whose two edges are learned (SincNet, Ravanelli and Bengio, 2018)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.timing import SAMPLE_RATE

_LEAST_LOW, _LEAST_BAND = 50.0, 50.0  # Hz; SincNet's, and PASE+'s
_POINTS = 2048  # of the Fourier transforms; 1024 and 4096 were slower


class SincConv(nn.Module):
    """A bank of band-pass filters over audio, with stride 1 and reflection padding.

    With 251 taps the Fourier transform pays: audio is cut into overlapping blocks, and the spectrum of each block is
    multiplied by those of the filters (overlap-save). The result is that of the plain convolution up to float32's
    rounding, in a quarter of its time on a CPU.

    Args:
        filters: how many.
        taps: of each, odd.
    """

    window: Tensor
    times: Tensor

    def __init__(self, filters: int = 64, taps: int = 251) -> None:
        super().__init__()
        self.taps = taps
        # One axis each: weight decay, which is for matrices, would pull frequencies towards 0.
        edges = _mel_spaced(30.0, SAMPLE_RATE / 2 - _LEAST_LOW - _LEAST_BAND, filters + 1)
        self.low = nn.Parameter(edges[:-1])
        self.band = nn.Parameter(edges.diff())
        half = taps // 2
        # Half a Hamming window, at the points where the published code takes it, which are not quite whole numbers.
        points = torch.linspace(0, taps / 2 - 1, half)
        self.register_buffer("window", 0.54 - 0.46 * torch.cos(2 * math.pi * points / taps), persistent=False)
        self.register_buffer("times", 2 * math.pi * torch.arange(-half, 0.0) / SAMPLE_RATE, persistent=False)

    def kernels(self) -> Tensor:
        """The filters (filters, taps), symmetric in time; 1 at their middles."""
        low = _LEAST_LOW + self.low.abs()
        high = (low + _LEAST_BAND + self.band.abs()).clamp(_LEAST_LOW, SAMPLE_RATE / 2)
        band = (high - low)[:, None]
        angles = (high[:, None] * self.times).sin() - (low[:, None] * self.times).sin()
        left = angles / (self.times / 2) * self.window / (2 * band)
        return torch.cat([left, torch.ones_like(band), left.flip(1)], dim=1)

    def forward(self, waveform: Tensor) -> Tensor:
        """Filtered audio (B, filters, L) of audio (B, L), L at least taps // 2 + 1."""
        half = self.taps // 2
        step = _POINTS - 2 * half
        length = waveform.shape[-1]
        blocks = -(-length // step)
        padded = F.pad(waveform.float()[:, None], (half, half), mode="reflect")[:, 0]
        frames = F.pad(padded, (0, blocks * step - length)).unfold(1, _POINTS, step)
        # The filters are symmetric, so correlation and convolution are the same.
        spectra = torch.fft.rfft(self.kernels().float(), n=_POINTS)
        filtered = torch.fft.irfft(torch.fft.rfft(frames)[:, None] * spectra[:, None], n=_POINTS)
        return filtered[..., 2 * half :].flatten(2)[..., :length]


def _mel_spaced(low: float, high: float, points: int) -> Tensor:
    """Frequencies in Hz, equally far apart in mel (the formula of HTK)."""
    first, last = (2595 * math.log10(1 + edge / 700) for edge in (low, high))
    mels = torch.linspace(first, last, points, dtype=torch.float64)
    return (700 * (10 ** (mels / 2595) - 1)).float()
