"""A quasi-recurrent layer (Bradbury et al., 2017): gates by a convolution over time, the recurrence an average."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class QRNN(nn.Module):
    """One layer in one direction, of window 2, with an output gate, as PASE+ uses it.

    The gates of a state see its own input and the one before (zero before the first), which is one linear layer over
    both, in this order (salesforce/pytorch-qrnn, `QRNNLayer`).

    Args:
        inputs: channels that come in.
        units: channels that go out.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * inputs, 3 * units)

    def forward(self, x: Tensor) -> Tensor:
        """States (B, T, units) of inputs (B, T, inputs)."""
        before = F.pad(x[:, :-1], (0, 0, 1, 0))
        candidate, forget, leave = self.linear(torch.cat([x, before], dim=2)).float().chunk(3, dim=2)
        share = forget.sigmoid()
        return leave.sigmoid() * recurrence(1 - share, share * candidate.tanh())


def recurrence(keep: Tensor, new: Tensor, blocks: int = 0) -> Tensor:
    """h_t = keep_t h_(t-1) + new_t, from h = 0 on, with gradients.

    Time is cut into blocks that go on side by side, each as if nothing had come before it; what did come is then handed
    on from block to block. That is the plain loop in another order of additions, in 2 T / blocks + blocks steps instead
    of T. A GPU is given sqrt(T) blocks, because it spends its time on launching steps. A CPU spends it on arithmetic,
    which blocks double: there a single one, the plain loop, is faster for all but the smallest batch.

    Args:
        keep: (B, T, H) in [0, 1].
        new: (B, T, H).
        blocks: how many; 0: as suits the device.

    Returns:
        (B, T, H).
    """
    if blocks < 1:
        blocks = 1 if keep.device.type == "cpu" else max(1, math.isqrt(keep.shape[1]))
    states: Tensor = _Recurrence.apply(keep, new, blocks)
    return states


class _Recurrence(torch.autograd.Function):
    """The recurrence; its gradient is the same recurrence backwards in time."""

    @staticmethod
    def forward(context: Any, keep: Tensor, new: Tensor, blocks: int) -> Tensor:
        states = _scan(keep, new, blocks)
        context.save_for_backward(keep, states)
        context.blocks = blocks
        return states

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        keep, states = context.saved_tensors
        # A state's gradient is its own and, through `keep` of the next, that of the next.
        later = F.pad(keep[:, 1:], (0, 0, 0, 1)).flip(1)
        gradient = _scan(later, gradients[0].flip(1), context.blocks).flip(1)
        return gradient * F.pad(states[:, :-1], (0, 0, 1, 0)), gradient, None


def _scan(keep: Tensor, new: Tensor, blocks: int) -> Tensor:
    """The recurrence, without gradients."""
    batch, length, width = new.shape
    size = -(-length // blocks)
    blocks = -(-length // size)
    # Steps first: what one step of all blocks reads and writes then lies together.
    keep, new = (
        F.pad(x, (0, 0, 0, blocks * size - length)).view(batch, blocks, size, width).permute(2, 1, 0, 3).contiguous()
        for x in (keep, new)
    )
    states = torch.empty_like(new)
    states[0] = new[0]
    for step in range(1, size):
        torch.addcmul(new[step], keep[step], states[step - 1], out=states[step])
    if blocks > 1:
        kept = keep.cumprod(0)  # of what was there before the block
        for block in range(1, blocks):
            states[:, block].addcmul_(kept[:, block], states[-1, block - 1])
    return states.permute(2, 1, 0, 3).reshape(batch, blocks * size, width)[:, :length]
