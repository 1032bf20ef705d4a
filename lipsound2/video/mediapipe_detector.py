"""The detector `mediapipe`: its face mesh, run by its own graphs. `facemesh` finds the same in less time."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from lipsound2.errors import require
from lipsound2.video.mesh_detector import MOST_FACES, Box, MeshDetector
from lipsound2.video.quiet import without

_BLANK = np.zeros((96, 96, 3), np.uint8)
_CONFIDENCE = 0.5  # the least that is taken for a face
# Its C++ side logs before its own log levels are in force, so that no setting silences it.
_NOISE = (
    "Created TensorFlow Lite XNNPACK delegate",
    "All log messages before absl::InitializeLog()",
    "inference_feedback_manager.cc",
)


def mediapipe() -> MeshDetector:
    """The detector; its models come in its wheel (Apache-2.0).

    Raises:
        LipsoundError: mediapipe is not installed.
    """
    # protobuf's advice to mediapipe's authors, given at the first face.
    warnings.filterwarnings("ignore", message=r"SymbolDatabase\.GetPrototype", category=UserWarning)
    with without(_NOISE):
        solutions = require("mediapipe", "mediapipe").solutions
        mesh: Callable[..., Any] = solutions.face_mesh.FaceMesh
        one = mesh(max_num_faces=1, min_detection_confidence=_CONFIDENCE)
        all = mesh(max_num_faces=MOST_FACES, min_detection_confidence=_CONFIDENCE)
        still = mesh(static_image_mode=True, max_num_faces=1, min_detection_confidence=_CONFIDENCE)
        near = solutions.face_detection.FaceDetection(_CONFIDENCE, model_selection=0)
        far = solutions.face_detection.FaceDetection(_CONFIDENCE, model_selection=1)
        for graph in (one, all, still, near, far):
            graph.process(_BLANK)  # what a graph has to say it says on its first frame
    boxes = (functools.partial(_boxes, near), functools.partial(_boxes, far))
    return MeshDetector(_Meshes(one), _Meshes(all), _Meshes(still), *boxes)


class _Meshes:
    """What a graph of mediapipe's finds, in pixels."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph

    def process(self, rgb: np.ndarray) -> list[np.ndarray]:
        height, width = rgb.shape[:2]
        return [
            np.array([(point.x, point.y) for point in face.landmark], np.float32) * (width, height)
            for face in self._graph.process(rgb).multi_face_landmarks or []
        ]

    def reset(self) -> None:
        # A blank frame loses all faces: the same end as making a new graph, in a tenth of the time.
        if self._graph.process(_BLANK).multi_face_landmarks:
            self._graph.reset()


def _boxes(graph: Any, rgb: np.ndarray) -> list[tuple[float, Box]]:
    height, width = rgb.shape[:2]
    found = []
    for face in graph.process(rgb).detections or []:
        box = face.location_data.relative_bounding_box
        x0, y0 = box.xmin * width, box.ymin * height
        found.append((float(face.score[0]), (x0, y0, x0 + box.width * width, y0 + box.height * height)))
    return found
