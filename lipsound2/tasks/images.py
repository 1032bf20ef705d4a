"""Arrays as gray images, for TensorBoard."""

from __future__ import annotations

import numpy as np


def gray(values: np.ndarray) -> np.ndarray:
    """(H, W) of any range as an image (H, W, 3) uint8, the first row at the bottom."""
    low, high = float(values.min()), float(values.max())
    scaled = ((values[::-1] - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    return np.repeat(scaled[..., None], 3, axis=2)


def side_by_side(target: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """The ground-truth mel above the generated one, both (S, D), on one scale, with a white line between."""
    length = min(len(target), len(generated))
    line = np.full((2, length), max(target.max(), generated.max()), target.dtype)
    return gray(np.concatenate([generated[:length].T, line, target[:length].T]))
