"""Checks of the mouth: whether it lies in the frame, and whether it moves at all.

A model generates speech even for a photo held before the camera, a mask, or a face that does not speak. The motion of a
mouth is what is left of a short run of frames when all rigid motion is removed: shifts, turns, zooms and tilts, and
changes of light.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from lipsound2.video.align import REGIONS
from lipsound2.video.track import DETECTED, FILLED

STILL = 0.05
"""Of the contrast of the mouth: what changes less, three of four times, shows no speech.

Measured: 940 clips of GRID have 0.103 or more, 0.160 in the median; the stillest of them, at H.264's rate factor 38,
has 0.063. A photo has 0.011 at most; zoomed into 0.037, moved by hand 0.059, in a camera's noise 0.064.
"""
_HARDLY = 0.09  # less is noted in the report: a man who signs and does not speak has 0.088
_PARTED = (
    0.035  # eye distances by which lips part in speech: detected in every frame of 105 clips of GRID, 0.05 or more
)
_LOOKS = 12  # frames with a detected face that are needed to tell that lips do not part
_MOST_FILLED = 0.25  # of the frames may lack a face then
_EYE_CORNERS = (36, 45)
_UPPER, _LOWER = np.array([61, 62, 63]), np.array([67, 66, 65])  # the inner edges of the lips
_MARGIN = 16  # pixels of the crop left out on each side: lips and chin remain
_SIDE = 24  # pixels at which mouths are compared
_RUN = 12  # frames
_BLOCK = 6  # runs: three seconds
_SHARE = 75  # per cent of the runs of a block that may be stiller: speech pauses
_GRAY = 4.0  # levels added to the contrast, so that the noise of a blank wall is no movement
_INSIDE = 0.6  # of lips and chin in the crop that lie in the frame: less is no mouth
_TOGETHER = 1024  # frames whose mouths are looked for together: 6 MB
_GRID = np.arange(_MARGIN + 1.5, REGIONS["mouth"].size - _MARGIN, 4)


def outside(matrices: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where the mouth that is cropped lies outside of the frame.

    Args:
        matrices: (T, 2, 3), pixel of the mouth's crop -> pixel of the frame.
        size: width and height of the frame.

    Returns:
        (T,) bool.
    """
    u, v = np.meshgrid(_GRID, _GRID)
    grid = np.stack([u.reshape(-1), v.reshape(-1), np.ones(u.size)])
    lost = np.zeros(len(matrices), bool)
    for first in range(0, len(matrices), _TOGETHER):
        at = matrices[first : first + _TOGETHER] @ grid
        inside = ((at >= 0) & (at < np.array(size)[:, None])).all(1)
        lost[first : first + _TOGETHER] = inside.mean(1) < _INSIDE
    return lost


def hardly_moves(points: np.ndarray, flags: np.ndarray, movement: float | None) -> bool:
    """Whether a face is shown that may not speak at all.

    Args:
        points: (T, 68, 2) landmarks.
        flags: (T,) what is known of each frame, as in `track`.
        movement: as `MouthMotion.peak` has it.
    """
    if movement is not None and movement < _HARDLY:
        return True
    seen = points[flags == DETECTED]
    if len(seen) < _LOOKS or (flags == FILLED).mean() > _MOST_FILLED:
        return False
    eyes = np.linalg.norm(seen[:, _EYE_CORNERS[0]] - seen[:, _EYE_CORNERS[1]], axis=-1)
    gaps = np.linalg.norm(seen[:, _UPPER] - seen[:, _LOWER], axis=-1).mean(-1) / np.maximum(eyes, 1e-9)
    return float(np.ptp(gaps)) < _PARTED


class MouthMotion:
    """How much a mouth moves, crop by crop; a few frames are kept at a time."""

    def __init__(self) -> None:
        self._run: list[np.ndarray] = []
        self._block: list[float] = []
        self._peak: float | None = None

    def add(self, crop: np.ndarray, *, cut: bool) -> None:
        """The next crop of a mouth, (96, 96) uint8; `cut`: a scene begins with it."""
        if cut:
            self._run = []
        self._run.append(small_mouth(crop))
        if len(self._run) == _RUN:
            self._block.append(_change(np.stack(self._run)))
            self._run = self._run[_RUN // 2 :]
        if len(self._block) == 2 * _BLOCK:
            self._close()

    def peak(self) -> float | None:
        """In the liveliest three seconds, as a share of the contrast; None where no scene is long enough to tell."""
        self._close()
        return self._peak

    def _close(self) -> None:
        if self._block:
            self._peak = max(self._peak or 0.0, float(np.percentile(self._block, _SHARE)))
        self._block = []


def small_mouth(crop: np.ndarray) -> np.ndarray:
    """Lips and chin at which mouths are compared: a crop (96, 96) uint8 to (24, 24) uint8, blurred against noise."""
    inner = crop[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    return cv2.GaussianBlur(cv2.resize(inner, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), (3, 3), 0)


def _change(run: np.ndarray) -> float:
    """What no rigid motion and no light explains in frames (T, S, S), as a share of their contrast."""
    mean = run.mean(0, dtype=np.float64)
    explained = np.stack([*_rigid(mean), np.ones_like(mean), mean]).reshape(8, -1)
    basis, _ = np.linalg.qr(explained.T)
    frames = run.reshape(len(run), -1).astype(np.float64)
    left = frames - (frames @ basis) @ basis.T
    return float(np.sqrt((left**2).mean()) / (mean.std() + _GRAY))


def _rigid(mean: np.ndarray) -> Iterator[np.ndarray]:
    """How a frame changes when it is shifted, turned, stretched and sheared a little."""
    down, right = np.gradient(mean)
    v, u = np.mgrid[: len(mean), : len(mean)] / len(mean) - 0.5
    for slope in (right, down):
        yield from (slope, slope * u, slope * v)
