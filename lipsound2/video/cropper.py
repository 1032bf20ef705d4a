"""A clip -> landmarks and crops, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.video.align import REGIONS, transforms, warp
from lipsound2.video.decode import RATE, Picture, Source, Timeline, to_full_range
from lipsound2.video.detect import Detector, Face, make_detector
from lipsound2.video.track import CHOICES, FILLED, Track, find_cuts, split_at_jumps, track

DETECTION_SIDE = 640  # pixels; faces are looked for in a picture no longer than this
SHORTEST = 5  # pictures
_THUMBNAIL = 48  # pixels, about; pictures are compared at this size to notice cuts


@dataclass(frozen=True)
class Report:
    """What happened to one clip."""

    frames: int
    missing: int
    faces: int
    scenes: int
    looked: int
    damaged: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{self.frames} pictures, {self.missing} without a face"]
        if self.faces > 1:
            parts.append(f"up to {self.faces} faces at once")
        if self.scenes > 1:
            parts.append(f"{self.scenes} scenes")
        if self.damaged:
            parts.append(f"{self.damaged} damaged packets")
        return "; ".join([*parts, *self.notes])


@dataclass(frozen=True)
class Crops:
    """What a clip became.

    Attributes:
        landmarks: (T, 137) float32: x0 y0 x1 y1 ... of the 68 iBUG points in source pixels, then a flag:
            1 detected, .5 interpolated, 0 filled.
        regions: name -> (T, S, S) uint8, full-range luma.
        timeline: the 25 fps grid.
        report: what happened.
    """

    landmarks: np.ndarray
    regions: dict[str, np.ndarray]
    timeline: Timeline
    report: Report


class Cropper:
    """Clips -> landmarks and crops. One detector for its whole life, reset per clip.

    Args:
        regions: names out of `align.REGIONS`.
        detector: `mediapipe`, `dlib`, or `none` when landmarks are always given.
        every: distance of key frames, pictures.
        choose: which face when there are several: `largest` (and steadiest), `left`, `right`, `center`.
        least: share of pictures that must have a face.
        dlib_landmarks: a 68-point or 5-point model file for dlib.
    """

    def __init__(
        self,
        regions: Sequence[str] = ("face", "mouth"),
        detector: str = "mediapipe",
        *,
        every: int = 5,
        choose: str = "largest",
        least: float = 0.3,
        dlib_landmarks: Path | None = None,
    ) -> None:
        for name in regions:
            if name not in REGIONS:
                raise LipsoundError(f"unknown region '{name}'; one of: {', '.join(REGIONS)}")
        self.regions = tuple(regions)
        self.every = every
        self.choose = choose
        self.least = least
        cv2.setNumThreads(1)  # clips are shared out over processes
        self._detector: Detector | None = None if detector == "none" else make_detector(detector, dlib_landmarks)

    def __call__(self, clip: Path | str | np.ndarray, landmarks: np.ndarray | None = None) -> Crops:
        """Crop one clip.

        Args:
            clip: video file, or pictures (T, H, W, 3) or (T, H, W) uint8 at 25 fps.
            landmarks: (T, 137), given instead of detected.

        Raises:
            ClipFailure: `unreadable`, `no-video`, `too-short`, `no-face`, `landmarks`.
        """
        if isinstance(clip, np.ndarray):
            pictures: Sequence[_Picture] = [_Array(frame) for frame in clip]
            height, width = clip.shape[1:3]
            timeline, damaged, notes = Timeline(0.0, len(clip), RATE, width, height), 0, ()
        else:
            source = Source(Path(clip))
            pictures = list(source)
            assert source.timeline is not None
            timeline, damaged = source.timeline, source.damaged
            notes = _notes(source)
        if len(pictures) < SHORTEST:
            raise ClipFailure("too-short", f"{len(pictures)} pictures at 25 fps, at least {SHORTEST} are needed")
        scenes = find_cuts([_thumbnail(picture, pictures[0].size) for picture in pictures])
        tracked = self._track(pictures, scenes) if landmarks is None else _given(landmarks, len(pictures))
        scenes = split_at_jumps(tracked.points, tracked.flags, scenes)
        crops = {name: self._cut(pictures, tracked.points, name, scenes) for name in self.regions}
        report = Report(
            len(pictures),
            int((tracked.flags == FILLED).sum()),
            tracked.faces,
            len(scenes),
            tracked.looked,
            damaged,
            notes,
        )
        flat = np.concatenate([tracked.points.reshape(len(pictures), 136), tracked.flags[:, None]], 1)
        return Crops(flat.astype(np.float32), crops, timeline, report)

    def _track(self, pictures: Sequence[_Picture], scenes: Sequence[tuple[int, int]]) -> Track:
        detector = self._detector
        if detector is None:
            raise LipsoundError("this cropper was made without a detector: landmarks must be given")
        detector.reset()
        size = pictures[0].size

        def look(index: int, alone: bool) -> list[Face]:
            rgb = pictures[index].rgb(DETECTION_SIDE)
            scale = size[0] / rgb.shape[1]
            return [_scaled(face, scale) for face in detector.detect(rgb, alone=alone)]

        tracked = track(look, scenes, self.every, self.choose, size)
        if tracked is None:
            raise ClipFailure("no-face", f"no face in {len(pictures)} pictures of {size[0]}x{size[1]}")
        share = float((tracked.flags != FILLED).mean())
        if share < self.least:
            raise ClipFailure("no-face", f"a face in {share:.0%} of the pictures only, {self.least:.0%} are wanted")
        return tracked

    @staticmethod
    def _cut(
        pictures: Sequence[_Picture], points: np.ndarray, name: str, scenes: Sequence[tuple[int, int]]
    ) -> np.ndarray:
        region = REGIONS[name]
        matrices = transforms(points, region, scenes)
        crops = np.empty((len(pictures), region.size, region.size), np.uint8)
        for crop, picture, matrix in zip(crops, pictures, matrices, strict=True):
            # The levels are stretched in the crop, not in the whole picture: the same numbers for a tenth of the work.
            crop[:] = to_full_range(warp(picture.luma(), matrix, region.size), picture.full_range)
        return crops


@dataclass(frozen=True)
class _Array:
    """A picture that was decoded elsewhere, with `decode.Picture`'s methods."""

    pixels: np.ndarray
    full_range: bool = True

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[0]

    def luma(self) -> np.ndarray:
        return self.pixels if self.pixels.ndim == 2 else cv2.cvtColor(self.pixels, cv2.COLOR_RGB2GRAY)

    def rgb(self, longest: int | None = None) -> np.ndarray:
        pixels = self.pixels if self.pixels.ndim == 3 else cv2.cvtColor(self.pixels, cv2.COLOR_GRAY2RGB)
        scale = min(1.0, longest / max(self.size)) if longest else 1.0
        return cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else pixels


