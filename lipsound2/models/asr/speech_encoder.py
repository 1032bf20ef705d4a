"""The Conformer recognizer's encoder: a quarter of the frames, then Conformer blocks (Gulati et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.arguments import AtLeast0, AtLeast1, Dropout
from lipsound2.models.asr.text_decoder import DecoderConfig
from lipsound2.models.modules.conformer import Conformer, ConformerConfig
from lipsound2.models.modules.regressor import mask


@dataclass
class SpeechConformerConfig(DecoderConfig, ConformerConfig):
    """Sizes of the Conformer recognizer; the defaults are Gulati et al.'s "S", near enough.

    Attributes:
        width: channels.
        layers: blocks of the encoder.
        heads: attention heads, of encoder and decoder.
        kernel: taps of its convolutions, odd.
        max_relative_position: largest distance told apart by attention, in states.
        channels: of the two convolutions that leave a quarter of the frames.
        dropout: everywhere.
    """

    width: AtLeast1 = 144
    layers: AtLeast0 = 16
    heads: AtLeast1 = 4
    kernel: AtLeast1 = 31
    max_relative_position: AtLeast0 = 64
    channels: AtLeast1 = 64
    dropout: Dropout = 0.1
    decoder_layers: AtLeast0 = 3


class SpeechConformer(nn.Module):
    """Features to states at a quarter of their rate.

    Args:
        config: sizes.
        bands: feature dimensions.

    Attributes:
        width: of the states.
        stride: feature frames a state.
    """

    stride = 4

    def __init__(self, config: SpeechConformerConfig, bands: int) -> None:
        super().__init__()
        self.width = config.width
        self.first = nn.Conv2d(1, config.channels, 3, 2, 1)
        self.second = nn.Conv2d(config.channels, config.channels, 3, 2, 1)
        self.enter = nn.Linear(config.channels * ((bands + 3) // 4), config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.conformer = Conformer(
            config.width,
            config.layers,
            config.heads,
            kernel=config.kernel,
            max_relative_position=config.max_relative_position,
            dropout=config.dropout,
            config=config,
        )

    def forward(self, features: Tensor, feature_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, bands), zero where padded, and (B,) to states (B, ceil(S / 4), width) and their (B,) numbers."""
        x, lengths = features[:, None], feature_lengths
        for conv in (self.first, self.second):
            lengths = (lengths + 1) // 2
            x = F.relu(conv(x))
            # What a convolution makes of padding must not reach into the clip with the next one.
            x = x * mask(lengths, x.shape[2])[:, None, :, None]
        x = self.dropout(self.enter(x.transpose(1, 2).flatten(2)))
        return self.conformer(x, mask(lengths, x.shape[1])), lengths
