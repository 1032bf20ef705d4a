"""Write speech of any length as an audio file, in the format of its suffix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from lipsound2.audio.io import to_int16
from lipsound2.audio.waveform_buffer import WaveformBuffer
from lipsound2.errors import LipsoundError
from lipsound2.files import atomic_path

# Suffix -> format and coding, as libsndfile calls them.
_FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}


def audio_suffixes() -> tuple[str, ...]:
    """Suffixes of audio files that can be written here."""
    return tuple(suffix for suffix, (kind, coding) in _FORMATS.items() if soundfile.check_format(kind, coding))


class Spool:
    """Speech while it is generated. Its level is settled when all of it is there.

    Audio beyond full scale is turned down as a whole: clipping would be heard, a change of level is not.

    Args:
        rate: samples a second.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._buffer = WaveformBuffer()

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *error: object) -> None:
        self._buffer.close()

    def add(self, waveform: np.ndarray) -> None:
        """The next samples (n,) float.

        Raises:
            LipsoundError: some of them are not finite.
        """
        waveform = np.asarray(waveform, np.float32)
        if not np.isfinite(waveform).all():
            raise LipsoundError(f"{np.count_nonzero(~np.isfinite(waveform))} samples of the speech are not finite")
        self._buffer.add(waveform)

    def read(self, first: int, samples: int) -> np.ndarray:
        """`samples` samples from `first` on, or as many as there are; float32 in [-1, 1]."""
        return self._down(self._buffer.read(first, samples))

    def blocks(self) -> Iterator[np.ndarray]:
        """All of it, (n,) float32 in [-1, 1] at a time."""
        return map(self._down, self._buffer.blocks())

    def write(self, path: Path) -> None:
        """Write a file of 16 bits, or of Vorbis or MP3; whole or not at all.

        Args:
            path: its suffix is one of `audio_suffixes`.
        """
        kind, coding = _FORMATS[path.suffix.lower()]
        with (
            atomic_path(path) as temporary,
            soundfile.SoundFile(temporary, "w", self.rate, 1, coding, format=kind) as file,
        ):
            for block in self.blocks():
                file.write(to_int16(block))

    def _down(self, waveform: np.ndarray) -> np.ndarray:
        return waveform / np.float32(max(1.0, self._buffer.loudest))
