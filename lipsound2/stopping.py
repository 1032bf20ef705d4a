"""SIGTERM and a closed terminal end a command as Ctrl-C does: workers end, nothing half written stays."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

# Python's default handlers.
_DEFAULTS = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
if hasattr(signal, "SIGHUP"):  # Windows has none
    _DEFAULTS[signal.SIGHUP] = signal.SIG_DFL


class Terminated(KeyboardInterrupt):
    """Raised in the main thread by a signal that asks the process to end.

    Attributes:
        signal: its number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.signal = number


@contextlib.contextmanager
def signals_answered() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Terminated` in the block; by default they end the process without a message.

    If the block raises another error after a signal, Ctrl-C included, the signal was the cause. The import of a C
    library, for one, turns what a handler raises into an error of its own. A second signal ends the process at once. A
    signal that is ignored (`nohup`), or has another handler, is left alone.
    """
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _DEFAULTS}
    taken = [number for number, default in _DEFAULTS.items() if main and before[number] == default]
    received: list[int] = []

    def answer(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, before[signal.Signals(number)])
        raise _asked(number)

    try:
        for number in taken:
            signal.signal(number, answer)
        yield
        if received:  # a callback of a C library may swallow what a handler raises
            raise _asked(received[0])
    except Exception as error:
        if received:
            raise _asked(received[0]) from error
        raise
    finally:
        for number in taken:
            signal.signal(number, before[number])


def _asked(number: int) -> KeyboardInterrupt:
    """What a signal raises."""
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)
