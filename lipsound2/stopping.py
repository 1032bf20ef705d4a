"""SIGTERM and a closed terminal end a command as Ctrl-C does: workers end, nothing half written stays."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


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

    A signal that is ignored (`nohup`), or heard by somebody else, is left alone.
    """
    main = threading.current_thread() is threading.main_thread()
    taken = [number for number in _SIGNALS if main and signal.getsignal(number) == signal.SIG_DFL]
    try:
        for number in taken:
            signal.signal(number, terminate)
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def terminate(number: int, frame: FrameType | None) -> None:
    """The handler: it raises `Terminated` once; whoever asks twice does not want to wait."""
    signal.signal(number, signal.SIG_DFL)
    raise Terminated(number)
