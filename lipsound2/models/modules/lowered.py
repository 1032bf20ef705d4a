"""Linear layers in a lower precision, for use and not for training: what is between them stays in float32."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.models.modules.transformer import Attention

_PART = 64  # rows that are rounded at once


class HalfLinear(nn.Module):
    """A product in bfloat16, of float32 in and out: half the memory.

    Args:
        weight: (outputs, inputs) float32.
        bias: (outputs,), or None.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.register_buffer("weight", weight.detach().bfloat16())
        self.register_buffer("bias", None if bias is None else bias.detach().bfloat16())

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        return F.linear(x.bfloat16(), self.weight, self.bias).to(x.dtype)


class Int8Linear(nn.Module):
    """A product in 8-bit integers, of float32 in and out: a quarter of the memory.

    Each row of the weights has a scale. Each row of the input gets one when it comes (dynamic quantization), so that no
    row depends on the others.

    Args:
        weight: (outputs, inputs) float32.
        bias: (outputs,), or None.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        # In parts: memory that large arrays leave free in the heap is not given back.
        parts = [_rounded(part) for part in weight.detach().split(_PART)]
        self.register_buffer("weight", torch.cat([rows for rows, _ in parts]))
        self.register_buffer("scale", torch.cat([scale for _, scale in parts])[:, 0])
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) to (..., outputs)."""
        rows, scale = _rounded(x.reshape(-1, self.in_features))
        y = torch._int_mm(rows, self.weight.t()).float() * scale * self.scale
        return (y if self.bias is None else y + self.bias).view(*x.shape[:-1], self.out_features)


def _rounded(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(N, inputs) as int8, and the (N, 1) scales to multiply them with."""
    scale = (rows.abs().amax(1, keepdim=True) / 127).clamp(min=1e-30)
    return (rows / scale).round_().to(torch.int8), scale


Lower = Callable[[Tensor, Tensor | None], nn.Module]
LOWER: dict[str, Lower] = {"bf16": HalfLinear, "int8": Int8Linear}


class LoweredAttention(Attention):
    """Attention with its products in a lower precision.

    Args:
        attention: of float32.
        lower: makes a linear layer of weight and bias.
    """

    def __init__(self, attention: Attention, lower: Lower) -> None:
        nn.Module.__init__(self)
        self.width, self.heads, self.dropout = attention.width, attention.heads, attention.dropout
        weight, bias, width = attention.in_proj_weight, attention.in_proj_bias, attention.width
        self.query, self.memory = lower(weight[:width], bias[:width]), lower(weight[width:], bias[width:])
        self.out_proj = attention.out_proj

    def queries(self, x: Tensor) -> Tensor:
        """(B, L, width) to (B, L, width)."""
        found: Tensor = self.query(x)
        return found

    def keys_and_values(self, x: Tensor) -> Tensor:
        """(B, T, width) to (B, T, 2 width)."""
        found: Tensor = self.memory(x)
        return found


def lowered(module: nn.Module, precision: str) -> nn.Module | None:
    """A module with its own products in a lower precision, `bf16` or `int8`; None: it has none itself."""
    if isinstance(module, nn.Linear):
        return LOWER[precision](module.weight, module.bias)
    if isinstance(module, Attention):
        return LoweredAttention(module, LOWER[precision])
    return None
