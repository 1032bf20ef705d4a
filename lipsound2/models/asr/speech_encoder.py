"""The Conformer recognizer's encoder: a quarter of the frames, then Conformer blocks (Gulati et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.models.modules.conformer import Conformer
from lipsound2.models.modules.regressor import mask
from lipsound2.models.modules.transformer import Transformer, sinusoids


@dataclass
class SpeechConformerConfig:
    """Sizes of the Conformer recognizer; the defaults are Gulati et al.'s "S", near enough.

    Attributes:
        width: channels.
        layers: blocks of the encoder.
        heads: attention heads, of encoder and decoder.
        kernel: taps of its convolutions, odd.
        max_relative_position: largest distance told apart by attention, in states.
        channels: of the two convolutions that leave a quarter of the frames.
        dropout: everywhere.
        decoder_layers: layers of the Transformer decoder; 0: CTC alone.
    """

    width: int = 144
    layers: int = 16
    heads: int = 4
    kernel: int = 31
    max_relative_position: int = 64
    channels: int = 64
    dropout: float = 0.1
    decoder_layers: int = 3


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


class TextDecoder(nn.Module):
    """A Transformer that writes tokens while it looks at the states (Vaswani et al., 2017).

    Args:
        tokens: number of tokens; one more, the last, begins and ends a text.
        width: channels of states and decoder.
        layers: decoder layers.
        heads: attention heads.
        dropout: everywhere.
    """

    def __init__(self, tokens: int, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.boundary = tokens
        self.embedding = nn.Embedding(tokens + 1, width)
        self.dropout = nn.Dropout(dropout)
        self.layers = Transformer(width, layers, heads, dropout, states=True)
        self.leave = nn.Linear(width, tokens + 1)

    def forward(self, prefixes: Tensor, lengths: Tensor, states: Tensor, places: Tensor) -> Tensor:
        """Score what may follow each beginning of each text.

        Args:
            prefixes: (B, L) int64 tokens, `boundary` first.
            lengths: (B,) how many of them count; what is scored behind them is 0.
            states: (B, T, width).
            places: (B,) how many states count.

        Returns:
            (B, L, tokens + 1) scores before the softmax.
        """
        L = prefixes.shape[1]
        x = self._enter(prefixes, torch.arange(L, device=prefixes.device))
        x = self.layers(x, self.layers.remember(states), mask(places, states.shape[1]))
        return self.leave(x) * mask(lengths, L)[:, :, None]

    def begin(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Memories of the states (T, width) of one clip, and of no token yet; see `models.modules.transformer`."""
        return self.layers.remember(states[None]), self.layers.nothing()

    def step(self, tokens: Tensor, seen: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Score what may follow once a token is added to each of some texts of one clip.

        Args:
            tokens: (B,) int64, of the texts, which are equally long; `boundary` begins them.
            seen: memory of the clip's states.
            past: memory of the tokens before.

        Returns:
            (B, tokens + 1) scores before the softmax, and the memory of all tokens.
        """
        x, own = self.layers.step(
            self._enter(tokens, torch.tensor(past.shape[4], device=past.device)), past, None, seen
        )
        return self.leave(x), torch.cat([past, own], 4)

    def _enter(self, tokens: Tensor, places: Tensor) -> Tensor:
        x = self.embedding(tokens) * self.embedding.embedding_dim**0.5
        return self.dropout(x + sinusoids(places, x.shape[-1]).to(x.dtype))
