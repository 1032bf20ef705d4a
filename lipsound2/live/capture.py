"""A thread that takes frames from a camera as they come, so that none is late because something else is computed."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator

import numpy as np

from lipsound2.live.camera import Camera, Shot

_WAITING = 50  # frames that may wait, at most: two seconds
_SHOWN = 30  # frames over which the rate is measured


class Ended(Exception):  # noqa: N818 - no error of its own
    """The camera gives no more frames."""


class Capture:
    """The frames of a camera, one after the other.

    Args:
        camera: where they come from.

    Attributes:
        camera: likewise.
        dropped: frames that were thrown away because nobody took them in time.
        skipped: frames that the camera itself left out, by its time stamps.
    """

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.dropped = self.skipped = 0
        self._queue: deque[Shot] = deque()
        self._stamps: deque[float] = deque(maxlen=_SHOWN)
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._over = self._unattended = False
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def take(self, timeout: float) -> Shot | None:
        """The next frame; None if there was none in so many seconds.

        Raises:
            Ended: there are no more.
            LipsoundError: the camera cannot be opened, or broke.
        """
        with self._changed:
            if not self._queue and not self._over:
                self._changed.wait(timeout)
            if self._queue:
                return self._queue.popleft()
            if self._error is not None:
                raise self._error
            if self._over:
                raise Ended
            return None

    @property
    def lost(self) -> int:
        """Frames that did not arrive, on either side."""
        return self.dropped + self.skipped

    @property
    def measured(self) -> float | None:
        """Frames a second, by the time stamps of the last ones; None: too few came so far."""
        with self._changed:
            stamps = [*self._stamps]
        return (len(stamps) - 1) / (stamps[-1] - stamps[0]) if len(stamps) >= 5 and stamps[-1] > stamps[0] else None

    @contextlib.contextmanager
    def unattended(self) -> Iterator[None]:
        """Frames that come in this block are wanted by nobody, and do not count as dropped."""
        with self._changed:
            self._queue.clear()
            self._unattended = True
        try:
            yield
        finally:
            self._unattended = False

    def close(self) -> None:
        """Let go of the camera."""
        self._stop.set()
        self._thread.join(2.0)

    def _run(self) -> None:
        try:
            for shot in self.camera.shots(self._stop):
                with self._changed:
                    self._note(shot.time)
                    if not self._unattended:
                        self._queue.append(shot)
                    if len(self._queue) > _WAITING:
                        self._queue.popleft()
                        self.dropped += 1
                    self._changed.notify()
                if self._stop.is_set():
                    break
        except Exception as error:  # noqa: BLE001 - raised again by `take`, in the thread that can tell it
            self._error = error
        finally:
            with self._changed:
                self._over = True
                self._changed.notify()

    def _note(self, stamp: float) -> None:
        """Count what is missing between a frame and the one before: a gap of two steps or more, in a steady rate."""
        if len(self._stamps) == _SHOWN:
            step = float(np.median(np.diff(self._stamps)))
            self.skipped += max(0, round((stamp - self._stamps[-1]) / step) - 1)
        self._stamps.append(stamp)
