"""A talking face: a still portrait, moved by what its mouth does and by small movements of the head."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from lipsound2.synthetic.appearance import Appearance, layers
from lipsound2.synthetic.articulation import Articulation
from lipsound2.synthetic.mouth import Mouth
from lipsound2.timing import FRAME_RATE

_SWAY, _TURN, _LEAN = 0.016, 1.6, 0.014  # of the face's height; degrees; relative size


@dataclass(frozen=True)
class Motion:
    """What a head does beside talking, at each frame.

    Args:
        sway: (frames, 2) shift right and down, in heights of the frame.
        roll: (frames,) degrees.
        size: (frames,) factor, near 1.
    """

    sway: np.ndarray
    roll: np.ndarray
    size: np.ndarray


def motion(articulation: Articulation, rng: np.random.Generator, fps: float = FRAME_RATE) -> Motion:
    """Draw head movements, and a nod that follows the voice."""
    frames = len(articulation)

    def wander(columns: int, seconds: float) -> np.ndarray:
        """Smooth noise of unit size (frames, columns)."""
        blur = seconds * fps
        long = rng.normal(size=(frames + int(8 * blur), columns))
        smooth = gaussian_filter1d(long, blur, axis=0)[int(4 * blur) :][:frames]
        return smooth * np.sqrt(2 * blur * np.sqrt(np.pi))

    slow = wander(4, 0.45)
    nod = gaussian_filter1d(articulation.energy.astype(np.float64), 0.12 * fps)
    sway = slow[:, :2] * _SWAY * np.array([1.0, 0.6])
    sway[:, 1] += 0.012 * nod
    return Motion(sway=sway, roll=slow[:, 2] * _TURN, size=1 + slow[:, 3] * _LEAN)


class TalkingFace:
    """Draws the frames of one speaker. Making one takes a moment, a frame some milliseconds.

    Args:
        look: of the speaker.
        width, height: of the frames in pixels.
    """

    def __init__(self, look: Appearance, width: int = 360, height: int = 288) -> None:
        self.width, self.height = width, height
        self._layers = layers(look, width, height)
        points = self._layers.points
        self._mouth = Mouth(points, look.light)
        self._pivot = points["chin"][0] + np.array([0.0, 0.25 * np.ptp(points["oval"][:, 1])])

    def frames(self, articulation: Articulation, moves: Motion) -> Iterator[np.ndarray]:
        """Yield (height, width, 3) uint8 RGB, one for each step of the articulation."""
        still = self._layers.person
        layer = still.copy()
        for index in range(len(articulation)):
            self._mouth.apply(
                layer,
                still,
                opening=float(articulation.opening[index]),
                width=float(articulation.width[index]),
                teeth=float(articulation.teeth[index]),
                tongue=float(articulation.tongue[index]),
            )
            yield self._compose(layer, moves, index)

    def _compose(self, layer: np.ndarray, moves: Motion, index: int) -> np.ndarray:
        """The moved person before the background."""
        affine = cv2.getRotationMatrix2D(tuple(self._pivot), moves.roll[index], moves.size[index])
        affine[:, 2] += moves.sway[index] * self.height - self._layers.margin
        person = cv2.warpAffine(layer, affine, (self.width, self.height), flags=cv2.INTER_LINEAR)
        uncovered = cv2.bitwise_not(person[..., 3])
        behind = cv2.multiply(self._layers.background, cv2.merge([uncovered] * 3), scale=1 / 255)
        return cv2.add(cv2.cvtColor(person, cv2.COLOR_RGBA2RGB), behind)
