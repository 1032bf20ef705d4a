"""The networks behind mediapipe's face mesh, run by LiteRT without mediapipe: where faces are, and a mesh of each.

They see an upright square cut out of a frame, the `Window`. Their outputs, and how windows follow from them, are read
as mediapipe 0.10.14's graphs read them, so that the same frame gives the same points.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from lipsound2.errors import LipsoundError, require
from lipsound2.model_names import PRETRAINED
from lipsound2.video.quiet import without

FOLDER = PRETRAINED / "facemesh"
_NEAR, _FAR, _MESH = "face_detection_short_range", "face_detection_full_range_sparse", "face_landmark"
SHA256 = {
    _NEAR: "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    _FAR: "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    _MESH: "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
}
_SURE_NEAR, _SURE_FAR, _SURE_MESH = 0.5, 0.6, 0.5  # the least that each takes for a face
_SAME = 0.3  # overlap of two boxes from which on they are averaged
_AROUND = 1.5  # sides of a box that the mesh is shown
_OUTER_EYES = (33, 263)  # vertices of the mesh; the line through them is laid level
_NOISE = ("Created TensorFlow Lite XNNPACK delegate",)


@dataclass(frozen=True)
class Window:
    """A square in a frame, maybe turned.

    Attributes:
        x, y: its middle, pixels; between (0, 0), the corner of the frame, and (W, H).
        side: pixels.
        angle: by which it is turned clockwise, radians.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0

    def overlap(self, other: Window) -> float:
        """Intersection over union of both, 0 to 1, as if they were not turned."""
        across, down = (
            max(0.0, (self.side + other.side) / 2 - max(abs(apart), abs(self.side - other.side) / 2))
            for apart in (self.x - other.x, self.y - other.y)
        )
        shared = across * down
        return shared / (self.side**2 + other.side**2 - shared)

    def matrix(self, size: float) -> np.ndarray:
        """(2, 3): a point of its image, `size` pixels wide -> a point of the frame."""
        a = math.cos(self.angle) * self.side / size
        b = math.sin(self.angle) * self.side / size
        half = size / 2
        return np.array([[a, -b, self.x - half * (a - b)], [b, a, self.y - half * (a + b)]])

    def cut(self, rgb: np.ndarray, size: int, border: int) -> np.ndarray:
        """Its image, (size, size, 3) uint8; `border`: OpenCV's name of what lies outside of the frame.

        Places are rounded to a 32nd of a pixel, as mediapipe's OpenCV rounds them. Today's warps do not, which moves
        some points by a tenth of a pixel and more.
        """
        matrix, at = self.matrix(size).astype(np.float32), np.arange(size, dtype=np.float32)
        x, y = (np.add.outer(down * at, across * at + first) for across, down, first in matrix)
        places, weights = cv2.convertMaps(x, y, cv2.CV_16SC2)
        return cv2.remap(rgb, places, weights, cv2.INTER_LINEAR, borderMode=border)


@dataclass(frozen=True)
class Found:
    """A face that was found, without a mesh yet.

    Attributes:
        score: 0.5 to 1.
        box: x0, y0, x1, y1 in pixels.
        eyes: (2, 2): x and y of the eye on the frame's left, and of the other.
    """

    score: float
    box: tuple[float, float, float, float]
    eyes: np.ndarray

    @property
    def window(self) -> Window:
        """Where the mesh looks for this face."""
        return _window(self.box, self.eyes)


def load() -> None:
    """Make the networks that every clip needs, if there are none yet.

    Raises:
        LipsoundError: LiteRT is not installed, or a network's file is missing or damaged.
    """
    _content(_FAR)  # few clips need it, and then late
    for name in (_NEAR, _MESH):
        with _network(name):
            pass


def faces(rgb: np.ndarray, *, far: bool = False) -> list[Found]:
    """The faces in a frame, the surest first.

    Args:
        rgb: (H, W, 3) uint8.
        far: small ones, too; it takes three times as long.
    """
    height, width = rgb.shape[:2]
    window = Window(width / 2, height / 2, max(width, height))
    with _network(_FAR if far else _NEAR) as network:
        side = network.side
        raw, logits = network(window.cut(rgb, side, cv2.BORDER_CONSTANT), 2 / 255, -1)
    sure = np.flatnonzero(logits[0, :, 0] >= _logit(_SURE_FAR if far else _SURE_NEAR))
    scores = 1 / (1 + np.exp(-logits[0, sure, 0].clip(-100, 100)))
    # Middle, width and height, then both eyes and four other places; the middle of a cell is 0.
    values = raw[0, sure, :8].reshape(-1, 4, 2) / side
    values[:, [0, 2, 3]] += _anchors(far)[sure, None]
    matrix = window.matrix(1.0)
    found = []
    for score, (middle, sides, *eyes) in _averaged(scores, values):
        (x, y), (w, h) = (matrix @ [*middle, 1]).tolist(), (sides * window.side).tolist()
        box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        found.append(Found(score, box, np.stack([matrix @ [*eye, 1] for eye in eyes])))
    return found


