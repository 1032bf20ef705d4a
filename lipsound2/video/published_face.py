"""The square about a face by which SyncNet and LR-ASD cut it, as published, from our landmarks."""

from __future__ import annotations

import numpy as np

MARGIN = 0.4  # of the square, at its sides and below
GRAY = 110  # beyond the edge of the frame
_SMOOTH = 13  # video frames of the median filter


def squares(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half the side, and the middle x and y, of the square in each video frame, each (T,), pixels.

    Args:
        points: (T, 68, 2) landmarks.
    """
    from scipy.ndimage import median_filter  # here: most clips need none

    low, high = points.min(1), points.max(1)
    # From brows to chin are two thirds of a face, hair to brows the third one.
    low[:, 1] -= (high[:, 1] - low[:, 1]) / 2
    # Ends are continued: where the published filter puts zeros beyond them, the first and last boxes shrink.
    half = median_filter((high - low).max(1) / 2, _SMOOTH, mode="nearest")
    across, down = (median_filter((low[:, axis] + high[:, axis]) / 2, _SMOOTH, mode="nearest") for axis in (0, 1))
    return half, across, down
