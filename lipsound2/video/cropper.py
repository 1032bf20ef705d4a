"""From a clip to landmarks and crops, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.timing import FRAME_RATE
from lipsound2.video.align import REGIONS, REST_WINDOW, smooth, warp
from lipsound2.video.crop_report import CropReport, notes_on_clip, notes_on_face
from lipsound2.video.decode import Source
from lipsound2.video.detect import DEFAULT_DETECTOR, make_detector
from lipsound2.video.face import Detector, Face
from lipsound2.video.face_choice import draw_choice
from lipsound2.video.frame import Frame, to_full_range
from lipsound2.video.frame_arrays import frames_of
from lipsound2.video.frame_buffer import BUDGET, FrameBuffer
from lipsound2.video.grid import Timeline
from lipsound2.video.looks import Looks
from lipsound2.video.mouth import STILL, MouthMotion, hardly_moves, outside
from lipsound2.video.scenes import Scene, differences, find_scenes, split_at_jumps, thumbnail
from lipsound2.video.speaking import SpeakerFinder, Speakers, check_choice
from lipsound2.video.stabilize import stabilize
from lipsound2.video.track import CHOICES, DETECTED, FILLED, Track, join, track
from lipsound2.video.view import AS_IS, View, other_views, upside_down

SHORTEST = 5  # frames
EVERY = 25  # frames between two key frames, at most
_TRIED = 3  # parts of a long clip without a face, in which other views are looked at
_WATCHED = "mouth"  # the region that must move


@dataclass(frozen=True)
class Crops:
    """What a clip became.

    Attributes:
        landmarks: (T, 137) float32: x0 y0 x1 y1 ... of the 68 iBUG points in pixels of the upright source frame,
            then a flag: 1 detected, 0.5 interpolated, 0 filled.
        regions: name -> (T, S, S) uint8, full-range luma, or what else `store` made of these.
        timeline: the 25 fps grid.
        report: what was seen.
        face_choice: where there were several faces: a small image (H, W, 3) uint8 RGB with a box about each, the one
            that was taken in another color; None: a single face, or landmarks that were given.
    """

    landmarks: np.ndarray
    regions: dict[str, np.ndarray]
    timeline: Timeline
    report: CropReport
    face_choice: np.ndarray | None = None


class Store(Protocol):
    """Takes crops (S, S) uint8 one after the other, and gives what they became together."""

    def add(self, frame: np.ndarray) -> None: ...
    def whole(self) -> np.ndarray: ...


class Stack:
    """Crops as they are.

    Args:
        shape: (T, S, S) of all of them.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._frames = np.empty(shape, np.uint8)
        self._count = 0

    def add(self, frame: np.ndarray) -> None:
        """The next one."""
        self._frames[self._count] = frame
        self._count += 1

    def whole(self) -> np.ndarray:
        """All of them, (T, S, S) uint8."""
        return self._frames