def mesh(rgb: np.ndarray, window: Window) -> np.ndarray | None:
    """The 468 vertices of a face.

    Args:
        rgb: (H, W, 3) uint8.
        window: about the face.

    Returns:
        (468, 2) float32, pixels; None where the window shows no face.
    """
    with _network(_MESH) as network:
        side = network.side
        raw, logit = network(window.cut(rgb, side, cv2.BORDER_REPLICATE), 1 / 255, 0)
    if float(logit.reshape(())) <= _logit(_SURE_MESH):
        return None
    matrix = window.matrix(side).astype(np.float32)
    return raw.reshape(-1, 3)[:, :2] @ matrix[:, :2].T + matrix[:, 2]


def window_of(vertices: np.ndarray) -> Window:
    """Where the mesh (468, 2) of a face is looked for in the next frame."""
    (x0, y0), (x1, y1) = vertices.min(0).tolist(), vertices.max(0).tolist()
    return _window((x0, y0, x1, y1), vertices[list(_OUTER_EYES)])


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def _window(box: tuple[float, float, float, float], eyes: np.ndarray) -> Window:
    x0, y0, x1, y1 = box
    (dx, dy) = (eyes[1] - eyes[0]).tolist()
    return Window((x0 + x1) / 2, (y0 + y1) / 2, _AROUND * max(x1 - x0, y1 - y0), math.atan2(dy, dx))


def _averaged(scores: np.ndarray, values: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """The boxes of one face as one: each with the score of the surest, weighted by scores.

    Args:
        scores: (N,).
        values: (N, 4, 2): middle and sides of a box, two eyes.
    """
    left = np.argsort(-scores, kind="stable")
    low, high = values[:, 0] - values[:, 1] / 2, values[:, 0] + values[:, 1] / 2
    found = []
    while left.size:
        first = left[0]
        shared = (np.minimum(high[left], high[first]) - np.maximum(low[left], low[first])).clip(0).prod(1)
        areas = values[left, 1].prod(1) + values[first, 1].prod()
        same = shared > _SAME * (areas - shared)
        same[0] = True
        of = left[same]
        weights = scores[of] / scores[of].sum()
        found.append((float(scores[first]), np.einsum("i,ijk->jk", weights, values[of])))
        left = left[~same]
    return found


@functools.cache
def _anchors(far: bool) -> np.ndarray:
    """(boxes, 2): the middle of the cell each box is told from, in sides of the image."""
    grids: Sequence[tuple[int, int]] = [(48, 1)] if far else [(16, 2), (8, 6)]  # cells a side, boxes a cell
    anchors = []
    for cells, boxes in grids:
        y, x = np.indices((cells, cells)).reshape(2, -1)
        anchors.append(np.repeat((np.stack([x, y], 1) + 0.5) / cells, boxes, axis=0))
    return np.concatenate(anchors).astype(np.float32)


def _content(name: str) -> bytes:
    """The file of a network; another one would crash LiteRT, or find faces where there are none."""
    path = FOLDER / f"{name}.tflite"
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise LipsoundError(f"{path}: this network of the face mesh is missing; install lipsound2 again") from error
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256[name]:
        raise LipsoundError(
            f"{path}: is damaged: expected SHA-256 {SHA256[name][:12]}..., found {found[:12]}... of {len(data)} bytes; "
            "install lipsound2 again"
        )
    return data


class _Network:
    """A network of one image in, some tensors out. It runs on the thread that calls, one call at a time.

    Attributes:
        side: of the image, pixels.
    """

    def __init__(self, name: str) -> None:
        interpreter: Any = require("ai_edge_litert.interpreter", "face").Interpreter
        data = _content(name)
        with without(_NOISE):
            self._interpreter = interpreter(model_content=data, num_threads=1)
            self._interpreter.allocate_tensors()
        (image,) = self._interpreter.get_input_details()
        self._input = self._interpreter.tensor(image["index"])
        self._outputs = [each["index"] for each in self._interpreter.get_output_details()]
        self.side = int(image["shape"][1])

    def __call__(self, image: np.ndarray, scale: float, offset: float) -> list[np.ndarray]:
        """Outputs of an image (side, side, 3) uint8 whose levels are scaled and shifted."""
        # The view of the network's memory must be gone before it runs.
        np.multiply(image, np.float32(scale), out=self._input()[0])
        if offset:
            self._input()[0] += np.float32(offset)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


_idle: dict[str, list[_Network]] = {name: [] for name in (_NEAR, _FAR, _MESH)}


@contextlib.contextmanager
def _network(name: str) -> Iterator[_Network]:
    """A network of that name that no other thread uses meanwhile; it is kept for the next one who asks."""
    try:
        network = _idle[name].pop()
    except IndexError:
        network = _Network(name)
    try:
        yield network
    finally:
        _idle[name].append(network)