_Picture = Picture | _Array


def _thumbnail(picture: _Picture, size: tuple[int, int]) -> np.ndarray:
    step = max(1, max(size) // _THUMBNAIL)
    return picture.luma()[: size[1] : step, : size[0] : step]


def _scaled(face: Face, scale: float) -> Face:
    """A face found in a picture that was scaled down, in the pixels of the full one (their centres, not their corners)."""
    x0, y0, x1, y1 = (scale * value for value in face.box)
    return replace(face, box=(x0, y0, x1, y1), points=(face.points * np.float32(scale)))


def _given(landmarks: np.ndarray, frames: int) -> Track:
    if landmarks.shape != (frames, 137):
        raise ClipFailure(
            "landmarks", f"expected ({frames}, 137) for the pictures of this clip, found {landmarks.shape}"
        )
    return Track(landmarks[:, :136].reshape(frames, 68, 2).astype(np.float32), landmarks[:, 136].astype(np.float32))


def _notes(source: Source) -> tuple[str, ...]:
    timeline = source.timeline
    assert timeline is not None
    notes = [f"{timeline.width}x{timeline.height}"]
    if abs(timeline.fps - RATE) > 0.01 * RATE:
        notes.append(f"{timeline.fps:.2f} -> {RATE:g} pictures/s")
    if source.turns:
        notes.append(f"turned by {90 * source.turns} degrees")
    if source.interlaced:
        notes.append("deinterlaced")
    return tuple(notes)
