"""Keys: from a terminal without waiting for Enter, from a pipe, or from a window."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator
from typing import Protocol, TextIO

# Arrow keys and the like come as a few characters behind an escape; alone it is a key.
_SEQUENCE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|O[A-Za-z]|[^\x1b])")


class Keys(Protocol):
    """Keys that were pressed.

    Attributes:
        by_hand: whether somebody presses them, who may press another one at any time.
    """

    by_hand: bool

    def pressed(self) -> str:
        """The next key, one character, without waiting; empty: none."""


class NoKeys:
    """Where nobody can press one."""

    by_hand = False

    def pressed(self) -> str:
        """See `Keys`."""
        return ""


class StreamKeys:
    """Keys of a terminal or a pipe: each character is one.

    Args:
        stream: the terminal or pipe.
    """

    def __init__(self, stream: TextIO) -> None:
        self._number = stream.fileno()
        self.by_hand = stream.isatty()
        self._open = True
        self._waiting: deque[str] = deque()

    def pressed(self) -> str:
        """See `Keys`."""
        if self._open and not self._waiting and select.select([self._number], [], [], 0)[0]:
            found = os.read(self._number, 64)
            self._open = bool(found)
            self.by_hand &= self._open
            self._waiting.extend(_SEQUENCE.sub("", found.decode("utf-8", "ignore")))
        return self._waiting.popleft() if self._waiting else ""


class WindowsKeys:
    """Keys of the console of Windows."""

    by_hand = True

    def pressed(self) -> str:
        """See `Keys`."""
        import msvcrt

        found: str = msvcrt.getwch() if msvcrt.kbhit() else ""  # type: ignore[attr-defined]
        return found


@contextlib.contextmanager
def terminal_keys() -> Iterator[Keys]:
    """Keys of standard input; a terminal gives each at once in this block, and does not show it."""
    stream = sys.stdin
    if stream is None or stream.closed:
        yield NoKeys()
        return
    if sys.platform == "win32":
        yield WindowsKeys() if stream.isatty() else NoKeys()
        return
    if not stream.isatty():
        yield StreamKeys(stream)
        return
    import termios
    import tty

    number = stream.fileno()
    before = termios.tcgetattr(number)

    def again(*_: object) -> None:
        """The shell took the terminal back while this process was stopped (Ctrl-Z)."""
        tty.setcbreak(number)

    main = threading.current_thread() is threading.main_thread()
    other = signal.signal(signal.SIGCONT, again) if main else None
    try:
        tty.setcbreak(number)
        termios.tcflush(number, termios.TCIFLUSH)  # what was pressed before anything was to be seen
        yield StreamKeys(stream)
    finally:
        if main:
            signal.signal(signal.SIGCONT, other)
        termios.tcsetattr(number, termios.TCSADRAIN, before)
