"""A buffer for audio of any length: short audio lies in memory, longer audio in a temporary file."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator

import numpy as np

from lipsound2.files import naming

BLOCK = 1 << 14  # samples that are read at once
_HELD = 1 << 24  # bytes: four minutes of 16 kHz; longer audio lies on the disk
_ITEM = 4  # bytes a sample


class WaveformBuffer:
    """One channel of audio that is written once, from its beginning to its end, and read to and fro, by any thread.

    Attributes:
        loudest: largest absolute value; NaN if any sample is.
    """

    def __init__(self) -> None:
        self.loudest = 0.0
        self._samples = 0
        self._lock = threading.Lock()  # a place in the file is sought, then used
        self._file = tempfile.SpooledTemporaryFile(_HELD)  # noqa: SIM115 - it lives as long as this object

    def __del__(self) -> None:
        self.close()

    def __len__(self) -> int:
        """Samples so far."""
        return self._samples

    def add(self, waveform: np.ndarray) -> None:
        """The next samples (n,) float.

        Raises:
            OSError: the folder for temporary files cannot take them; it is named.
        """
        waveform = np.ascontiguousarray(waveform, np.float32)
        self.loudest = float(np.maximum(self.loudest, np.abs(waveform).max(initial=0.0)))
        with self._lock, naming(tempfile.gettempdir()):
            self._file.seek(0, 2)
            self._file.write(waveform.tobytes())
        self._samples += len(waveform)

    def silence(self, samples: int) -> None:
        """So many zeros next."""
        for first in range(0, samples, BLOCK):
            self.add(np.zeros(min(BLOCK, samples - first), np.float32))

    def read(self, first: int, samples: int) -> np.ndarray:
        """`samples` samples from `first` on, or as many as there are; float32."""
        found = np.empty(max(0, min(samples, self._samples - first)), np.float32)
        with self._lock, naming(tempfile.gettempdir()):
            self._file.seek(_ITEM * first)
            self._file.readinto(found.view(np.uint8).data)
        return found

    def blocks(self, samples: int = BLOCK) -> Iterator[np.ndarray]:
        """All of it, `samples` (n,) float32 at a time."""
        for first in range(0, self._samples, samples):
            yield self.read(first, samples)

    def close(self) -> None:
        """Free the samples."""
        self._file.close()
