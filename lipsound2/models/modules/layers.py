"""Small parts that several blocks share: norms, positions, activations, first weights, products in a loop."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

Sequence = TypeVar("Sequence", Tensor, PackedSequence)


def exporting() -> bool:
    """Whether torch is exporting to ONNX; its exporter takes as long to import as a clip to speak."""
    exporter = sys.modules.get("torch.onnx")
    return exporter is not None and bool(exporter.is_in_onnx_export())


class MaskedBatchNorm(nn.Module):
    """`nn.BatchNorm` over (B, C, T, ...) whose statistics come from valid positions alone.

    Args:
        channels: C.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(Tensor(channels).fill_(1.0))
        self.bias = nn.Parameter(Tensor(channels).fill_(0.0))
        self.register_buffer("running_mean", Tensor(channels).fill_(0.0))
        self.register_buffer("running_var", Tensor(channels).fill_(1.0))
        self.momentum, self.eps = 0.1, 1e-5  # torch's

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """Normalize.

        Args:
            x: (B, C, T, ...).
            valid: (B, T) bool, or None when everything is.

        Returns:
            (B, C, T, ...), in training zero where padded.
        """
        if valid is None or not self.training:
            return self._normalize(x)
        rows = valid.flatten().nonzero()[:, 0]
        x = x.transpose(1, 2)
        normalized = self._normalize(x.flatten(0, 1).index_select(0, rows))
        y = torch.zeros_like(x.flatten(0, 1), dtype=normalized.dtype).index_copy(0, rows, normalized)
        return y.view(x.shape).transpose(1, 2)

    def _normalize(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum, self.eps
        )


def sinusoids(places: Tensor, width: int, interleaved: bool = False) -> Tensor:
    """The Transformer's positions: sines and cosines of wavelengths 2 pi to 10000 x 2 pi.

    Args:
        places: (...) numbers.
        width: channels.
        interleaved: sines in even channels and cosines in odd ones, as Vaswani et al. have them (2017, section 3.5);
            otherwise all sines come first.

    Returns:
        (..., width) float32.
    """
    half = width // 2
    if interleaved:
        rates = torch.exp(torch.arange(half, device=places.device) * (-math.log(10000) / half))
        angles = places[..., None] * rates
        return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)
    # 9.21 for the logarithm: weights were trained with it.
    rates = torch.exp(torch.arange(half, device=places.device) * (-9.21 / half))
    angles = places[..., None] * rates
    return torch.cat([angles.sin(), angles.cos()], -1)


def xavier(module: nn.Module) -> None:
    """The paper's first weights: Xavier for linear layers and convolutions, for the latter with the gain of tanh."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
    elif isinstance(module, nn.Conv1d | nn.Conv3d):
        nn.init.xavier_uniform_(module.weight, nn.init.calculate_gain("tanh"))


def packed(weight: Tensor, rows: int) -> Callable[[Tensor], Tensor]:
    """`x -> x @ weight.T` for many `x` of `rows` rows, without gradients.

    On a CPU the matrix is laid out for that product beforehand (oneDNN), which with few rows is about twice as fast.
    """
    if weight.device.type == "cpu" and weight.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        laid_out = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
        return lambda x: torch.ops.mkldnn._linear_pointwise(x, laid_out, None, "none", [], "")
    return lambda x: F.linear(x, weight)


def run_lstm(lstm: nn.LSTM, x: Sequence) -> Sequence:
    """The states of an LSTM; in float32 where autocast asks for a type that this processor has no LSTM in."""
    data = x.data if isinstance(x, PackedSequence) else x
    wanted = torch.get_autocast_dtype("cpu")
    if data.device.type == "cpu" and torch.is_autocast_enabled("cpu") and not _cpu_has_lstm(wanted):
        with torch.autocast("cpu", enabled=False):
            return lstm(x._replace(data=data.float()) if isinstance(x, PackedSequence) else data.float())[0]
    return lstm(x)[0]


@functools.cache
def _cpu_has_lstm(dtype: torch.dtype) -> bool:
    """Whether autocast's LSTM runs in this type on this processor, which only trying tells."""
    try:
        with torch.random.fork_rng([]), torch.autocast("cpu", dtype):  # no number of the training's is drawn
            nn.LSTM(1, 1)(torch.zeros(1, 1, 1))
    except RuntimeError:
        return False
    return True


def lstm_cell(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden and cell state from gates (B, 4H) before their activations (input, forget, candidate, output)."""
    enter, forget, candidate, leave = gates.chunk(4, dim=1)
    cell = torch.addcmul(enter.sigmoid() * candidate.tanh(), forget.sigmoid(), cell)
    return leave.sigmoid() * cell.tanh(), cell
