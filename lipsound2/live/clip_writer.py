"""Writes what was recorded as a video file: frames at the camera's own time stamps, and audio if there is some."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange

from lipsound2.files import atomic_path
from lipsound2.video.frame import ArrayFrame, Frame, VideoFrame

_CLOCK = 90_000  # ticks a second
_OPTIONS = {"crf": "18", "preset": "veryfast"}
_AUDIO_STEP = 1024  # samples of a frame of audio


def write_clip(
    path: Path, frames: Sequence[tuple[float, Frame]], fps: float, audio: np.ndarray | None, rate: int
) -> None:
    """Write a file, whole or not at all.

    Args:
        path: the file; its suffix chooses the container.
        frames: one or more, with their times in seconds; the first one's becomes 0.
        fps: about their rate, frames a second.
        audio: (samples,) float32 from the first frame on; None: none.
        rate: of the audio, samples a second.

    Raises:
        LipsoundError: it cannot be written.
    """
    start = frames[0][0]
    kind = path.suffix.removeprefix(".")
    with atomic_path(path) as temporary, temporary.open("wb") as file, av.open(file, "w", format=kind) as target:
        assert isinstance(target, OutputContainer)
        video = target.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=_OPTIONS)
        video.width, video.height = (side & ~1 for side in frames[0][1].size)
        video.pix_fmt, video.codec_context.color_range = "yuv420p", ColorRange.MPEG
        video.codec_context.time_base = Fraction(1, _CLOCK)
        speech = None if audio is None else target.add_stream("aac", rate=rate, layout="mono")
        for time, frame in frames:
            encoded = _av_frame(frame)
            encoded.pts, encoded.time_base = round((time - start) * _CLOCK), Fraction(1, _CLOCK)
            target.mux(video.encode(encoded))
        target.mux(video.encode(None))
        if audio is not None and speech is not None:
            for first in range(0, len(audio), _AUDIO_STEP):
                block = np.ascontiguousarray(audio[None, first : first + _AUDIO_STEP], np.float32)
                heard = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
                heard.sample_rate, heard.pts, heard.time_base = rate, first, Fraction(1, rate)
                target.mux(speech.encode(heard))
            target.mux(speech.encode(None))


def _av_frame(frame: Frame) -> av.VideoFrame:
    """A frame as encoders take it: upright, black at 16 and white at 235."""
    width, height = (side & ~1 for side in frame.size)
    if isinstance(frame, VideoFrame):
        planes = frame.limited_range()
        y, u, v = planes[0][:height, :width], *(plane[: height // 2, : width // 2] for plane in planes[1:])
        packed = np.concatenate([plane.reshape(-1) for plane in (y, u, v)]).reshape(height * 3 // 2, width)
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(packed), "yuv420p")
    assert isinstance(frame, ArrayFrame)
    rgb = np.ascontiguousarray(frame.rgb(max(frame.size))[:height, :width])
    return av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p", dst_color_range=ColorRange.MPEG)
