"""A crop as a small byte vector: an H.264 stream of full-range luma, and back.

The stream is raw (Annex B): no container, hence no dates or random ids, and the same bytes on every run. Only luma is
coded, in full range: a gray frame that is pushed through an RGB conversion loses 10 dB.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange

from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.timing import FRAME_RATE

CODEC = "libx264"
CRF = 20.5
# mbtree reads past its rows when the frame is few blocks wide: the bytes then differ from run to run. Three B-frames
# between two others whatever the frame shows: a tenth smaller at equal PSNR, and faster, than choosing their number.
_OPTIONS = {
    "preset": "veryfast",
    "tune": "psnr",
    "x264-params": "mbtree=0:b-adapt=0:bframes=3:scenecut=0:weightp=0:rc-lookahead=0:cabac=0",
}
_SLICES = (1, 5)  # NAL unit types of coded frames
_SEI = 6  # the encoder's signature: its version and settings, 700 bytes a clip


class Encoder:
    """Compresses gray frames as they come: a clip of two hours takes the memory of its stream, some 40 MB.

    Args:
        shape: (T, H, W) of the clip; H and W even.
        codec: an encoder of ffmpeg's that makes an H.264 stream.
        crf: constant rate factor; 6 more is about half the bytes.

    Raises:
        LipsoundError: this build of ffmpeg has no such encoder, it makes something else than H.264, or it does not
            open: its device is missing, or it refuses `shape` or `crf`.
    """

    def __init__(self, shape: tuple[int, ...], codec: str = CODEC, crf: float = CRF) -> None:
        _check_h264(codec)
        height, width = shape[1:]
        try:
            self._context = _opened(codec, height, width, crf)
        except av.FFmpegError as error:
            raise LipsoundError(
                f"the encoder '{codec}' does not open for {(height, width)} frames with crf {crf}: {error.strerror}; "
                f"its device may be missing. Choose another with --codec (here: {_encoders()})"
            ) from error
        self._codec = codec
        self._packets: list[bytes] = []
        self._frames = 0

    def add(self, frame: np.ndarray) -> None:
        """The next frame, (H, W) uint8, full-range luma.

        Raises:
            LipsoundError: the encoder refuses it.
        """
        av_frame = _gray_frame(frame, self._context.pix_fmt or "gray")
        av_frame.pts = self._frames
        self._frames += 1
        self._encode(av_frame)

    def whole(self) -> np.ndarray:
        """The stream (bytes,) uint8 of all frames; none can be added after."""
        self._encode(None)
        return _without_signature(np.frombuffer(b"".join(self._packets), np.uint8))

    def _encode(self, av_frame: av.VideoFrame | None) -> None:
        try:
            self._packets += map(bytes, self._context.encode(av_frame))
        except av.FFmpegError as error:
            size = (self._context.height, self._context.width)
            raise LipsoundError(f"the encoder '{self._codec}' refuses {size} frames: {error.strerror}") from error


def encode(frames: np.ndarray, *, codec: str = CODEC, crf: float = CRF) -> np.ndarray:
    """Compress gray frames.

    Args:
        frames: (T, H, W) uint8, full-range luma; H and W even.
        codec: see `Encoder`.
        crf: likewise.

    Returns:
        The stream, (bytes,) uint8.

    Raises:
        LipsoundError: it refuses the frames, or see `Encoder`.
    """
    encoder = Encoder(frames.shape, codec, crf)
    for frame in frames:
        encoder.add(frame)
    return encoder.whole()


def decode(vector: np.ndarray) -> np.ndarray:
    """Decompress what `encode` made.

    Args:
        vector: (bytes,) uint8.

    Returns:
        (T, H, W) uint8, full-range luma.

    Raises:
        ClipFailure: `damaged-crop`, the bytes are not a whole H.264 stream.
    """
    av_frames = [*_av_frames(vector)]
    height, width = av_frames[0].height, av_frames[0].width
    clip = np.empty((len(av_frames), height, width), np.uint8)
    for frame, av_frame in zip(clip, av_frames, strict=True):
        frame[:] = _plane(av_frame, 0)[:height, :width]
    return clip


def iter_frames(vector: np.ndarray) -> Iterator[np.ndarray]:
    """As `decode`, one frame (H, W) after the other: what is held does not grow with the clip."""
    for av_frame in _av_frames(vector):
        yield _plane(av_frame, 0)[: av_frame.height, : av_frame.width].copy()


def _av_frames(vector: np.ndarray) -> Iterator[av.VideoFrame]:
    context = cast(VideoCodecContext, av.CodecContext.create("h264", "r"))
    context.thread_count = 1
    count = 0
    try:
        for packet in [*context.parse(vector.tobytes()), *context.parse(None), None]:
            for av_frame in context.decode(packet):
                count += 1
                yield av_frame
    except av.FFmpegError as error:
        raise ClipFailure("damaged-crop", f"{len(vector)} bytes are no H.264 stream: {error.strerror}") from error
    if count != count_frames(vector) or not count:
        raise ClipFailure("damaged-crop", f"{len(vector)} bytes: {count} of {count_frames(vector)} frames decoded")


def count_frames(vector: np.ndarray) -> int:
    """Frames in a stream, counted without decoding: units of coded slices, one a frame as `encode` makes them."""
    return int(np.isin(vector[_units(vector)] & 31, _SLICES).sum())


def _units(vector: np.ndarray) -> np.ndarray:
    """Where the units of a stream begin: the byte after each start code 0 0 1."""
    return np.flatnonzero((vector[:-3] == 0) & (vector[1:-2] == 0) & (vector[2:-1] == 1)) + 3


def _without_signature(vector: np.ndarray) -> np.ndarray:
    begins = _units(vector)
    # A start code is 0 0 1, or 0 0 0 1 where the encoder is generous.
    codes = begins - 3 - ((begins > 3) & (vector[np.maximum(begins - 4, 0)] == 0))
    ends = [*codes[1:], len(vector)]
    kept = [vector[a:b] for a, b, at in zip(codes, ends, begins, strict=True) if vector[at] & 31 != _SEI]
    return np.concatenate(kept)


def _gray_frame(frame: np.ndarray, pix_fmt: str) -> av.VideoFrame:
    """A PyAV frame whose luma is `frame` and whose color, if it has any, is constant gray."""
    height, width = frame.shape
    av_frame = av.VideoFrame(width, height, pix_fmt)
    av_frame.color_range = ColorRange.JPEG
    for number in range(len(av_frame.planes)):
        plane = _plane(av_frame, number)
        if number == 0:
            plane[:height, :width] = frame
        else:
            plane[:] = 128
    return av_frame


def _plane(av_frame: av.VideoFrame, number: int) -> np.ndarray:
    """A plane's memory, with the bytes that pad its lines."""
    plane = av_frame.planes[number]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)


