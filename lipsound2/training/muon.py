"""Muon (Jordan et al., 2024): orthogonalized steps for matrices and kernels.

A few strong directions dominate the matrix of a gradient; rare ones, which often matter, hardly move. Muon steps along
the semi-orthogonal matrix nearest to the momentum instead. Steps are scaled to the size of AdamW's (Liu et al., 2025,
"Muon is scalable for LLM training"), so that one learning rate and one weight decay serve both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's: steepest at zero; singular values end between 0.7 and 1.2
_STEPS = 5  # of Newton and Schulz's iteration
_ADAMW_SIZE = 0.2  # root mean square of AdamW's steps at learning rate 1, as Liu et al. found it


class Muon(torch.optim.AdamW):
    """Muon for the groups with `muon: True`, whose parameters have two axes or more; AdamW for the others.

    Args:
        groups: of parameters.
        dtype: what matrices are turned in; one the machine multiplies fast.
        options: AdamW's.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, dtype: torch.dtype, **options: Any) -> None:
        super().__init__(groups, **options)
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient; the gradients of Muon's groups are used up."""
        result = None if closure is None else closure()
        for group in self.param_groups:
            if group.get("muon"):
                self._turn(group)
        super().step()
        return result

    def _turn(self, group: dict[str, Any]) -> None:
        """One step of Muon; kernels count as matrices with a row an output channel."""
        alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for parameter in group["params"]:
            gradient, parameter.grad = parameter.grad, None
            if gradient is None:
                continue
            state = self.state[parameter]
            if not state:
                # AdamW wants to find its count in every state.
                state.update(step=torch.zeros(()), momentum=torch.zeros_like(gradient))
            state["momentum"].lerp_(gradient, 1 - group["momentum"])
            ahead = gradient.lerp(state["momentum"], group["momentum"]).flatten(1)
            alike[ahead.shape].append((parameter, ahead))
        # Matrices of one shape are turned together: half the time on a CPU, a few launches on a GPU.
        for shape, pairs in alike.items():
            size = -group["lr"] * _ADAMW_SIZE * max(shape) ** 0.5
            steps = orthogonal(torch.stack([matrix for _, matrix in pairs]), self.dtype)
            for (parameter, _), step in zip(pairs, steps, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(step.view_as(parameter), alpha=size)


def orthogonal(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Matrices (N, rows, columns) with the same singular vectors and all singular values near 1, by Newton-Schulz.

    Args:
        matrices: float32.
        dtype: of the products.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).to(dtype)
    if dtype == torch.float32 and x.shape[-1] >= 2 * x.shape[-2]:
        x = _of_squares(x)
    else:
        a, b, c = _QUINTIC
        for _ in range(_STEPS):
            square = x @ x.mT
            x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


def _of_squares(x: Tensor) -> Tensor:
    """The same of wide matrices, whose polynomials are multiplied up before they meet the matrix: two wide products
    instead of two a step. It takes the precision of float32.
    """
    a, b, c = _QUINTIC
    square = x @ x.mT
    product = None
    for step in range(_STEPS):
        polynomial = torch.baddbmm(square, square, square, beta=b, alpha=c)
        polynomial.diagonal(dim1=-2, dim2=-1).add_(a)
        product = polynomial if product is None else polynomial @ product
        if step < _STEPS - 1:
            square = polynomial @ (polynomial @ square)
    assert product is not None
    return product @ x
