"""What every session at a camera does: frames come, are judged and shown, and keys are taken in between."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lipsound2.errors import LipsoundError
from lipsound2.live.camera import Camera
from lipsound2.live.capture import Capture, Ended
from lipsound2.live.keys import Keys, terminal_keys
from lipsound2.live.preview import Screen
from lipsound2.live.tracker import LiveTracker, Sight
from lipsound2.live.watch import Watch
from lipsound2.video.detect import DetectorName, make_detector
from lipsound2.video.frame import Frame
from lipsound2.video.frame_copy import LONGEST_SIDE
from lipsound2.video.grid import on_grid

_WAIT = 0.03  # seconds for a frame, between two looks at the keys
_FIRST_FRAME = 10.0  # seconds that a camera may take to give its first frame
_STALLED = 5.0  # seconds without a frame, later
_KEYS = 64  # keys that are taken between two frames: a pipe may give them without end
_DRAWN = 2  # frames: every so many one is drawn
_QUIT = ("q", "\x1b", "\x03")


@dataclass
class View:
    """What a session sees with, shows on, and is steered by; see their modules."""

    capture: Capture
    tracker: LiveTracker
    watch: Watch
    keys: Keys
    screen: Screen


@contextlib.contextmanager
def viewing(camera: Camera, screen: Screen, detector: DetectorName, face: str) -> Iterator[View]:
    """See with a camera, and take keys of the terminal; both are let go of behind the block.

    Args:
        camera: it begins at once.
        screen: where things are shown.
        detector: name of the face detector.
        face: which face is followed.
    """
    tracker = LiveTracker(make_detector(detector), face)
    with terminal_keys() as keys:
        capture = Capture(camera)
        try:
            yield View(capture, tracker, Watch(face), keys, screen)
        finally:
            capture.close()


class Viewer:
    """Takes frames and keys until the key q, or the end of the camera.

    Args:
        view: what it sees with.

    Attributes:
        ended: whether the camera gives no more frames.
        quit: whether q was pressed.
        told: what was told last about face and light, in a few words.
    """

    def __init__(self, view: View) -> None:
        self._view, self.screen, self.capture = view, view.screen, view.capture
        self.which_face = view.tracker.which_face
        self.ended = self.quit = False
        self.told = ""
        self.key_at: float | None = None  # when space was pressed, if nobody took notice yet
        self._dropped = self._number = 0

    def press(self, key: str) -> None:
        """A key other than space and q."""

    def meanwhile(self) -> None:
        """What is done between frames."""

    def grid(self, leave: Callable[[], bool]) -> Iterator[Frame]:
        """Frames at 25 a second, as they come, until `leave` says so, or all ends."""
        shots = self.shots(leave)
        first = next(shots, None)
        if first is not None:
            yield from on_grid(itertools.chain([first], shots), lambda: self.capture.camera.fps)

    def shots(self, leave: Callable[[], bool]) -> Iterator[tuple[float, float, Frame]]:
        """Frames of the camera with time stamp and length in seconds.

        Raises:
            LipsoundError: none comes.
        """
        patience, waited = _FIRST_FRAME if not self._number else _STALLED, 0.0
        while True:
            self._poll()
            if self.quit or leave():
                return
            try:
                shot = self.capture.take(_WAIT)
            except Ended:
                if self.capture.camera.recorded and not self.ended:
                    self.screen.line(f"camera {self.capture.camera.name}: the file ends here")
                self.ended = True
                return
            if shot is not None:
                yield shot.time, shot.length, shot.frame
                patience, waited = _STALLED, 0.0
                continue
            waited += _WAIT  # not by the clock, which goes on while this process is stopped (Ctrl-Z)
            if waited > patience:
                raise LipsoundError(
                    f"--camera {self.capture.camera.name}: gave no frame for {patience:.0f} s; is it still plugged in, "
                    "and free?"
                )

    def see(self, frame: Frame, *, recorded: bool = False) -> Sight:
        """Look at a frame, tell what is to be told, and show it."""
        if not self._number:
            self.screen.line(self._camera_line())
        sight = self._view.tracker.see(frame)
        if line := self._view.watch.add(sight, self.capture.measured):
            self.told = line.partition(":")[0]
            self.screen.line(line)
        if self.capture.dropped > self._dropped:
            if not self._dropped:
                self.screen.line("frames are dropped: this machine is too slow for the camera")
            self._dropped = self.capture.dropped
        if self._number % _DRAWN == 0:
            self.screen.frame(sight, recorded=recorded)
        self._number += 1
        return sight

    def _camera_line(self) -> str:
        """What the camera gives."""
        camera = self.capture.camera
        width, height = camera.size
        reduced = "; that is more than is needed, and is reduced" if max(camera.size) > LONGEST_SIDE else ""
        return f"camera {camera.name}: {width}x{height}, {camera.fps:.3g} frames a second{reduced}"

    def taken_key(self) -> float:
        """When space was pressed, or now; from then on it waits for the next one."""
        at, self.key_at = self.key_at, None
        return time.perf_counter() if at is None else at

    def _poll(self) -> None:
        for keys in (self._view.keys, self.screen):
            for key in itertools.islice(iter(keys.pressed, ""), _KEYS):
                if key in _QUIT:
                    self.quit = True
                elif key == " ":
                    self.key_at = time.perf_counter()
                else:
                    self.press(key)
                if self.quit or self.key_at is not None:
                    break
        self.meanwhile()
