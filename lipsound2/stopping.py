"""SIGTERM and a closed terminal end a command as Ctrl-C does: workers end, nothing half written stays."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

# What Python does at a signal that nobody has asked to hear.
_DEFAULTS = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
}


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
    """Let SIGTERM and SIGHUP raise `Terminated` in the block, where they would end the process without a word.

    A block that ends by an error after a signal, Ctrl-C included, was ended by the signal: the import of a C library,
    for one, makes an error of its own of what a handler raises. Whoever asks twice does not want to wait. A signal that
    is ignored (`nohup`), or heard by somebody else, is left alone.
    """
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _DEFAULTS}
    taken = [number for number, default in _DEFAULTS.items() if main and before[number] == default]
    heard: list[int] = []

    def answer(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        signal.signal(number, before[signal.Signals(number)])
        raise _asked(number)

    try:
        for number in taken:
            signal.signal(number, answer)
        yield
    except Exception as error:
        if heard:
            raise _asked(heard[0]) from error
        raise
    finally:
        for number in taken:
            signal.signal(number, before[number])


def _asked(number: int) -> KeyboardInterrupt:
    """What a signal raises."""
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)
