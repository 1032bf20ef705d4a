"""An image that shows which of several faces was taken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from lipsound2.errors import LipsoundError
from lipsound2.files import write_bytes
from lipsound2.video.frame import Frame
from lipsound2.video.track import FILLED, Track

_WIDTH = 320  # pixels at most
_TAKEN, _OTHERS = (60, 230, 60), (190, 190, 190)  # green; gray


def draw_choice(frames: Sequence[Frame], tracked: Track) -> np.ndarray | None:
    """The frame with most faces, a box about each: green about the one that is tracked, gray about the others.

    Returns:
        (H, W, 3) uint8 RGB; None where no face was detected.
    """
    if tracked.group is None:
        return None
    index, faces = tracked.group
    frame = frames[index]
    rgb = frame.rgb(2 * _WIDTH)
    scale = min(1.0, _WIDTH / rgb.shape[1])
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else rgb.copy()
    ratio = small.shape[1] / frame.size[0]
    taken = tracked.points[index]
    own = [*taken.min(0), *taken.max(0)] if tracked.flags[index] != FILLED else None
    for face in faces:
        middle = taken.mean(0)
        x0, y0, x1, y1 = face.box
        if own is None or not (x0 <= middle[0] <= x1 and y0 <= middle[1] <= y1):
            _box(small, face.box, ratio, _OTHERS, 1)
    if own is not None:
        _box(small, own, ratio, _TAKEN, 2)
    return small


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an image (H, W, 3) uint8 RGB as PNG."""
    done, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise LipsoundError(f"{path}: OpenCV cannot write PNG")
    write_bytes(path, encoded.tobytes())


def _box(image: np.ndarray, box: Sequence[float], ratio: float, color: tuple[int, int, int], thick: int) -> None:
    x0, y0, x1, y1 = (round(float(edge) * ratio) for edge in box)
    cv2.rectangle(image, (x0, y0), (x1, y1), color, thick)
