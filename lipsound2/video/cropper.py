"""A clip -> landmarks and crops, in one pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.timing import FRAME_RATE
from lipsound2.video.align import REGIONS, REST_WINDOW, fit, quarter_turns, smooth, transforms, warp
from lipsound2.video.decode import Source, Timeline
from lipsound2.video.detect import Detector, Face, make_detector
from lipsound2.video.frame import Pixels, Still, to_full_range
from lipsound2.video.frame_buffer import BUDGET, Reel
from lipsound2.video.mouth import STILL, Movement, hardly_moves, outside
from lipsound2.video.portrait import portrait
from lipsound2.video.scenes import Scene, differences, find_scenes, split_at_jumps, thumbnail
from lipsound2.video.stabilize import steady
from lipsound2.video.track import CHOICES, DETECTED, FILLED, Track, join, track
from lipsound2.video.view import AS_IS, View, other_views, upside_down

SHORTEST = 5  # pictures
EVERY = 25  # pictures between two key frames, at most
_TRIED = 3  # parts of a long clip without a face, in which other views are looked at
_WATCHED = "mouth"  # the region that must move


@dataclass(frozen=True)
class Report:
    """What happened to one clip.

    Attributes:
        frames: T, pictures on the 25 fps grid.
        missing: those without a face; their landmarks are filled from around.
        outside: those with a face whose mouth lies outside of the picture.
        faces: most faces seen at once.
        box: x0, y0, x1, y1 around the face that was taken, pixels, median over time.
        scenes: runs of pictures without a cut.
        looked: pictures the detector saw.
        damaged: packets and pictures that ffmpeg found broken.
        notes: what was converted.
    """

    frames: int
    missing: int
    outside: int
    faces: int
    box: tuple[int, int, int, int]
    scenes: tuple[Scene, ...]
    looked: int
    damaged: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{self.frames} pictures", *self.notes, f"{self.missing} without a face"]
        if self.outside:
            parts.append(f"{self.outside} with the mouth outside of the picture")
        if self.faces > 1:
            parts.append(f"up to {self.faces} faces at once, taken: the one at x {self.box[0]}-{self.box[2]}")
        if len(self.scenes) > 1:
            first, end = max(self.scenes, key=lambda scene: scene[1] - scene[0])
            parts.append(f"{len(self.scenes)} scenes, the longest {first / FRAME_RATE:.2f}-{end / FRAME_RATE:.2f} s")
        if self.damaged:
            parts.append(f"{self.damaged} damaged packets or pictures")
        return ", ".join(parts)


@dataclass(frozen=True)
class Crops:
    """What a clip became.

    Attributes:
        landmarks: (T, 137) float32: x0 y0 x1 y1 ... of the 68 iBUG points in pixels of the upright source picture,
            then a flag: 1 detected, .5 interpolated, 0 filled.
        regions: name -> (T, S, S) uint8, full-range luma, or what else `store` made of these.
        timeline: the 25 fps grid.
        report: what happened.
        portrait: where there were several faces: a small picture (H, W, 3) uint8 RGB with a box about each, the one
            that was taken in another colour; None: a single face, or landmarks that were given.
    """

    landmarks: np.ndarray
    regions: dict[str, np.ndarray]
    timeline: Timeline
    report: Report
    portrait: np.ndarray | None = None


class Store(Protocol):
    """Takes crops (S, S) uint8 one after the other, and gives what they became together."""

    def add(self, picture: np.ndarray) -> None: ...
    def whole(self) -> np.ndarray: ...


class Stack:
    """Crops as they are.

    Args:
        shape: (T, S, S) of all of them.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._pictures = np.empty(shape, np.uint8)
        self._count = 0

    def add(self, picture: np.ndarray) -> None:
        """The next one."""
        self._pictures[self._count] = picture
        self._count += 1

    def whole(self) -> np.ndarray:
        """All of them, (T, S, S) uint8."""
        return self._pictures


