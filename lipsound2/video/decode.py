"""Any video file as frames on a 25 fps grid, by time stamps and upright.

Which source frame a point of the grid takes: see `grid`. Frames stay YUV, as the decoder left them: crops need the luma
plane only, the detector needs RGB on few of them.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter
from av.video.stream import VideoStream

from lipsound2.errors import ClipFailure, is_machine_error
from lipsound2.media.clock import LONGEST_PAUSE
from lipsound2.media.opening import Media, opened, shown
from lipsound2.media.tracks import tracks
from lipsound2.timing import FRAME_RATE
from lipsound2.video.frame import VideoFrame
from lipsound2.video.grid import Timeline, on_grid
from lipsound2.video.upright import UPRIGHT, Orientation, orientation_of

_GRAY = ("gray", "ya8", "ya16", "mono")
_LOG_LINES = 4  # of ffmpeg's that a rejection quotes
_FEW, _FEW_SHARE = 3, 0.05  # frames that a file may hold less than it says
_THIN = 8.0  # a pixel that is said to be so many times as wide as high, or the reverse, is a damaged header


@dataclass(frozen=True)
class DecodedFrame:
    """A frame in the decoder's memory, which holds up the decoder's reuse of it: copy and drop it."""

    av_frame: av.VideoFrame
    orientation: Orientation
    aspect: float  # width of a pixel / its height
    reformatter: VideoReformatter

    @property
    def full_range(self) -> bool:
        """Whether black is 0 and white 255; else they are 16 and 235. Gray ones that do not say are full."""
        name, said = self.av_frame.format.name, self.av_frame.color_range
        return (
            said == ColorRange.JPEG or name.startswith("yuvj") or (said != ColorRange.MPEG and name.startswith(_GRAY))
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Of the array `copy` fills: (H * 3 / 2, W), square pixels, even sides."""
        return max(2, self.av_frame.height & ~1) * 3 // 2, max(2, self._width & ~1)

    @property
    def _width(self) -> int:
        return max(2, round(self.av_frame.width * self.aspect))

    def copy(self, out: np.ndarray) -> VideoFrame:
        """The frame in memory of one's own.

        Args:
            out: uint8 of `shape`, filled with the planes Y, U, V one below the other (I420).
        """
        rows, width = out.shape
        height = rows * 2 // 3
        av_frame = self.av_frame
        if (
            av_frame.format.name not in ("yuv420p", "yuvj420p")
            or self._width != av_frame.width
            or height > av_frame.height
        ):
            levels = ColorRange.JPEG if self.full_range else ColorRange.MPEG
            av_frame = self.reformatter.reformat(
                av_frame,
                width=width,
                height=height,
                format="yuv420p",
                src_color_range=levels,
                dst_color_range=levels,
                threads=1,
            )
        flat = out.reshape(-1)
        at = 0
        for plane, w, h in zip(
            av_frame.planes, (width, width // 2, width // 2), (height, *[height // 2] * 2), strict=True
        ):
            rows_of_plane = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            flat[at : at + w * h].reshape(h, w)[:] = rows_of_plane[:h, :w]
            at += w * h
        return VideoFrame(out, self.full_range, self.orientation)

    def rgb(self) -> np.ndarray:
        """The frame, upright, in color: (H, W, 3) uint8."""
        converted = self.reformatter.reformat(
            self.av_frame,
            width=self._width,
            format="rgb24",
            src_color_range=ColorRange.JPEG if self.full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
        return np.ascontiguousarray(self.orientation.apply(converted.to_ndarray()))


@dataclass
class Source:
    """Frames of one file, read as a stream: on the grid, or as they come (`timed`).

    Iterating decodes from the start and yields one `DecodedFrame` a grid frame (the same object again where the source
    is slower). `timeline` and the counts stand when the iteration has ended.

    Attributes:
        path: the file.
        rate: of the grid, frames a second.
        timeline: the grid, after an iteration.
        decoded: source frames.
        damaged: packets the decoder refused and frames it marked as corrupt.
        interlaced: whether fields were woven into frames (they are deinterlaced then).
        orientation: what made the frames upright.
        fps: mean rate that the file says it has, or `rate`; known once the first frame is.
        left_out: frames whose time stamp is not after the one before.
        promised: frames that the file says it holds; 0: it does not say.
        notes: what else was found: further tracks, clocks that start anew.
        log: messages of ffmpeg, each line once.
    """

    path: Path
    rate: float = FRAME_RATE
    timeline: Timeline | None = None
    decoded: int = 0
    damaged: int = 0
    interlaced: bool = False
    orientation: Orientation = UPRIGHT
    fps: float = FRAME_RATE
    left_out: int = 0
    promised: int = 0
    notes: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[DecodedFrame]:
        return self._on_grid(self.timed())

    @property
    def lacking(self) -> str:
        """What a file that ends too early lacks, in words; empty: nothing. A few frames are nobody's concern."""
        held = self.decoded + self.left_out
        if self.promised - held <= max(_FEW, _FEW_SHARE * self.promised):
            return ""
        return f"the file says that it holds {self.promised} frames and ends after {held}: it is damaged, or not whole"

    def failure(self, reason: str, detail: str) -> ClipFailure:
        """A rejection that quotes ffmpeg's messages."""
        words = "; ".join(self.log[:_LOG_LINES])
        return ClipFailure(reason, f"{shown(self.path)}: {detail}" + (f" (ffmpeg: {words})" if words else ""))

    def timed(self) -> Generator[tuple[float, float, DecodedFrame], None, None]:
        """Source frames with time stamp and length in seconds, times increasing.

        Raises:
            ClipFailure: `unreadable`, or `no-video`.
            OSError, MemoryError: the machine failed, not the file.
        """
        self.decoded = self.damaged = self.left_out = 0
        self.log.clear()
        number, count = 0, 1
        # A track of which nothing can be decoded gives way to the next one.
        while not self.decoded and number < count:
            count = yield from self._track(number)
            number += 1
        if not self.decoded:
            raise self.failure("unreadable", "no frame could be decoded")

    def _track(self, number: int) -> Generator[tuple[float, float, DecodedFrame], None, int]:
        """The frames of one track, counted in order of preference; returns how many there are."""
        with opened(self.path, self.log) as media:
            found = tracks(media.container, "video")
            if not found.descriptions:
                kinds = ", ".join(s.type for s in media.container.streams) or "none"
                raise self.failure("no-video", f"no video stream; streams found: {kinds}")
            if not found.decodable:
                raise self.failure("unreadable", found.undecodable())
            stream = found.decodable[number]
            assert isinstance(stream, VideoStream)
            # One thread: clips are shared out over worker processes, and what ffmpeg logs arrives in this thread.
            stream.codec_context.thread_count = 1
            rate = float(stream.average_rate or 0)
            self.fps = rate or self.rate
            step = 1 / self.fps
            aspect = float(stream.sample_aspect_ratio or 1)
            aspect = aspect if 1 / _THIN <= aspect <= _THIN else 1.0
            last = -math.inf
            reformatter = VideoReformatter()
            for av_frame in self._deinterlaced(self._av_frames(media, stream)):
                clock = float(av_frame.time_base) if av_frame.time_base else 0.0
                time = av_frame.pts * clock if av_frame.pts is not None else max(0.0, last + step)
                if time <= last:
                    self.left_out += 1  # a repeated or backward time stamp of a damaged stream
                    continue
                if last > -math.inf and time - last > LONGEST_PAUSE:
                    raise self.failure("unreadable", f"time stamps jump from {last:.2f} s to {time:.2f} s")
                self.decoded += 1
                self.orientation = orientation_of(av_frame)
                decoded = DecodedFrame(av_frame, self.orientation, aspect, reformatter)
                yield time, av_frame.duration * clock or step, decoded
                last = time
            self.promised = stream.frames
            self.notes = [found.choice(stream)] if len(found.descriptions) > 1 else []
            if media.clock.anew:
                places = ", ".join(f"{place:.2f} s" for place in media.clock.anew[:_LOG_LINES])
                self.notes.append(f"joined recordings: the clock starts anew at {places}")
            if media.behind:
                self.notes.append(media.behind)
            if self.left_out:
                self.notes.append(f"{self.left_out} frames out of time left out")
            return len(found.decodable)

    def _av_frames(self, media: Media, stream: VideoStream) -> Iterator[av.VideoFrame]:
        for packet in media.packets():
            if packet.stream is not stream:
                continue
            with media.capture:
                try:
                    av_frames = stream.decode(packet)
                except av.FFmpegError as error:
                    if is_machine_error(error):
                        raise
                    self.damaged += 1
                    self.log += [line for line in [str(error.strerror)] if line not in self.log]
                    continue
            for av_frame in av_frames:
                self.damaged += bool(av_frame.is_corrupt)
                yield av_frame
        self.damaged += bool(media.broken)

    def _deinterlaced(self, av_frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Frames with woven fields through yadif, the others as they are."""
        graph: av.filter.Graph | None = None
        made_for: tuple[int, int, str] | None = None
        for av_frame in av_frames:
            if graph is None and not av_frame.interlaced_frame:
                yield av_frame
                continue
            self.interlaced = True
            kind = (av_frame.width, av_frame.height, av_frame.format.name)
            if graph is None or kind != made_for:
                if graph is not None:
                    graph.vpush(None)
                    yield from _pull(graph)
                graph, made_for = _yadif(av_frame), kind
            graph.vpush(av_frame)
            yield from _pull(graph)
        if graph is not None:
            graph.vpush(None)
            yield from _pull(graph)

    def _on_grid(self, timed: Iterator[tuple[float, float, DecodedFrame]]) -> Iterator[DecodedFrame]:
        grid = yield from on_grid(timed, lambda: self.fps, self.rate)
        held = grid.last
        height, width = held.shape[0] * 2 // 3, held.shape[1]
        if held.orientation.lying:
            width, height = height, width
        self.timeline = Timeline(grid.start, grid.num_frames, self.decoded / grid.seconds, width, height)


def read_video(path: Path | str) -> tuple[np.ndarray, Timeline]:
    """Decode a whole clip, at 25 frames a second.

    Args:
        path: any file ffmpeg reads.

    Returns:
        Frames (T, H, W, 3) uint8 RGB, upright, and their timeline.

    Raises:
        ClipFailure: `unreadable`, `no-video`, or `size-changes`.
    """
    source = Source(Path(path))
    frames = [frame.rgb() for frame in source]
    assert source.timeline is not None
    sizes = {frame.shape for frame in frames}
    if len(sizes) > 1:
        raise source.failure("size-changes", f"frames of different sizes: {sorted(sizes)}")
    return np.stack(frames), source.timeline


def _yadif(av_frame: av.VideoFrame) -> av.filter.Graph:
    """What makes whole frames of woven fields, for frames like this one."""
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(
            width=av_frame.width,
            height=av_frame.height,
            format=av_frame.format,
            time_base=av_frame.time_base or Fraction(1, 90_000),
        ),
        graph.add("yadif", "mode=send_frame:deint=interlaced"),
        graph.add("buffersink"),
    ).configure()
    return graph


def _pull(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
