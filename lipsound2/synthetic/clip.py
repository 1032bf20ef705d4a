"""Write frames and audio into an ordinary video file, the same bytes every time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.codec.context import Flags

from lipsound2.files import atomic_path
from lipsound2.timing import FRAME_RATE


@dataclass(frozen=True)
class ClipFormat:
    """Size, rates and codecs of a clip; the defaults are GRID's, in today's container.

    Args:
        width, height: in pixels, even.
        fps: frames a second.
        sample_rate: samples of audio a second.
        video_codec, audio_codec: names of FFmpeg encoders.
        quality: constant rate factor of the video, lower is better.
        suffix: of the file; it chooses the container.
    """

    width: int = 360
    height: int = 288
    fps: float = FRAME_RATE
    sample_rate: int = 44100
    video_codec: str = "libx264"
    audio_codec: str = "aac"
    quality: int = 20
    suffix: str = ".mp4"


def write_clip(path: Path, frames: Iterable[np.ndarray], waveform: np.ndarray | None, form: ClipFormat) -> None:
    """Write one clip, whole or not at all.

    Args:
        path: ends in the format's suffix.
        frames: (H, W, 3) uint8 RGB each.
        waveform: (samples,) float32 in [-1, 1] at the format's rate; None: a clip without audio.
        form: size, rates, codecs.
    """
    with atomic_path(path) as temporary, av.open(str(temporary), "w", options={"fflags": "+bitexact"}) as container:
        rate = Fraction(form.fps).limit_denominator(1001)
        video = cast(av.VideoStream, container.add_stream(form.video_codec, rate=rate))
        video.width, video.height, video.pix_fmt = form.width, form.height, "yuv420p"
        video.codec_context.thread_count = 1  # the bytes of several threads depend on their number
        if form.video_codec == "libx264":
            # Macroblock trees make x264's bytes differ from run to run.
            video.options = {"crf": str(form.quality), "preset": "veryfast", "mbtree": "0"}
        else:
            video.codec_context.qmin = video.codec_context.qmax = max(1, form.quality // 6)
        audio = None
        if waveform is not None:
            audio = cast(av.AudioStream, container.add_stream(form.audio_codec, rate=form.sample_rate, layout="mono"))
            audio.codec_context.flags |= Flags.bitexact
        video.codec_context.flags |= Flags.bitexact
        for index, frame in enumerate(frames):
            av_frame = av.VideoFrame.from_ndarray(frame, format="rgb24")
            av_frame.pts, av_frame.time_base = index, 1 / rate
            container.mux(video.encode(av_frame))
        container.mux(video.encode(None))
        if audio is not None and waveform is not None:
            block = av.AudioFrame.from_ndarray(_pcm(waveform)[None], format="s16", layout="mono")
            block.sample_rate, block.pts, block.time_base = form.sample_rate, 0, Fraction(1, form.sample_rate)
            for resampled in _fitting(audio, block):
                container.mux(audio.encode(resampled))
            container.mux(audio.encode(None))


def _pcm(waveform: np.ndarray) -> np.ndarray:
    return (np.clip(waveform, -1, 1) * 32767).round().astype(np.int16)


def _fitting(stream: av.AudioStream, block: av.AudioFrame) -> list[av.AudioFrame]:
    """The audio in frames of the format and length the encoder takes."""
    context = stream.codec_context
    converter = av.AudioResampler(context.format, context.layout, context.rate, frame_size=context.frame_size or 1024)
    return [*converter.resample(block), *converter.resample(None)]