def _opened(codec: str, height: int, width: int, crf: float = CRF) -> VideoCodecContext:
    """An encoder of that name, ready for frames; an error of ffmpeg where it does not open."""
    context = cast(VideoCodecContext, av.CodecContext.create(codec, "w"))
    context.height, context.width = height, width
    context.pix_fmt = "gray" if codec == CODEC else "yuvj420p"
    context.framerate = Fraction(FRAME_RATE)
    context.thread_count = 1
    context.color_range = ColorRange.JPEG
    context.options = {"crf": str(crf), **(_OPTIONS if codec == CODEC else {})}
    context.open()
    return context


def _check_h264(name: str) -> None:
    try:
        codec = av.Codec(name, "w")
    except av.codec.codec.UnknownCodecError as error:
        raise LipsoundError(
            f"the encoder '{name}' is not in this build of ffmpeg (PyAV {av.__version__}); choose another with "
            f"--codec (here: {_encoders()}), or install a PyAV that has libx264"
        ) from error
    if codec.canonical_name != "h264":
        raise LipsoundError(
            f"the encoder '{name}' makes {codec.canonical_name}, wanted H.264, which is what crops are read as; choose "
            f"another with --codec (here: {_encoders()})"
        )


def _encoders() -> str:
    """Names of the H.264 encoders that open here, for a message."""
    opening = []
    for name in ("libx264", "libopenh264", "h264_nvenc", "h264_qsv", "h264_vaapi", "h264_videotoolbox"):
        if name in av.codecs_available:
            with contextlib.suppress(av.FFmpegError):
                _opened(name, 96, 96)
                opening.append(name)
    return ", ".join(opening) or "none"
