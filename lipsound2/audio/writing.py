"""Speech of any length into sound files, whose suffix says of which kind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from lipsound2.audio.sound import to_int16
from lipsound2.errors import LipsoundError
from lipsound2.files import atomic_path

# Suffix -> format and coding, as libsndfile calls them.
_FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
_HELD = 1 << 24  # bytes: four minutes of 16 kHz; what is longer lies on the disk
_BLOCK = 1 << 14  # samples that are read, or written, at once


def sound_suffixes() -> tuple[str, ...]:
    """Suffixes of sound files that can be written here."""
    return tuple(suffix for suffix, (kind, coding) in _FORMATS.items() if soundfile.check_format(kind, coding))


class Spool:
    """Speech while it is made: how loud it may be is known when all of it is there.

    Sound beyond full scale is turned down as a whole: clipping would be heard, a change of level is not.

    Args:
        rate: samples a second.

    Attributes:
        samples: that came so far.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.samples = 0
        self._peak = 1.0
        self._file = tempfile.SpooledTemporaryFile(_HELD)  # noqa: SIM115 - it lives as long as this object

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *trouble: object) -> None:
        self._file.close()

    def add(self, sound: np.ndarray) -> None:
        """The next samples (n,) float.

        Raises:
            LipsoundError: some of them are not finite.
        """
        sound = np.asarray(sound, np.float32)
        if not np.isfinite(sound).all():
            raise LipsoundError(f"{np.count_nonzero(~np.isfinite(sound))} samples of the speech are not finite")
        self._peak = max(self._peak, float(np.abs(sound).max(initial=0.0)))
        self._file.seek(0, 2)
        self._file.write(sound.tobytes())
        self.samples += len(sound)

    def read(self, first: int, samples: int) -> np.ndarray:
        """`samples` samples from `first` on, or as many as there are; float32 in [-1, 1]."""
        self._file.seek(4 * first)
        return np.frombuffer(self._file.read(4 * samples), np.float32) / np.float32(self._peak)

    def blocks(self) -> Iterator[np.ndarray]:
        """All of it, (n,) float32 in [-1, 1] at a time."""
        for first in range(0, self.samples, _BLOCK):
            yield self.read(first, _BLOCK)

    def write(self, path: Path) -> None:
        """Write a file of 16 bits, or of Vorbis or MP3; whole or not at all.

        Args:
            path: its suffix is one of `sound_suffixes`.
        """
        kind, coding = _FORMATS[path.suffix.lower()]
        with (
            atomic_path(path) as temporary,
            soundfile.SoundFile(temporary, "w", self.rate, 1, coding, format=kind) as file,
        ):
            for block in self.blocks():
                file.write(to_int16(block))
