"""One face through a clip: key frames, bisection where they disagree, interpolation between, gaps filled and flagged.

The detector looks at every k-th frame of a scene. Where two neighboring key frames disagree, or one of them has no
face, the frame half way between is looked at too, and so on. Between key frames the points are interpolated. Nothing
is interpolated across a cut.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lipsound2.video.align import MOUTH, STABLE
from lipsound2.video.face import Face
from lipsound2.video.scenes import Scene

DETECTED, INTERPOLATED, FILLED = 1.0, 0.5, 0.0
CHOICES = ("largest", "left", "right", "center", "speaking")
_AGREE = 0.05  # face widths between two key frames within which interpolation is trusted unseen
_STRAIGHT = 0.012  # face widths by which the middle may be off the straight line
_ANOTHER = 0.75  # face widths beyond which it is another face
_LINKED = 0.1  # least overlap of a face with itself at the key frame before
_SURVEY, _APART = 4, 25  # key frames, and frames, from one count of faces to the next, at least
_FAMILIAR = 10.0  # how much more the face followed so far counts than the others, in a later part of a long clip

Count = Callable[[int], int]
Detect = Callable[[int, bool], list[Face]]


@dataclass
class Track:
    """A face through a run of frames.

    Attributes:
        points: (T, 68, 2) float32, pixels; zeros in scenes without any face.
        flags: (T,) float32: 1 detected, 0.5 interpolated between two key frames, 0 no face: filled from around.
        faces: most faces seen at once.
        looked: frames the detector saw.
        last: the last sighting.
        group: frame number and faces of a look that saw most of them; None: no look saw any.
    """

    points: np.ndarray
    flags: np.ndarray
    faces: int = 0
    looked: int = 0
    last: Face | None = None
    group: tuple[int, list[Face]] | None = None


@dataclass
class _Trail:
    """Sightings of one face at key frames, in order of time."""

    seen: dict[int, Face] = field(default_factory=dict)

    @property
    def first(self) -> Face:
        return self.seen[min(self.seen)]

    @property
    def last(self) -> Face:
        return self.seen[max(self.seen)]

    def meets(self, other: _Trail) -> bool:
        """Whether both are about at the same time."""
        return min(self.seen) <= max(other.seen) and min(other.seen) <= max(self.seen)


@dataclass(frozen=True)
class FaceTrack:
    """One face through a run of frames in which it is seen.

    Attributes:
        first: the frame in which it is first seen.
        points: (T, 68, 2) float32, pixels.
        keys: the first and last key frame that show it.
    """

    first: int
    points: np.ndarray
    keys: tuple[int, int]

    @property
    def end(self) -> int:
        """The frame behind the last one."""
        return self.first + len(self.points)

    @property
    def boxes(self) -> np.ndarray:
        """(T, 4) float32: x0, y0, x1, y1 around the points."""
        return np.concatenate([self.points.min(1), self.points.max(1)], 1)

    def meets(self, other: FaceTrack) -> bool:
        """Whether both are about at the same time."""
        return self.keys[0] <= other.keys[1] and other.keys[0] <= self.keys[1]


@dataclass
class _Memory:
    """The detector's view of a clip, each frame looked at once."""

    count: Count
    look: Detect
    seen: dict[int, list[Face]] = field(default_factory=dict)

    def __call__(self, index: int, alone: bool) -> list[Face]:
        if index not in self.seen:
            self.seen[index] = self.look(index, alone)
        return self.seen[index]


def track(
    count: Count,
    look: Detect,
    scenes: Sequence[Scene],
    detect_interval: int,
    which_face: str,
    size: tuple[int, int],
    before: Face | None = None,
    also: Sequence[int] = (),
    wanted: np.ndarray | None = None,
) -> Track:
    """Follow one face.

    Args:
        count: frame number -> how many faces are about, roughly.
        look: (frame number, only one face is about) -> faces, in the pixels the points are wanted in.
        scenes: runs of frames without a cut, from 0 to T.
        detect_interval: k, distance of key frames.
        which_face: which face when there are several, one of `CHOICES`.
        size: width and height of the frame.
        before: the face that was followed just before frame 0, which is preferred then.
        also: further frames to make key frames.
        wanted: (T, 4) float32, in each frame the box of the face that comes before all choice; zeros: none does.
    """
    total = scenes[-1][1]
    result = Track(np.zeros((total, 68, 2), np.float32), np.full(total, FILLED, np.float32))
    memory = _Memory(count, look)
    for first, end in scenes:
        keys = {*_evenly(first, end, detect_interval), *(i for i in also if first <= i < end)}
        known = before if first == 0 else None
        seen = _follow(memory, sorted(keys), detect_interval, which_face, size, known, wanted)
        if seen:
            missed = np.array(sorted(i for i, faces in memory.seen.items() if first <= i < end and i not in seen))
            _fill(seen, missed, first, end, result)
            result.last = seen[max(seen)]
        elif end == total:
            result.last = None
    most = max(memory.seen, key=lambda index: len(memory.seen[index]))
    result.faces = len(memory.seen[most])
    result.group = (most, memory.seen[most]) if result.faces else None
    result.looked = len(memory.seen)
    return result


