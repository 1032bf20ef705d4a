"""Lay speech under the pictures of a clip."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from lipsound2.errors import LipsoundError
from lipsound2.files import atomic_path

# What players read in an mp4 file; pictures in these codecs are copied untouched, others are encoded again.
_COPIED = frozenset({"h264", "hevc", "av1", "vp9"})


def lay_under(clip: Path, sound: Iterable[np.ndarray], rate: int, start: float, out: Path) -> None:
    """Write `out`: the pictures of `clip` with `sound` under them.

    Args:
        clip: video file.
        sound: blocks (samples,) float32 in [-1, 1], one behind the other; the first sample belongs to `start`.
        rate: of the sound, in Hz.
        start: time of the clip's first picture, in seconds of its own clock.
        out: video file to write; its suffix chooses the container.

    Raises:
        LipsoundError: the container takes no such pictures, or cannot be written.
    """
    with atomic_path(out) as temporary:
        try:
            with av.open(str(clip)) as source, av.open(str(temporary), "w") as target:
                pictures = source.streams.video[0]
                if pictures.codec_context.name in _COPIED:
                    _copy(source, pictures, target, start, sound, rate)
                else:
                    _encode(source, pictures, target, start, sound, rate)
        except (av.FFmpegError, ValueError) as error:
            raise LipsoundError(f"{out}: cannot lay speech under {clip}: {error}; try a .mp4 or .mkv name") from error


def _copy(source, pictures, target, start: float, sound: Iterable[np.ndarray], rate: int) -> None:  # type: ignore[no-untyped-def]
    stream = target.add_stream_from_template(pictures)
    voice = target.add_stream("aac", rate=rate, layout="mono")
    offset = round(start / pictures.time_base)
    for packet in source.demux(pictures):
        if packet.dts is None:
            continue
        packet.stream = stream
        packet.dts -= offset
        packet.pts = None if packet.pts is None else packet.pts - offset
        target.mux(packet)
    _speak(target, voice, sound, rate)


def _encode(source, pictures, target, start: float, sound: Iterable[np.ndarray], rate: int) -> None:  # type: ignore[no-untyped-def]
    stream = target.add_stream("libx264", rate=pictures.average_rate or Fraction(25), options={"crf": "18"})
    stream.width, stream.height, stream.pix_fmt = pictures.width, pictures.height, "yuv420p"
    voice = target.add_stream("aac", rate=rate, layout="mono")
    for frame in source.decode(pictures):
        picture = frame.reformat(format="yuv420p")
        picture.pts, picture.time_base = round((frame.time - start) * 90_000), Fraction(1, 90_000)
        target.mux(stream.encode(picture))
    target.mux(stream.encode(None))
    _speak(target, voice, sound, rate)


def _speak(target, voice, sound: Iterable[np.ndarray], rate: int) -> None:  # type: ignore[no-untyped-def]
    spoken = 0
    for block in sound:
        frame = av.AudioFrame.from_ndarray(np.asarray(block, np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, spoken, Fraction(1, rate)
        target.mux(voice.encode(frame))
        spoken += len(block)
    target.mux(voice.encode(None))
