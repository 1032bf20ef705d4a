"""Faces in one frame, behind one small interface: mediapipe's face mesh or dlib.

A detector lives as long as its worker; `reset()` forgets the face it follows, so that a clip's result does not depend
on which clip came before.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lipsound2.errors import LipsoundError, require
from lipsound2.video.mean_face import MEAN_FACE

MOST_FACES = 5
# Vertices of mediapipe's face mesh (468) that lie where the 68 iBUG points do.
_MESH_TO_68 = np.array(
    [
        *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # jaw, from the left
        *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),  # brows
        *(168, 197, 5, 4, 75, 97, 2, 326, 305),  # nose
        *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
        *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer lips
        *(78, 82, 13, 312, 308, 317, 14, 87),  # inner lips
    ]
)
_BLANK = np.zeros((96, 96, 3), np.uint8)
_CONFIDENCE = 0.5  # the least that mediapipe takes for a face
_SMALLEST = 16  # pixels; no mesh fits into less
_WINDOW_SLACK = 0.1  # face widths
_NOSE_AND_EYES = slice(27, 48)
_MEDIAPIPE_NOISE = (
    "Created TensorFlow Lite XNNPACK delegate",
    "All log messages before absl::InitializeLog()",
    "inference_feedback_manager.cc",
)
# Outer and inner corner of the eye on the frame's right, of that on its left, base of the nose.
_FIVE = np.array([45, 42, 36, 39, 33])
# Where dlib's box lies about a face, measured against mediapipe on ten speakers of GRID: distance of the outer eye
# corners and height of the eye line, in sides of the box.
_EYES_PER_BOX = 0.57
_EYE_LINE = 0.265


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


class MediapipeDetector:
    """mediapipe's face mesh; its models come in the wheel (Apache-2.0).

    Small faces (below about a tenth of the frame) are found by its long-range detector and meshed in a cut-out.
    """

    coarse = False

    def __init__(self) -> None:
        # protobuf's advice to mediapipe's authors, given at the first face.
        warnings.filterwarnings("ignore", message=r"SymbolDatabase\.GetPrototype", category=UserWarning)
        with _quiet(_MEDIAPIPE_NOISE):
            solutions = require("mediapipe", "face").solutions
            mesh: Callable[..., Any] = solutions.face_mesh.FaceMesh
            self._one = _Follower(mesh(max_num_faces=1, min_detection_confidence=_CONFIDENCE))
            self._all = _Follower(mesh(max_num_faces=MOST_FACES, min_detection_confidence=_CONFIDENCE))
            self._still = mesh(static_image_mode=True, max_num_faces=1, min_detection_confidence=_CONFIDENCE)
            self._near = solutions.face_detection.FaceDetection(_CONFIDENCE, model_selection=0)
            self._far = solutions.face_detection.FaceDetection(_CONFIDENCE, model_selection=1)
            for graph in (self._one.graph, self._all.graph, self._still, self._near, self._far):
                graph.process(_BLANK)  # what a graph has to say it says on its first frame

    def glance(self, rgb: np.ndarray) -> list[float]:
        """See `Detector.glance`."""
        found = self._near.process(rgb).detections or self._far.process(rgb).detections or []
        return [float(face.score[0]) for face in found]

    def detect(self, rgb: np.ndarray, *, alone: bool = False) -> list[Face]:
        """See `Detector.detect`."""
        return (self._one if alone else self._all).detect(rgb) or self._distant(rgb)

    def reset(self) -> None:
        """See `Detector.reset`."""
        self._one.reset()
        self._all.reset()

    def _distant(self, rgb: np.ndarray) -> list[Face]:
        height, width = rgb.shape[:2]
        faces = []
        for found in (self._far.process(rgb).detections or [])[:MOST_FACES]:
            box = found.location_data.relative_bounding_box
            side = 2 * max(box.width * width, box.height * height)
            x, y = (box.xmin + box.width / 2) * width, (box.ymin + box.height / 2) * height
            x0, y0 = max(0, round(x - side / 2)), max(0, round(y - side / 2))
            part = rgb[y0 : round(y + side / 2), x0 : round(x + side / 2)]
            if min(part.shape[:2]) >= _SMALLEST:
                faces += [face.moved(1.0, (x0, y0)) for face in _meshes(self._still, np.ascontiguousarray(part))]
        return faces


class _Follower:
    """A mesh graph that looks for a face where it was in the frame before.

    Where it had to search, or the face moved far, its points are up to 2 % of the face width off: they depend on the
    window the mesh is laid into. It is given the frame once more then, so that the window fits.
    """

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self._last: list[Face] = []
        self._used = False

    def detect(self, rgb: np.ndarray) -> list[Face]:
        self._used = True
        faces = _meshes(self.graph, rgb)
        if not faces and self._last:
            faces = _meshes(self.graph, rgb)  # it looked in the old place only; now it searches
            self._last = []
        if faces and (len(faces) != len(self._last) or any(map(_moved, self._last, faces))):
            faces = _meshes(self.graph, rgb) or faces
        self._last = faces
        return faces

    def reset(self) -> None:
        # A blank frame loses all faces: the same end as making a new graph, in a tenth of the time.
        if self._used and self.graph.process(_BLANK).multi_face_landmarks:
            self.graph.reset()
        self._used = False
        self._last = []


def _moved(before: Face, now: Face) -> bool:
    """Whether a face is somewhere else by more than its window forgives."""
    shift = np.linalg.norm(now.points[_NOSE_AND_EYES] - before.points[_NOSE_AND_EYES], axis=1).max()
    return bool(shift > _WINDOW_SLACK * now.width)


def _meshes(graph: Any, rgb: np.ndarray) -> list[Face]:
    """The faces a mesh graph finds, in pixels."""
    height, width = rgb.shape[:2]
    faces = []
    for landmarks in graph.process(rgb).multi_face_landmarks or []:
        mesh = np.array([(point.x, point.y) for point in landmarks.landmark], np.float32) * (width, height)
        points = np.ascontiguousarray(mesh[_MESH_TO_68], np.float32)
        (x0, y0), (x1, y1) = mesh.min(0).tolist(), mesh.max(0).tolist()
        faces.append(Face((x0, y0, x1, y1), points))
    return faces


@contextlib.contextmanager
def _quiet(noise: tuple[str, ...]) -> Iterator[None]:
    """Hold back what is written to the standard error, and pass it on without the lines that say nothing.

    mediapipe's C++ side logs before its own log levels are in force, so that no setting silences it.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            lines = file.read().decode(errors="replace").splitlines(keepends=True)
            sys.stderr.write("".join(line for line in lines if not any(part in line for part in noise)))


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


def make_detector(name: str, dlib_landmarks: Path | None = None) -> Detector:
    """The detector of that name: `mediapipe` or `dlib`.

    Raises:
        LipsoundError: no such detector, or its package is not installed.
    """
    if name == "mediapipe":
        return MediapipeDetector()
    if name == "dlib":
        return DlibDetector(dlib_landmarks)
    raise LipsoundError(f"unknown detector '{name}'; one of: mediapipe, dlib")
