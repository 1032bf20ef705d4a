"""Faces in frames as they come: each frame is looked at once, when it comes, and nothing waits for later ones.

What is recorded is then followed by the rule of `video.track` and `video.stabilize`, which need the detector no more:
key frames, the straight line between them, and the head on it. That takes milliseconds, and gives the landmarks that
the file of it would have, but for what the detector remembers of the frame before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lipsound2.errors import LipsoundError
from lipsound2.timing import FRAME_RATE
from lipsound2.video.align import MOUTH
from lipsound2.video.cropper import EVERY
from lipsound2.video.face import Detector, Face
from lipsound2.video.frame import ArrayFrame, Frame, to_full_range
from lipsound2.video.scenes import differences, find_scenes, thumbnail
from lipsound2.video.stabilize import stabilize
from lipsound2.video.track import distance, join, track
from lipsound2.video.view import AS_IS

LONGEST = 30  # seconds of one recording
_COUNTED = 12  # frames from one count of the faces to the next


@dataclass(frozen=True)
class Sight:
    """What is seen in one frame.

    Attributes:
        frame: the frame.
        faces: all that are followed, in its pixels.
        face: the one that is chosen; None: none is seen.
        count: how many are about, roughly.
    """

    frame: Frame
    faces: Sequence[Face]
    face: Face | None
    count: int

    @property
    def mouth_inside(self) -> bool:
        """Whether the whole mouth of the chosen face lies in the frame; not so where there is no face."""
        if self.face is None:
            return False
        mouth = self.face.points[MOUTH]
        return bool((mouth >= 0).all() and (mouth < self.frame.size).all())


class LiveTracker:
    """Looks at one frame after the other.

    Args:
        detector: what looks.
        which_face: which face where there are several: largest, left, right or center.
    """

    def __init__(self, detector: Detector, which_face: str = "largest") -> None:
        self._detector, self.which_face = detector, which_face
        self._number = 0
        self._last: Sight | None = None

    def see(self, frame: Frame) -> Sight:
        """Look at a frame. The very frame again, of a slow camera, costs nothing."""
        last = self._last
        if last is not None and last.frame is frame:
            return last
        rgb = AS_IS.rgb(frame)
        count = last.count if last is not None else 0
        if self._number % _COUNTED == 0:
            count = len(self._detector.glance(rgb))
        self._number += 1
        found = [AS_IS.back(face, frame, rgb) for face in self._detector.detect(rgb, alone=count <= 1)]
        self._last = Sight(frame, found, self._chosen(found, frame.size[0]), max(count, len(found)))
        return self._last

    def _chosen(self, faces: Sequence[Face], width: int) -> Face | None:
        """The face that was followed so far, or the one that is asked for."""
        if not faces:
            return None
        before = self._last.face if self._last is not None else None
        if before is not None:
            near = min(faces, key=lambda face: distance(face.points, before.points))
            if distance(near.points, before.points) < near.width / 2:
                return near

        def merit(face: Face) -> float:
            x = (face.box[0] + face.box[2]) / 2
            return {"left": -x, "right": x, "center": -abs(x - width / 2)}.get(self.which_face, face.width)

        return max(faces, key=merit)


class Recording:
    """What is seen from one key to the next.

    Args:
        which_face: see `LiveTracker`.
    """

    def __init__(self, which_face: str = "largest") -> None:
        self._which_face = which_face
        self._gray = np.empty((0, 0, 0), np.uint8)
        self._thumbnails: list[np.ndarray] = []
        self._seen: list[list[Face]] = []

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def full(self) -> bool:
        """Whether it is as long as one may be."""
        return len(self) >= LONGEST * FRAME_RATE

    def add(self, sight: Sight) -> None:
        """The next frame, at 25 frames a second.

        Raises:
            LipsoundError: the frames have another size now.
        """
        gray = to_full_range(sight.frame.luma(), sight.frame.full_range)
        if not len(self):
            self._gray = np.empty((LONGEST * FRAME_RATE, *gray.shape), np.uint8)  # memory is taken as it is filled
        if gray.shape != self._gray.shape[1:]:
            (height, width), (h, w) = gray.shape, self._gray.shape[1:]
            raise LipsoundError(f"the camera changed from {w}x{h} to {width}x{height} while it recorded; start again")
        self._gray[len(self)] = gray
        self._thumbnails.append(thumbnail(gray))
        self._seen.append([*sight.faces])

    @property
    def video(self) -> np.ndarray:
        """(T, H, W) uint8, full-range gray, 25 frames a second."""
        return self._gray[: len(self)]

    def cut(self, first: int, end: int) -> Recording:
        """A part of it, by the numbers of its frames; a copy."""
        part = Recording(self._which_face)
        part._gray = self._gray[first:end].copy()
        part._thumbnails, part._seen = self._thumbnails[first:end], self._seen[first:end]
        return part

    def drop(self, count: int) -> None:
        """Forget the first frames."""
        left = len(self) - count
        self._gray[:left] = self._gray[count : count + left]
        del self._thumbnails[:count], self._seen[:count]

    def landmarks(self) -> np.ndarray:
        """(T, 137) float32, as `Crops.landmarks`; T is 1 or more."""
        frames = [ArrayFrame(gray) for gray in self.video]
        scenes = find_scenes(differences(self._thumbnails))

        def follow(also: Sequence[int] = ()) -> tuple[np.ndarray, np.ndarray, list[int]]:
            tracked = track(
                lambda index: len(self._seen[index]),
                lambda index, _alone: self._seen[index],
                scenes,
                EVERY,
                self._which_face,
                frames[0].size,
                also=also,
            )
            doubtful = stabilize(frames, tracked, scenes)
            whole = join([tracked])  # scenes without a face take the place of the nearest one
            return whole.points, whole.flags, doubtful

        points, flags, doubtful = follow()
        if doubtful:
            points, flags, _ = follow(doubtful)
        return np.concatenate([points.reshape(len(points), 136), flags[:, None]], 1, dtype=np.float32)
