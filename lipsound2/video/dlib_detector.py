"""The detector `dlib`: its HOG detector, with the landmarks of a model file, or of the mean face."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from lipsound2.errors import LipsoundError, require
from lipsound2.video.face import Face
from lipsound2.video.mean_face import MEAN_FACE

# Outer and inner corner of the eye on the frame's right, of that on its left, base of the nose.
_FIVE = np.array([45, 42, 36, 39, 33])
# Where dlib's box lies about a face, measured against mediapipe on ten speakers of GRID: distance of the outer eye
# corners and height of the eye line, in sides of the box.
_EYES_PER_BOX = 0.57
_EYE_LINE = 0.265


class DlibDetector:
    """dlib's HOG face detector, with the landmark model of a file, or none.

    The 68-point file that is handed around was trained on iBUG 300-W and is not free for commercial use; none comes
    with dlib or with this toolkit. With the free 5-point file the mean face is fitted to the five points; without any
    file it is placed by the box.

    Args:
        landmarks: `shape_predictor_68_face_landmarks.dat`, `shape_predictor_5_face_landmarks.dat`, or None.
    """

    def __init__(self, landmarks: Path | None = None) -> None:
        self._dlib = require("dlib", "dlib")
        self._find = self._dlib.get_frontal_face_detector()
        self._predict: Any = None
        self.coarse = landmarks is None  # boxes come in steps of a sixth
        if landmarks is not None:
            try:
                self._predict = self._dlib.shape_predictor(str(landmarks))
            except RuntimeError as error:
                raise LipsoundError(f"{landmarks}: not a dlib landmark model ({error})") from error

    def detect(self, rgb: np.ndarray, *, alone: bool = False) -> list[Face]:
        """See `Detector.detect`. Faces below 80 pixels are found by a second look at the doubled frame."""
        boxes, scores = self._boxes(rgb)
        return [self._face(rgb, box, score) for box, score in zip(boxes, scores, strict=True)]

    def glance(self, rgb: np.ndarray) -> list[float]:
        """See `Detector.glance`. Its scores begin at 0 and have no end: 1 is a face, 0.2 may be anything."""
        return [1 - math.exp(-2 * max(0.0, float(score))) for score in self._boxes(rgb)[1]]

    def reset(self) -> None:
        """See `Detector.reset`: this detector keeps nothing."""

    def _boxes(self, rgb: np.ndarray) -> tuple[Any, Any]:
        for doubled in (0, 1):
            boxes, scores, _ = self._find.run(rgb, doubled, 0.0)
            if boxes:
                return boxes, scores
        return [], []

    def _face(self, rgb: np.ndarray, box: Any, score: float) -> Face:
        x0, y0, side = box.left(), box.top(), box.width()
        if self._predict is None:
            points = MEAN_FACE * (_EYES_PER_BOX * side) + (x0 + 0.5 * side, y0 + _EYE_LINE * side)
        else:
            shape = self._predict(rgb, box)
            found = np.array([(shape.part(i).x, shape.part(i).y) for i in range(shape.num_parts)], np.float32)
            if len(found) not in (5, 68):
                raise LipsoundError(f"the dlib landmark model has {len(found)} points; 5 or 68 are wanted")
            points = found if len(found) == 68 else _mean_face_on(found)
        return Face((x0, y0, x0 + side, y0 + side), np.ascontiguousarray(points, np.float32), float(score))


def _mean_face_on(five: np.ndarray) -> np.ndarray:
    """The mean face under the similarity that fits dlib's five points best: (68, 2)."""
    source = MEAN_FACE[_FIVE].astype(float) @ [1, 1j]
    target = five.astype(float) @ [1, 1j]
    centered = source - source.mean()
    turn = ((target - target.mean()) * centered.conj()).sum() / (abs(centered) ** 2).sum()
    placed = turn * (MEAN_FACE.astype(float) @ [1, 1j] - source.mean()) + target.mean()
    return np.stack([placed.real, placed.imag], -1).astype(np.float32)
