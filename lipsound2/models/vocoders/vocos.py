"""Vocos (Siuzdak, 2024): a mel-spectrogram -> magnitudes and phases -> audio, by one inverse Fourier transform.

All of the network works at the rate of the mel, a hundred times a second, where HiFi-GAN's last layers work at that of
the audio. It generates audio in a fraction of the time, and two CPU cores can train it within the hour. It differs from
the paper in one thing: the network predicts how far the magnitudes lie from a smooth spectrum with the given mel. So it
need not learn that spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.audio.mel import MelConfig, mel_filters
from lipsound2.errors import LipsoundError
from lipsound2.models.vocoders.discriminators import DiscriminatorConfig
from lipsound2.models.vocoders.mel_vocoder import MelVocoder

_KERNEL = 7
_QUIETEST = 1e-5  # magnitude of the bins that lie in no band
_LOUDEST = 1e2  # as in the paper: an exponential may not run away


@dataclass(frozen=True)
class VocosConfig(DiscriminatorConfig):
    """Keys of the network in a config. Its discriminators are HiFi-GAN's: the paper's second kind, of spectra, is left
    out.

    Attributes:
        width: channels; 512 in the paper.
        layers: blocks; 8 in the paper.
        expansion: inner width of a block over its outer one; 3 in the paper.
    """

    width: int = 512
    layers: int = 8
    expansion: int = 3

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be built, by name."""
        if min(self.width, self.layers, self.expansion) < 1:
            raise LipsoundError("width, layers, expansion: expected 1 or more each")
        super().__post_init__()


class Vocos(MelVocoder):
    """The generator.

    Args:
        config: its size.
        mel: what it speaks.

    Attributes:
        receptive_field: mel frames that a sample depends on, to either side.
    """

    smooth: Tensor
    cosines: Tensor
    sines: Tensor
    window: Tensor

    def __init__(self, config: VocosConfig, mel: MelConfig) -> None:
        super().__init__()
        self.hop, self.overlap, self.cut = mel.hop, -(-mel.window // mel.hop), mel.overhang
        self.enter = nn.Conv1d(mel.bands, config.width, _KERNEL, padding=_KERNEL // 2)
        self.norm = nn.LayerNorm(config.width)
        self.blocks = nn.ModuleList(
            Block(config.width, config.expansion, 1 / config.layers) for _ in range(config.layers)
        )
        self.leave = nn.Sequential(nn.LayerNorm(config.width), nn.Linear(config.width, 2 * mel.bins))
        self.receptive_field = _KERNEL // 2 * (config.layers + 1) + self.overlap
        # All of these follow from the mel: no weights.
        for name, values in {"smooth": _smooth(mel), **_transform(mel), "window": _window(mel)}.items():
            self.register_buffer(name, torch.from_numpy(values).float(), persistent=False)

    def forward(self, mel: Tensor) -> Tensor:
        """Audio of mels.

        Args:
            mel: (B, S, bands) natural logarithm.

        Returns:
            (B, S * hop).
        """
        hidden = self.norm(self.enter(mel.transpose(1, 2)).transpose(1, 2))
        for block in self.blocks:
            hidden = block(hidden)
        louder, phase = self.leave(hidden).chunk(2, -1)
        expected = (mel.exp() @ self.smooth).clamp_min(_QUIETEST)
        magnitude = (expected * louder.clamp_max(10.0).exp()).clamp_max(_LOUDEST)
        frames = (magnitude * phase.cos()) @ self.cosines + (magnitude * phase.sin()) @ self.sines
        weight = self._overlap_add(self.window.square().expand(1, mel.shape[1], -1))
        waveform = self._overlap_add(frames * self.window) / weight.clamp_min(1e-8)
        return waveform[:, self.cut : self.cut + mel.shape[1] * self.hop]

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """Frames (B, S, overlap * hop), each a hop behind the one before, in sum: (B, (S + overlap - 1) * hop)."""
        pieces = frames.unflatten(-1, (self.overlap, self.hop))
        shifted = (F.pad(pieces[:, :, k], (0, 0, k, self.overlap - 1 - k)) for k in range(self.overlap))
        return torch.stack([*shifted]).sum(0).flatten(1)


class Block(nn.Module):
    """ConvNeXt's, along time (Liu et al., 2022): each channel by itself, then each frame, added to what went in.

    Args:
        width: channels, innermost.
        expansion: inner width over the outer one.
        scale: of what is added, at the beginning.
    """

    def __init__(self, width: int, expansion: int, scale: float) -> None:
        super().__init__()
        self.along = nn.Conv1d(width, width, _KERNEL, padding=_KERNEL // 2, groups=width)
        self.across = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width)
        )
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, S, width) to the same shape."""
        seen = self.along(hidden.transpose(1, 2)).transpose(1, 2)
        total: Tensor = hidden + self.scale * self.across(seen)
        return total


def _smooth(mel: MelConfig) -> np.ndarray:
    """(bands, bins): mel magnitudes to those of a smooth spectrum that has them; float64."""
    filters = mel_filters(mel).astype(np.float64)
    return filters / np.maximum(filters.sum(0), 1e-9) / filters.sum(1, keepdims=True)


def _window(mel: MelConfig) -> np.ndarray:
    """The periodic Hann window, filled up with zeros to whole hops; float64."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(mel.window) / mel.window)
    return np.pad(hann, (0, -mel.window % mel.hop))


def _transform(mel: MelConfig) -> dict[str, np.ndarray]:
    """The inverse Fourier transform of real audio as two matrices (bins, overlap * hop), of which a mel's frame needs
    the window alone. Phases count from the window's middle: a frame of zero phases is a click there, never two halves
    at the ends.
    """
    time = np.arange(mel.window + (-mel.window % mel.hop)) - mel.window / 2
    angle = 2 * np.pi / mel.n_fft * np.outer(np.arange(mel.bins), time)
    twice = np.full((mel.bins, 1), 2.0)
    twice[[0, -1]] = 1.0
    return {"cosines": twice * np.cos(angle) / mel.n_fft, "sines": -twice * np.sin(angle) / mel.n_fft}
