"""A clip -> landmarks and crops, in one pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.video.align import REGIONS, REST_WINDOW, smooth, transforms, warp
from lipsound2.video.decode import RATE, Source, Timeline
from lipsound2.video.detect import Detector, Face, make_detector
from lipsound2.video.picture import Pixels, Still, to_full_range
from lipsound2.video.reel import BUDGET, Reel
from lipsound2.video.scenes import Scene, differences, find_scenes, split_at_jumps, thumbnail
from lipsound2.video.steady import steady
from lipsound2.video.track import CHOICES, DETECTED, FILLED, Track, join, track

DETECTION_SIDE = 800  # pixels; faces are looked for in a picture no longer than this
SHORTEST = 5  # pictures
EVERY = 25  # pictures between two key frames, at most


@dataclass(frozen=True)
class Report:
    """What happened to one clip.

    Attributes:
        frames: T, pictures on the 25 fps grid.
        missing: those without a face; their landmarks are filled from around.
        faces: most faces seen at once.
        box: x0, y0, x1, y1 around the face that was taken, pixels, median over time.
        scenes: runs of pictures without a cut.
        looked: pictures the detector saw.
        damaged: packets and pictures that ffmpeg found broken.
        notes: what was converted.
    """

    frames: int
    missing: int
    faces: int
    box: tuple[int, int, int, int]
    scenes: tuple[Scene, ...]
    looked: int
    damaged: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{self.frames} pictures", *self.notes, f"{self.missing} without a face"]
        if self.faces > 1:
            parts.append(f"up to {self.faces} faces at once, taken: the one at x {self.box[0]}-{self.box[2]}")
        if len(self.scenes) > 1:
            first, end = max(self.scenes, key=lambda scene: scene[1] - scene[0])
            parts.append(f"{len(self.scenes)} scenes, the longest {first / RATE:.2f}-{end / RATE:.2f} s")
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
    """

    landmarks: np.ndarray
    regions: dict[str, np.ndarray]
    timeline: Timeline
    report: Report


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
        self.regions = tuple(regions)
        self.every = every
        self.choose = choose
        self.least = least
        cv2.setNumThreads(1)  # clips are shared out over processes
        self._detector: Detector | None = None if detector == "none" else make_detector(detector, dlib_landmarks)
        self._reel = Reel(budget)

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
            ClipFailure: `unreadable`, `no-video`, `size-changes`, `too-short`, `no-face`, `landmarks`.
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
        steps: list[np.ndarray] = []
        tracks: list[Track] = []
        pictures: Sequence[Still] = []
        last: list[np.ndarray] = []
        frames = 0
        for pictures in parts:
            small = [thumbnail(picture.luma()) for picture in pictures]
            steps.append(differences([*last, *small]))
            if landmarks is None:
                scenes = find_scenes(steps[-1][len(last) :])
                tracks.append(self._track(pictures, scenes, tracks[-1].last if tracks else None))
            last, frames = small[-1:], frames + len(small)
        if frames < SHORTEST:
            raise ClipFailure("too-short", f"{frames} pictures at {RATE:g} a second, at least {SHORTEST} are needed")
        scenes = find_scenes(np.concatenate(steps))
        tracked = join(tracks) if landmarks is None else _given(landmarks, frames)
        self._check(tracked.flags, pictures[0].size)
        scenes = split_at_jumps(tracked.points, tracked.flags == DETECTED, scenes)
        held = pictures if source is None or len(pictures) == frames else self._reel.again(source)
        regions = self._cut(held, tracked.points, scenes, store)
        width, height = pictures[0].size
        timeline = Timeline(0.0, frames, RATE, width, height) if source is None else source.timeline
        assert timeline is not None
        report = Report(
            frames=frames,
            missing=int((tracked.flags == FILLED).sum()),
            faces=tracked.faces,
            box=_box(tracked),
            scenes=tuple(scenes),
            looked=tracked.looked,
            damaged=source.damaged if source else 0,
            notes=_notes(source, timeline),
        )
        flat = np.concatenate([tracked.points.reshape(frames, 136), tracked.flags[:, None]], 1, dtype=np.float32)
        return Crops(flat, regions, timeline, report)

    def _track(self, pictures: Sequence[Still], scenes: Sequence[Scene], before: Face | None) -> Track:
        detector = self._detector
        assert detector is not None
        size = pictures[0].size

        @functools.cache
        def count(index: int) -> int:
            return detector.count(pictures[index].rgb(DETECTION_SIDE))

        @functools.cache
        def look(index: int, alone: bool) -> list[Face]:
            rgb = pictures[index].rgb(DETECTION_SIDE)
            scale = size[0] / rgb.shape[1]
            return [face.moved(scale) for face in detector.detect(rgb, alone=alone)]

        def follow(also: Sequence[int] = ()) -> Track:
            return track(count, look, scenes, self.every, self.choose, size, before, also)

        tracked = follow()
        if detector.coarse:
            tracked.points = smooth(tracked.points, REST_WINDOW, scenes)
        elif doubtful := steady(pictures, tracked, scenes):
            tracked = follow(doubtful)
            steady(pictures, tracked, scenes)
        return tracked

    def _check(self, flags: np.ndarray, size: tuple[int, int]) -> None:
        share = float((flags != FILLED).mean())
        if share == 0:
            raise ClipFailure("no-face", f"no face in {len(flags)} pictures of {size[0]}x{size[1]}")
        if share < self.least:
            raise ClipFailure("no-face", f"a face in {share:.0%} of the pictures, at least {self.least:.0%} are wanted")

    def _cut(
        self,
        pictures: Iterable[Still],
        points: np.ndarray,
        scenes: Sequence[Scene],
        store: Callable[[tuple[int, int, int]], Store],
    ) -> dict[str, np.ndarray]:
        matrices = {name: transforms(points, REGIONS[name], scenes) for name in self.regions}
        sizes = {name: REGIONS[name].size for name in self.regions}
        crops = {name: store((len(points), size, size)) for name, size in sizes.items()}
        if not crops:
            return {}
        for index, picture in enumerate(pictures):
            luma = picture.luma()
            for name, size in sizes.items():
                # Levels are stretched in the crop, not in the whole picture: a tenth of the work.
                crops[name].add(to_full_range(warp(luma, matrices[name][index], size), picture.full_range))
        return {name: each.whole() for name, each in crops.items()}


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


def _notes(source: Source | None, timeline: Timeline) -> tuple[str, ...]:
    notes = [f"{timeline.width}x{timeline.height}"]
    if abs(timeline.fps - RATE) > 0.01 * RATE:
        notes.append(f"{timeline.fps:.2f} -> {RATE:g} a second")
    if source is not None and str(source.orientation):
        notes.append(str(source.orientation))
    if source is not None and source.interlaced:
        notes.append("deinterlaced")
    if source is not None:
        notes.extend(source.notes)
    return tuple(notes)
