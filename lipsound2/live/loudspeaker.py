"""The loudspeaker, or why there is none."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from lipsound2.errors import LipsoundError, require
from lipsound2.live.audio_devices import DEFAULT, device_of


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
        name: `default`, or its number or a part of its name.

    Raises:
        LipsoundError: the package is not installed, or there is no such loudspeaker.
    """

    def __init__(self, name: str = DEFAULT) -> None:
        self._package: Any = require("sounddevice", "live")
        self._device = device_of(name)
        try:
            self._package.query_devices(self._device, "output")
        except (ValueError, self._package.PortAudioError) as error:
            known = [each["name"] for each in self._package.query_devices() if each["max_output_channels"]]
            which = "this machine has none" if self._device is None else f"there is none called '{name}'"
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
        return SoundDevice(name), ""
    except LipsoundError as error:
        return Silent(), f"no loudspeaker: {error}"
