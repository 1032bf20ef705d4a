"""The box about a mouth that is drawn where people look at a video."""

from __future__ import annotations

import numpy as np

from lipsound2.video.align import MOUTH

_AROUND = 0.35  # of the mouth's width, on each side


def mouth_boxes(points: np.ndarray) -> np.ndarray:
    """(T, 4) float: x0, y0, x1, y1 about the mouth with some air, of landmarks (T, 68, 2)."""
    mouth = points[:, MOUTH]
    low, high = mouth.min(1), mouth.max(1)
    air = _AROUND * (high[:, :1] - low[:, :1])
    return np.concatenate([low - air, high + air], 1)
