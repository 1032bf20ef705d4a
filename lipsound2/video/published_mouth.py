"""The mouth crop that published lip readers were trained on: the eight-point rule of auto_avsr and its siblings.

Landmarks are averaged over 13 frames, and eight of them are fitted to a mean face in an image of 256 x 256 pixels. Then
96 x 96 pixels about the middle of the mouth are cut out, at whole pixels (mpc001/auto_avsr, its `retinaface` crops).
The mouth comes out some 15 % smaller than in `mouth`, and its middle never moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lipsound2.errors import ClipFailure
from lipsound2.video.scenes import Scene

_AROUND = 6  # frames before and behind that a frame's landmarks are averaged with
_MOUTH = slice(48, 68)
# Nose, eye corners and corners of the mouth, and where the published mean face has them.
_FITTED = [28, 33, 36, 39, 42, 45, 48, 54]
_PLACES = np.array(
    [
        *[(128.49, 106.92), (128.87, 137.30)],
        *[(92.52, 94.37), (112.77, 94.94), (145.53, 94.53), (166.68, 93.57)],
        *[(107.17, 157.20), (152.19, 156.99)],
    ]
)


@dataclass(frozen=True)
class PublishedMouth:
    """This kind of crop; see `align.Region`."""

    size: int = 96

    def transforms(self, points: np.ndarray, scenes: Sequence[Scene]) -> np.ndarray:
        """Affine maps from crop pixels to frame pixels, see `align.Region.transforms`.

        Args:
            points: (T, 68, 2) landmarks.
            scenes: runs of frames without a cut; nothing is averaged across one, which the published rule does.

        Returns:
            (T, 2, 3) float64.

        Raises:
            ClipFailure: the landmarks of a frame fit no face.
        """
        maps = []
        for index, smoothed in enumerate(_smoothed(points, scenes)):
            # Least median of squares; OpenCV draws its samples from a generator that begins alike in every call.
            forward, _ = cv2.estimateAffinePartial2D(smoothed[_FITTED], _PLACES, method=cv2.LMEDS)
            if forward is None:
                raise ClipFailure(
                    "no-face", f"the landmarks of frame {index} fit no face: {len(_FITTED)} points in a line"
                )
            middle = (smoothed[_MOUTH] @ forward[:, :2].T + forward[:, 2]).mean(0)
            corner = np.round(middle - self.size / 2)
            back = cv2.invertAffineTransform(forward)
            back[:, 2] += back[:, :2] @ corner
            maps.append(back)
        return np.stack(maps)


def _smoothed(points: np.ndarray, scenes: Sequence[Scene]) -> np.ndarray:
    """The mean over some frames around, fewer at the ends and as many on both sides, at the frame's own place."""
    points = points.astype(np.float64)
    smoothed = np.empty_like(points)
    for first, end in scenes:
        sums = np.concatenate([np.zeros_like(points[:1]), points[first:end].cumsum(0)])
        for index in range(first, end):
            around = min(_AROUND, index - first, end - 1 - index)
            mean = (sums[index - first + around + 1] - sums[index - first - around]) / (2 * around + 1)
            smoothed[index] = mean + points[index].mean(0) - mean.mean(0)
    return smoothed
