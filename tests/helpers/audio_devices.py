"""The package `sounddevice` without a machine's hardware."""

from __future__ import annotations

import types
from collections.abc import Callable


class FakeSoundDevice(types.ModuleType):
    """What the project takes of the package.

    Args:
        devices: names of loudspeakers.

    Attributes:
        devices: likewise; one is unplugged by taking it out.
        played: (waveform, rate, device) of all that was played.
        streams: of microphones that are open; a test calls `callback` with what is heard.
    """

    class PortAudioError(Exception):
        pass

    def __init__(self, devices: list[str]) -> None:
        super().__init__("sounddevice")
        self.devices, self.played, self.streams = devices, [], []

    def query_devices(self, device=None, kind=None):
        if kind is None:
            return [{"name": name, "max_output_channels": 2} for name in self.devices]
        if not self.devices or (isinstance(device, str) and device not in self.devices):
            raise ValueError("No output device matching")
        return {}

    def play(self, waveform, rate, device=None):
        if not self.devices:
            raise self.PortAudioError("device unavailable")
        self.played.append((waveform, rate, device))

    def wait(self):
        pass

    def InputStream(self, callback: Callable[..., None], **_: object) -> _Stream:
        return _Stream(self.streams, callback)


class _Stream:
    def __init__(self, among: list[_Stream], callback: Callable[..., None]) -> None:
        self.callback, self._among = callback, among
        among.append(self)

    def start(self) -> None:
        pass

    def close(self) -> None:
        self._among.remove(self)


class Player:
    """A loudspeaker that notes what it is given.

    Attributes:
        played: samples and rate of each.
    """

    def __init__(self) -> None:
        self.played: list[tuple[int, int]] = []

    def play(self, waveform, rate):
        self.played.append((len(waveform), rate))

    def wait(self):
        pass