class Cropper:
    """Clips -> landmarks and crops. One detector for its whole life, reset per clip.

    Args:
        regions: names out of `align.REGIONS`; none for landmarks only.
        detector: `mediapipe`, `dlib`, or `none` when landmarks are always given.
        every: distance of key frames, pictures.
        choose: which face when there are several: `largest` (and steadiest), `left`, `right`, `center`.
        least: share of pictures that must have a face.
        dlib_landmarks: a 68-point or 5-point model file for dlib.
        budget: bytes of memory for pictures; a longer clip is decoded twice.

    Raises:
        LipsoundError: an unknown region, detector or choice; the detector's package is not installed.
    """

    def __init__(
        self,
        regions: Sequence[str] = ("face", "mouth"),
        detector: str = "mediapipe",
        *,
        every: int = EVERY,
        choose: str = "largest",
        least: float = 0.3,
        dlib_landmarks: Path | None = None,
        budget: int = BUDGET,
    ) -> None:
        for name in regions:
            if name not in REGIONS:
                raise LipsoundError(f"unknown region '{name}'; one of: {', '.join(REGIONS)}")
        if choose not in CHOICES:
            raise LipsoundError(f"unknown choice of face '{choose}'; one of: {', '.join(CHOICES)}")
        if every < 1:
            raise LipsoundError(f"key frames every {every} pictures: at least 1 is wanted")
        if not 0 <= least <= 1:
            raise LipsoundError(f"--least is a share of the pictures, from 0 to 1, found {least:g}")
        self.regions = tuple(regions)
        self.every = every
        self.choose = choose
        self.least = least
        cv2.setNumThreads(1)  # clips are shared out over processes
        self._detector: Detector | None = None if detector == "none" else make_detector(detector, dlib_landmarks)
        self._reel = Reel(budget)
        self._view = AS_IS

    def __call__(
        self,
        clip: Path | str | np.ndarray,
        landmarks: np.ndarray | None = None,
        store: Callable[[tuple[int, int, int]], Store] = Stack,
    ) -> Crops:
        """Crop one clip.

        Args:
            clip: video file, or pictures (T, H, W, 3) RGB or (T, H, W) full-range grey, uint8, at 25 fps.
            landmarks: (T, 137), given instead of detected.
            store: (T, S, S) -> what takes the crops of a region; its `whole()` stands in `Crops.regions`.

        Raises:
            ClipFailure: `unreadable`, `no-video`, `size-changes`, `too-short`, `no-face`, `mouth-outside`,
                `still-mouth`, `landmarks`.
        """
        parts: Iterable[Sequence[Still]]
        source: Source | None = None
        if isinstance(clip, np.ndarray):
            parts = [[Pixels(frame) for frame in clip]]
        else:
            source = Source(Path(clip))
            parts = self._reel.parts(source)
        if self._detector is None and landmarks is None:
            raise LipsoundError("this cropper was made without a detector: landmarks must be given")
        if self._detector is not None:
            self._detector.reset()
        self._view = AS_IS
        steps: list[np.ndarray] = []
        tracks: list[Track] = []
        pictures: Sequence[Still] = []
        last: list[np.ndarray] = []
        frames = 0
        shown: np.ndarray | None = None
        for pictures in parts:
            small = [thumbnail(picture.luma()) for picture in pictures]
            steps.append(differences([*last, *small]))
            if landmarks is None:
                scenes = find_scenes(steps[-1][len(last) :])
                tracks.append(self._track(pictures, scenes, tracks))
                if tracks[-1].faces > max([1, *(part.faces for part in tracks[:-1])]):
                    shown = portrait(pictures, tracks[-1])
            last, frames = small[-1:], frames + len(small)
        if frames < SHORTEST:
            raise ClipFailure(
                "too-short", f"{frames} pictures at {FRAME_RATE:g} a second, at least {SHORTEST} are needed"
            )
        scenes = find_scenes(np.concatenate(steps))
        tracked = join(tracks) if landmarks is None else _given(landmarks, frames)
        tracks.clear()  # of a long clip they take as much as what was made of them
        size = pictures[0].size
        self._check_faces(tracked.flags, size, source.notes if source else ())
        scenes = split_at_jumps(tracked.points, tracked.flags == DETECTED, scenes)
        names = sorted({*self.regions, _WATCHED})
        matrices = {name: transforms(tracked.points, REGIONS[name], scenes) for name in names}
        lost = outside(matrices[_WATCHED], size) & (tracked.flags != FILLED)
        self._check_mouths(tracked.flags, lost, size)
        held: Iterable[Still] = pictures
        if source is not None and len(pictures) < frames:
            pictures, held = [], self._reel.again(source)  # let go of those that are here
        regions, movement = self._cut(held, matrices, scenes, store)
        if landmarks is None and movement is not None and movement < STILL:
            raise ClipFailure(
                "still-mouth",
                f"the mouth does not move (by {movement:.3f} of its contrast, at least {STILL} are wanted): a photo, a "
                "mask, or a face that does not speak",
            )
        width, height = size
        timeline = Timeline(0.0, frames, FRAME_RATE, width, height) if source is None else source.timeline
        assert timeline is not None
        report = Report(
            frames=frames,
            missing=int((tracked.flags == FILLED).sum()),
            outside=int(lost.sum()),
            faces=tracked.faces,
            box=_box(tracked),
            scenes=tuple(scenes),
            looked=tracked.looked,
            damaged=source.damaged if source else 0,
            notes=(*_notes(source, timeline), *_notes_on_face(tracked, self._view, movement)),
        )
        flat = np.concatenate([tracked.points.reshape(frames, 136), tracked.flags[:, None]], 1, dtype=np.float32)
        return Crops(flat, regions, timeline, report, shown)

    def _track(self, pictures: Sequence[Still], scenes: Sequence[Scene], parts: Sequence[Track]) -> Track:
        """Follow the face through a part of a clip; where it hides, in another view of the pictures.

        Args:
            pictures: of the part.
            scenes: runs of pictures without a cut.
            parts: those before.
        """
        assert self._detector is not None
        tracked, certainty = self._follow(pictures, scenes, parts[-1].last if parts else None, self._view)
        looked = tracked.looked
        views: list[View] = []
        if (tracked.flags != FILLED).any():
            if self._view == AS_IS and upside_down(self._detector, pictures, certainty):
                views = [View(2)]
        elif len(parts) < _TRIED and not any((part.flags != FILLED).any() for part in parts):
            views = other_views(self._detector, pictures, self.choose)
        elif self._view != AS_IS:
            views = [AS_IS]
        for view in views:
            self._detector.reset()  # it follows what it saw in the other view
            again, _ = self._follow(pictures, scenes, None, view)
            looked += again.looked
            if (again.flags != FILLED).any():
                tracked, self._view = again, view
                break
        tracked.looked = looked
        return tracked

    def _follow(
        self, pictures: Sequence[Still], scenes: Sequence[Scene], before: Face | None, view: View
    ) -> tuple[Track, dict[int, float]]:
        """Follow the face in one view; also how sure the detector was of it where it had a quick look."""
        detector = self._detector
        assert detector is not None
        certainty: dict[int, float] = {}

        @functools.cache
        def count(index: int) -> int:
            sure = detector.glance(view.rgb(pictures[index]))
            certainty[index] = max(sure, default=0.0)
            return len(sure)

        @functools.cache
        def look(index: int, alone: bool) -> list[Face]:
            rgb = view.rgb(pictures[index])
            return [view.back(face, pictures[index], rgb) for face in detector.detect(rgb, alone=alone)]

        def follow(also: Sequence[int] = ()) -> Track:
            return track(count, look, scenes, self.every, self.choose, pictures[0].size, before, also)

        tracked = follow()
        if detector.coarse:
            tracked.points = smooth(tracked.points, REST_WINDOW, scenes)
        elif doubtful := steady(pictures, tracked, scenes):
            tracked = follow(doubtful)
            steady(pictures, tracked, scenes)
        return tracked, certainty

    def _check_faces(self, flags: np.ndarray, size: tuple[int, int], notes: Sequence[str]) -> None:
        share = float((flags != FILLED).mean())
        # The face may be in what was not looked at: another track, what is joined behind.
        found = "".join(f" ({note})" for note in notes)
        if share == 0:
            raise ClipFailure("no-face", f"no face in {len(flags)} pictures of {size[0]}x{size[1]}{found}")
        if share < self.least:
            raise ClipFailure(
                "no-face", f"a face in {share:.0%} of the pictures, at least {self.least:.0%} are wanted{found}"
            )

    def _check_mouths(self, flags: np.ndarray, lost: np.ndarray, size: tuple[int, int]) -> None:
        faces = int((flags != FILLED).sum())
        if 2 * lost.sum() > faces:
            raise ClipFailure(
                "mouth-outside",
                f"the mouth lies outside of the picture ({size[0]}x{size[1]}) in {lost.sum()} of {faces} pictures with "
                "a face, at most half are allowed",
            )

    def _cut(
        self,
        pictures: Iterable[Still],
        matrices: Mapping[str, np.ndarray],
        scenes: Sequence[Scene],
        store: Callable[[tuple[int, int, int]], Store],
    ) -> tuple[dict[str, np.ndarray], float | None]:
        """The regions that are wanted, and how much the mouth moves; None where that cannot be told."""
        if not self.regions:
            return {}, None
        sizes = {name: REGIONS[name].size for name in matrices}
        crops = {name: store((len(matrices[name]), sizes[name], sizes[name])) for name in self.regions}
        movement = Movement()
        begins = {first for first, _ in scenes}
        for index, picture in enumerate(pictures):
            luma = picture.luma()
            for name, size in sizes.items():
                # Levels are stretched in the crop, not in the whole picture: a tenth of the work.
                crop = to_full_range(warp(luma, matrices[name][index], size), picture.full_range)
                if name in crops:
                    crops[name].add(crop)
                if name == _WATCHED:
                    movement.add(crop, cut=index in begins)
        return {name: each.whole() for name, each in crops.items()}, movement.most()


