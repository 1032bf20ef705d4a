"""Where one who speaks on and on pauses: by the lips as frames come, and by the audio where there is some."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from lipsound2.live.tracker import Sight
from lipsound2.timing import FRAME_RATE
from lipsound2.video.align import REGIONS, warp
from lipsound2.video.frame import to_full_range
from lipsound2.video.mouth import small_mouth

PAUSE = 12  # frames of lips that rest, from which on a sentence is over
LONGEST = 10 * FRAME_RATE  # frames of one sentence: recognizers are trained on single ones
_SHORTEST = 10  # frames of lips that move, that are a sentence
_BEFORE, _BEHIND = 8, 6  # frames that are read before lips move, and behind
_STARTS, _RESTS = 0.045, 0.025  # above the rest of this person's mouth
_MOST_REST = 0.08  # of the contrast of a mouth, that still counts as rest: the noise of a camera
_REMEMBERED = 10 * FRAME_RATE  # frames of which the stillest tenth is that rest
_SMOOTH = 5  # frames of the median
_GRAY = 4.0  # levels added to the contrast


class LipMotion:
    """How much lips move from frame to frame, as a share of the contrast of the mouth."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None

    def add(self, sight: Sight) -> float:
        """Of the next frame; 0 where no face is seen."""
        if sight.face is None:
            self._last = None
            return 0.0
        region = REGIONS["mouth"]
        matrix = region.transforms(sight.face.points[None], [(0, 1)])[0]
        crop = to_full_range(warp(sight.frame.luma(), matrix, region.size), sight.frame.full_range)
        small = small_mouth(crop).astype(np.float32)
        before, self._last = self._last, small
        if before is None:
            return 0.0
        change = small - before
        return float((change - change.mean()).std() / (before.std() + _GRAY))


@dataclass(frozen=True)
class Sentence:
    """A stretch in which lips move.

    Attributes:
        first: its first frame.
        end: the frame behind its last one.
        closed: the frame in which lips came to rest.
    """

    first: int
    end: int
    closed: int


class PauseFinder:
    """Finds sentences in the motion of lips, frame by frame."""

    def __init__(self) -> None:
        self._count = 0
        self._recent: deque[float] = deque(maxlen=_SMOOTH)
        self._remembered: deque[float] = deque(maxlen=_REMEMBERED)
        self._begun: int | None = None
        self._moving = 0  # frames of motion in it
        self._closed = 0  # the frame behind the last motion

    @property
    def needed(self) -> int:
        """The first frame that a sentence may still need."""
        return max(0, (self._count if self._begun is None else self._begun) - _BEFORE)

    def add(self, motion: float, loud: bool | None = None) -> Sentence | None:
        """The next frame. Returns a sentence that is over now.

        Args:
            motion: as `LipMotion` has it.
            loud: whether somebody is heard, which makes a sentence go on; None: there is no audio.
        """
        self._recent.append(motion)
        level = float(np.median(self._recent))  # a cut, or a single damaged frame, is no motion
        self._remembered.append(level)
        rest = min(float(np.percentile(self._remembered, 10)), _MOST_REST)
        here = self._count
        self._count += 1
        if self._begun is None:
            if level > rest + _STARTS:
                self._begun, self._moving, self._closed = here, 1, here + 1
            return None
        if level > rest + _RESTS or loud:
            self._moving, self._closed = self._moving + 1, here + 1
        if here - self._closed + 1 >= PAUSE or self._count - self._begun >= LONGEST:
            return self._over()
        return None

    def end(self) -> Sentence | None:
        """Nothing comes any more. Returns the sentence that was not over."""
        return None if self._begun is None else self._over()

    def _over(self) -> Sentence | None:
        assert self._begun is not None
        first, moving, self._begun = self._begun, self._moving, None
        if moving < _SHORTEST:
            return None
        return Sentence(max(0, first - _BEFORE), min(self._closed + _BEHIND, self._count), self._closed)
