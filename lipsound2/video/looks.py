"""What a detector sees of the frames of a part of a clip, in one view: each frame is looked at once."""

from __future__ import annotations

from collections.abc import Sequence

from lipsound2.video.face import Detector, Face
from lipsound2.video.frame import Frame
from lipsound2.video.view import View


class Looks:
    """Looks at frames by their number.

    Args:
        detector: what looks.
        frames: of the part.
        view: how they are shown.

    Attributes:
        certainty: frame number -> how sure the detector was of a face where it had a quick look.
    """

    def __init__(self, detector: Detector, frames: Sequence[Frame], view: View) -> None:
        self._detector, self._frames, self._view = detector, frames, view
        self._counted: dict[int, int] = {}
        self._seen: dict[tuple[int, bool], list[Face]] = {}
        self.certainty: dict[int, float] = {}

    def count(self, index: int) -> int:
        """How many faces are about, roughly."""
        if index not in self._counted:
            sure = self._detector.glance(self._view.rgb(self._frames[index]))
            self.certainty[index] = max(sure, default=0.0)
            self._counted[index] = len(sure)
        return self._counted[index]

    def faces(self, index: int, alone: bool) -> list[Face]:
        """The faces of a frame, in its pixels; `alone`: only one is about."""
        if (index, alone) not in self._seen:
            rgb = self._view.rgb(self._frames[index])
            found = self._detector.detect(rgb, alone=alone)
            self._seen[index, alone] = [self._view.back(face, self._frames[index], rgb) for face in found]
        return self._seen[index, alone]
