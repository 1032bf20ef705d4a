"""Mux speech with the video of a clip.

Frames in codecs that players read are copied untouched. Others, and those whose copy would not show what the clip
shows, are encoded again from the decoder's frames: upright, with square pixels, deinterlaced, at their own times.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from lipsound2.errors import ClipFailure, LipsoundError, is_machine_error
from lipsound2.files import atomic_path
from lipsound2.media.opening import opened, shown
from lipsound2.media.tracks import tracks
from lipsound2.video.captions import Captions, CaptionTrack, Painter
from lipsound2.video.decode import DecodedFrame, Source
from lipsound2.video.frame import to_full_range

# What players read in an mp4 file.
_COPIED = frozenset({"h264", "hevc", "av1", "vp9"})
_CLOCK = Fraction(1, 90_000)
_STEP = 1.0  # seconds of speech that are encoded at once
_LATE = 0.06  # seconds after the audio's beginning by which the first frame has to be there
_SHORT = 0.25  # seconds by which the ends of video and audio may differ
_ALIKE = 12.0  # levels by which a frame may differ on average, after it was encoded again
_UNKNOWN = 2  # ffmpeg's number for colors that nothing is said about
_BT601 = 6  # its number for the matrix that colors without one are converted by


class _Unfit(Exception):  # noqa: N818 - not an error: another way is taken
    """Copied packets would not show what the clip shows."""


def mux_speech(
    clip: Path,
    waveform: Callable[[], Iterable[np.ndarray]],
    rate: int,
    start: float,
    out: Path,
    captions: Captions | None = None,
) -> None:
    """Write `out`: the frames of `clip` with `waveform` under them.

    Subtitles that are drawn take a decoding and an encoding of the whole video; a track of them takes neither.

    The file is checked before it gets its name: it begins with the clip's first frame and is as long as the audio.

    Args:
        clip: video file.
        waveform: gives blocks (samples,) float32 in [-1, 1], one behind the other, whenever it is called; the first
            sample belongs to `start`.
        rate: of the audio, in Hz.
        start: time of the clip's first frame, in seconds of its own clock.
        out: video file to write; its suffix chooses the container.
        captions: subtitles, if any.

    Raises:
        LipsoundError: the container does not take the video, or cannot be written; or there is no font for the
            subtitles.
    """
    with atomic_path(out) as temporary:
        try:
            try:
                if captions is not None and captions.burn:
                    raise _Unfit("frames are drawn into")
                _write(temporary, clip, waveform, rate, start, captions, copy=True)
            except (_Unfit, av.FFmpegError, ValueError) as error:
                if isinstance(error, av.FFmpegError) and is_machine_error(error):
                    raise
                _write(temporary, clip, waveform, rate, start, captions, copy=False)
        except (_Unfit, ClipFailure, av.FFmpegError, ValueError) as error:
            if is_machine_error(error):
                raise
            raise LipsoundError(
                f"{shown(out)}: cannot put speech into {shown(clip)}: {error}; try a .mp4 or .mkv name"
            ) from error


def _write(
    temporary: Path,
    clip: Path,
    waveform: Callable[[], Iterable[np.ndarray]],
    rate: int,
    start: float,
    captions: Captions | None,
    *,
    copy: bool,
) -> None:
    # Given as an open file: a name with a colon or a percent sign would mean something to ffmpeg.
    with temporary.open("wb") as file, av.open(file, "w") as target:
        assert isinstance(target, OutputContainer)
        soft = None if captions is None or captions.burn else captions
        speech = _Speech(waveform, rate, soft, temporary.suffix)
        if copy:
            _copy(clip, target, speech, start)
        else:
            _encode(clip, target, speech, start, captions if captions is not None and captions.burn else None)
    _look(temporary, clip, speech.seconds, drawn=captions is not None and captions.burn)


class _Speech:
    """The audio of a file that is being written, and its track of subtitles, in step with its frames.

    Args:
        waveform: gives blocks of samples.
        rate: of them, in Hz.
        captions: of the track; None: there is none.
        suffix: of the file.
    """

    def __init__(
        self, waveform: Callable[[], Iterable[np.ndarray]], rate: int, captions: Captions | None, suffix: str
    ) -> None:
        step = round(_STEP * rate)
        self._rest: Iterator[np.ndarray] = (
            np.asarray(block[at : at + step], np.float32) for block in waveform() for at in range(0, len(block), step)
        )
        self._rate = rate
        self._spoken = 0
        self._target: OutputContainer | None = None
        self._stream: AudioStream | None = None
        self._captions, self._suffix = captions, suffix
        self._track: CaptionTrack | None = None

    @property
    def seconds(self) -> float:
        """Audio written so far."""
        return self._spoken / self._rate

    def join(self, target: OutputContainer) -> None:
        """Take part in a file, whose frames have joined before."""
        self._target, self._stream = target, target.add_stream("aac", rate=self._rate, layout="mono")
        if self._captions is not None:
            self._track = CaptionTrack(target, self._suffix, self._captions)

    def until(self, seconds: float) -> None:
        """Write audio and subtitles until so many seconds; infinity: the rest, and the end."""
        assert self._target is not None
        assert self._stream is not None
        if self._track is not None:
            self._track.until(seconds)
        while self._spoken < seconds * self._rate:
            block = next(self._rest, None)
            if block is None:
                break
            av_frame = av.AudioFrame.from_ndarray(block[None], format="fltp", layout="mono")
            av_frame.sample_rate, av_frame.pts, av_frame.time_base = self._rate, self._spoken, Fraction(1, self._rate)
            self._target.mux(self._stream.encode(av_frame))
            self._spoken += len(block)
        if math.isinf(seconds):
            self._target.mux(self._stream.encode(None))


def _copy(clip: Path, target: OutputContainer, speech: _Speech, start: float) -> None:
    """Packets as they are, from the first key frame on; times such that the audio's beginning is 0."""
    stamps = _stamps(clip)
    with opened(clip) as media:
        frames = tracks(media.container, "video").decodable[0]
        assert isinstance(frames, VideoStream)
        stream = target.add_stream_from_template(frames)
        speech.join(target)
        base = frames.time_base or _CLOCK
        offset = round(start / base)
        packets = (packet for packet in media.packets() if packet.stream is frames and packet.size)
        whole = itertools.dropwhile(lambda packet: not packet.is_keyframe, packets)
        for packet, (pts, dts) in zip(whole, stamps, strict=True):
            packet.stream, packet.pts, packet.dts = stream, pts - offset, dts - offset
            speech.until(float((pts - offset) * base))
            target.mux(packet)
        speech.until(math.inf)


