"""A dump of audio and its data dir, for tests that need nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from helpers.written_dump import write_kind
from lipsound2.audio.io import encode_flac
from lipsound2.data.datadir import DataDir


def tone(samples: int, hertz: float, seed: int = 0) -> np.ndarray:
    """A buzz (samples,) float32 of that pitch, its level rising and falling, in a little noise."""
    times = np.arange(samples) / 16000
    buzz = sum(np.sin(2 * np.pi * hertz * harmonic * times) / harmonic for harmonic in range(1, 9))
    level = 0.1 * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * times + seed))
    return (level * buzz + 0.002 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def write_audio(dump: Path, audio: Mapping[str, np.ndarray]) -> DataDir:
    """Write DUMP/audio, and a data dir of these clips beside the dump."""
    entries = {name: encode_flac(waveform) for name, waveform in audio.items()}
    samples = {name: len(waveform) for name, waveform in audio.items()}
    write_kind(dump / "audio", entries, samples, {"kind": "audio"})
    return DataDir.write(dump.parent / "data", utt2spk=dict.fromkeys(audio, "s1"))
