"""A face that was found in a frame, and what finds faces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Face:
    """One face in one frame.

    Attributes:
        box: x0, y0, x1, y1 in pixels.
        points: (68, 2) float32, the iBUG points in pixels.
        score: confidence; comparable within one detector only.
    """

    box: tuple[float, float, float, float]
    points: np.ndarray
    score: float = 1.0

    @property
    def width(self) -> float:
        """Width of the box, pixels."""
        return self.box[2] - self.box[0]

    def moved(self, scale: float, shift: tuple[float, float] = (0.0, 0.0)) -> Face:
        """The face in a frame that is `scale` times as large and begins at -`shift`."""
        x0, y0, x1, y1 = self.box
        (x, y) = shift
        box = (scale * x0 + x, scale * y0 + y, scale * x1 + x, scale * y1 + y)
        return replace(self, box=box, points=self.points * np.float32(scale) + np.array(shift, np.float32))


class Detector(Protocol):
    """What finds faces. Frames are (H, W, 3) uint8 RGB.

    Attributes:
        coarse: the points jump from frame to frame and have to be averaged over seconds.
    """

    coarse: bool

    def glance(self, rgb: np.ndarray) -> list[float]:
        """How sure it is of each face, 0 to 1: a quick look, before a scene is followed."""

    def detect(self, rgb: np.ndarray, *, alone: bool = False) -> list[Face]:
        """All faces in a frame; `alone`: there is one in this scene, so that following it is enough."""

    def reset(self) -> None:
        """Forget the clip seen so far."""