def _given(landmarks: np.ndarray, frames: int) -> Track:
    if landmarks.shape != (frames, 137):
        raise ClipFailure(
            "landmarks", f"expected ({frames}, 137) for the pictures of the clip, found {landmarks.shape}"
        )
    return Track(landmarks[:, :136].reshape(frames, 68, 2).astype(np.float32), landmarks[:, 136].astype(np.float32))


def _box(tracked: Track) -> tuple[int, int, int, int]:
    points = tracked.points[tracked.flags != FILLED]
    x0, y0 = np.median(points.min(1), 0).round().astype(int)
    x1, y1 = np.median(points.max(1), 0).round().astype(int)
    return int(x0), int(y0), int(x1), int(y1)


def _notes_on_face(tracked: Track, view: View, movement: float | None) -> tuple[str, ...]:
    notes = []
    if turns := quarter_turns(fit(tracked.points[tracked.flags != FILLED])[0]):
        notes.append(f"the face is turned by {90 * turns} degrees clockwise, its crops are upright")
    if view.window is not None:
        notes.append("the face is small and was found at full size")
    if hardly_moves(tracked.points, tracked.flags, movement):
        notes.append("the mouth hardly moves: who is shown may not speak")
    return tuple(notes)


def _notes(source: Source | None, timeline: Timeline) -> tuple[str, ...]:
    notes = [f"{timeline.width}x{timeline.height}"]
    if abs(timeline.fps - FRAME_RATE) > 0.01 * FRAME_RATE:
        notes.append(f"{timeline.fps:.2f} -> {FRAME_RATE:g} a second")
    if source is not None and str(source.orientation):
        notes.append(str(source.orientation))
    if source is not None and source.interlaced:
        notes.append("deinterlaced")
    if source is not None:
        notes.extend(source.notes)
    return tuple(notes)