def join(parts: Sequence[Track]) -> Track:
    """The parts of a clip as one. Scenes without any face take the points of the nearest frame that has them."""
    points = np.concatenate([part.points for part in parts])
    flags = np.concatenate([part.flags for part in parts])
    has_points = points.any((1, 2))
    if not has_points.all() and has_points.any():
        known = np.flatnonzero(has_points)
        empty = np.flatnonzero(~has_points)
        right = known[np.clip(np.searchsorted(known, empty), 0, len(known) - 1)]
        left = known[np.clip(np.searchsorted(known, empty) - 1, 0, len(known) - 1)]
        points[empty] = points[np.where(abs(empty - left) <= abs(right - empty), left, right)]
    return Track(points, flags, max(p.faces for p in parts), sum(p.looked for p in parts), parts[-1].last)


def all_faces(count: Count, look: Detect, scene: Scene, detect_interval: int) -> list[FaceTrack]:
    """Every face of a scene, followed; see `track`."""
    memory = _Memory(count, look)
    keys = _evenly(*scene, detect_interval)
    trails, alone = _trails(memory, keys, detect_interval)
    found = []
    for trail in trails:
        seen, spans = dict(trail.seen), (min(trail.seen), max(trail.seen))
        for a, b in itertools.pairwise(keys):
            _bisect(memory, seen, a, b, alone)
        first, end = min(seen), max(seen) + 1
        track = Track(np.zeros((end, 68, 2), np.float32), np.full(end, FILLED, np.float32))
        _fill(seen, np.array([], int), first, end, track)
        found.append(FaceTrack(first, track.points[first:], spans))
    return found