def _stamps(clip: Path) -> list[tuple[int, int]]:
    """Times of presentation and of decoding of the packets that are copied, in ticks of the track's clock.

    Matroska keeps no times of decoding. Where one is missing, all are made: the times of presentation in their order,
    moved to the front until every frame is decoded before it is shown.

    Raises:
        _Unfit: other codecs, no times, or recordings that were joined.
    """
    with opened(clip) as media:
        found = tracks(media.container, "video")
        if not found.decodable or found.decodable[0].codec_context.name not in _COPIED:
            raise _Unfit("its codec is not copied")
        packets = (packet for packet in media.packets() if packet.stream is found.decodable[0] and packet.size)
        whole = itertools.dropwhile(lambda packet: not packet.is_keyframe, packets)
        stamps = [(packet.pts, packet.dts) for packet in whole]
        if media.clock.anew:
            raise _Unfit("recordings were joined")
    shows = [pts for pts, _ in stamps if pts is not None]
    if not shows or len(shows) < len(stamps) or len(set(shows)) < len(shows):
        raise _Unfit("packets have no times, or the same ones")
    decodes = [dts for _, dts in stamps if dts is not None]
    known = len(decodes) == len(stamps) and all(a < b for a, b in itertools.pairwise(decodes))
    if not known or any(dts > pts for pts, dts in zip(shows, decodes, strict=True)):
        ordered = sorted(shows)
        ahead = max(place - pts for place, pts in zip(ordered, shows, strict=True))
        decodes = [place - ahead for place in ordered]
    return list(zip(shows, decodes, strict=True))


