"""How the detector is shown a frame, where the frame as it is would hide the face: turned, or a part at full size.

Most clips are seen `AS_IS`. A phone held upside down without a tag, or a face that is lost when a large frame is
reduced, is looked for once more before a clip is rejected. Landmarks are always in pixels of the frame as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lipsound2.video.face import Detector, Face
from lipsound2.video.frame import Frame

DETECTION_SIDE = 800  # pixels; faces are looked for in a frame no longer than this
_LOOKS = 3  # frames in which another view is tried
_DOUBT = 0.85  # a face standing upright is seen with more certainty than this, unless it is small
_SURER = 0.1  # by which a turned face must be seen with more certainty
# The least certainty of a turned face: eyes and brows of a face that is cut off look like a mouth, upside down.
_SURE = 0.8
_TILE = 384  # pixels; side of the squares in which small faces are looked for
_TILES_ACROSS = 5  # along the longer side, where that makes them larger
_AROUND = 1.5  # face widths about a small face that are shown


@dataclass(frozen=True)
class View:
    """What is shown.

    Attributes:
        turns: quarter turns counter-clockwise before it is shown.
        window: x0, y0, x1, y1 of the part that is shown at full size; None: all, reduced to `DETECTION_SIDE`.
    """

    turns: int = 0
    window: tuple[int, int, int, int] | None = None

    def rgb(self, frame: Frame) -> np.ndarray:
        """What the detector sees of a frame: (h, w, 3) uint8."""
        if self.window is None:
            return turned(frame.rgb(DETECTION_SIDE), self.turns)
        x0, y0, x1, y1 = self.window
        return np.ascontiguousarray(turned(frame.rgb(max(frame.size))[y0:y1, x0:x1], self.turns))

    def back(self, face: Face, frame: Frame, rgb: np.ndarray) -> Face:
        """A face found in what was shown, in the pixels of the frame."""
        height, width = rgb.shape[:2]
        upright = _turned_back(face, self.turns, width, height)
        if self.window is not None:
            return upright.moved(1.0, (self.window[0], self.window[1]))
        return upright.moved(frame.size[0] / (height if self.turns % 2 else width))


AS_IS = View()


def turned(rgb: np.ndarray, turns: int) -> np.ndarray:
    """An image, turned by so many quarter turns counter-clockwise."""
    return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb


def _turned_back(face: Face, turns: int, width: int, height: int) -> Face:
    """A face found in a turned frame of that size, in the frame before it was turned."""
    back: dict[int, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
        0: lambda at: (at[..., 0], at[..., 1]),
        1: lambda at: (height - at[..., 1], at[..., 0]),
        2: lambda at: (width - at[..., 0], height - at[..., 1]),
        3: lambda at: (at[..., 1], width - at[..., 0]),
    }
    points = np.stack(back[turns](face.points), -1).astype(np.float32)
    xs, ys = back[turns](np.array(face.box, float).reshape(2, 2))
    return replace(face, points=points, box=(min(xs), min(ys), max(xs), max(ys)))


def upside_down(detector: Detector, frames: Sequence[Frame], certainty: dict[int, float]) -> bool:
    """Whether a face that was seen stands on its head: turned, it is seen with more certainty.

    Args:
        detector: what looks.
        frames: of the clip.
        certainty: frame number -> how sure the detector was of a face there, as it is.
    """
    doubtful = {index: sure for index, sure in certainty.items() if sure < _DOUBT}
    if 2 * len(doubtful) <= len(certainty):
        return False
    tried = sorted(doubtful)[:: -(-len(doubtful) // _LOOKS)]
    sure = [_surest(detector, View(2).rgb(frames[index])) for index in tried]
    return _surer(sure, [doubtful[index] for index in tried])


def _surer(turned_over: Sequence[float], as_is: Sequence[float]) -> bool:
    """Whether a face is seen with so much more certainty turned over that it stands on its head."""
    return bool(np.median(turned_over) > _SURE and np.median(np.subtract(turned_over, as_is)) > _SURER)


def other_views(detector: Detector, frames: Sequence[Frame], which_face: str) -> list[View]:
    """Views that show a face where the frame as it is shows none, those first that show more.

    Args:
        detector: what looks.
        frames: of the clip, without a face so far.
        which_face: which of several small faces, one of `track.CHOICES`.
    """
    tried = [frames[i] for i in np.unique(np.linspace(0, len(frames) - 1, _LOOKS + 2).round().astype(int))[1:-1]]
    tried = tried or list(frames[:1])
    sure = {
        turns: float(np.median([_surest(detector, turned(frame.rgb(DETECTION_SIDE), turns)) for frame in tried]))
        for turns in (2, 1, 3)
    }
    views = [View(turns) for turns in sorted(sure, key=lambda turns: -sure[turns]) if sure[turns] > _SURE]
    if window := _small_face(detector, tried, which_face):
        as_is, over = View(0, window), View(2, window)
        turned_over, upright = ([_surest(detector, view.rgb(frame)) for frame in tried] for view in (over, as_is))
        views.append(over if _surer(turned_over, upright) else as_is)
    return views


def _surest(detector: Detector, rgb: np.ndarray) -> float:
    return max(detector.glance(rgb), default=0.0)


def _small_face(detector: Detector, frames: Sequence[Frame], which_face: str) -> tuple[int, int, int, int] | None:
    """A window about a face that only squares of the full frame show; None where they show none."""
    width, height = frames[0].size
    side = max(_TILE, -(-max(width, height) // _TILES_ACROSS))
    if side >= max(width, height):
        return None
    found: list[Face] = []
    for frame in frames:
        rgb = frame.rgb(max(width, height))
        detector.reset()  # the squares are no video
        faces = [
            face.moved(1.0, (x, y))
            for y in _starts(height, side)
            for x in _starts(width, side)
            for face in _in_square(detector, rgb[y : y + side, x : x + side])
        ]
        if faces:
            found.append(max(faces, key=lambda face: _merit(face, which_face, width)))
    detector.reset()
    if 2 * len(found) <= len(frames):
        return None
    wide = _AROUND * float(np.median([face.width for face in found]))
    x0, y0 = (min(face.box[i] for face in found) - wide for i in (0, 1))
    x1, y1 = (max(face.box[i] for face in found) + wide for i in (2, 3))
    return max(0, round(x0)), max(0, round(y0)), min(width, round(x1)), min(height, round(y1))


def _in_square(detector: Detector, rgb: np.ndarray) -> list[Face]:
    part = np.ascontiguousarray(rgb)
    return detector.detect(part) if detector.glance(part) else []


def _merit(face: Face, which_face: str, width: int) -> float:
    x = (face.box[0] + face.box[2]) / 2
    return {"left": -x, "right": x, "center": -abs(x - width / 2)}.get(which_face, face.width)


def _starts(length: int, side: int) -> list[int]:
    """Where squares begin that overlap by a quarter at least and cover a side of the frame."""
    last = max(0, length - side)
    return [int(at) for at in np.unique(np.linspace(0, last, 1 + -(-last // (side * 3 // 4))).round())]
