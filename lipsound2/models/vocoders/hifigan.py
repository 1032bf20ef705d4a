"""HiFi-GAN (Kong, Kim and Bae, 2020): a mel-spectrogram -> audio.

Three sizes are published. V1 and V2 have residual blocks of *pairs*, a dilated convolution and a plain one, with 512
and 128 channels. V3 has *single* dilated convolutions, larger steps of the rate and 256 channels. SpeechT5's has V1's
blocks and channels behind four steps of four, and normalizes the mel. The steps multiply to the hop of the mel, so S
frames become exactly S * hop samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from lipsound2.audio.mel import MelConfig
from lipsound2.errors import LipsoundError
from lipsound2.models.vocoders.discriminators import DiscriminatorConfig
from lipsound2.models.vocoders.mel_vocoder import MelVocoder

_SLOPE = 0.1  # of the leaky ReLUs, but for the last one
_LAST_SLOPE = 0.01
_SPREAD = 0.01  # of the first weights


@dataclass(frozen=True)
class Blocks:
    """What the sizes differ in besides channels.

    Attributes:
        steps: hop of the mel -> (factor, kernel) of every step of the rate. A step keeps lengths exact when kernel and
            factor are both even or both odd; kernels of about twice the factor leave no gaps.
        kernels: of the residual blocks, which work side by side after each step.
        dilations: of each block's convolutions.
        pairs: a plain convolution follows every dilated one.
    """

    steps: dict[int, tuple[tuple[int, int], ...]]
    kernels: tuple[int, ...]
    dilations: tuple[tuple[int, ...], ...]
    pairs: bool


BLOCKS = {
    "pairs": Blocks(
        steps={256: ((8, 16), (8, 16), (2, 4), (2, 4)), 160: ((5, 11), (4, 8), (4, 8), (2, 4))},
        kernels=(3, 7, 11),
        dilations=((1, 3, 5), (1, 3, 5), (1, 3, 5)),
        pairs=True,
    ),
    "single": Blocks(
        steps={256: ((8, 16), (8, 16), (4, 8)), 160: ((8, 16), (5, 11), (4, 8))},
        kernels=(3, 5, 7),
        dilations=((1, 2), (2, 6), (3, 12)),
        pairs=False,
    ),
}
BLOCKS["speecht5"] = replace(BLOCKS["pairs"], steps={256: ((4, 8),) * 4})


@dataclass(frozen=True)
class HifiGanConfig(DiscriminatorConfig):
    """Keys of the network in a config.

    Attributes:
        channels: before the first step of the rate, halved at each: 512 is V1, 128 V2, 256 V3.
        residual: `pairs` is V1 and V2, `single` V3, `speecht5` SpeechT5's, whose weights hold statistics of the mel.
    """

    channels: int = 512
    residual: Literal["pairs", "single", "speecht5"] = "pairs"

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be built, by name."""
        if self.channels < 16 or self.channels % 16:
            raise LipsoundError(f"channels: expected a multiple of 16, found {self.channels}")
        super().__post_init__()


