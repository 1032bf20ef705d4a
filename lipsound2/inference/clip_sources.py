"""Where `decode` reads clips: features of a dump, or audio files. Picklable: every job opens its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from lipsound2.audio.io import decode_flac
from lipsound2.audio.kind import holds_audio
from lipsound2.audio.mel_settings import SPEECH
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.crop_cache import Frames
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.fingerprint import digest
from lipsound2.jobs.shards import hash_of
from lipsound2.metrics.audio_sources import read_wav


class ClipSource(Protocol):
    """Clips by id."""

    def open(self) -> Callable[[str], np.ndarray]:
        """A function from a clip's id to the recognizer's input; it raises ClipFailure where there is none."""


@dataclass(frozen=True)
class DumpSource:
    """Clips in an archive of a dump: waveforms, crops, or states of a trunk.

    Attributes:
        folder: of the feature type, such as DUMP/mouth.
    """

    folder: Path

    def open(self) -> Callable[[str], np.ndarray]:
        """See `ClipSource`."""
        archive = Archive(self.folder)
        frames, waveforms = Frames(archive), holds_audio(self.folder)

        def read(name: str) -> np.ndarray:
            if name not in archive:
                raise ClipFailure("missing", f"{name} is not in {self.folder}")
            return _long_enough(decode_flac(archive[name])) if waveforms else frames[name]

        return read


@dataclass(frozen=True)
class WavSource:
    """Clips in audio files that libsndfile reads (wav, flac, ogg, mp3).

    Attributes:
        files: id -> path.
    """

    files: Mapping[str, str]

    @staticmethod
    def of(data: DataDir) -> WavSource:
        """The files of a data dir's `wav.scp`.

        Raises:
            LipsoundError: it has no wav.scp, its clips are segments of longer files, or none of the files exists.
        """
        if not data.wav:
            raise LipsoundError(
                f"{data.path}: has no wav.scp to recognize; to read the features of a dump, give --dump"
            )
        if (data.path / "segments").exists():
            raise LipsoundError(
                f"{data.path}: its clips are segments of longer files; cut them with lipsound2 mel, then give --dump"
            )
        files = dict(data.wav)
        if not any(Path(path).is_file() for path in files.values()):
            first = next(iter(files.values()))
            raise LipsoundError(f"{data.path}/wav.scp: none of its {len(files)} files is there, '{first}' first")
        return WavSource(files)

    def open(self) -> Callable[[str], np.ndarray]:
        """See `ClipSource`."""
        return lambda name: _long_enough(read_wav(self.files[name]))

    def content(self) -> str:
        """Digest of all files with their ids."""
        return hash_of([[name, digest(path)] for name, path in sorted(self.files.items())])


def _long_enough(waveform: np.ndarray) -> np.ndarray:
    """The waveform, if features can be made of it: one empty file must not end the work on all others.

    Raises:
        ClipFailure: it is shorter.
    """
    if len(waveform) < SPEECH.shortest:
        raise ClipFailure("too-short", f"{len(waveform)} samples of audio, at least {SPEECH.shortest} wanted")
    return waveform
