"""A detector over a face mesh that is followed from frame to frame, whoever runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from lipsound2.video.face import Face

MOST_FACES = 5
# Vertices of the mesh (468) that lie where the 68 iBUG points do.
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
_SMALLEST = 16  # pixels; no mesh fits into less
_WINDOW_SLACK = 0.1  # face widths
_NOSE_AND_EYES = slice(27, 48)

Box = tuple[float, float, float, float]


class Meshes(Protocol):
    """Meshes of the faces in one frame after the other."""

    def process(self, rgb: np.ndarray) -> list[np.ndarray]:
        """Of a frame (H, W, 3) uint8 RGB: (468, 2) float32 pixels of each face."""

    def reset(self) -> None:
        """Forget the faces seen so far."""


Boxes = Callable[[np.ndarray], list[tuple[float, Box]]]
"""(H, W, 3) uint8 RGB -> of each face a score, 0 to 1, and x0, y0, x1, y1 in pixels."""


class MeshDetector:
    """Finds faces by their mesh. Small ones (below about a tenth of the frame) are meshed in a cut-out.

    Args:
        one: meshes that follow one face.
        all: meshes that follow `MOST_FACES` faces.
        still: meshes of one face that follow nothing.
        near: boxes of the faces that are not small.
        far: boxes of small faces, too.
    """

    coarse = False

    def __init__(self, one: Meshes, all: Meshes, still: Meshes, near: Boxes, far: Boxes) -> None:
        self._one = _Follower(one)
        self._all = _Follower(all)
        self._still = still
        self._near = near
        self._far = far

    def glance(self, rgb: np.ndarray) -> list[float]:
        """See `Detector.glance`."""
        return [score for score, _ in self._near(rgb) or self._far(rgb)]

    def detect(self, rgb: np.ndarray, *, alone: bool = False) -> list[Face]:
        """See `Detector.detect`."""
        return (self._one if alone else self._all).detect(rgb) or self._distant(rgb)

    def reset(self) -> None:
        """See `Detector.reset`."""
        self._one.reset()
        self._all.reset()

    def _distant(self, rgb: np.ndarray) -> list[Face]:
        faces = []
        for _, (left, top, right, bottom) in self._far(rgb)[:MOST_FACES]:
            half = max(right - left, bottom - top)
            x, y = (left + right) / 2, (top + bottom) / 2
            x0, y0 = max(0, round(x - half)), max(0, round(y - half))
            part = rgb[y0 : round(y + half), x0 : round(x + half)]
            if min(part.shape[:2]) >= _SMALLEST:
                faces += [face.moved(1.0, (x0, y0)) for face in _faces(self._still, np.ascontiguousarray(part))]
        return faces


class _Follower:
    """Looks for a face where it was in the frame before.

    Where it had to search, or the face moved far, its points are up to 2 % of the face width off: they depend on the
    window the mesh is laid into. It is given the frame once more then, so that the window fits.
    """

    def __init__(self, meshes: Meshes) -> None:
        self._meshes = meshes
        self._last: list[Face] = []
        self._used = False

    def detect(self, rgb: np.ndarray) -> list[Face]:
        self._used = True
        faces = _faces(self._meshes, rgb)
        if not faces and self._last:
            faces = _faces(self._meshes, rgb)  # it looked in the old place only; now it searches
            self._last = []
        if faces and (len(faces) != len(self._last) or any(map(_moved, self._last, faces))):
            faces = _faces(self._meshes, rgb) or faces
        self._last = faces
        return faces

    def reset(self) -> None:
        if self._used:
            self._meshes.reset()
        self._used = False
        self._last = []


def _moved(before: Face, now: Face) -> bool:
    """Whether a face is somewhere else by more than its window forgives."""
    shift = np.linalg.norm(now.points[_NOSE_AND_EYES] - before.points[_NOSE_AND_EYES], axis=1).max()
    return bool(shift > _WINDOW_SLACK * now.width)


def _faces(meshes: Meshes, rgb: np.ndarray) -> list[Face]:
    faces = []
    for mesh in meshes.process(rgb):
        (x0, y0), (x1, y1) = mesh.min(0).tolist(), mesh.max(0).tolist()
        faces.append(Face((x0, y0, x1, y1), np.ascontiguousarray(mesh[_MESH_TO_68], np.float32)))
    return faces