def _evenly(first: int, end: int, every: int) -> list[int]:
    """First and last frame of a scene, and as few between, evenly, that no two are farther apart than `every`."""
    return [int(i) for i in np.unique(np.linspace(first, end - 1, -(-(end - 1 - first) // every) + 1).round())]


def _trails(look: _Memory, keys: Sequence[int], detect_interval: int) -> tuple[list[_Trail], bool]:
    """The faces of the key frames of a scene, and whether only one is about."""
    survey = max(_SURVEY, -(-_APART // detect_interval))
    alone = max(look.count(i) for i in keys[1::survey] or keys[:1]) <= 1
    trails: list[_Trail] = []
    for i in keys:
        _link(trails, i, look(i, alone))
    return trails, alone


def _follow(
    look: _Memory,
    keys: Sequence[int],
    detect_interval: int,
    which_face: str,
    size: tuple[int, int],
    before: Face | None,
    wanted: np.ndarray | None,
) -> dict[int, Face]:
    """Sightings of the chosen face in one scene, dense enough to interpolate."""
    trails, alone = _trails(look, keys, detect_interval)
    taken: list[_Trail] = []

    def merit(trail: _Trail) -> tuple[float, float]:
        return _likeness(trail, wanted), _merit(trail, which_face, size, before)

    for trail in sorted(trails, key=merit, reverse=True):
        # A trail at another time goes on where these end: the face moved fast. One at the same time is another face.
        if not any(trail.meets(other) for other in taken):
            taken.append(trail)
    seen = {i: face for trail in taken for i, face in trail.seen.items()}
    for a, b in itertools.pairwise(keys):
        _bisect(look, seen, a, b, alone)
    return dict(sorted(seen.items()))


def _link(trails: list[_Trail], index: int, faces: list[Face]) -> None:
    """Give each face to the trail it overlaps most; a face without one starts its own."""
    pairs = sorted(
        ((overlap(trail.last, face), t, f) for t, trail in enumerate(trails) for f, face in enumerate(faces)),
        reverse=True,
    )
    taken: set[int] = set()
    linked: set[int] = set()
    for value, t, f in pairs:
        if value > _LINKED and t not in taken and f not in linked:
            trails[t].seen[index] = faces[f]
            taken.add(t)
            linked.add(f)
    trails += [_Trail({index: face}) for f, face in enumerate(faces) if f not in linked]


def _likeness(trail: _Trail, wanted: np.ndarray | None) -> float:
    """Mean overlap with the face that is wanted, where one is; 0: none is."""
    if wanted is None:
        return 0.0
    known = [overlap(around(face), placed(face, wanted[i])) for i, face in trail.seen.items() if wanted[i].any()]
    return float(np.mean(known)) if known else 0.0


def around(face: Face) -> Face:
    """The face with the box about its points, whatever box its detector gave it."""
    return placed(face, np.concatenate([face.points.min(0), face.points.max(0)]))


def placed(face: Face, box: np.ndarray) -> Face:
    """The face with another box, (4,)."""
    x0, y0, x1, y1 = map(float, box)
    return replace(face, box=(x0, y0, x1, y1))


def _merit(trail: _Trail, which_face: str, size: tuple[int, int], before: Face | None) -> float:
    """What the chosen trail has most of. `largest`: width of the face x frames it is in / how restless it is; so it is
    of those that may be who speaks."""
    faces = list(trail.seen.values())
    known = _FAMILIAR if before is not None and overlap(before, trail.first) > _LINKED else 0.0
    middles = np.array([((f.box[0] + f.box[2]) / 2, (f.box[1] + f.box[3]) / 2) for f in faces])
    if which_face not in ("largest", "speaking"):
        x = float(np.median(middles[:, 0])) / size[0]
        return known + {"left": -x, "right": x, "center": -abs(x - 0.5)}[which_face]
    width = float(np.median([face.width for face in faces]))
    restless = float(np.median(np.abs(np.diff(middles, axis=0)).sum(1))) / width if len(faces) > 1 else 1.0
    return (1 + known) * width * len(faces) / (1 + restless)


def _bisect(look: _Memory, seen: dict[int, Face], a: int, b: int, alone: bool) -> None:
    """Look between two key frames as long as they disagree or one of them has no face."""
    left, right = seen.get(a), seen.get(b)
    if b - a < 2 or (left is None and right is None):
        return
    middle = (a + b) // 2
    places = [known.points for known in (left, right) if known is not None]
    if left is not None and right is not None:
        if distance(left.points, right.points) <= _AGREE * left.width:
            return
        share = (middle - a) / (b - a)
        places.append(left.points * (1 - share) + right.points * share)
    match = _nearest(look(middle, alone), places)
    if match is not None:
        seen[middle] = match
        if len(places) == 3 and distance(match.points, places[-1]) <= _STRAIGHT * match.width:
            return
    _bisect(look, seen, a, middle, alone)
    _bisect(look, seen, middle, b, alone)


def _nearest(faces: list[Face], places: Sequence[np.ndarray]) -> Face | None:
    """The face nearest to one of the places where it may be, unless it is another one."""

    def off(face: Face) -> float:
        return min(distance(face.points, place) for place in places)

    best = min(faces, key=off, default=None)
    return None if best is None or off(best) > _ANOTHER * best.width else best


def _fill(seen: dict[int, Face], missed: np.ndarray, first: int, end: int, result: Track) -> None:
    """Points and flags of every frame of a scene from the sightings in it."""
    numbers = np.array(sorted(seen))
    known = np.stack([seen[int(i)].points for i in numbers]).reshape(len(numbers), -1)
    at = np.arange(first, end)
    right = np.clip(np.searchsorted(numbers, at, side="left"), 0, len(numbers) - 1)
    left = np.clip(np.searchsorted(numbers, at, side="right") - 1, 0, len(numbers) - 1)
    share = np.clip((at - numbers[left]) / np.maximum(numbers[right] - numbers[left], 1), 0, 1)[:, None]
    result.points[first:end] = (known[left] * (1 - share) + known[right] * share).reshape(-1, 68, 2)
    # Between two sightings with a look in vain between them there was no face; so before the first and after the last.
    vain = np.searchsorted(missed, numbers[right]) > np.searchsorted(missed, numbers[left])
    outside = (at < numbers[0]) | (at > numbers[-1])
    result.flags[first:end] = np.where(vain | outside, FILLED, INTERPOLATED)
    result.flags[numbers] = DETECTED


def overlap(one: Face, other: Face) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    x0, y0 = max(one.box[0], other.box[0]), max(one.box[1], other.box[1])
    x1, y1 = min(one.box[2], other.box[2]), min(one.box[3], other.box[3])
    inside = max(0.0, x1 - x0) * max(0.0, y1 - y0)
    areas = sum((f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) for f in (one, other))
    return inside / (areas - inside) if areas > inside else 0.0


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """How far two sets of points (68, 2) are apart: stable points or middle of the mouth, whichever is more; pixels."""
    stable = np.linalg.norm(one[STABLE] - other[STABLE], axis=1).mean()
    mouth = np.linalg.norm(one[MOUTH].mean(0) - other[MOUTH].mean(0))
    return float(max(stable, mouth))
