"""The attention decoder of a recognizer: a Transformer that writes text while it looks at the encoder's states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lipsound2.arguments import AtLeast0
from lipsound2.models.modules.layers import sinusoids
from lipsound2.models.modules.regressor import mask
from lipsound2.models.modules.transformer import Transformer


@dataclass
class DecoderConfig:
    """Sizes of a recognizer's heads, CTC and decoder.

    Attributes:
        decoder_layers: layers of the Transformer decoder; 0: CTC alone.
        decoder_feed_forward: channels inside its feed-forward parts; 0: four times the width.
        decoder_positions: `stacked` sinusoids, all sines first, or `interleaved` ones, as published.
        ctc_boundary: CTC has a class for the boundary of a text, too, as in ESPnet's models. It takes part in the
            softmax, and is never written.
    """

    decoder_layers: AtLeast0 = 0
    decoder_feed_forward: AtLeast0 = 0
    decoder_positions: Literal["stacked", "interleaved"] = "stacked"
    ctc_boundary: bool = False


class TextDecoder(nn.Module):
    """A Transformer that writes tokens while it looks at the states (Vaswani et al., 2017).

    Args:
        tokens: number of tokens; one more, the last, begins and ends a text.
        width: channels of states and decoder.
        heads: attention heads.
        dropout: everywhere.
        config: its own sizes.
        norm_eps: added to the variance in layer norms.
    """

    def __init__(
        self, tokens: int, width: int, heads: int, dropout: float, config: DecoderConfig, norm_eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.boundary = tokens
        self.interleaved = config.decoder_positions == "interleaved"
        self.embedding = nn.Embedding(tokens + 1, width)
        self.dropout = nn.Dropout(dropout)
        self.layers = Transformer(
            width,
            config.decoder_layers,
            heads,
            dropout,
            states=True,
            feed_forward=config.decoder_feed_forward,
            norm_eps=norm_eps,
        )
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
        return self.dropout(x + sinusoids(places, x.shape[-1], self.interleaved).to(x.dtype))
