"""Decoded frames in memory of one's own, reduced where a camera gives more than is needed."""

from __future__ import annotations

import numpy as np
from av.video.reformatter import Interpolation

from lipsound2.video.decode import DecodedFrame
from lipsound2.video.frame import VideoFrame

LONGEST_SIDE = 960  # pixels: a face that fills a fifth of it is still as large as the models need


def copied(decoded: DecodedFrame) -> VideoFrame:
    """The frame in memory of its own, reduced by a whole factor until no side is longer than `LONGEST_SIDE`."""
    av_frame = decoded.av_frame
    factor = -(-max(av_frame.width, av_frame.height) // LONGEST_SIDE)
    if factor > 1:
        # Levels stay as they are: the range is kept, whatever it is.
        small = decoded.reformatter.reformat(
            av_frame,
            width=av_frame.width // factor & ~1,
            height=av_frame.height // factor & ~1,
            format="yuvj420p" if decoded.full_range else "yuv420p",
            interpolation=Interpolation.AREA,
            threads=1,
        )
        decoded = DecodedFrame(small, decoded.orientation, decoded.aspect, decoded.reformatter)
    return decoded.copy(np.empty(decoded.shape, np.uint8))
