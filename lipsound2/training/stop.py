"""SIGTERM and Ctrl-C: say so at once, finish the update, write a checkpoint, leave."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger(__name__)


class StopAsked(BaseException):
    """Raised out of work that may be cut short, such as an evaluation; no error, so nothing there catches it."""


class StopSwitch:
    """Remembers that someone asked the training to stop.

    Args:
        patient: a second Ctrl-C is not a plain one (under torchrun, which passes on what the terminal sent already).

    Attributes:
        signal: the signal that came, 0 as long as none did.
    """

    def __init__(self, patient: bool = False) -> None:
        self.signal = 0
        self._patient = patient
        self._may_raise = False

    @property
    def status(self) -> int:
        """The exit status a shell expects of a process that such a signal ended."""
        return 128 + self.signal

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Take over both signals for the block."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        with _told_at_once():
            before = {number: signal.signal(number, self._hear) for number in (signal.SIGTERM, signal.SIGINT)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    @contextmanager
    def may_raise(self) -> Iterator[None]:
        """A block that a signal cuts short by `StopAsked`."""
        if self.signal:
            raise StopAsked
        self._may_raise = True
        try:
            yield
        finally:
            self._may_raise = False

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.signal == signal.SIGINT == number and not self._patient:
            raise KeyboardInterrupt
        self.signal = number
        if self._may_raise:
            self._may_raise = False
            raise StopAsked


@contextmanager
def _told_at_once() -> Iterator[None]:
    """A block in which a signal is logged the moment it comes.

    Python calls a signal's handler between two of its own steps, and a backward pass is one step, of seconds. So the
    interpreter is asked to write each signal's number into a pipe, and a thread reads there.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    teller = threading.Thread(target=_tell, args=(reading,), daemon=True)
    teller.start()
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.write(writing, b"\0")
        teller.join()
        os.close(reading)
        os.close(writing)


def _tell(reading: int) -> None:
    """Say what every signal sets off, until a zero is read."""
    while number := os.read(reading, 1)[0]:
        if number in (signal.SIGTERM, signal.SIGINT):
            log.info(
                "%s: this update is finished and a checkpoint written, then the training stops",
                signal.Signals(number).name,
            )
