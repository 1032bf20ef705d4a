"""Conformer blocks (Gulati et al., 2020), with our choices or as the group behind LiRA published them.

Ours learn a bias for each head and distance, and have no batch statistics: better on clips of one sentence and small
budgets. The published ones (ESPnet's, arXiv 2102.06657) have the relative positions of Transformer-XL, batch norm and
ReLU. In both a clip's result does not depend on its batch mates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.arguments import AtLeast0, NotNegative
from lipsound2.errors import LipsoundError
from lipsound2.models.modules.layers import MaskedBatchNorm, exporting, sinusoids

_LEGACY_TABLE = 5000  # places in the table of legacy positions
_ACTIVATIONS: dict[str, type[nn.Module]] = {"swish": nn.SiLU, "relu": nn.ReLU}


@dataclass
class ConformerConfig:
    """How the blocks are built. The defaults are ours; behind them, as published.

    Attributes:
        positions: `learned`: a bias for each head and distance; `latest`: Transformer-XL's relative positions;
            `legacy`: these with the shift of ESPnet before 2021, for weights that were trained so. Published: `latest`.
        conv_norm: norm in the convolution module, `layer` or `batch`. Published: `batch`.
        feed_forward_activation: `swish` or `relu`. Published: `relu`.
        input_scale: multiply the input by the root of the width, instead of normalizing it. Published: true.
        last_norm: a layer norm behind the last block. Published: true.
        norm_eps: added to the variance in layer norms. Published: 1.0e-12.
        feed_forward: channels inside the feed-forward modules; 0: `expansion` times the width.
    """

    positions: Literal["learned", "latest", "legacy"] = "learned"
    conv_norm: Literal["layer", "batch"] = "layer"
    feed_forward_activation: Literal["swish", "relu"] = "swish"
    input_scale: bool = False
    last_norm: bool = False
    norm_eps: NotNegative = 1e-5
    feed_forward: AtLeast0 = 0


class FeedForward(nn.Sequential):
    """Layer norm, expansion, activation, projection."""

    def __init__(self, width: int, expansion: int, dropout: float, config: ConformerConfig) -> None:
        inside = config.feed_forward or width * expansion
        super().__init__(
            nn.LayerNorm(width, config.norm_eps),
            nn.Linear(width, inside),
            _ACTIVATIONS[config.feed_forward_activation](),
            nn.Dropout(dropout),
            nn.Linear(inside, width),
            nn.Dropout(dropout),
        )


class RelativePositions(nn.Module):
    """Transformer-XL's relative positions (Dai et al., 2019, section 3.3): sinusoids of distances, projected.

    The score of places i and j is ((q_i + u) k_j + (q_i + v) p_(i-j)) / sqrt(d).

    Args:
        width: channels of all heads.
        heads: attention heads.
        legacy: as in ESPnet before 2021. The table of sinusoids then begins at place 4999, however short the clip, and
            scores of places ahead are read from the next row of the product. These are no distances, but weights were
            trained with them. (Found by comparing with numbers of the published code; no paper has it.)
    """

    def __init__(self, width: int, heads: int, legacy: bool) -> None:
        super().__init__()
        self.legacy = legacy
        self.project = nn.Linear(width, width, bias=False)
        self.content, self.place = (nn.Parameter(torch.empty(heads, width // heads)) for _ in range(2))
        nn.init.xavier_uniform_(self.content)
        nn.init.xavier_uniform_(self.place)

    def forward(self, query: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (B, heads, T, d) and (B, T) bool to the queries q + u and a bias (B, heads, T, T) of the scores."""
        seen = query + self.place[:, None]
        if self.legacy:
            bias = self._legacy(seen, valid)
        else:
            T = query.shape[2]
            # Column c is of distance T - 1 - c. The flat product is read with rows one shorter, which shifts each row
            # by one against the row above; the last column is there so that this is a view.
            flat = self._scores(seen, torch.arange(T - 1, -T - 1, -1, device=query.device)).flatten(2)
            bias = flat[..., T - 1 : T - 1 + T * (2 * T - 1)].unflatten(2, (T, 2 * T - 1))[..., :T]
        return query + self.content[:, None], bias

    def _scores(self, query: Tensor, distances: Tensor) -> Tensor:
        """(B, heads, T, d) and (R,) distances to (B, heads, T, R)."""
        table = sinusoids(distances, self.project.in_features, interleaved=True).to(query.dtype)
        places = self.project(table).unflatten(1, (query.shape[1], -1)).permute(1, 2, 0)
        return query @ places / math.sqrt(query.shape[-1])

    def _legacy(self, query: Tensor, valid: Tensor) -> Tensor:
        B, heads, T, _ = query.shape
        # An exported graph is always shown one whole clip.
        lengths = [] if exporting() else valid.sum(1).tolist()
        if (
            lengths and min(lengths) < T
        ):  # what is read from the next row depends on the length, so each clip is shifted by itself
            bias = query.new_zeros(B, heads, T, T)
            for row, length in enumerate(lengths):
                alone = valid[row : row + 1, :length]
                bias[row : row + 1, :, :length, :length] = self._legacy(query[row : row + 1, :, :length], alone)
            return bias
        first = torch.sym_max(T, _LEGACY_TABLE) - 1
        scores = self._scores(query, torch.arange(first, first - T, -1, device=query.device))
        return F.pad(scores, (1, 0)).flatten(2)[..., T:].unflatten(2, (T, T))


