"""Arrays of many clips by name; on disk once there are more than a few."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from lipsound2.audio.waveform_buffer import WaveformBuffer


class ArrayStore(Mapping[str, np.ndarray]):
    """A mapping from names to float32 arrays. Each comes back as a fresh, writable copy."""

    def __init__(self) -> None:
        self._buffer = WaveformBuffer()
        self._places: dict[str, tuple[int, tuple[int, ...]]] = {}

    def put(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Add arrays under new names."""
        for name, array in arrays.items():
            self._places[name] = len(self._buffer), array.shape
            self._buffer.add(array.reshape(-1))

    def __getitem__(self, name: str) -> np.ndarray:
        first, shape = self._places[name]
        return self._buffer.read(first, int(np.prod(shape))).reshape(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
