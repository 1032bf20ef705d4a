"""An image that shows which of several faces was taken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from lipsound2.errors import LipsoundError
from lipsound2.files import write_bytes
from lipsound2.video.face import Face
from lipsound2.video.frame import Frame
from lipsound2.video.speaking import Speakers
from lipsound2.video.track import FILLED, Track

_WIDTH = 320  # pixels at most
_TAKEN, _OTHERS = (60, 230, 60), (190, 190, 190)  # green; gray


def draw_choice(
    frames: Sequence[Frame], tracked: Track, first: int = 0, speakers: Speakers | None = None
) -> np.ndarray | None:
    """The frame with most faces, a box about each: green about the one that is tracked, gray about the others.

    Args:
        frames: of a part of the clip.
        tracked: the face that was taken, in these frames.
        first: number of the first of them in the clip.
        speakers: who speaks: each box gets its score.

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
            _label(small, face.box, ratio, _OTHERS, _score(speakers, face, first + index))
    if own is not None:
        _box(small, own, ratio, _TAKEN, 2)
        seen = Face((own[0], own[1], own[2], own[3]), taken)
        _label(small, own, ratio, _TAKEN, _score(speakers, seen, first + index))
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


def _score(speakers: Speakers | None, face: Face, index: int) -> float | None:
    return None if speakers is None else speakers.score_of(face, index)


def _label(
    image: np.ndarray, box: Sequence[float], ratio: float, color: tuple[int, int, int], score: float | None
) -> None:
    """Write a score above a box, in black first, so that it is read on any ground."""
    if score is None:
        return
    at = (max(0, round(float(box[0]) * ratio)), max(12, round(float(box[1]) * ratio) - 4))
    for ink, thick in (((0, 0, 0), 3), (color, 1)):
        cv2.putText(image, f"{score:.1f}", at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, ink, thick, cv2.LINE_AA)
