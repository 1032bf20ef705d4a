"""Jasper (Li et al., 2019): a recognizer of nothing but convolutions over time, with dense residual connections.

Jasper DR B x R: a strided convolution, B blocks of R convolutions each, three more convolutions. The input of a block
is the sum of the outputs of all blocks before it, each through a 1x1 convolution of its own (the "dense residual").
The published 10 x 5 is the default; LipSound2 reads its speech with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.arguments import AtLeast1, Dropout
from lipsound2.errors import LipsoundError
from lipsound2.models.modules.layers import MaskedBatchNorm
from lipsound2.models.modules.regressor import mask


@dataclass
class JasperConfig:
    """Sizes of Jasper; the defaults are DR 10x5's.

    Attributes:
        widths: channels of the blocks.
        kernels: taps of their convolutions, odd.
        dropouts: their rates.
        repeat: convolutions in a block, R.
        stem: channels of the first convolution, which halves the frame rate.
        stem_kernel: its taps.
        stem_dropout: its rate.
        last: channels of the two convolutions behind the blocks.
        last_dropout: their rate.
    """

    widths: tuple[AtLeast1, ...] = (256, 256, 384, 384, 512, 512, 640, 640, 768, 768)
    kernels: tuple[AtLeast1, ...] = (11, 11, 13, 13, 17, 17, 21, 21, 25, 25)
    dropouts: tuple[Dropout, ...] = (0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.3, 0.3, 0.3, 0.3)
    repeat: AtLeast1 = 5
    stem: AtLeast1 = 256
    stem_kernel: AtLeast1 = 11
    stem_dropout: Dropout = 0.2
    last: tuple[AtLeast1, ...] = (896, 1024)
    last_dropout: Dropout = 0.4

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name."""
        if not len(self.widths) == len(self.kernels) == len(self.dropouts) > 0:
            raise LipsoundError(
                f"widths, kernels, dropouts: one value a block each, found {len(self.widths)}, {len(self.kernels)} and "
                f"{len(self.dropouts)}"
            )
        if any(kernel % 2 == 0 for kernel in (*self.kernels, self.stem_kernel)):
            raise LipsoundError(f"kernels, stem_kernel: odd, found {list(self.kernels)} and {self.stem_kernel}")
        if len(self.last) != 2:
            raise LipsoundError(f"last: channels of two convolutions, found {list(self.last)}")


class Layer(nn.Module):
    """Convolution over time and batch norm, both blind to padding."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        padding = dilation * (kernel - 1) // 2
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, padding, dilation, bias=False)
        self.norm = MaskedBatchNorm(outputs)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, inputs, T), zero where padded, to (B, outputs, T'); `valid` (B, T') is of the output."""
        x = self.norm(self.conv(x), valid)
        return x if self.training else x * valid[:, None]


class Block(nn.Module):
    """R convolutions; before the last activation the block's inputs are added, each through a 1x1 convolution."""

    def __init__(self, inputs: Sequence[int], width: int, kernel: int, repeat: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Layer(inputs[-1] if number == 0 else width, width, kernel) for number in range(repeat)
        )
        self.residuals = nn.ModuleList(Layer(channels, width, 1) for channels in inputs)
        self.dropout = dropout

    def forward(self, before: Sequence[Tensor], valid: Tensor) -> Tensor:
        """Outputs of the stem and of all blocks before, each (B, C, T), to (B, width, T)."""
        x = before[-1]
        for layer in self.layers[:-1]:
            x = F.dropout(F.relu(layer(x, valid)), self.dropout, self.training)
        x = self.layers[-1](x, valid)
        for residual, earlier in zip(self.residuals, before, strict=True):
            x = x + residual(earlier, valid)
        return F.dropout(F.relu(x), self.dropout, self.training)


class Jasper(nn.Module):
    """Features to states at half their rate.

    Args:
        config: sizes.
        bands: feature dimensions.

    Attributes:
        width: of the states.
        stride: feature frames a state.
    """

    stride = 2

    def __init__(self, config: JasperConfig, bands: int) -> None:
        super().__init__()
        self.config = config
        self.stem = Layer(bands, config.stem, config.stem_kernel, stride=2)
        outputs = [config.stem]
        self.blocks = nn.ModuleList()
        for width, kernel, dropout in zip(config.widths, config.kernels, config.dropouts, strict=True):
            self.blocks.append(Block(outputs, width, kernel, config.repeat, dropout))
            outputs.append(width)
        self.wide = Layer(outputs[-1], config.last[0], 29, dilation=2)
        self.deep = Layer(config.last[0], config.last[1], 1)
        self.width = config.last[1]

    def forward(self, features: Tensor, feature_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, bands), zero where padded, and (B,) to states (B, ceil(S / 2), width) and their (B,) numbers."""
        lengths = (feature_lengths + 1) // 2
        x = features.transpose(1, 2)
        valid = mask(lengths, (x.shape[2] + 1) // 2)

        def activate(x: Tensor, dropout: float) -> Tensor:
            return F.dropout(F.relu(x), dropout, self.training)

        outputs = [activate(self.stem(x, valid), self.config.stem_dropout)]
        for block in self.blocks:
            outputs.append(block(outputs, valid))
        x = activate(self.wide(outputs[-1], valid), self.config.last_dropout)
        x = activate(self.deep(x, valid), self.config.last_dropout)
        return x.transpose(1, 2), lengths
