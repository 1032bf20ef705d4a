"""Arrays as gray images, for TensorBoard."""

from __future__ import annotations

import numpy as np


def gray(values: np.ndarray) -> np.ndarray:
    """(H, W) of any range as a video frame (H, W, 3) uint8, the first row at the bottom."""
    low, high = float(values.min()), float(values.max())
    scaled = ((values[::-1] - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    return np.repeat(scaled[..., None], 3, axis=2)


def side_by_side(true: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """True mel above generated mel, both (S, D), on one scale, with a white line between."""
    length = min(len(true), len(generated))
    line = np.full((true.shape[1], 2), max(true.max(), generated.max()), true.dtype)
    return gray(np.concatenate([generated[:length].T, line[:, :1].repeat(length, 1)[:2], true[:length].T]))
