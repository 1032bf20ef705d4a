"""Pre-norm Transformer layers over text (Vaswani et al., 2017), all tokens at once or one more at a time.

Torch's own layers compute every earlier token anew for each further one. These take the keys and values of earlier
tokens and return those of the new ones. Parameters are named and laid out as those of `nn.TransformerDecoder`, so that
weights of the one can be read into the other.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.errors import LipsoundError


class Attention(nn.Module):
    """Multi-head attention whose keys and values are computed apart from its queries.

    Args:
        width: channels.
        heads: number of heads.
        dropout: of the attention weights, in training.

    Raises:
        LipsoundError: the heads cannot share the channels.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        if width % heads:
            raise LipsoundError(f"width, heads: {width} channels cannot be shared by {heads} heads; use a multiple")
        self.width, self.heads, self.dropout = width, heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def remember(self, x: Tensor) -> Tensor:
        """Keys and values (B, 2, heads, T, width / heads) of what may be looked at, (B, T, width)."""
        return self.keys_and_values(x).unflatten(2, (2, self.heads, -1)).permute(0, 2, 3, 1, 4)

    def queries(self, x: Tensor) -> Tensor:
        """(B, L, width) to (B, L, width)."""
        return F.linear(x, self.in_proj_weight[: self.width], self.in_proj_bias[: self.width])

    def keys_and_values(self, x: Tensor) -> Tensor:
        """(B, T, width) to (B, T, 2 width)."""
        return F.linear(x, self.in_proj_weight[self.width :], self.in_proj_bias[self.width :])

    def forward(self, x: Tensor, memory: Tensor, visible: Tensor | None = None, causal: bool = False) -> Tensor:
        """Look at a memory.

        Args:
            x: (B, L, width).
            memory: (B or 1, 2, heads, T, width / heads), of `remember`.
            visible: bool, broadcast to (B, heads, L, T): what may be looked at; None: everything.
            causal: T = L, and each position looks at itself and those before it.

        Returns:
            (B, L, width).
        """
        queries = self.queries(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
        # `len` of a tensor is a fixed number to the ONNX exporter, which then has to take the network apart again.
        keys, values = memory.expand(x.shape[0], -1, -1, -1, -1).unbind(1)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(queries, keys, values, visible, dropout, causal)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class TransformerLayer(nn.Module):
    """Self-attention, attention to states where there are some, feed-forward; each on a normalized copy.

    Args:
        width: channels.
        heads: attention heads.
        dropout: everywhere.
        states: whether there are states to look at.
        feed_forward: channels inside the feed-forward part; 0: four times the width.
        norm_eps: added to the variance in layer norms.
    """

    def __init__(
        self, width: int, heads: int, dropout: float, states: bool, feed_forward: int = 0, norm_eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads, dropout)
        self.multihead_attn = Attention(width, heads, dropout) if states else None
        inside = feed_forward or 4 * width
        self.linear1, self.linear2 = nn.Linear(width, inside), nn.Linear(inside, width)
        self.norm1, self.norm3 = nn.LayerNorm(width, norm_eps), nn.LayerNorm(width, norm_eps)
        self.norm2 = nn.LayerNorm(width, norm_eps) if states else None
        self.dropout = nn.Dropout(dropout)

    def remember(self, states: Tensor) -> Tensor:
        """Keys and values of states (B, T, width)."""
        assert self.multihead_attn is not None
        return self.multihead_attn.remember(states)

    def forward(
        self,
        x: Tensor,
        past: Tensor | None,
        visible_past: Tensor | None,
        states: Tensor | None,
        visible_states: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """(B, L, width) to (B, L, width), and its own keys and values; see `Transformer`."""
        normed = self.norm1(x)
        own = self.self_attn.remember(normed)
        memory = own if past is None else torch.cat([past, own], 3)
        x = x + self.dropout(self.self_attn(normed, memory, visible_past, causal=past is None))
        if self.multihead_attn is not None and self.norm2 is not None and states is not None:
            x = x + self.dropout(self.multihead_attn(self.norm2(x), states, visible_states))
        inner = self.dropout(F.relu(self.linear1(self.norm3(x))))
        return x + self.dropout(self.linear2(inner)), own


class Transformer(nn.Module):
    """A stack of layers; every token sees itself and those before it.

    A *memory* is (B, layers, 2, heads, T, width / heads): keys and values of every layer.

    Args:
        width: channels.
        layers: how many.
        heads: attention heads.
        dropout: everywhere.
        states: whether the layers also look at states, such as an encoder's.
        feed_forward: channels inside the feed-forward parts; 0: four times the width.
        norm_eps: added to the variance in layer norms.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        dropout: float,
        states: bool,
        feed_forward: int = 0,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TransformerLayer(width, heads, dropout, states, feed_forward, norm_eps) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width, norm_eps)
        self._shape = (layers, heads, width // heads)

    def remember(self, states: Tensor) -> Tensor:
        """Memory of states (B, T, width)."""
        layers = typing.cast(Iterable[TransformerLayer], self.layers)
        return torch.stack([layer.remember(states) for layer in layers], 1)

    def forward(self, x: Tensor, states: Tensor | None = None, visible: Tensor | None = None) -> Tensor:
        """All tokens at once.

        Args:
            x: (B, L, width).
            states: memory of what is looked at.
            visible: (B, T) bool, which states count.

        Returns:
            (B, L, width).
        """
        seen = None if visible is None else visible[:, None, None]
        for number, layer in enumerate(self.layers):
            x, _ = layer(x, None, None, None if states is None else states[:, number], seen)
        return self.norm(x)

    def step(
        self, x: Tensor, past: Tensor, lengths: Tensor | None = None, states: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One token more.

        Args:
            x: (B, width).
            past: memory of the tokens before, of P places.
            lengths: (B,) how many of those places count; None: all.
            states: memory of what is looked at, of one clip or of B, without padding.

        Returns:
            (B, width), and the memory (..., 1, width / heads) of the token.
        """
        P, visible = past.shape[4], None
        if lengths is not None:
            places = torch.arange(P + 1, device=x.device)
            visible = ((places < lengths[:, None]) | (places == P))[:, None, None]
        x, memories = x[:, None], []
        for number, layer in enumerate(self.layers):
            x, own = layer(x, past[:, number], visible, None if states is None else states[:, number], None)
            memories.append(own)
        return self.norm(x)[:, 0], torch.stack(memories, 1)

    def nothing(self) -> Tensor:
        """The memory (1, layers, 2, heads, 0, width / heads) before any token."""
        layers, heads, width = self._shape
        return self.norm.weight.new_empty(1, layers, 2, heads, 0, width)
