"""How a stored frame has to be turned to stand upright: the display matrix that phones and cameras write."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import av
import numpy as np
from av.buffer import Buffer
from av.sidedata.sidedata import Type as SideData


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways a frame can lie.

    Attributes:
        turns: quarter turns counter-clockwise that make it upright, after
        mirrored: left and right were exchanged.
    """

    turns: int = 0
    mirrored: bool = False

    @property
    def lying(self) -> bool:
        """Whether width and height change places."""
        return bool(self.turns % 2)

    def apply(self, frame: np.ndarray) -> np.ndarray:
        """A frame or plane (H, W, ...), upright; the same array where there is nothing to turn."""
        if self == UPRIGHT:
            return frame
        return np.ascontiguousarray(np.rot90(frame[:, ::-1] if self.mirrored else frame, self.turns))

    def __str__(self) -> str:
        turned = f"turned by {(360 - 90 * self.turns) % 360} degrees clockwise" if self.turns else ""
        return " and ".join(part for part in ("mirrored" if self.mirrored else "", turned) if part)


UPRIGHT = Orientation()


def orientation_of(av_frame: av.VideoFrame) -> Orientation:
    """What a decoded frame's display matrix asks for.

    The matrix takes (x, y), y downwards, to (a x + c y, b x + d y). It is read as the nearest of the eight; a mirrored
    one has a negative determinant, which an angle cannot tell.
    """
    try:
        # PyAV's stubs call it a dictionary by name; the keys are members of the enumeration.
        data = cast(Mapping[SideData, Buffer], av_frame.side_data)
        if SideData.DISPLAYMATRIX not in data:
            return UPRIGHT
        a, b, _, c, d = struct.unpack("=5i", bytes(data[SideData.DISPLAYMATRIX])[:20])
    except ValueError:
        # The frame carries something else that PyAV has no name for; it then tells the angle alone.
        return Orientation(round(av_frame.rotation / 90) % 4)
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    # Of the two columns that tell the angle, one may be squeezed; their sum is not.
    return Orientation(round(math.atan2(c - b, a + d) / (math.pi / 2)) % 4, mirrored)
