"""Muon (Jordan et al., 2024): steps whose every direction is equally long, for matrices and kernels.

A gradient's matrix is mostly a few strong directions; what is rare, and often what matters, hardly moves. Muon takes
the semi-orthogonal matrix nearest to the momentum instead. Steps are scaled to the size AdamW's have (Liu et al.,
2025, "Muon is scalable for LLM training"), so that one learning rate and one weight decay serve both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's: steepest at zero; singular values end between 0.7 and 1.2
_ADAMW_SIZE = 0.2  # root mean square of AdamW's steps at learning rate 1, as Liu et al. found it


class Muon(torch.optim.AdamW):
    """Muon for the groups with `muon: True`, whose parameters have two axes or more; AdamW for the others."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient; the gradients of Muon's groups are used up."""
        result = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in group["params"] if group.get("muon") else ():
                if parameter.grad is not None:
                    self._turn(parameter, group)
                    parameter.grad = None
        super().step()
        return result

    def _turn(self, parameter: Tensor, group: dict[str, Any]) -> None:
        """One step of Muon; kernels count as matrices with a row an output channel."""
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if not state:
            # AdamW wants to find its count in every state.
            state.update(step=torch.zeros(()), momentum=torch.zeros_like(gradient))
        state["momentum"].lerp_(gradient, 1 - group["momentum"])
        step = orthogonal(gradient.lerp(state["momentum"], group["momentum"]).flatten(1))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(step.view_as(parameter), alpha=-group["lr"] * _ADAMW_SIZE * max(step.shape) ** 0.5)


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """A matrix (M, N) with the same singular vectors and all singular values near 1, by Newton-Schulz iteration."""
    a, b, c = _QUINTIC
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).to(matrix.dtype)
