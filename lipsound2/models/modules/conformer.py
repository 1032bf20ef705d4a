"""Conformer blocks (Gulati et al., 2020) with learned biases for relative positions and no batch statistics."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FeedForward(nn.Sequential):
    """Layer norm, expansion, Swish, projection."""

    def __init__(self, width: int, expansion: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(width),
            nn.Linear(width, width * expansion),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(width * expansion, width),
            nn.Dropout(dropout),
        )


class RelativeAttention(nn.Module):
    """Self-attention whose scores carry a learned bias per head and distance.

    Absolute place is never shown: in short clips it would be learned instead of the lips. Distances beyond
    `max_relative_position` share one bias.
    """

    def __init__(self, width: int, heads: int, max_relative_position: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.max_relative_position, self.dropout = heads, max_relative_position, dropout
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.bias = nn.Parameter(torch.zeros(heads, 2 * max_relative_position + 1))
        self.join = nn.Linear(width, width)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, width) and (B, T) bool to (B, T, width)."""
        B, T, width = x.shape
        query, key, value = self.project(self.norm(x)).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        place = torch.arange(T, device=x.device)
        distance = (place[None, :] - place[:, None]).clamp(
            -self.max_relative_position, self.max_relative_position
        ) + self.max_relative_position
        scores = self.bias[:, distance].masked_fill(~valid[:, None, None, :], -torch.inf)
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=scores.to(query.dtype), dropout_p=self.dropout if self.training else 0.0
        )
        return F.dropout(self.join(mixed.transpose(1, 2).reshape(B, T, width)), self.dropout, self.training)


class Convolution(nn.Module):
    """The convolution module: gate, depthwise convolution over time, norm, Swish, projection.

    Layer norm stands where the paper has batch norm: it needs no masking and is the same in training and use.
    """

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.inner = nn.LayerNorm(width)
        self.join = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, width) and (B, T) bool to (B, T, width)."""
        x = F.glu(self.gate(self.norm(x)), dim=-1) * valid[:, :, None]
        x = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return self.dropout(self.join(F.silu(self.inner(x))))


class ConformerBlock(nn.Module):
    """Half feed-forward, attention, convolution, half feed-forward, norm; `drop_path` drops whole branches."""

    def __init__(
        self,
        width: int,
        heads: int,
        expansion: int,
        kernel: int,
        max_relative_position: int,
        dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.first = FeedForward(width, expansion, dropout)
        self.attention = RelativeAttention(width, heads, max_relative_position, dropout)
        self.convolution = Convolution(width, kernel, dropout)
        self.second = FeedForward(width, expansion, dropout)
        self.norm = nn.LayerNorm(width)

    def keep(self, branch: Tensor) -> Tensor:
        """In training, a clip loses the branch with probability `drop_path`; survivors are scaled to keep the mean."""
        if not self.training or self.drop_path == 0:
            return branch
        kept = torch.rand(len(branch), 1, 1, device=branch.device) >= self.drop_path
        return branch * kept / (1 - self.drop_path)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, width) and (B, T) bool to (B, T, width)."""
        x = x + 0.5 * self.keep(self.first(x))
        x = x + self.keep(self.attention(x, valid))
        x = x + self.keep(self.convolution(x, valid))
        x = x + 0.5 * self.keep(self.second(x))
        return self.norm(x)


class Conformer(nn.Module):
    """A stack of Conformer blocks.

    Args:
        width: channels in and out.
        layers: blocks.
        heads: attention heads.
        expansion: of the feed-forward modules.
        kernel: taps of the depthwise convolution, odd.
        max_relative_position: largest distance told apart by attention, in positions.
        dropout: inside all modules.
        drop_path: probability that a clip skips a branch in the last block; rises linearly from the first.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int = 4,
        expansion: int = 4,
        kernel: int = 15,
        max_relative_position: int = 32,
        dropout: float = 0.1,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ConformerBlock(
                width, heads, expansion, kernel, max_relative_position, dropout, drop_path * (i + 1) / layers
            )
            for i in range(layers)
        )

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, width) and (B, T) bool, True inside the clip, to (B, T, width); zero where padded."""
        for block in self.blocks:
            x = block(x, valid)
        return x * valid[:, :, None]
