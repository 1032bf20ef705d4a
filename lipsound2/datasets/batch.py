"""Base of batches: moves all tensors of a batch to a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Self

import torch
from torch import Tensor


class TensorBatch:
    """Base of batches, which are dataclasses. Fields that are tensors move to the device; the others stay."""

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device; copies overlap with work when the memory is pinned."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """The same batch in page-locked memory (the loader of a GPU run calls this)."""
        return self._with(Tensor.pin_memory)

    def _with(self, change: Callable[[Tensor], Tensor]) -> Self:
        assert is_dataclass(self)
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved = {name: change(value) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **moved)