def _encode(clip: Path, target: OutputContainer, speech: _Speech, start: float, drawn: Captions | None) -> None:
    """Frames as the decoder gives them, at the source's own times, with subtitles drawn into them."""
    painter = Painter(drawn.cues if drawn is not None else ())
    stream: VideoStream | None = None
    memory = np.empty((0, 0), np.uint8)
    source = Source(clip)
    for time, length, decoded in source.timed():
        if memory.shape != decoded.shape:
            memory = np.empty(decoded.shape, np.uint8)
        planes = decoded.copy(memory).limited_range()
        painter.draw(planes, time - start)
        if stream is None:
            stream = _video_stream(target, decoded, planes[0].shape, source.fps)
            speech.join(target)
        if planes[0].shape != (stream.height, stream.width):
            raise source.failure("size-changes", "frames of different sizes")
        av_frame = _av_frame(planes)
        av_frame.pts, av_frame.time_base = round((time - start) / _CLOCK), _CLOCK
        av_frame.duration = round(length / _CLOCK)
        speech.until(time - start)
        target.mux(stream.encode(av_frame))
    assert stream is not None
    target.mux(stream.encode(None))
    speech.until(math.inf)


def _video_stream(target: OutputContainer, first: DecodedFrame, shape: tuple[int, ...], fps: float) -> VideoStream:
    stream = target.add_stream(
        "libx264", rate=Fraction(min(max(fps, 1.0), 240.0)).limit_denominator(1001), options={"crf": "18"}
    )
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = _CLOCK
    context.color_range = ColorRange.MPEG
    if first.av_frame.format.is_rgb:
        context.colorspace = _BT601
    elif first.av_frame.colorspace != _UNKNOWN:
        context.colorspace = first.av_frame.colorspace
        context.color_primaries, context.color_trc = first.av_frame.color_primaries, first.av_frame.color_trc
    return stream


def _av_frame(planes: Sequence[np.ndarray]) -> av.VideoFrame:
    height, width = planes[0].shape
    av_frame = av.VideoFrame(width, height, "yuv420p")
    av_frame.color_range = ColorRange.MPEG
    for plane, values in zip(av_frame.planes, planes, strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        rows[: values.shape[0], : values.shape[1]] = values
    return av_frame


def _look(made: Path, clip: Path, seconds: float, *, drawn: bool) -> None:
    """See that a file shows the clip's first frame at its beginning, and lasts as long as its audio.

    Of a frame that subtitles are drawn into, the upper half is compared.

    Raises:
        _Unfit: it does not.
    """
    try:
        (time, first), (_, wanted) = _first(made), _first(clip)
        with opened(made) as media:
            video, audio = (tracks(media.container, kind).decodable[:1] for kind in ("video", "audio"))
            ends = {stream.index: 0.0 for stream in (*video, *audio)}
            for packet in media.packets():
                if packet.size and packet.pts is not None and packet.stream_index in ends:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    ends[packet.stream_index] = max(ends[packet.stream_index], end)
    except ClipFailure as failure:
        raise _Unfit(failure.detail) from failure
    if time > _LATE:
        raise _Unfit(f"the first frame comes after {time:.2f} s")
    if first.shape != wanted.shape:
        raise _Unfit(f"frames of {first.shape[::-1]} became {wanted.shape[::-1]}")
    rows = len(first) // 2 if drawn else len(first)
    if np.abs(first[:rows].astype(np.float32) - wanted[:rows]).mean() > _ALIKE:
        raise _Unfit("the first frame is another one")
    for stream, end in ends.items():
        if abs(end - seconds) > _SHORT:
            raise _Unfit(f"stream {stream} lasts {end:.2f} s, expected {seconds:.2f} s")
    if len(ends) < 2:
        raise _Unfit("video or audio is missing")


def _first(path: Path) -> tuple[float, np.ndarray]:
    """Time and full-range luma, upright, of the first frame of a file."""
    with contextlib.closing(Source(path).timed()) as frames:
        time, _, decoded = next(frames)
        frame = decoded.copy(np.empty(decoded.shape, np.uint8))
        return time, to_full_range(frame.luma(), frame.full_range)
