"""The detector `facemesh`: mediapipe's networks without mediapipe, their windows followed from frame to frame."""

from __future__ import annotations

import functools

import numpy as np

from lipsound2.video import face_networks
from lipsound2.video.face_networks import Window
from lipsound2.video.mesh_detector import MOST_FACES, Box, MeshDetector

_SAME_FACE = 0.5  # overlap of two windows beyond which they show one face


def facemesh() -> MeshDetector:
    """The detector; the networks lie in the package, so that nothing but LiteRT is needed.

    Raises:
        LipsoundError: LiteRT is not installed.
    """
    face_networks.load()
    return MeshDetector(
        one=_Meshes(1),
        all=_Meshes(MOST_FACES),
        still=_Meshes(1, follow=False),
        near=functools.partial(_boxes, far=False),
        far=functools.partial(_boxes, far=True),
    )


def _boxes(rgb: np.ndarray, far: bool) -> list[tuple[float, Box]]:
    return [(found.score, found.box) for found in face_networks.faces(rgb, far=far)]


class _Meshes:
    """Meshes of at most `most` faces, looked for where they were before, and searched while there are fewer.

    Args:
        most: faces to search for.
        follow: look where they were; else each frame is searched.
    """

    def __init__(self, most: int, follow: bool = True) -> None:
        self._most = most
        self._follow = follow
        self._windows: list[Window] = []

    def process(self, rgb: np.ndarray) -> list[np.ndarray]:
        windows: list[Window] = []
        found: list[Window] = []
        if len(self._windows) < self._most:
            found = [face.window for face in face_networks.faces(rgb)[: self._most]]
        for window in (*found, *self._windows):  # where a face was is a better place than where its box is
            windows = [other for other in windows if window.overlap(other) <= _SAME_FACE] + [window]
        meshes = [mesh for window in windows if (mesh := face_networks.mesh(rgb, window)) is not None]
        self._windows = [face_networks.window_of(mesh) for mesh in meshes] if self._follow else []
        return meshes

    def reset(self) -> None:
        self._windows = []
