"""A clip's video, small enough to lie in a page: H.264 in MP4, silent."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

from lipsound2.timing import FRAME_RATE
from lipsound2.video.decode import Source

_SIDE = 256  # pixels of the longer side, at most
_CRF = "28"  # some 10 to 20 kB a second at this size
_LONGEST = 60  # seconds; the rest of a longer clip is not shown


def frames_of(path: Path) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8 of a file, upright, at 25 frames a second, as its crops and audio were cut.

    Raises:
        ClipFailure: `unreadable`, or `no-video`.
    """
    return (frame.rgb() for frame in Source(path))


def small_video(frames: Iterable[np.ndarray], side: int = _SIDE, longest: float = _LONGEST) -> bytes:
    """An MP4 file of frames (H, W, 3) or (H, W) uint8, all of one size, 25 a second; scaled down, never up.

    Args:
        frames: of the clip.
        side: pixels of the longer side, at most.
        longest: seconds; the rest is left out.

    Raises:
        LookupError: this build of ffmpeg has no libx264.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        stream: VideoStream | None = None
        for frame in itertools.islice(frames, round(longest * FRAME_RATE)):
            if stream is None:
                stream = file.add_stream("libx264", rate=Fraction(FRAME_RATE))
                stream.width, stream.height = _size(frame.shape[0], frame.shape[1], side)
                stream.pix_fmt = "yuv420p"
                stream.codec_context.thread_count = 1
                stream.options = {"crf": _CRF}
            color = frame if frame.ndim == 3 else np.repeat(frame[:, :, None], 3, axis=2)
            small = av.VideoFrame.from_ndarray(np.ascontiguousarray(color), format="rgb24")
            file.mux(stream.encode(small.reformat(stream.width, stream.height, "yuv420p")))
        if stream is not None:
            file.mux(stream.encode(None))
    return buffer.getvalue()


def _size(height: int, width: int, side: int) -> tuple[int, int]:
    """Width and height of the small frames, even."""
    scale = min(1.0, side / max(height, width))
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))
