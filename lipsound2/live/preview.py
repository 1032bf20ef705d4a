"""What is shown: lines in the terminal, and a window with the mirrored video and a box around the mouth."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import unicodedata
from collections import deque
from collections.abc import Iterator
from typing import Any, Protocol, TextIO

import cv2
import numpy as np

from lipsound2.live.tracker import Sight
from lipsound2.video.mouth_box import mouth_boxes

_WIDTH = 640  # pixels of the window's video, at most
_SEEN, _RECORDED = (80, 200, 120), (230, 60, 60)  # RGB of the box
_WIPE = "\r\x1b[K"


class Screen(Protocol):
    """Shows what is seen and read."""

    def line(self, text: str) -> None:
        """A line that stays."""

    def status(self, text: str) -> None:
        """What goes on now, in a line that the next one replaces."""

    def frame(self, sight: Sight, *, recorded: bool) -> None:
        """What the camera sees."""

    def pressed(self) -> str:
        """The next key that was pressed here, without waiting; empty: none."""

    def close(self) -> None:
        """Put things back as they were."""


class Terminal:
    """A terminal; a file or a pipe gets the lines that stay, alone.

    Args:
        stream: where it is.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._status = ""

    def line(self, text: str) -> None:
        """See `Screen`."""
        self._stream.write((_WIPE if self._live and self._status else "") + _visible(text) + "\n")
        if self._live:
            self._stream.write(self._status)
        self._stream.flush()

    def status(self, text: str) -> None:
        """See `Screen`. What is wider than the terminal is cut off: a line that wraps could not be replaced."""
        if not self._live:
            return
        text = _visible(text)[: shutil.get_terminal_size().columns - 1]
        if text != self._status:
            self._status = text
            self._stream.write(_WIPE + text)
            self._stream.flush()

    def frame(self, sight: Sight, *, recorded: bool) -> None:
        """See `Screen`: a terminal shows none."""

    def pressed(self) -> str:
        """See `Screen`: `keys` reads those of a terminal."""
        return ""

    def close(self) -> None:
        """See `Screen`."""
        self.status("")


def _visible(text: str) -> str:
    """A text whose control characters, such as in somebody's own sentences, do nothing to the terminal."""
    return "".join(ascii(mark)[1:-1] if unicodedata.category(mark) == "Cc" else mark for mark in text)


class Window:
    """A window beside the terminal, by tkinter, which comes with Python: video, status, and the last lines.

    Args:
        terminal: gets all lines too.

    Raises:
        LookupError: there is no display, or no tkinter; the message says which.
    """

    _LINES = 12

    def __init__(self, terminal: Terminal) -> None:
        try:
            import tkinter
        except ImportError as error:
            raise LookupError(f"Python has no tkinter ({error}); on Debian: sudo apt-get install python3-tk") from error
        if sys.platform == "linux" and not os.environ.get("DISPLAY"):
            raise LookupError("there is no display")
        try:
            self._root: Any = tkinter.Tk()
        except tkinter.TclError as error:
            raise LookupError(str(error)) from error
        self._terminal = terminal
        self._keys: deque[str] = deque()
        self._texts: deque[str] = deque(maxlen=self._LINES)
        self._photo_image = tkinter.PhotoImage
        self._root.title("lipsound2 live")
        self._video = tkinter.Label(self._root)
        self._video.pack()
        self._state = tkinter.Label(self._root, anchor="w", font=("TkDefaultFont", 14, "bold"))
        self._state.pack(fill="x", padx=8, pady=4)
        self._answers = tkinter.Label(self._root, anchor="nw", justify="left", wraplength=_WIDTH)
        self._answers.pack(fill="both", padx=8, pady=4)
        self._root.bind("<Key>", lambda event: self._keys.append(event.char))
        self._root.protocol("WM_DELETE_WINDOW", lambda: self._keys.append("q"))
        self._root.update()

    def line(self, text: str) -> None:
        """See `Screen`."""
        self._terminal.line(text)
        self._texts.append(text)
        self._answers.configure(text="\n".join(self._texts))
        self._root.update()

    def status(self, text: str) -> None:
        """See `Screen`."""
        self._terminal.status(text)
        self._state.configure(text=text)
        self._root.update()

    def frame(self, sight: Sight, *, recorded: bool) -> None:
        """See `Screen`."""
        image = preview_image(sight, recorded=recorded)
        height, width = image.shape[:2]
        shown = self._photo_image(data=b"P6 %d %d 255\n" % (width, height) + image.tobytes())
        self._video.configure(image=shown)
        self._shown = shown  # tkinter itself keeps no reference
        self._root.update()

    def pressed(self) -> str:
        """See `Screen`."""
        while self._keys:
            if key := self._keys.popleft():
                return key
        return ""

    def close(self) -> None:
        """See `Screen`."""
        self._terminal.close()
        self._root.destroy()


@contextlib.contextmanager
def find_screen(preview: str) -> Iterator[Screen]:
    """The window, or the terminal alone where there is no display; as it was before behind the block.

    Args:
        preview: `window`, or `off`.
    """
    terminal = Terminal(sys.stdout)
    screen: Screen = terminal
    if preview == "window":
        try:
            screen = Window(terminal)
        except LookupError as error:
            terminal.line(f"no window: {error}; --preview off goes without")
    try:
        yield screen
    finally:
        screen.close()


def preview_image(sight: Sight, *, recorded: bool) -> np.ndarray:
    """A frame as a mirror shows it, with a box around the mouth: (H, W, 3) uint8 RGB, at most `_WIDTH` wide.

    Args:
        sight: the frame and its faces.
        recorded: the box is red while it is recorded, green else.
    """
    rgb = sight.frame.rgb(max(sight.frame.size))
    scale = min(1.0, _WIDTH / rgb.shape[1])
    image = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else rgb.copy()
    if sight.face is not None:
        x0, y0, x1, y1 = (round(float(edge)) for edge in mouth_boxes(sight.face.points[None])[0] * scale)
        cv2.rectangle(image, (x0, y0), (x1, y1), _RECORDED if recorded else _SEEN, 2)
    return np.ascontiguousarray(image[:, ::-1])
