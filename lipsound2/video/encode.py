"""A crop as a small byte vector: an H.264 stream of full-range luma, and back.

The stream is raw (Annex B): no container, hence no dates or random ids, and the same bytes on every run. Only luma is coded,
in full range: a grey picture that is pushed through an RGB conversion loses 10 dB.
"""

from __future__ import annotations

from collections.abc import Mapping

import av
import numpy as np
from av.video.reformatter import ColorRange

from lipsound2.errors import ClipFailure, LipsoundError

CODEC = "libx264"
CRF = 20
_OPTIONS = {"preset": "slow", "threads": "1"}


def encode(
    frames: np.ndarray, *, codec: str = CODEC, crf: int = CRF, options: Mapping[str, str] | None = None
) -> np.ndarray:
    """Compress grey pictures.

    Args:
        frames: (T, H, W) uint8, full-range luma; H and W even.
        codec: an encoder of ffmpeg's that makes an H.264 stream.
        crf: constant rate factor; 6 more is about half the bytes.
        options: further encoder options, replacing the defaults.

    Returns:
        The stream, (bytes,) uint8.

    Raises:
        LipsoundError: this build of ffmpeg has no such encoder.
    """
    try:
        context = av.CodecContext.create(codec, "w")
    except av.codec.codec.UnknownCodecError as error:
        raise LipsoundError(
            f"the encoder '{codec}' is not in this build of ffmpeg (PyAV {av.__version__}); the crops need an H.264 encoder: "
            f"choose another one with --codec (here: {', '.join(_encoders()) or 'none'}) or install a PyAV wheel with libx264"
        ) from error
    context.height, context.width = frames.shape[1:]
    context.pix_fmt = "gray" if codec == "libx264" else "yuvj420p"
    context.framerate = 25
    context.thread_count = 1
    context.color_range = ColorRange.JPEG
    context.options = {**_OPTIONS, "crf": str(crf), **(options or {})}
    packets: list[bytes] = []
    for index, picture in enumerate(frames):
        frame = _grey_frame(picture, context.pix_fmt)
        frame.pts = index
        packets += map(bytes, context.encode(frame))
    packets += map(bytes, context.encode(None))
    return np.frombuffer(b"".join(packets), np.uint8)


def decode(vector: np.ndarray) -> np.ndarray:
    """Decompress what `encode` made.

    Args:
        vector: (bytes,) uint8.

    Returns:
        (T, H, W) uint8, full-range luma.

    Raises:
        ClipFailure: `damaged-crop`, the bytes are not a whole H.264 stream.
    """
    context = av.CodecContext.create("h264", "r")
    context.thread_count = 1
    try:
        packets = context.parse(vector.tobytes()) + context.parse(None)
        frames = [frame for packet in packets for frame in context.decode(packet)]
        frames += context.decode(None)
    except av.FFmpegError as error:
        raise ClipFailure("damaged-crop", f"{len(vector)} bytes are no H.264 stream: {error.strerror}") from error
    if not frames:
        raise ClipFailure("damaged-crop", f"{len(vector)} bytes hold no picture")
    height, width = frames[0].height, frames[0].width
    clip = np.empty((len(frames), height, width), np.uint8)
    for index, frame in enumerate(frames):
        plane = frame.planes[0]
        clip[index] = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height, :width]
    return clip


def frames_in(vector: np.ndarray) -> int:
    """Pictures in a stream, counted without decoding: units of coded slices, one a picture as `encode` makes them."""
    marks = np.flatnonzero((vector[:-3] == 0) & (vector[1:-2] == 0) & (vector[2:-1] == 1)) + 3
    return int(np.isin(vector[marks] & 31, (1, 5)).sum())


def _grey_frame(picture: np.ndarray, pix_fmt: str) -> av.VideoFrame:
    """A frame whose luma is `picture` and whose colour, if it has any, is constant grey."""
    height, width = picture.shape
    frame = av.VideoFrame(width, height, pix_fmt)
    frame.color_range = ColorRange.JPEG
    for number, plane in enumerate(frame.planes):
        buffer = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        if number == 0:
            buffer[:height, :width] = picture
        else:
            buffer[:] = 128
    return frame


def _encoders() -> list[str]:
    """H.264 encoders of this build."""
    known = ("libx264", "libopenh264", "h264_nvenc", "h264_qsv", "h264_vaapi", "h264_videotoolbox")
    return [name for name in known if name in av.codecs_available]
