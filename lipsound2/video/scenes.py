"""Where a clip is cut: nothing is smoothed or interpolated across such a place."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

Scene = tuple[int, int]  # first frame, end (one past the last)

_DIFFERENCE = 8.0  # gray levels, mean, between two frames of different scenes
_CONTRAST = 6.0  # and how many times the differences around it
_AROUND = 3  # frames on each side
_JUMP = 0.5  # face widths between two successive frames, which no head moves
_THUMBNAIL = 48  # pixels, about


def thumbnail(luma: np.ndarray) -> np.ndarray:
    """A frame (H, W) at the size at which frames are compared."""
    step = max(1, max(luma.shape) // _THUMBNAIL)
    return luma[::step, ::step].copy()


def differences(thumbnails: Sequence[np.ndarray]) -> np.ndarray:
    """Mean difference (T - 1,) of each of T small gray frames to the next, in gray levels."""
    # Two at a time: all of a long clip at once, as signed numbers, would outgrow its frames.
    return np.array([(np.maximum(a, b) - np.minimum(a, b)).mean() for a, b in itertools.pairwise(thumbnails)])


def find_scenes(steps: np.ndarray) -> list[Scene]:
    """Runs of frames without a cut.

    Args:
        steps: (T - 1,) `differences` of T frames.

    Returns:
        Scenes that cover 0..T.
    """
    cuts = []
    for i in map(int, np.flatnonzero(steps > _DIFFERENCE)):
        around = [*steps[max(0, i - _AROUND) : i], *steps[i + 1 : i + 1 + _AROUND]]
        if not around or steps[i] > _CONTRAST * np.median(around):
            cuts.append(i + 1)
    return list(itertools.pairwise([0, *cuts, len(steps) + 1]))


def split_at_jumps(points: np.ndarray, sure: np.ndarray, scenes: Sequence[Scene]) -> list[Scene]:
    """Split scenes where the face is somewhere else at once: cuts that the frame as a whole did not show.

    Args:
        points: (T, 68, 2) landmarks.
        sure: (T,) bool, the face was seen in this very frame.
        scenes: runs of frames, covering 0..T.
    """
    width = np.ptp(points[:, :, 0], axis=1)
    move = np.linalg.norm(np.diff(points.mean(1), axis=0), axis=1)
    jumps = np.flatnonzero(sure[:-1] & sure[1:] & (move > _JUMP * width[:-1])) + 1
    edges = sorted({0, len(points), *(first for first, _ in scenes), *map(int, jumps)})
    return list(itertools.pairwise(edges))
