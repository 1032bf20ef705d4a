"""Any video file as pictures on a 25 fps grid, by time stamps and upright.

Frame i of the grid is the source frame nearest to t0 + i / 25, t0 being the time stamp of the first picture. Pictures
stay YUV, as the decoder left them: crops need the luma plane only, the detector needs RGB on few of them.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import av.filter
import av.logging
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import ColorRange, VideoReformatter

from lipsound2.errors import ClipFailure
from lipsound2.video.picture import Picture

RATE = 25.0
_LONGEST_GAP = 60.0  # seconds between two pictures; more is a broken time stamp, not a still picture
_LOG_LINES = 4  # of ffmpeg's that a verdict quotes


@dataclass(frozen=True)
class Timeline:
    """The 25 fps grid a clip was decoded on.

    Attributes:
        start: time stamp of the first picture, seconds.
        frames: T, pictures on the grid: round(duration x 25).
        fps: mean rate of the source, pictures a second.
        width: of the upright picture with square pixels.
        height: likewise.
    """

    start: float
    frames: int
    fps: float
    width: int
    height: int


@dataclass(frozen=True)
class Decoded:
    """A picture in the decoder's memory, which holds up the decoder's reuse of it: copy and drop it."""

    frame: av.VideoFrame
    turns: int
    aspect: float  # width of a pixel / its height
    reformatter: VideoReformatter

    @property
    def full_range(self) -> bool:
        """Whether black is 0 and white 255; else they are 16 and 235."""
        return self.frame.format.name.startswith("yuvj") or self.frame.color_range == ColorRange.JPEG

    @property
    def shape(self) -> tuple[int, int]:
        """Of the array `copy` fills: (H * 3 / 2, W), square pixels, even sides."""
        width = max(2, round(self.frame.width * self.aspect)) & ~1
        return (self.frame.height & ~1) * 3 // 2, width

    def copy(self, out: np.ndarray) -> Picture:
        """The picture in memory of one's own.

        Args:
            out: uint8 of `shape`, filled with the planes Y, U, V one below the other (I420).
        """
        rows, width = out.shape
        height = rows * 2 // 3
        frame = self.frame
        if frame.format.name not in ("yuv420p", "yuvj420p") or round(frame.width * self.aspect) != frame.width:
            levels = ColorRange.JPEG if self.full_range else ColorRange.MPEG
            frame = self.reformatter.reformat(
                frame,
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
            frame.planes, (width, width // 2, width // 2), (height, *[height // 2] * 2), strict=True
        ):
            rows_of_plane = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            flat[at : at + w * h].reshape(h, w)[:] = rows_of_plane[:h, :w]
            at += w * h
        return Picture(out, self.full_range, self.turns)

    def rgb(self) -> np.ndarray:
        """The picture, upright, in colour: (H, W, 3) uint8."""
        shown = self.reformatter.reformat(
            self.frame,
            width=max(2, round(self.frame.width * self.aspect)),
            format="rgb24",
            src_color_range=ColorRange.JPEG if self.full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
        return np.ascontiguousarray(np.rot90(shown.to_ndarray(), self.turns))


@dataclass
class Source:
    """Pictures of one file on the grid, read as a stream.

    Iterating decodes from the start and yields one `Decoded` per grid frame (the same object again where the source is
    slower). `timeline` and the counts stand when the iteration has ended.

    Attributes:
        path: the file.
        rate: of the grid, pictures a second.
        timeline: the grid, after an iteration.
        decoded: source pictures.
        damaged: packets the decoder refused and pictures it marked as corrupt.
        interlaced: whether fields were woven into frames (they are deinterlaced then).
        turns: quarter turns counter-clockwise that made the pictures upright.
        log: what ffmpeg had to say, each line once.
    """

    path: Path
    rate: float = RATE
    timeline: Timeline | None = None
    decoded: int = 0
    damaged: int = 0
    interlaced: bool = False
    turns: int = 0
    log: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Decoded]:
        self.decoded = self.damaged = 0
        self.log = []
        return self._on_grid(self._timed())

    def failure(self, reason: str, detail: str) -> ClipFailure:
        """A verdict that carries ffmpeg's own words."""
        words = "; ".join(self.log[:_LOG_LINES])
        return ClipFailure(reason, f"{self.path}: {detail}" + (f" (ffmpeg: {words})" if words else ""))

    def _timed(self) -> Iterator[tuple[float, float, Decoded]]:
        """Source pictures with time stamp and length in seconds, times increasing."""
        if not self.path.exists():
            raise self.failure("unreadable", "no such file")
        if self.path.stat().st_size == 0:
            raise self.failure("unreadable", "the file is empty (0 bytes)")
        try:
            with _ffmpeg_log(self.log):
                container = av.open(str(self.path), metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            raise self.failure("unreadable", f"cannot be opened: {error.strerror or error}") from error
        with container:
            streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
            if not streams:
                kinds = ", ".join(s.type for s in container.streams) or "none"
                raise self.failure("no-video", f"no video stream; streams found: {kinds}")
            stream = streams[0]
            # One thread: clips are shared out over worker processes, and what ffmpeg logs arrives in this thread.
            stream.codec_context.thread_count = 1
            step = 1 / float(stream.average_rate) if stream.average_rate else 1 / self.rate
            aspect = float(stream.sample_aspect_ratio or 1)
            last = -math.inf
            reformatter = VideoReformatter()
            for frame in self._deinterlaced(self._frames(container, stream), stream):
                clock = float(frame.time_base) if frame.time_base else 0.0
                time = frame.pts * clock if frame.pts is not None else max(0.0, last + step)
                if time <= last:
                    continue  # a repeated or backward time stamp of a damaged stream
                if last > -math.inf and time - last > _LONGEST_GAP:
                    raise self.failure("unreadable", f"time stamps jump from {last:.2f} s to {time:.2f} s")
                self.decoded += 1
                yield time, frame.duration * clock or step, Decoded(frame, self.turns, aspect, reformatter)
                last = time

    def _frames(
        self, container: av.container.InputContainer, stream: av.video.stream.VideoStream
    ) -> Iterator[av.VideoFrame]:
        packets = container.demux(stream)
        first = True
        while True:
            with _ffmpeg_log(self.log):
                try:
                    packet = next(packets)
                except StopIteration:
                    return
                except av.FFmpegError as error:
                    # What came before a broken end is still good.
                    self.log.append(f"reading stopped: {error.strerror}")
                    self.damaged += 1
                    return
                try:
                    frames = packet.decode()
                except av.FFmpegError as error:
                    self.damaged += 1
                    self.log += [line for line in [str(error.strerror)] if line not in self.log]
                    continue
            for frame in frames:
                self.damaged += bool(frame.is_corrupt)
                if first:
                    self.turns = round(frame.rotation / 90) % 4 if SideData.DISPLAYMATRIX in frame.side_data else 0
                    first = False
                yield frame

    def _deinterlaced(
        self, frames: Iterator[av.VideoFrame], stream: av.video.stream.VideoStream
    ) -> Iterator[av.VideoFrame]:
        """Frames with woven fields through yadif, the others as they are."""
        graph: av.filter.Graph | None = None
        for frame in frames:
            if graph is None and frame.interlaced_frame:
                self.interlaced = True
                graph = av.filter.Graph()
                graph.link_nodes(
                    graph.add_buffer(template=stream, time_base=stream.time_base),
                    graph.add("yadif", "mode=send_frame:deint=interlaced"),
                    graph.add("buffersink"),
                ).configure()
            if graph is None:
                yield frame
                continue
            graph.vpush(frame)
            yield from _pull(graph)
        if graph is not None:
            graph.vpush(None)
            yield from _pull(graph)

    def _on_grid(self, timed: Iterator[tuple[float, float, Decoded]]) -> Iterator[Decoded]:
        start = end = before = 0.0
        emitted = 0
        held: Decoded | None = None
        for time, length, picture in timed:
            if held is None:
                start = time
            else:
                # Every point of the grid that is nearer to the held picture than to this one.
                while start + emitted / self.rate <= (before + time) / 2 + 1e-9:
                    yield held
                    emitted += 1
            held, before, end = picture, time, time + length
        if held is None:
            raise self.failure("unreadable", "no picture could be decoded")
        while emitted < max(1, round((end - start) * self.rate)):
            yield held
            emitted += 1
        height, width = held.shape[0] * 2 // 3, held.shape[1]
        if held.turns % 2:
            width, height = height, width
        self.timeline = Timeline(start, emitted, self.decoded / (end - start), width, height)


def read_video(path: Path | str, *, rate: float = RATE) -> tuple[np.ndarray, Timeline]:
    """Decode a whole clip on the grid.

    Args:
        path: any file ffmpeg reads.
        rate: of the grid, pictures a second.

    Returns:
        Pictures (T, H, W, 3) uint8 RGB, upright, and their timeline.

    Raises:
        ClipFailure: `unreadable`, `no-video`, or `size-changes`.
    """
    source = Source(Path(path), rate)
    pictures = [picture.rgb() for picture in source]
    assert source.timeline is not None
    sizes = {picture.shape for picture in pictures}
    if len(sizes) > 1:
        raise source.failure("size-changes", f"pictures of different sizes: {sorted(sizes)}")
    return np.stack(pictures), source.timeline


@contextlib.contextmanager
def _ffmpeg_log(lines: list[str]) -> Iterator[None]:
    """Collect what ffmpeg warns of in this thread, each line once."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    captured: list[tuple[int, str, str]] = []
    try:
        with av.logging.Capture() as captured:
            yield
    finally:
        av.logging.set_level(level)
        for _, name, message in captured:
            line = f"{name}: {message.strip()}"
            if line not in lines:
                lines.append(line)


def _pull(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
