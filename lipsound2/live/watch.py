"""What is told at once: nobody in view, too dark, the mouth outside of the frame, several faces, a slow camera."""

from __future__ import annotations

import numpy as np

from lipsound2.live.tracker import Sight
from lipsound2.video.brightness import DARK, brightness

_LASTS = 6  # frames that something must last before it is told, and before it is over
_SMALL = 60  # pixels a face is wide, at least
_SLOW = 14.0  # frames a second, at least
_CHOICES = "--face left, right or center takes another"

GOOD = "face and mouth are seen well"


class Watch:
    """Judges one frame after the other, and says when something changes.

    Args:
        which_face: which face is followed, where there are several.
    """

    def __init__(self, which_face: str) -> None:
        self._which_face = which_face
        self._told = ""
        self._found, self._since = "", 0

    def add(self, sight: Sight, fps: float | None) -> str | None:
        """The next frame. Returns a line if there is something to tell that was not told before.

        Args:
            sight: what is seen in it.
            fps: the camera's rate as measured, frames a second; None: not known yet.
        """
        found = self._judge(sight, fps)
        kind = found.partition(":")[0]
        self._since = self._since + 1 if kind == self._found else 0
        self._found = kind
        if self._since < _LASTS or kind == self._told:
            return None
        self._told = kind
        return found

    def _judge(self, sight: Sight, fps: float | None) -> str:
        face, frame = sight.face, sight.frame
        if face is None:
            light = brightness(frame)
            if light < DARK:
                return f"too dark: brightness {light:.0f} of 255, and no face is seen; switch on a light before you"
            return "no face is seen: look into the camera, with the whole face in view"
        if not sight.mouth_inside:
            return "the mouth is not seen: it lies outside of the frame; move until the whole face is in view"
        light = brightness(frame, face.box)
        if light < DARK:
            return f"too dark: brightness of the face {light:.0f} of 255; switch on a light before you"
        if face.width < _SMALL:
            return f"the face is small: {face.width:.0f} pixels wide, {_SMALL} are wanted; come nearer"
        if fps is not None and fps < _SLOW:
            return f"a slow camera: {fps:.0f} frames a second, lips need 20 or more; more light often helps"
        if sight.count > 1:
            side = np.clip(int(3 * (face.box[0] + face.box[2]) / 2 / frame.size[0]), 0, 2)
            where = ("left", "middle", "right")[int(side)]
            return f"{sight.count} faces: the {self._which_face} is followed, at the {where} of the frame; {_CHOICES}"
        return GOOD
