"""Microphones and loudspeakers of this machine by their names, by the package `sounddevice`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lipsound2.errors import LipsoundError, require
from lipsound2.timing import SAMPLE_RATE

DEFAULT = "default"  # the system's own


def device_of(name: str) -> int | str | None:
    """A device as the package names it: its number, a part of its name, or None for the system's own."""
    if name.isdecimal():
        return int(name)
    return None if name in (DEFAULT, "") else name


def open_microphone(take: Callable[[np.ndarray], None], without: str, name: str = DEFAULT, **settings: Any) -> Any:
    """Begin to record at `timing.SAMPLE_RATE`; returns the stream.

    Args:
        take: gets each block (samples,) float32, in a thread of the package, which uses its memory again.
        without: how to do without a microphone, for the message.
        name: `default`, or its number or a part of its name.
        settings: further ones of the package's `InputStream`.

    Raises:
        LipsoundError: the package is not installed, or there is no such microphone.
    """
    package: Any = require("sounddevice", "live")
    try:
        stream = package.InputStream(
            samplerate=SAMPLE_RATE,
            channels=1,
            device=device_of(name),
            callback=lambda block, *_: take(block[:, 0]),
            **settings,
        )
        stream.start()
    except (ValueError, package.PortAudioError) as error:
        raise LipsoundError(f"--microphone: cannot be opened: {error}; {without}") from error
    return stream
