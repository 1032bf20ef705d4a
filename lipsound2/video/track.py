"""One face through a clip: key frames, bisection where they disagree, interpolation between, gaps filled and flagged.

The detector looks at every k-th picture of a scene. Where two neighbouring key frames disagree, or one of them has no face,
the picture half way between is looked at too, and so on. Between key frames the points are interpolated. Nothing is
interpolated or smoothed across a cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from lipsound2.video.align import MOUTH, STABLE
from lipsound2.video.detect import Face

DETECTED, INTERPOLATED, FILLED = 1.0, 0.5, 0.0
CHOICES = ("largest", "left", "right", "center")
_CUT_DIFFERENCE = 24.0  # mean difference of grey levels between two pictures of different scenes
_CUT_CONTRAST = 4.0  # and how many times the differences around it
_JUMP = 0.5  # face widths between two successive pictures that no head moves
_AGREE = 0.05  # face widths between two key frames within which interpolation is trusted unseen
_STRAIGHT = 0.012  # face widths by which the middle may be off the straight line

Look = Callable[[int, bool], list[Face]]


@dataclass
class Track:
    """A face through a clip.

    Attributes:
        points: (T, 68, 2) float32, pixels.
        flags: (T,) float32: 1 detected, .5 interpolated between two key frames, 0 filled where no face was found.
        faces: most faces seen at once.
        looked: pictures the detector saw.
    """

    points: np.ndarray
    flags: np.ndarray
    faces: int = 0
    looked: int = 0


@dataclass
class _Trail:
    """Sightings of one face at key frames, in order of time."""

    seen: dict[int, Face] = field(default_factory=dict)

    @property
    def last(self) -> Face:
        return self.seen[max(self.seen)]


def find_cuts(thumbnails: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Scenes of a clip.

    Args:
        thumbnails: T small grey pictures of one size.

    Returns:
        (first, end) of each run of pictures without a cut; they cover 0..T.
    """
    small = np.stack(thumbnails).astype(np.int16)
    steps = np.abs(np.diff(small, axis=0)).mean((1, 2))
    cuts = []
    for i in np.flatnonzero(steps > _CUT_DIFFERENCE):
        around = np.delete(steps[max(0, i - 3) : i + 4], min(i, 3))
        if not len(around) or steps[i] > _CUT_CONTRAST * np.median(around):
            cuts.append(int(i) + 1)
    edges = [0, *cuts, len(small)]
    return list(zip(edges[:-1], edges[1:], strict=True))


def track(
    look: Look, scenes: Sequence[tuple[int, int]], every: int, choose: str, size: tuple[int, int]
) -> Track | None:
    """Follow one face.

    Args:
        look: (picture number, only one face is about) -> faces, in the pixels the points are wanted in.
        scenes: runs of pictures without a cut.
        every: k, distance of key frames.
        choose: which face when there are several, one of `CHOICES`.
        size: width and height of the picture.

    Returns:
        The track, or None when no picture has a face.
    """
    total = scenes[-1][1]
    points = np.zeros((total, 68, 2), np.float32)
    flags = np.full(total, FILLED, np.float32)
    counter = _Counter(look)
    for first, end in scenes:
        _fill(_follow(counter, first, end, every, choose, size), counter.empty, first, end, points, flags)
    if not flags.any():
        return None
    _hold(points, scenes, flags)
    return Track(points, flags, counter.most, len(counter.memory))


