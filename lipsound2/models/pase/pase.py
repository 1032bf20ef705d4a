"""The PASE+ encoder (Ravanelli et al., 2020), laid out as its published weights: audio to 256 features, 100 a second.

The layers are those of github.com/santi-pdp/pase, `pase/models/frontend.py` (`WaveFe` with `cfg/frontend/PASE+.cfg`);
it needs none of that code's packages.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.errors import LipsoundError
from lipsound2.models.pase.qrnn import QRNN
from lipsound2.models.pase.sinc import SincConv

HOP = 160  # samples a feature frame: the product of the strides
SHORTEST = 471  # samples; with fewer, the last layer has less input than its reflection padding needs
_KERNELS = (251, 20, 11, 11, 11, 11, 11, 11)
_STRIDES = (1, 10, 2, 1, 2, 1, 2, 2)


@dataclass
class PaseEncoderConfig:
    """Sizes of the encoder; the defaults are the published ones. Kernels and strides are the same in all.

    Attributes:
        channels: of the eight blocks of convolutions.
        units: of the recurrent layer.
        dims: features.
    """

    channels: tuple[int, ...] = (64, 64, 128, 128, 256, 256, 512, 512)
    units: int = 512
    dims: int = 256

    def __post_init__(self) -> None:
        """Refuse another number of blocks."""
        if len(self.channels) != len(_KERNELS):
            raise LipsoundError(f"channels: expected {len(_KERNELS)} numbers, one a block, found {list(self.channels)}")


class Block(nn.Module):
    """Convolution, batch norm, PReLU.

    Args:
        inputs: input channels; 0: the input is audio, and the convolution a `SincConv`.
        channels: output channels.
        kernel: taps.
        stride: of the convolution.
    """

    def __init__(self, inputs: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, channels, kernel, stride) if inputs else SincConv(channels, kernel)
        self.norm = nn.BatchNorm1d(channels)
        self.act = nn.PReLU(channels, init=0.0)
        even = stride > 1 or kernel % 2 == 0
        self.padding = (kernel // 2 - 1 if even else kernel // 2, kernel // 2) if inputs else (0, 0)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, T') of (B, inputs, T), or of audio (B, T)."""
        if any(self.padding):
            x = F.pad(x, self.padding, mode="reflect")
        activated: Tensor = self.act(self.norm(self.conv(x)))
        return activated


class PaseEncoder(nn.Module):
    """Audio to features.

    Args:
        config: sizes.
    """

    def __init__(self, config: PaseEncoderConfig) -> None:
        super().__init__()
        inputs = (0, *config.channels)
        self.dims = config.dims
        self.blocks = nn.ModuleList(
            Block(*sizes) for sizes in zip(inputs, config.channels, _KERNELS, _STRIDES, strict=False)
        )
        self.skips = nn.ModuleList(nn.Conv1d(width, config.dims, 1, bias=False) for width in config.channels[:-1])
        self.recurrent = QRNN(config.channels[-1], config.units)
        self.project = nn.Conv1d(config.units, config.dims, 1)
        self.norm = nn.BatchNorm1d(config.dims, affine=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Features of a batch of equally long waveforms; padding would change them.

        Args:
            waveform: (B, 1, L) float32 in [-1, 1] at 16 kHz; L a multiple of 160, or the skips do not lie quite where
                the features do.

        Returns:
            (B, dims, T): T = L / 160.

        Raises:
            LipsoundError: fewer samples than the kernels need.
        """
        if waveform.shape[-1] < SHORTEST:
            raise LipsoundError(
                f"audio of {waveform.shape[-1]} samples is too short for PASE+, whose kernels need {SHORTEST}"
            )
        x, skips = waveform[:, 0], []
        for block in self.blocks:
            x = block(x)
            skips.append(x)
        frames = x.shape[-1]
        features = self.project(self.recurrent(x.transpose(1, 2)).transpose(1, 2))
        for project, skip in zip(self.skips, skips, strict=False):
            # The published code projects, then averages. The other order gives the same with 160 times less work.
            factor = skip.shape[-1] // frames
            features = features + project(skip[..., : frames * factor].unflatten(-1, (frames, factor)).mean(-1))
        normed: Tensor = self.norm(features)
        return normed
