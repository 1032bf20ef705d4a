"""Warnings of ffmpeg, gathered for the file that they are about.

ffmpeg logs in the thread that calls it. One list a thread collects the messages while the thread has files open, and is
read after every call. A list for every call would take longer than reading a packet.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import av.logging

_Message = tuple[int, str, str]  # level, who, what


class LogCapture:
    """A block of work on one file; warnings of ffmpeg meanwhile are added to the file's lines, each once.

    Args:
        lines: of the file.
        messages: of ffmpeg in this thread.
    """

    def __init__(self, lines: list[str], messages: list[_Message]) -> None:
        self._lines = lines
        self._messages = messages

    def __enter__(self) -> None:
        self._messages.clear()  # of work on something else

    def __exit__(self, *error: object) -> None:
        for _, who, what in self._messages:
            line = f"{who}: {what.strip()}"
            if line not in self._lines:
                self._lines.append(line)
        self._messages.clear()


class _WhileOpen:
    """What is set up with the first of several open files, and put back behind the last.

    Args:
        begin: sets it up.
        end: puts it back.
    """

    def __init__(self, begin: Callable[[], object], end: Callable[[], object]) -> None:
        self._begin = begin
        self._end = end
        self._files = 0

    def opened(self) -> None:
        """One more file."""
        if not self._files:
            self._begin()
        self._files += 1

    def closed(self) -> None:
        """One file less."""
        self._files -= 1
        if not self._files:
            self._end()


class _Level:
    """The level that PyAV logs at: warnings while files are open, then as it was before."""

    def __init__(self) -> None:
        self._before: tuple[int | None, bool] = (None, True)

    def warnings(self) -> None:
        self._before = av.logging.get_level(), av.logging.get_skip_repeated()
        av.logging.set_level(av.logging.WARNING)
        av.logging.set_skip_repeated(False)  # what is held back would be logged for the next file

    def as_before(self) -> None:
        av.logging.set_level(self._before[0])
        av.logging.set_skip_repeated(self._before[1])


class _Thread(threading.local):
    def __init__(self) -> None:
        self.capture = capture = av.logging.Capture()
        self.files = _WhileOpen(capture.__enter__, lambda: capture.__exit__(None, None, None))


_level = _Level()
_all = _WhileOpen(_level.warnings, _level.as_before)
_lock = threading.Lock()
_thread = _Thread()


@contextlib.contextmanager
def capture_log(lines: list[str]) -> Iterator[LogCapture]:
    """Collect messages of ffmpeg in this thread while a file is open; several may be, closed in any order.

    Args:
        lines: of the file.
    """
    # A generator that reads a file may be closed by another thread than the one that opened it.
    files, messages = _thread.files, _thread.capture.logs
    with _lock:
        _all.opened()
        files.opened()
    try:
        yield LogCapture(lines, messages)
    finally:
        with _lock:
            files.closed()
            _all.closed()