def split_at_jumps(points: np.ndarray, flags: np.ndarray, scenes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Split scenes where the face is somewhere else at once: cuts that the picture as a whole did not show.

    Args:
        points: (T, 68, 2).
        flags: (T,).
        scenes: (first, end) runs of pictures.
    """
    width = np.ptp(points[:, :, 0], axis=1)
    move = np.linalg.norm(np.diff(points[:, STABLE].mean(1), axis=0), axis=1)
    sure = (flags[:-1] == DETECTED) & (flags[1:] == DETECTED)
    jumps = np.flatnonzero(sure & (move > _JUMP * width[:-1])) + 1
    edges = sorted({0, len(flags), *(first for first, _ in scenes), *map(int, jumps)})
    return list(zip(edges[:-1], edges[1:], strict=True))


class _Counter:
    """The detector's view of a clip, each picture looked at once."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self.memory: dict[int, list[Face]] = {}
        self.most = 0

    def __call__(self, index: int, alone: bool) -> list[Face]:
        if index not in self.memory:
            self.memory[index] = self._look(index, alone)
            self.most = max(self.most, len(self.memory[index]))
        return self.memory[index]

    @property
    def empty(self) -> set[int]:
        return {index for index, faces in self.memory.items() if not faces}


def _follow(look: _Counter, first: int, end: int, every: int, choose: str, size: tuple[int, int]) -> dict[int, Face]:
    """Sightings of the chosen face in one scene, dense enough to interpolate."""
    keys = sorted({*range(first, end, every), end - 1})
    survey = {keys[0], keys[len(keys) // 2], keys[-1]}
    alone = max(len(look(i, False)) for i in sorted(survey)) <= 1
    trails: list[_Trail] = []
    for i in keys:
        _link(trails, i, look(i, alone))
    if not trails:
        return {}
    chosen = max(trails, key=lambda trail: _merit(trail, choose, size))
    seen = chosen.seen
    for a, b in zip(keys[:-1], keys[1:], strict=True):
        _bisect(look, seen, a, b, alone)
    return dict(sorted(seen.items()))


def _link(trails: list[_Trail], index: int, faces: list[Face]) -> None:
    """Give each face to the trail it overlaps most; a face without one starts its own."""
    pairs = sorted(
        ((overlap(trail.last, face), t, f) for t, trail in enumerate(trails) for f, face in enumerate(faces)),
        reverse=True,
    )
    taken_trails: set[int] = set()
    taken_faces: set[int] = set()
    for value, t, f in pairs:
        if value > 0.1 and t not in taken_trails and f not in taken_faces:
            trails[t].seen[index] = faces[f]
            taken_trails.add(t)
            taken_faces.add(f)
    for f, face in enumerate(faces):
        if f not in taken_faces:
            trails.append(_Trail({index: face}))


def _merit(trail: _Trail, choose: str, size: tuple[int, int]) -> tuple[float, ...]:
    """What the chosen trail has most of. `largest`: width of the face x pictures it is in / how restless it is."""
    faces = list(trail.seen.values())
    widths = np.array([face.width for face in faces])
    middles = np.array([((f.box[0] + f.box[2]) / 2, (f.box[1] + f.box[3]) / 2) for f in faces])
    width = float(np.median(widths))
    if choose in ("left", "right", "center"):
        x = float(np.median(middles[:, 0])) / size[0]
        place = {"left": -x, "right": x, "center": -abs(x - 0.5)}[choose]
        return (place,)
    move = float(np.median(np.abs(np.diff(middles, axis=0)).sum(1))) / width if len(faces) > 1 else 1.0
    return (width * len(faces) / (1 + move),)


def _bisect(look: _Counter, seen: dict[int, Face], a: int, b: int, alone: bool) -> None:
    """Look between two key frames as long as they disagree or one of them has no face."""
    if b - a < 2:
        return
    left, right = seen.get(a), seen.get(b)
    if left is None and right is None:
        return
    if left is not None and right is not None and distance(left.points, right.points) <= _AGREE * left.width:
        return
    middle = (a + b) // 2
    faces = look(middle, alone)
    if left is not None and right is not None:
        share = (middle - a) / (b - a)
        expected = left.points * (1 - share) + right.points * share
    else:
        known = left or right
        assert known is not None
        expected = known.points
    match = _nearest(faces, expected)
    if match is not None:
        seen[middle] = match
        if left is not None and right is not None and distance(match.points, expected) <= _STRAIGHT * match.width:
            return
    _bisect(look, seen, a, middle, alone)
    _bisect(look, seen, middle, b, alone)


def _nearest(faces: list[Face], expected: np.ndarray) -> Face | None:
    """The face nearest to where it should be, unless it is another one."""
    best = min(faces, key=lambda face: distance(face.points, expected), default=None)
    if best is None or distance(best.points, expected) > 1.5 * best.width:
        return None
    return best


def _fill(seen: dict[int, Face], empty: set[int], first: int, end: int, points: np.ndarray, flags: np.ndarray) -> None:
    """Points of every picture of a scene from the sightings in it; nothing is written when there are none."""
    if not seen:
        return
    numbers = np.array(sorted(seen))
    known = np.stack([seen[int(i)].points for i in numbers]).reshape(len(numbers), -1)
    at = np.arange(first, end)
    right = np.clip(np.searchsorted(numbers, at, side="left"), 0, len(numbers) - 1)
    left = np.clip(np.searchsorted(numbers, at, side="right") - 1, 0, len(numbers) - 1)
    span = np.maximum(numbers[right] - numbers[left], 1)
    share = np.clip((at - numbers[left]) / span, 0, 1)[:, None]
    points[first:end] = (known[left] * (1 - share) + known[right] * share).reshape(-1, 68, 2)
    missed = np.array(sorted(empty))
    for i in at:
        if int(i) in seen:
            flags[i] = DETECTED
        elif numbers[0] <= i <= numbers[-1]:
            a, b = numbers[left[i - first]], numbers[right[i - first]]
            flags[i] = FILLED if ((missed > a) & (missed < b)).any() else INTERPOLATED


def _hold(points: np.ndarray, scenes: Sequence[tuple[int, int]], flags: np.ndarray) -> None:
    """Scenes without any face take the points of the nearest picture that has them; their flags stay 0."""
    good = [i for first, end in scenes if flags[first:end].any() for i in (first, end - 1)]
    for first, end in scenes:
        if not flags[first:end].any():
            points[first:end] = points[min(good, key=lambda i: min(abs(i - first), abs(i - end + 1)))]


def overlap(one: Face, other: Face) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    x0, y0 = max(one.box[0], other.box[0]), max(one.box[1], other.box[1])
    x1, y1 = min(one.box[2], other.box[2]), min(one.box[3], other.box[3])
    inside = max(0.0, x1 - x0) * max(0.0, y1 - y0)
    areas = sum((f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) for f in (one, other))
    return inside / (areas - inside) if areas > inside else 0.0


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """How far the stable points and the middle of the mouth are apart: the largest of both, pixels."""
    stable = np.linalg.norm(one[STABLE] - other[STABLE], axis=1).mean()
    mouth = np.linalg.norm(one[MOUTH].mean(0) - other[MOUTH].mean(0))
    return float(max(stable, mouth))
