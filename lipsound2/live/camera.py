"""Cameras: frames with time stamps, from a device, from anything else that ffmpeg or OpenCV can open, or from a file.

A file is played in real time, so that all that is live can be tried without a camera.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import av
import cv2
from av.container import InputContainer
from av.video.reformatter import VideoReformatter

from lipsound2.arguments import near_file
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.timing import FRAME_RATE
from lipsound2.video.decode import DecodedFrame, Source
from lipsound2.video.frame import ArrayFrame, Frame
from lipsound2.video.frame_copy import LONGEST_SIDE, copied
from lipsound2.video.upright import orientation_of

# Kinds of ffmpeg's inputs that are devices, and what a camera is asked for at first.
DEVICES = ("v4l2", "avfoundation", "dshow", "gdigrab", "x11grab", "lavfi")
_ASKED = {
    "v4l2": {"video_size": "640x480", "framerate": "30"},
    "avfoundation": {"video_size": "640x480", "framerate": "30"},
    "dshow": {"video_size": "640x480", "framerate": "30"},
}
_BY_NUMBER = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}
_SET = 3.0  # seconds between two time stamps, to either side, from which on the camera's clock was set
_HELP = "0 is the first camera; a file is played in real time; also v4l2:/dev/video2, avfoundation:1, opencv:1"


@dataclass(frozen=True)
class Shot:
    """A frame of a camera.

    Attributes:
        time: its time stamp, seconds; they increase.
        length: until the next one is due, seconds.
        frame: the frame, no side longer than `LONGEST_SIDE`.
    """

    time: float
    length: float
    frame: Frame


class Camera(Protocol):
    """Where frames come from.

    Attributes:
        name: for messages.
        size: width and height of its frames as they come, pixels; known once the first one came.
        fps: the rate it says it has, frames a second; likewise.
        recorded: the file that is played; None: a device, which has no end.
    """

    name: str
    size: tuple[int, int]
    recorded: Path | None

    @property
    def fps(self) -> float: ...

    def check(self) -> None:
        """Look whether it can be opened, as far as this can be told at once.

        Raises:
            LipsoundError: it cannot.
        """

    def shots(self, stop: threading.Event) -> Iterator[Shot]:
        """Frames as they come, until there are no more, or `stop` is set.

        Raises:
            LipsoundError: it cannot be opened, or breaks.
        """


def open_camera(name: str) -> Camera:
    """The camera of a name. Nothing is opened yet.

    Args:
        name: a number; the name of a file; or a kind of input and its name there: `v4l2:/dev/video0`, `opencv:1`.

    Raises:
        LipsoundError: no such file, or an unknown kind.
    """
    kind, _, rest = name.partition(":")
    if name.isdecimal():
        known, pattern = _BY_NUMBER.get(sys.platform, ("", ""))
        return DeviceCamera(known, pattern.format(name), name) if known else OpenCvCamera(int(name))
    if kind == "opencv" and rest.isdecimal():
        return OpenCvCamera(int(rest))
    if kind in DEVICES and rest:
        return DeviceCamera(kind, rest, name)
    path = Path(name)
    if path.is_char_device():
        return DeviceCamera("v4l2", name, name)
    if path.is_file():
        return FileCamera(path)
    raise LipsoundError(f"--camera {name}: no such file{near_file(path)} Wanted a camera: {_HELP}")


def check_plugged(camera: Camera, *, ended: bool) -> None:
    """Refuse the end of what has none.

    Raises:
        LipsoundError: a device gives no more frames.
    """
    if ended and camera.recorded is None:
        raise LipsoundError(f"--camera {camera.name}: gives no more frames; is it still plugged in?")


class FileCamera:
    """A video file, played at the pace of its time stamps."""

    def __init__(self, path: Path) -> None:
        self.name, self.size = str(path), (0, 0)
        self.recorded: Path | None = path
        self._source = Source(path)

    @property
    def fps(self) -> float:
        """See `Camera`."""
        return self._source.fps

    def shots(self, stop: threading.Event) -> Iterator[Shot]:
        """See `Camera`."""
        begun, first = time.perf_counter(), 0.0
        with self._readable():
            for number, (stamp, length, decoded) in enumerate(self._source.timed()):
                self.size = decoded.av_frame.width, decoded.av_frame.height
                first = first if number else stamp
                if stop.wait(max(0.0, begun + stamp - first - time.perf_counter())):
                    return
                yield Shot(stamp, length, copied(decoded))

    def check(self) -> None:
        """See `Camera`: its first frame can be decoded."""
        with self._readable(), contextlib.closing(Source(Path(self.name)).timed()) as frames:
            next(frames)

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        """Tell what is wrong with the file in the words of the option."""
        try:
            yield
        except ClipFailure as failure:
            why = (failure.detail or failure.reason).removeprefix(f"{self.name}: ")
            raise LipsoundError(f"--camera {self.name}: {why}") from failure


class DeviceCamera:
    """A camera by ffmpeg's devices.

    Args:
        kind: one of `DEVICES`.
        device: its name there.
        name: as the user wrote it.
    """

    recorded: Path | None = None

    def __init__(self, kind: str, device: str, name: str) -> None:
        self.name, self._kind, self._device = name, kind, device
        self.fps, self.size = float(FRAME_RATE), (0, 0)

    def shots(self, stop: threading.Event) -> Iterator[Shot]:
        """See `Camera`."""
        with self._opened() as container:
            if not container.streams.video:
                raise LipsoundError(f"--camera {self.name}: gives no video")
            stream = container.streams.video[0]
            self.fps = float(stream.average_rate or stream.guessed_rate or FRAME_RATE)
            step, last, shift, reformatter = 1 / self.fps, -math.inf, 0.0, VideoReformatter()
            try:
                for av_frame in container.decode(stream):
                    if stop.is_set():
                        return
                    after = max(0.0, last + step)
                    stamp = after if av_frame.time is None else av_frame.time + shift
                    if not math.isinf(last) and abs(stamp - last) > _SET:
                        stamp, shift = after, shift + after - stamp
                    if stamp <= last:
                        continue
                    last, self.size = stamp, (av_frame.width, av_frame.height)
                    yield Shot(stamp, step, copied(DecodedFrame(av_frame, orientation_of(av_frame), 1.0, reformatter)))
            except (av.EOFError, BrokenPipeError):
                return
            except (av.FFmpegError, OSError) as error:  # such as ENODEV: it was pulled out
                raise LipsoundError(
                    f"--camera {self.name}: gives no more frames ({error.strerror or error}); is it still plugged in?"
                ) from error

    def check(self) -> None:
        """See `Camera`: a device of Linux is a file, which is there or not, and may be read or not."""
        if self._kind != "v4l2":
            return
        if not Path(self._device).exists():
            raise self._absent()
        if not os.access(self._device, os.R_OK | os.W_OK):
            raise self._denied()

    def _opened(self) -> InputContainer:
        asked = _ASKED.get(self._kind, {})
        try:
            return _open(self._device, self._kind, asked)
        except FileNotFoundError as error:
            raise self._absent() from error
        except PermissionError as error:
            raise self._denied() from error
        except (av.FFmpegError, OSError) as error:
            if asked:
                return self._as_it_is()
            raise self._refused(error) from error
        except ValueError as error:  # ffmpeg was built without this kind of device
            raise LipsoundError(f"--camera {self.name}: {error}; {_HELP}") from error

    def _as_it_is(self) -> InputContainer:
        """Open it at the size and rate that it has: not every camera has those that are asked for."""
        try:
            return _open(self._device, self._kind, {})
        except (av.FFmpegError, OSError) as error:
            raise self._refused(error) from error

    def _absent(self) -> LipsoundError:
        return LipsoundError(f"--camera {self.name}: there is no '{self._device}'; is it plugged in? {_HELP}")

    def _denied(self) -> LipsoundError:
        how = f"sudo usermod -aG video {os.environ.get('USER', 'YOU')}, then log in again"
        if self._kind == "avfoundation":
            how = "allow the terminal to use the camera: System Settings, Privacy & Security, Camera"
        return LipsoundError(f"--camera {self.name}: permission denied; {how}")

    def _refused(self, error: av.FFmpegError | OSError) -> LipsoundError:
        why = error.strerror or str(error)
        return LipsoundError(f"--camera {self.name}: cannot be opened ({why}); does another program use it? {_HELP}")


def _open(device: str, kind: str, options: dict[str, str]) -> InputContainer:
    container = av.open(device, format=kind, options=options)
    assert isinstance(container, InputContainer)
    return container


class OpenCvCamera:
    """A camera by its number in OpenCV, which gives no time stamps: frames get the time at which they come."""

    recorded: Path | None = None

    def __init__(self, number: int) -> None:
        self.name, self._number = f"opencv:{number}", number
        self.fps, self.size = float(FRAME_RATE), (0, 0)

    def check(self) -> None:
        """See `Camera`: nothing can be told before it is opened."""

    def shots(self, stop: threading.Event) -> Iterator[Shot]:
        """See `Camera`."""
        device = cv2.VideoCapture(self._number)
        try:
            if not device.isOpened():
                raise LipsoundError(f"--camera {self.name}: OpenCV finds no such camera; {_HELP}")
            self.fps = device.get(cv2.CAP_PROP_FPS) or self.fps
            while not stop.is_set():
                came, pixels = device.read()
                if not came:
                    return
                self.size = pixels.shape[1], pixels.shape[0]
                rgb = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
                yield Shot(time.monotonic(), 1 / self.fps, ArrayFrame(ArrayFrame(rgb).rgb(LONGEST_SIDE)))
        finally:
            device.release()
