"""The audio beside what a camera records: of a microphone, of the file that is played, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from lipsound2.audio.io import load_audio
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.live.audio_devices import DEFAULT, open_microphone
from lipsound2.timing import SAMPLE_RATE


class AudioInput(Protocol):
    """Records at `timing.SAMPLE_RATE`."""

    def begin(self, stamp: float) -> None:
        """Record from now on, as the frame with this time stamp is there."""

    def end(self, seconds: float) -> np.ndarray | None:
        """(seconds * rate,) float32 from the first frame on; None: there is no audio."""

    def close(self) -> None:
        """Let go of the microphone."""


class NoInput:
    """Video alone."""

    def begin(self, stamp: float) -> None:
        """See `AudioInput`."""

    def end(self, seconds: float) -> np.ndarray | None:
        """See `AudioInput`."""
        return None

    def close(self) -> None:
        """See `AudioInput`."""


class FileInput:
    """The audio of the file that is played as a camera, in step with its frames.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._start = path, 0.0

    def begin(self, stamp: float) -> None:
        """See `AudioInput`."""
        self._start = stamp

    def end(self, seconds: float) -> np.ndarray | None:
        """See `AudioInput`."""
        try:
            return load_audio(self._path, start=self._start, seconds=seconds)
        except ClipFailure as failure:
            if failure.reason == "no-audio":
                return None
            raise LipsoundError(f"{self._path}: {failure.detail}") from failure

    def close(self) -> None:
        """See `AudioInput`."""


class MicrophoneInput:
    """A microphone of this machine.

    Args:
        name: `default`, or its number or a part of its name.

    Raises:
        LipsoundError: the package is not installed, or there is no such microphone.
    """

    def __init__(self, name: str = DEFAULT) -> None:
        self._blocks: list[np.ndarray] = []
        self._open = False
        self._stream = open_microphone(self._take, "off records the video alone", name, latency="low")

    def begin(self, stamp: float) -> None:
        """See `AudioInput`."""
        self._blocks, self._open = [], True

    def end(self, seconds: float) -> np.ndarray | None:
        """See `AudioInput`."""
        self._open = False
        wanted = round(seconds * SAMPLE_RATE)
        found = np.concatenate([*self._blocks, np.zeros(0, np.float32)])[:wanted]
        return np.pad(found, (0, wanted - len(found)))

    def close(self) -> None:
        """See `AudioInput`."""
        self._stream.close()

    def _take(self, block: np.ndarray) -> None:
        if self._open:
            self._blocks.append(block.copy())
