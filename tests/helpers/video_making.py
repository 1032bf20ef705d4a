"""Clips for the tests of the video room, made on the spot: any rate, rotation, interlacing, range."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange

CLOCK = 90_000  # ticks a second; exact for 25, 30, 29.97 and 50 frames a second


def write_clip(
    path: Path,
    frames: Sequence[np.ndarray],
    times: Sequence[float],
    *,
    turned: int = 0,
    interlaced: bool = False,
    full_range: bool = False,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> Path:
    """Write video frames (H, W, 3) RGB or (H, W) luma levels, with their times in seconds; `turned`: degrees
    clockwise."""
    with av.open(str(path), "w") as container:
        rate = Fraction(1 / float(np.median(np.diff(times)))).limit_denominator(1001)
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if full_range else "yuv420p"
        stream.codec_context.time_base = Fraction(1, CLOCK)
        stream.options = (
            {"crf": "12", "preset": "ultrafast", **(options or {})} if codec == "libx264" else options or {}
        )
        if interlaced:
            stream.options = {**stream.options, "flags": "+ildct+ilme", "x264-params": "tff=1"}
        for video_frame, time in zip(frames, times, strict=True):
            frame = _frame(video_frame, stream.pix_fmt)
            frame.pts, frame.time_base = round(time * CLOCK), Fraction(1, CLOCK)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    if turned:
        set_matrix(path, *{90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[turned])
    return path


def _frame(video_frame: np.ndarray, pix_fmt: str) -> av.VideoFrame:
    if video_frame.ndim == 3:
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(video_frame), "rgb24").reformat(format=pix_fmt)
    height, width = video_frame.shape
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = video_frame
    frame = av.VideoFrame.from_ndarray(planes, pix_fmt)
    if pix_fmt == "yuvj420p":
        frame.color_range = ColorRange.JPEG
    return frame


def set_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Write a display matrix into an MP4 file, as a phone does: (x, y) is shown at (a x + c y, b x + d y)."""
    one = 0x10000
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 0x40000000)
    path.write_bytes(data)
    return path


def levels(numbers: Sequence[int], size: tuple[int, int] = (64, 96)) -> list[np.ndarray]:
    """Video frames whose level tells their number: 20 + number, the number being below 200."""
    return [np.full(size, 20 + number, np.uint8) for number in numbers]


def numbers_of(lumas: Sequence[np.ndarray]) -> list[int]:
    """The numbers of video frames that `levels` made, after any coding."""
    return [round(float(np.median(luma))) - 20 for luma in lumas]
