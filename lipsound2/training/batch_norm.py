"""Batch norm over several processes.

Each process normalizes by the statistics of its own batch, as data parallelism usually does. So two processes make the
update of one that accumulates two batches, not of one that sees them as a single batch. Two things are done about it.
After every update the running statistics, which evaluation and use normalize by, are averaged over the processes. And
with `sync_batch_norm` the batch's own statistics are those of all processes' batches together.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lipsound2.models.modules.layers import MaskedBatchNorm


def running_statistics(model: nn.Module) -> list[Tensor]:
    """The running means and variances of a network's batch norms that learn; frozen ones stay to the last digit."""
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm | MaskedBatchNorm) and m.training]
    return [each for norm in norms for each in (norm.running_mean, norm.running_var) if each is not None]


def synchronized(model: nn.Module) -> nn.Module:
    """The network with every batch norm taking its statistics over all processes; weights keep their names.

    All processes have to show it equally many batches.
    """
    for name, module in model.named_children():
        if isinstance(module, MaskedBatchNorm):
            setattr(model, name, _adopt(_SyncedMasked, module))
        elif isinstance(module, _BatchNorm):
            setattr(model, name, _adopt(_Synced, module))
        else:
            synchronized(module)
    return model


def _adopt(kind: type[nn.Module], norm: nn.Module) -> nn.Module:
    """A module of another class with the very parameters, buffers and settings of `norm`."""
    adopted = kind.__new__(kind)
    adopted.__dict__ = norm.__dict__
    return adopted


class _Synced(_BatchNorm):
    """`nn.BatchNorm1d`, `2d` or `3d` whose batch is that of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) normalized."""
        if not self.training:
            return super().forward(x)
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        self.num_batches_tracked.add_(1)
        # Without a momentum the running statistics are the plain average of all batches so far.
        return _normalize(x, self, 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum)

    def _check_input_dim(self, x: Tensor) -> None:
        """Any number of axes: the norm that this one replaces has checked them."""


class _SyncedMasked(MaskedBatchNorm):
    """`MaskedBatchNorm` whose batch is that of all processes."""

    def _normalize(self, x: Tensor) -> Tensor:
        return _normalize(x, self, self.momentum) if self.training else super()._normalize(x)


def _normalize(x: Tensor, norm: Any, momentum: float) -> Tensor:
    """(N, C, ...) by the statistics of all processes, which the running ones take in."""
    values = x.float()
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = [-1 if axis == 1 else 1 for axis in range(x.ndim)]
    count = values.new_tensor([values.numel() / x.shape[1]])
    totals = _Sum.apply(torch.cat([values.sum(axes), count]))
    count, mean = totals[-1], totals[:-1] / totals[-1]
    centered = values - mean.view(shape)
    variance = _Sum.apply(centered.square().sum(axes)) / count
    with torch.no_grad():
        norm.running_mean.lerp_(mean, momentum)
        norm.running_var.lerp_(variance * count / (count - 1).clamp_min(1), momentum)
    result = centered * torch.rsqrt(variance + norm.eps).view(shape)
    if norm.weight is not None:
        result = result * norm.weight.view(shape) + norm.bias.view(shape)
    return result.to(x.dtype)


class _Sum(torch.autograd.Function):
    """The sum over all processes; so is the gradient's."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        """Values of any shape, the same on every process."""
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        """The loss is a sum over processes, and each one's part depends on this one's values."""
        total = gradient.clone()
        dist.all_reduce(total)
        return total