class RelativeAttention(nn.Module):
    """Self-attention whose scores depend on distances: by a learned bias per head and distance, or `RelativePositions`.

    Absolute place is never shown: in short clips it would be learned instead of the lips. Learned distances beyond
    `max_relative_position` share one bias.
    """

    def __init__(
        self, width: int, heads: int, max_relative_position: int, dropout: float, config: ConformerConfig
    ) -> None:
        super().__init__()
        if width % heads:
            raise LipsoundError(f"width, heads: {width} channels cannot be shared by {heads} heads; use a multiple")
        self.heads, self.max_relative_position, self.dropout = heads, max_relative_position, dropout
        self.norm = nn.LayerNorm(width, config.norm_eps)
        self.project = nn.Linear(width, 3 * width)
        self.positions: RelativePositions | None = None
        if config.positions == "learned":
            self.bias = nn.Parameter(torch.zeros(heads, 2 * max_relative_position + 1))
        else:
            self.positions = RelativePositions(width, heads, config.positions == "legacy")
        self.join = nn.Linear(width, width)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, width) and (B, T) bool to (B, T, width)."""
        B, T, width = x.shape
        query, key, value = self.project(self.norm(x)).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if self.positions is None:
            bias = self._learned(T)
        else:
            query, bias = self.positions(query, valid)
        scores = bias.masked_fill(~valid[:, None, None, :], -torch.inf)
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=scores.to(query.dtype), dropout_p=self.dropout if self.training else 0.0
        )
        return F.dropout(self.join(mixed.transpose(1, 2).reshape(B, T, width)), self.dropout, self.training)

    def _learned(self, T: int) -> Tensor:
        """(heads, T, T)."""
        farthest, place = self.max_relative_position, torch.arange(T, device=self.bias.device)
        return self.bias[:, (place[None, :] - place[:, None]).clamp(-farthest, farthest) + farthest]


class Convolution(nn.Module):
    """The convolution module: gate, depthwise convolution over time, norm, Swish, projection.

    A layer norm needs no masking and is the same in training and use; batch norm is the paper's.
    """

    def __init__(self, width: int, kernel: int, dropout: float, config: ConformerConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, config.norm_eps)
        self.gate = nn.Linear(width, 2 * width)
        if kernel < 1 or not kernel % 2:
            raise LipsoundError(f"kernel: found {kernel}, wanted an odd number of taps, such as 31")
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.inner = MaskedBatchNorm(width) if config.conv_norm == "batch" else nn.LayerNorm(width, config.norm_eps)
        self.join = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, width) and (B, T) bool to (B, T, width)."""
        x = F.glu(self.gate(self.norm(x)), dim=-1) * valid[:, :, None]
        x = self.depthwise(x.transpose(1, 2))
        if isinstance(self.inner, MaskedBatchNorm):
            x = self.inner(x, valid).transpose(1, 2)
        else:
            x = self.inner(x.transpose(1, 2))
        return self.dropout(self.join(F.silu(x)))


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
        config: ConformerConfig,
    ) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.first = FeedForward(width, expansion, dropout, config)
        self.attention = RelativeAttention(width, heads, max_relative_position, dropout, config)
        self.convolution = Convolution(width, kernel, dropout, config)
        self.second = FeedForward(width, expansion, dropout, config)
        self.norm = nn.LayerNorm(width, config.norm_eps)

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
        max_relative_position: largest distance told apart by learned positions.
        dropout: inside all modules.
        drop_path: probability that a clip skips a branch in the last block; rises linearly from the first.
        config: how the blocks are built.

    Raises:
        LipsoundError: the heads cannot share the channels.
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
        config: ConformerConfig | None = None,
    ) -> None:
        super().__init__()
        config = config or ConformerConfig()
        self.scale = math.sqrt(width) if config.input_scale else 1.0
        self.blocks = nn.ModuleList(
            ConformerBlock(
                width, heads, expansion, kernel, max_relative_position, dropout, drop_path * (i + 1) / layers, config
            )
            for i in range(layers)
        )
        self.norm = nn.LayerNorm(width, config.norm_eps) if config.last_norm else None

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, width) and (B, T) bool, True inside the clip, to (B, T, width); zero where padded."""
        if self.scale != 1:
            x = x * self.scale
        for block in self.blocks:
            x = block(x, valid)
        return (x if self.norm is None else self.norm(x)) * valid[:, :, None]
