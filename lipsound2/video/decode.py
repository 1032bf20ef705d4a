"""Any video file as pictures on a 25 fps grid, by timestamps and upright.

Frame i of the grid is the source frame nearest to t0 + i / 25, t0 being the time stamp of the first picture. Pictures stay
as the decoder left them (YUV): the crops need the luma plane only, the detector needs RGB on few of them.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import av.filter
import av.logging
import cv2
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import ColorRange, VideoReformatter

from lipsound2.errors import ClipFailure

RATE = 25.0
_LONGEST_GAP = 60.0  # seconds between two pictures; more is a broken time stamp, not a still picture
_LUMA_FIRST = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "nv21"}
_TO_FULL_RANGE = np.clip(np.round((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)


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
class Picture:
    """One decoded picture, converted only as far as somebody asks."""

    frame: av.VideoFrame
    turns: int  # quarter turns counter-clockwise that make it upright
    aspect: float  # width of a pixel / its height
    reformatter: VideoReformatter

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture with square pixels."""
        width, height = self._square
        return (height, width) if self.turns % 2 else (width, height)

    @property
    def _square(self) -> tuple[int, int]:
        return max(2, round(self.frame.width * self.aspect)), self.frame.height

    @property
    def full_range(self) -> bool:
        """Whether black is 0 and white 255 in `luma`; else they are 16 and 235."""
        return self.frame.format.name.startswith("yuvj") or self.frame.color_range == ColorRange.JPEG

    def luma(self) -> np.ndarray:
        """The luma plane as the file has it, upright: (H, W) uint8. See `to_full_range`."""
        frame, (width, height) = self.frame, self._square
        if frame.format.name not in _LUMA_FIRST or width != frame.width:
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
        plane = frame.planes[0]
        picture = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height, :width]
        return _upright(picture, self.turns)

    def grey(self) -> np.ndarray:
        """Full-range luma, upright: (H, W) uint8."""
        return to_full_range(self.luma(), self.full_range)

    def rgb(self, longest: int | None = None) -> np.ndarray:
        """RGB, upright: (h, w, 3) uint8, scaled down so that no side is longer than `longest`."""
        width, height = self._square
        scale = min(1.0, longest / max(width, height)) if longest else 1.0
        small = self.reformatter.reformat(
            self.frame,
            width=max(2, round(width * scale)),
            height=max(2, round(height * scale)),
            format="rgb24",
            interpolation="AREA" if scale < 1 else "BILINEAR",
            src_color_range=ColorRange.JPEG if self.full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            threads=1,
        )
        return _upright(small.to_ndarray(), self.turns)


@dataclass
class Source:
    """Pictures of one file on the grid, read as a stream.

    Iterating decodes from the start; `timeline` and the counts are known when the iteration has ended.

    Attributes:
        path: the file.
        rate: grid, pictures a second.
        timeline: the grid, after an iteration.
        decoded: source pictures.
        damaged: packets the decoder refused and pictures it marked as corrupt.
        interlaced: whether fields were woven into frames (they are then deinterlaced).
        turns: quarter turns that made the pictures upright.
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

    def __iter__(self) -> Iterator[Picture]:
        self.decoded = self.damaged = 0
        self.log = []
        return self._on_grid(self._timed())

    def failure(self, reason: str, detail: str) -> ClipFailure:
        """A verdict that carries ffmpeg's own words."""
        words = "; ".join(self.log[:4])
        return ClipFailure(reason, f"{self.path}: {detail}" + (f" (ffmpeg: {words})" if words else ""))

    def _timed(self) -> Iterator[tuple[float, float, Picture]]:
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
            # One thread: clips are shared out over worker processes, and what ffmpeg logs stays in order.
            stream.codec_context.thread_count = 1
            step = 1 / float(stream.average_rate) if stream.average_rate else 1 / self.rate
            aspect = float(stream.sample_aspect_ratio or 1)
            last = -math.inf
            reformatter = VideoReformatter()
            for frame in self._deinterlaced(self._frames(container, stream), stream):
                time = frame.time if frame.time is not None else last + step
                if math.isinf(time):
                    time = 0.0
                if time <= last:
                    continue  # a repeated or backward time stamp of a damaged stream
                if last > -math.inf and time - last > _LONGEST_GAP:
                    raise self.failure("unreadable", f"time stamps jump from {last:.2f} s to {time:.2f} s")
                length = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else step
                self.decoded += 1
                yield time, length, Picture(frame, self.turns, aspect, reformatter)
                last = time

    def _frames(
        self, container: av.container.InputContainer, stream: av.video.stream.VideoStream
    ) -> Iterator[av.VideoFrame]:
        packets = container.demux(stream)
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
                    if error.strerror not in self.log:
                        self.log.append(error.strerror)
                    continue
            for frame in frames:
                self.damaged += bool(frame.is_corrupt)
                if not self.decoded:
                    self.turns = round(frame.rotation / 90) % 4 if SideData.DISPLAYMATRIX in frame.side_data else 0
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

    def _on_grid(self, timed: Iterator[tuple[float, float, Picture]]) -> Iterator[Picture]:
        start = end = 0.0
        count = emitted = 0
        previous: tuple[float, Picture] | None = None
        size = (0, 0)
        for time, length, picture in timed:
            if previous is None:
                start, size = time, picture.size
            else:
                # Every grid point nearer to the previous picture than to this one.
                while start + emitted / self.rate <= (previous[0] + time) / 2 + 1e-9:
                    yield previous[1]
                    emitted += 1
            previous = (time, picture)
            end = time + length
            count += 1
        if previous is None:
            raise self.failure("unreadable", "no picture could be decoded")
        frames = max(1, round((end - start) * self.rate))
        while emitted < frames:
            yield previous[1]
            emitted += 1
        fps = count / (end - start) if end > start else self.rate
        self.timeline = Timeline(start, emitted, fps, *size)


def to_full_range(luma: np.ndarray, full_range: bool) -> np.ndarray:
    """Stretch television levels (16-235) to 0-255; full-range pictures are returned as they are."""
    return luma if full_range else cv2.LUT(np.ascontiguousarray(luma), _TO_FULL_RANGE)


def read_video(path: Path | str, *, rate: float = RATE) -> tuple[np.ndarray, Timeline]:
    """Decode a whole clip on the grid.

    Args:
        path: any file ffmpeg reads.
        rate: pictures a second of the grid.

    Returns:
        Pictures (T, H, W, 3) uint8 RGB, upright, and their timeline.

    Raises:
        ClipFailure: `unreadable` or `no-video`.
    """
    source = Source(Path(path), rate)
    pictures = [picture.rgb() for picture in source]
    assert source.timeline is not None
    height, width = pictures[0].shape[:2]
    # A stream may change its size on the way; the first size stands.
    same = [p if p.shape[:2] == (height, width) else cv2.resize(p, (width, height)) for p in pictures]
    return np.stack(same), replace(source.timeline, frames=len(same))


@contextlib.contextmanager
def _ffmpeg_log(lines: list[str]) -> Iterator[None]:
    """Collect what ffmpeg warns of in this thread, each line once."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as captured:
            yield
    finally:
        av.logging.set_level(level)
        for _, name, message in captured:
            line = f"{name}: {message.strip()}"
            if line not in lines:
                lines.append(line)


def _upright(picture: np.ndarray, turns: int) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


def _pull(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