class Cropper:
    """Makes landmarks and crops of clips. It keeps one detector, which is reset for each clip.

    Args:
        regions: names out of `align.REGIONS`; none for landmarks only.
        detector: `facemesh`, `mediapipe`, `dlib`, or `none` when landmarks are always given.
        detect_interval: distance of key frames, frames.
        which_face: which face when there are several: `largest` (and steadiest), `left`, `right`, `center`, or
            `speaking`.
        asd: file of LR-ASD's weights, which tell who speaks.
        min_face_ratio: share of frames that must have a face.
        dlib_landmarks: a 68-point or 5-point model file for dlib.
        budget: bytes of memory for frames; a longer clip is decoded twice.

    Raises:
        LipsoundError: an unknown region, detector or choice; the detector's package is not installed.
    """

    def __init__(
        self,
        regions: Sequence[str] = ("face", "mouth"),
        detector: str = DEFAULT_DETECTOR,
        *,
        detect_interval: int = EVERY,
        which_face: str = "largest",
        asd: Path | None = None,
        min_face_ratio: float = 0.3,
        dlib_landmarks: Path | None = None,
        budget: int = BUDGET,
    ) -> None:
        for name in regions:
            if name not in REGIONS:
                raise LipsoundError(f"unknown region '{name}'; one of: {', '.join(REGIONS)}")
        if which_face not in CHOICES:
            raise LipsoundError(f"unknown choice of face '{which_face}'; one of: {', '.join(CHOICES)}")
        check_choice(which_face, asd)
        if detect_interval < 1:
            raise LipsoundError(f"key frames every {detect_interval} frames: at least 1 is wanted")
        if not 0 <= min_face_ratio <= 1:
            raise LipsoundError(f"--min-face-ratio is a share of the frames, from 0 to 1, found {min_face_ratio:g}")
        self.regions = tuple(regions)
        self.detect_interval = detect_interval
        self.which_face = which_face
        self.min_face_ratio = min_face_ratio
        cv2.setNumThreads(1)  # clips are shared out over processes
        self._detector: Detector | None = None if detector == "none" else make_detector(detector, dlib_landmarks)
        self._finder = None if asd is None else SpeakerFinder(asd)
        self._buffer = FrameBuffer(budget)
        self._view = AS_IS

    def __call__(
        self,
        clip: Path | str | np.ndarray,
        landmarks: np.ndarray | None = None,
        store: Callable[[tuple[int, int, int]], Store] = Stack,
        fps: float = FRAME_RATE,
    ) -> Crops:
        """Crop one clip.

        Args:
            clip: video file, or frames (T, H, W, 3) RGB or (T, H, W) full-range gray, uint8.
            landmarks: (T, 137), given instead of detected.
            store: (T, S, S) -> what takes the crops of a region; its `whole()` stands in `Crops.regions`.
            fps: of frames that are given, frames a second; a file has its own clock.

        Raises:
            LipsoundError: what was given are no frames, see `frame_arrays.frames_of`.
            ClipFailure: `unreadable`, `no-video`, `size-changes`, `too-short`, `no-face`, `mouth-outside`,
                `still-mouth`, `landmarks`.
        """
        parts: Iterable[Sequence[Frame]]
        source: Source | None = None
        timeline: Timeline | None = None
        if isinstance(clip, np.ndarray):
            given, timeline = frames_of(clip, fps)
            parts = [given]
        else:
            source = Source(Path(clip))
            parts = self._buffer.parts(source)
        if self._detector is None and landmarks is None:
            raise LipsoundError("this cropper was made without a detector: landmarks must be given")
        if self._detector is not None:
            self._detector.reset()
        self._view = AS_IS
        speakers = self._speakers(clip, fps) if landmarks is None else None
        wanted = None if speakers is None else speakers.wanted
        steps: list[np.ndarray] = []
        tracks: list[Track] = []
        frames: Sequence[Frame] = []
        last: list[np.ndarray] = []
        num_frames = 0
        face_choice: np.ndarray | None = None
        for frames in parts:
            small = [thumbnail(frame.luma()) for frame in frames]
            steps.append(differences([*last, *small]))
            if landmarks is None:
                scenes = find_scenes(steps[-1][len(last) :])
                here = None if wanted is None else wanted[num_frames : num_frames + len(frames)]
                tracks.append(self._track(frames, scenes, tracks, here))
                if tracks[-1].faces > max([1, *(part.faces for part in tracks[:-1])]):
                    face_choice = draw_choice(frames, tracks[-1], num_frames, speakers)
            last, num_frames = small[-1:], num_frames + len(small)
        if num_frames < SHORTEST:
            raise ClipFailure(
                "too-short", f"{num_frames} frames at {FRAME_RATE:g} a second, at least {SHORTEST} are needed"
            )
        scenes = find_scenes(np.concatenate(steps))
        tracked = join(tracks) if landmarks is None else _given(landmarks, num_frames)
        tracks.clear()  # of a long clip they take as much as what was made of them
        size = frames[0].size
        self._check_faces(tracked.flags, size, source.notes if source else ())
        scenes = split_at_jumps(tracked.points, tracked.flags == DETECTED, scenes)
        names = sorted({*self.regions, _WATCHED})
        matrices = {name: REGIONS[name].transforms(tracked.points, scenes) for name in names}
        lost = outside(matrices[_WATCHED], size) & (tracked.flags != FILLED)
        self._check_mouths(tracked.flags, lost, size)
        held: Iterable[Frame] = frames
        if source is not None and len(frames) < num_frames:
            frames, held = [], self._buffer.decode_again(source)  # let go of those that are here
        regions, movement = self._cut(held, matrices, scenes, store)
        if landmarks is None and movement is not None and movement < STILL:
            raise ClipFailure(
                "still-mouth",
                f"the mouth does not move (by {movement:.3f} of its contrast, at least {STILL} are wanted): a photo, a "
                "mask, or a face that does not speak",
            )
        timeline = timeline if source is None else source.timeline
        assert timeline is not None
        report = CropReport(
            num_frames=num_frames,
            missing=int((tracked.flags == FILLED).sum()),
            outside=int(lost.sum()),
            faces=tracked.faces,
            box=_box(tracked),
            scenes=tuple(scenes),
            looked=tracked.looked,
            damaged=source.damaged if source else 0,
            notes=(*notes_on_clip(source, timeline), *notes_on_face(tracked, self._view)),
            hardly_moves=hardly_moves(tracked.points, tracked.flags, movement),
            speakers=speakers,
            lacking=source.lacking if source else "",
            fps=timeline.fps,
        )
        flat = np.concatenate([tracked.points.reshape(num_frames, 136), tracked.flags[:, None]], 1, dtype=np.float32)
        return Crops(flat, regions, timeline, report, face_choice)

    def _speakers(self, clip: Path | str | np.ndarray, fps: float) -> Speakers | None:
        """Who speaks in a clip, where the face is chosen by that. The clip is decoded for it once more."""
        if self._finder is None or self._detector is None:
            return None
        if isinstance(clip, np.ndarray):
            self._finder.watch([frames_of(clip, fps)[0]], self._detector, self.detect_interval)
            found = self._finder.tell(None, 0.0)
        else:
            source = Source(Path(clip))
            self._finder.watch(self._buffer.parts(source), self._detector, self.detect_interval)
            assert source.timeline is not None
            found = self._finder.tell(source.path, source.timeline.start)
        self._detector.reset()
        return found

    def _track(
        self, frames: Sequence[Frame], scenes: Sequence[Scene], parts: Sequence[Track], wanted: np.ndarray | None
    ) -> Track:
        """Follow the face through a part of a clip; where it hides, in another view of the frames.

        Args:
            frames: of the part.
            scenes: runs of frames without a cut.
            parts: those before.
            wanted: (T, 4) boxes of the face that comes before all choice, see `track.track`.
        """
        assert self._detector is not None
        tracked, certainty = self._follow(frames, scenes, parts[-1].last if parts else None, self._view, wanted)
        looked = tracked.looked
        views: list[View] = []
        if (tracked.flags != FILLED).any():
            if self._view == AS_IS and upside_down(self._detector, frames, certainty):
                views = [View(2)]
        elif len(parts) < _TRIED and not any((part.flags != FILLED).any() for part in parts):
            views = other_views(self._detector, frames, self.which_face)
        elif self._view != AS_IS:
            views = [AS_IS]
        for view in views:
            self._detector.reset()  # it follows what it saw in the other view
            again, _ = self._follow(frames, scenes, None, view, wanted)
            looked += again.looked
            if (again.flags != FILLED).any():
                tracked, self._view = again, view
                break
        tracked.looked = looked
        return tracked

    def _follow(
        self,
        frames: Sequence[Frame],
        scenes: Sequence[Scene],
        before: Face | None,
        view: View,
        wanted: np.ndarray | None,
    ) -> tuple[Track, dict[int, float]]:
        """Follow the face in one view; also how sure the detector was of it where it had a quick look."""
        detector = self._detector
        assert detector is not None
        looks = Looks(detector, frames, view)

        def follow(also: Sequence[int] = ()) -> Track:
            interval, size = self.detect_interval, frames[0].size
            return track(looks.count, looks.faces, scenes, interval, self.which_face, size, before, also, wanted)

        tracked = follow()
        if detector.coarse:
            tracked.points = smooth(tracked.points, REST_WINDOW, scenes)
        elif doubtful := stabilize(frames, tracked, scenes):
            tracked = follow(doubtful)
            stabilize(frames, tracked, scenes)
        return tracked, looks.certainty

    def _check_faces(self, flags: np.ndarray, size: tuple[int, int], notes: Sequence[str]) -> None:
        share = float((flags != FILLED).mean())
        # The face may be in what was not looked at: another track, what is joined behind.
        found = "".join(f" ({note})" for note in notes)
        if share == 0:
            raise ClipFailure("no-face", f"no face in {len(flags)} frames of {size[0]}x{size[1]}{found}")
        if share < self.min_face_ratio:
            raise ClipFailure(
                "no-face", f"a face in {share:.0%} of the frames, at least {self.min_face_ratio:.0%} are wanted{found}"
            )

    def _check_mouths(self, flags: np.ndarray, lost: np.ndarray, size: tuple[int, int]) -> None:
        faces = int((flags != FILLED).sum())
        if 2 * lost.sum() > faces:
            raise ClipFailure(
                "mouth-outside",
                f"the mouth lies outside of the frame ({size[0]}x{size[1]}) in {lost.sum()} of {faces} frames with "
                "a face, at most half are allowed",
            )

    def _cut(
        self,
        frames: Iterable[Frame],
        matrices: Mapping[str, np.ndarray],
        scenes: Sequence[Scene],
        store: Callable[[tuple[int, int, int]], Store],
    ) -> tuple[dict[str, np.ndarray], float | None]:
        """The regions that are wanted, and how much the mouth moves; None where that cannot be measured."""
        if not self.regions:
            return {}, None
        sizes = {name: REGIONS[name].size for name in matrices}
        crops = {name: store((len(matrices[name]), sizes[name], sizes[name])) for name in self.regions}
        movement = MouthMotion()
        begins = {first for first, _ in scenes}
        for index, frame in enumerate(frames):
            luma = frame.luma()
            for name, size in sizes.items():
                # Levels are stretched in the crop, not in the whole frame: a tenth of the work.
                crop = to_full_range(warp(luma, matrices[name][index], size), frame.full_range)
                if name in crops:
                    crops[name].add(crop)
                if name == _WATCHED:
                    movement.add(crop, cut=index in begins)
        return {name: each.whole() for name, each in crops.items()}, movement.peak()


def _given(landmarks: np.ndarray, num_frames: int) -> Track:
    if landmarks.shape != (num_frames, 137):
        raise ClipFailure(
            "landmarks", f"expected ({num_frames}, 137) for the frames of the clip, found {landmarks.shape}"
        )
    return Track(landmarks[:, :136].reshape(num_frames, 68, 2).astype(np.float32), landmarks[:, 136].astype(np.float32))


def _box(tracked: Track) -> tuple[int, int, int, int]:
    points = tracked.points[tracked.flags != FILLED]
    x0, y0 = np.median(points.min(1), 0).round().astype(int)
    x1, y1 = np.median(points.max(1), 0).round().astype(int)
    return int(x0), int(y0), int(x1), int(y1)
