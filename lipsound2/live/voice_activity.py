"""Whether somebody is heard, at the time of each frame: by the audio of a file, or a microphone."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Protocol

import numpy as np

from lipsound2.audio.io import audio_in_blocks
from lipsound2.errors import ClipFailure
from lipsound2.inference.pauses import LEVELS, levels_of
from lipsound2.live.audio_devices import open_microphone
from lipsound2.timing import SAMPLE_RATE

_ABOVE = 15.0  # dB above the quietest tenth, at which somebody is heard
_REMEMBERED = 3000  # levels of a microphone: half a minute


class VoiceActivity(Protocol):
    """Tells when somebody is heard."""

    def heard(self, seconds: float) -> bool | None:
        """Whether somebody is heard so many seconds behind the first frame; None: it cannot be told."""


class NoAudio:
    """There is none."""

    def heard(self, seconds: float) -> bool | None:
        """See `VoiceActivity`."""
        return None


class FileAudio:
    """The audio of the file that is played as a camera; the same as none where it has none, or it is all alike.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._levels = levels_of(audio_in_blocks(path), SAMPLE_RATE)
        except ClipFailure:
            self._levels = np.zeros(0)
        quiet, loud = np.percentile(self._levels, (10, 95)) if len(self._levels) else (0.0, 0.0)
        self._least = quiet + _ABOVE if loud - quiet > _ABOVE else None

    def heard(self, seconds: float) -> bool | None:
        """See `VoiceActivity`."""
        at = round(seconds * LEVELS)
        if self._least is None or not 0 <= at < len(self._levels):
            return None
        return bool(self._levels[max(0, at - 2) : at + 3].max() > self._least)


class Microphone:
    """A microphone of this machine. Its audio is measured, and kept nowhere.

    Raises:
        LipsoundError: the package is not installed, or there is no microphone.
    """

    def __init__(self) -> None:
        self._levels: deque[float] = deque(maxlen=_REMEMBERED)
        self._stream = open_microphone(self._take, "leave it out to go by the lips", blocksize=SAMPLE_RATE // LEVELS)

    def heard(self, seconds: float) -> bool | None:
        """See `VoiceActivity`: of this moment."""
        levels = np.array(self._levels)
        if len(levels) < LEVELS:
            return None
        return bool(levels[-5:].max() > np.percentile(levels, 10) + _ABOVE)

    def _take(self, block: np.ndarray) -> None:
        self._levels.extend(levels_of([block], SAMPLE_RATE).tolist())
