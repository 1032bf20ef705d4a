"""The loudspeaker. Where there is none, speech is written into a folder, and a line says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lipsound2.errors import LipsoundError, require


class Loudspeaker(Protocol):
    """Plays speech."""

    def play(self, waveform: np.ndarray, rate: int) -> None:
        """Begin to play (samples,) float32 in [-1, 1] and return; what is played is broken off.

        Args:
            waveform: what is played.
            rate: samples a second.

        Raises:
            LipsoundError: the loudspeaker is gone.
        """

    def wait(self) -> None:
        """Until it was played."""


class Silent:
    """No loudspeaker."""

    def play(self, waveform: np.ndarray, rate: int) -> None:
        """See `Loudspeaker`."""

    def wait(self) -> None:
        """See `Loudspeaker`."""


class SoundDevice:
    """A loudspeaker of this machine, by the package `sounddevice`.

    Args:
        name: its number or a part of its name; empty: the system's own.

    Raises:
        LipsoundError: the package is not installed, or there is no such loudspeaker.
    """

    def __init__(self, name: str = "") -> None:
        self._package: Any = require("sounddevice", "live")
        self._device = int(name) if name.isdecimal() else name or None
        try:
            self._package.query_devices(self._device, "output")
        except (ValueError, self._package.PortAudioError) as error:
            known = [each["name"] for each in self._package.query_devices() if each["max_output_channels"]]
            which = f"there is none called '{name}'" if name else "this machine has none"
            raise LipsoundError(f"{which}; found: {', '.join(known) or 'nothing that plays'}") from error

    def play(self, waveform: np.ndarray, rate: int) -> None:
        """See `Loudspeaker`."""
        try:
            self._package.play(waveform, rate, device=self._device)
        except (ValueError, self._package.PortAudioError) as error:
            raise LipsoundError(f"the loudspeaker cannot play: {error}") from error

    def wait(self) -> None:
        """See `Loudspeaker`."""
        self._package.wait()


def find_loudspeaker(name: str) -> tuple[Loudspeaker, str]:
    """A loudspeaker, and why there is none that was wanted; empty: all is well.

    Args:
        name: `default`, `off`, or its name or number.
    """
    if name == "off":
        return Silent(), ""
    try:
        return SoundDevice("" if name == "default" else name), ""
    except LipsoundError as error:
        return Silent(), f"no loudspeaker: {error}"


class Kept:
    """A folder in which what was said is kept: 001.wav with its text 001.txt, 002.wav, ...; what is there stays.

    Args:
        folder: made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = max((int(path.stem) for path in folder.glob("*.txt") if path.stem.isdecimal()), default=0)

    def next(self) -> Path:
        """The next name, without a suffix."""
        self._number += 1
        return self.folder / f"{self._number:03d}"