class HifiGan(MelVocoder):
    """The generator.

    SpeechT5's normalizes the mel by its buffers `mean` and `scale`, (bands,) float32.

    Args:
        config: its size.
        mel: what it speaks.

    Attributes:
        receptive_field: mel frames that a sample depends on, to either side.

    Raises:
        LipsoundError: no steps are known for the mel's hop.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: HifiGanConfig, mel: MelConfig) -> None:
        super().__init__()
        blocks = BLOCKS[config.residual]
        if mel.hop not in blocks.steps:
            known = ", ".join(map(str, blocks.steps))
            raise LipsoundError(
                f"HiFi-GAN speaks mels with hops of {known} samples; the mel '{mel.name}' has {mel.hop}"
            )
        steps = blocks.steps[mel.hop]
        widths = [config.channels >> level for level in range(len(steps) + 1)]
        # Two axes, one of them empty: that way channels can lie innermost, which is up to twice as fast on a CPU.
        self.first = weight_norm(nn.Conv2d(mel.bands, widths[0], (1, 7), padding=(0, 3)))
        self.steps = nn.ModuleList(
            weight_norm(nn.ConvTranspose2d(wide, narrow, (1, kernel), (1, factor), (0, (kernel - factor) // 2)))
            for (factor, kernel), wide, narrow in zip(steps, widths, widths[1:], strict=False)
        )
        self.blocks = nn.ModuleList(SideBySide(width, blocks) for width in widths[1:])
        self.last = weight_norm(nn.Conv2d(widths[-1], 1, (1, 7), padding=(0, 3)))
        for layer in [*self.steps, *self.blocks.modules(), self.last]:
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.weight = nn.init.normal_(torch.empty_like(layer.weight), 0.0, _SPREAD)
        self.receptive_field = _receptive_field(steps, blocks)
        self.normalized = config.residual == "speecht5"
        if self.normalized:
            self.register_buffer("mean", torch.zeros(mel.bands))
            self.register_buffer("scale", torch.ones(mel.bands))

    def forward(self, mel: Tensor) -> Tensor:
        """Audio of mels.

        Args:
            mel: (B, S, bands) natural logarithm.

        Returns:
            (B, S * hop) in [-1, 1].
        """
        if self.normalized:
            mel = (mel - self.mean) / self.scale
        hidden = self.first(mel.transpose(1, 2)[:, :, None].contiguous(memory_format=torch.channels_last))
        for step, blocks in zip(self.steps, self.blocks, strict=True):
            raised = step(F.leaky_relu(hidden, _SLOPE))
            hidden = blocks(raised)
        waveform: Tensor = self.last(F.leaky_relu(hidden, _LAST_SLOPE))[:, 0, 0].tanh()
        return waveform


class SideBySide(nn.Module):
    """The mean of residual blocks with different kernels; (B, width, 1, samples) -> the same shape."""

    def __init__(self, width: int, blocks: Blocks) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Residual(width, kernel, dilations, blocks.pairs)
            for kernel, dilations in zip(blocks.kernels, blocks.dilations, strict=True)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """See the class."""
        total = torch.zeros_like(hidden)
        for block in self.blocks:
            total = total.add_(block(hidden))
        return total.div_(len(self.blocks))


class Residual(nn.Module):
    """Convolutions of growing dilation, each added to what went in; (B, width, 1, samples) -> the same shape."""

    def __init__(self, width: int, kernel: int, dilations: tuple[int, ...], pairs: bool) -> None:
        super().__init__()

        def layer(dilation: int) -> nn.Module:
            padding = kernel // 2 * dilation
            return weight_norm(nn.Conv2d(width, width, (1, kernel), padding=(0, padding), dilation=(1, dilation)))

        self.dilated = nn.ModuleList(layer(dilation) for dilation in dilations)
        self.plain = nn.ModuleList(layer(1) for _ in (dilations if pairs else ()))

    def forward(self, hidden: Tensor) -> Tensor:
        """See the class."""
        for index, dilated in enumerate(self.dilated):
            change = dilated(F.leaky_relu(hidden, _SLOPE))
            if self.plain:
                change = self.plain[index](F.leaky_relu(change, _SLOPE, inplace=True))
            hidden = change.add_(hidden)  # no layer looks back at what it gave
        return hidden


def _receptive_field(steps: tuple[tuple[int, int], ...], blocks: Blocks) -> int:
    """Mel frames to either side that a sample depends on: the half-widths of all layers, each at its own rate."""
    samples, frames = 1, 3.0  # samples a frame so far; the first layer's frames
    inside = max(
        sum((kernel // 2) * (dilation + blocks.pairs) for dilation in dilations)
        for kernel, dilations in zip(blocks.kernels, blocks.dilations, strict=True)
    )
    for factor, kernel in steps:
        frames += math.ceil(kernel / factor / 2) / samples
        samples *= factor
        frames += inside / samples
    return math.ceil(frames + 3 / samples)


def fold_norms(model: nn.Module) -> None:
    """Replace every normalized weight by its value: the same function, faster; it is not meant to learn any more."""
    for module in model.modules():
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight")
