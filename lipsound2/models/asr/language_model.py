"""A causal Transformer over the tokens of texts (Vaswani et al., 2017; Irie et al., 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lipsound2.arguments import AtLeast0, AtLeast1, Dropout, NotNegative
from lipsound2.models.modules.layers import sinusoids
from lipsound2.models.modules.transformer import Transformer


@dataclass
class LanguageModelConfig:
    """Sizes of the language model. The last four keys are there for published models.

    Attributes:
        width: channels.
        layers: how many.
        heads: attention heads.
        dropout: everywhere.
        embedding: channels of a token's embedding, which are then projected, normalized and rectified; 0: the width,
            and none of these.
        feed_forward: channels inside the feed-forward parts; 0: four times the width.
        positions: `stacked` sinusoids, all sines first; `interleaved` ones; or `none`.
        norm_eps: added to the variance in layer norms.
    """

    width: AtLeast1 = 256
    layers: AtLeast0 = 4
    heads: AtLeast1 = 4
    dropout: Dropout = 0.1
    embedding: AtLeast0 = 0
    feed_forward: AtLeast0 = 0
    positions: Literal["stacked", "interleaved", "none"] = "stacked"
    norm_eps: NotNegative = 1e-5


class TransformerLM(nn.Module):
    """What follows each beginning of a text.

    Args:
        config: sizes.
        tokens: number of tokens; one more, the last, begins and ends a text.
    """

    def __init__(self, config: LanguageModelConfig, tokens: int) -> None:
        super().__init__()
        self.boundary = tokens
        self.positions = config.positions
        self.embedding = nn.Embedding(tokens + 1, config.embedding or config.width)
        self.enter: nn.Module = nn.Identity()
        if config.embedding:
            self.enter = nn.Sequential(
                nn.Linear(config.embedding, config.width),
                nn.LayerNorm(config.width),
                nn.Dropout(config.dropout),
                nn.ReLU(),
            )
        self.dropout = nn.Dropout(config.dropout)
        self.layers = Transformer(
            config.width,
            config.layers,
            config.heads,
            config.dropout,
            states=False,
            feed_forward=config.feed_forward,
            norm_eps=config.norm_eps,
        )
        self.leave = nn.Linear(config.width, tokens + 1)

    def forward(self, prefixes: Tensor) -> Tensor:
        """Whole texts.

        Args:
            prefixes: (B, L) int64 tokens, `boundary` first; what stands behind a text's end has no effect on it.

        Returns:
            (B, L, tokens + 1) scores before the softmax.
        """
        return self.leave(self.layers(self._enter(prefixes, torch.arange(prefixes.shape[1], device=prefixes.device))))

    def step(self, tokens: Tensor, past: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """One token more for each of some texts, which may differ in length.

        Args:
            tokens: (B,) int64.
            past: (B, layers, 2, heads, P, width / heads) keys and values of the tokens before, padded at the end;
                `nothing` before the first.
            lengths: (B,) int64 how many of the P places each text has.

        Returns:
            (B, tokens + 1) scores before the softmax, and the keys and values (B, layers, 2, heads, 1, width / heads)
            of the tokens.
        """
        x, own = self.layers.step(self._enter(tokens, lengths), past, lengths)
        return self.leave(x), own

    def nothing(self) -> Tensor:
        """The keys and values (1, layers, 2, heads, 0, width / heads) of an empty text."""
        return self.layers.nothing()

    def _enter(self, tokens: Tensor, places: Tensor) -> Tensor:
        x: Tensor = self.enter(self.embedding(tokens))
        if self.positions == "none":
            return x
        x = x * x.shape[-1] ** 0.5
        return self.dropout(x + sinusoids(places, x.shape[-1], self.positions == "interleaved").to(x.dtype))
