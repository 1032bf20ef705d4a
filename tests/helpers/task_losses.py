"""A check of a task's loss: sums and weights of clips add up, whatever the padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch


def check_losses_add_up(task: Any, dataset: Any, assets: Any, rel: float, model: Any = None) -> None:
    """Three samples in one padded batch and each alone: the same weight, and the same sum but for rounding."""
    torch.manual_seed(0)
    model = model or task.build(assets).eval()
    samples = [dataset.get(index, None) for index in range(3)]
    with torch.no_grad():
        together = task.loss(model, task.collate(samples), assets, 0.0)
        alone = [task.loss(model, task.collate([sample]), assets, 0.0) for sample in samples]
    assert together.weight == sum(loss.weight for loss in alone)
    assert float(together.total) == pytest.approx(sum(float(loss.total) for loss in alone), rel=rel)
