"""Dumps written by hand: a kind of entries, and a whole dump of three clips."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lipsound2.audio.io import encode_flac
from lipsound2.audio.mel import MELS, mel_spectrogram
from lipsound2.audio.statistics import sums
from lipsound2.config import to_mapping
from lipsound2.data.archive import ArchiveWriter
from lipsound2.data.datadir import DataDir, write_table
from lipsound2.data.yaml_files import write_yaml
from lipsound2.video.encode import encode

LENGTHS = {"s1-a": 20, "s1-b": 16, "s1-c": 12}  # clip -> video frames


def write_kind(
    folder: Path, entries: Mapping[str, np.ndarray], frames: Mapping[str, int], meta: Mapping[str, Any]
) -> None:
    """Write a folder of a dump: the archive, the clips' numbers of frames, and kind.yaml."""
    with ArchiveWriter(folder / "feats.ark", folder / "feats.scp") as archive:
        for name in sorted(entries):
            archive.write(name, entries[name])
    write_table(folder / "utt2num_frames", {name: str(count) for name, count in frames.items()})
    write_yaml(folder / "kind.yaml", meta)


def write_dump(folder: Path) -> DataDir:
    """A data dir of three clips and, beside it, their dump: noise under a moving ramp, every kind that recipes name."""
    rng = np.random.default_rng(0)
    audio = {name: (0.1 * rng.standard_normal(640 * count)).astype(np.float32) for name, count in LENGTHS.items()}
    for kind, size in (("mouth", 96), ("face", 112)):
        ramp = np.arange(size * size, dtype=np.int64).reshape(size, size) // size
        clips = {
            name: np.stack([(ramp + 3 * t) % 256 for t in range(n)]).astype(np.uint8) for name, n in LENGTHS.items()
        }
        write_kind(folder / kind, {name: encode(clip) for name, clip in clips.items()}, LENGTHS, {"size": size})
    write_kind(
        folder / "audio", {name: encode_flac(waveform) for name, waveform in audio.items()}, LENGTHS, {"coding": "flac"}
    )
    for config in MELS.values():
        mels = {name: mel_spectrogram(torch.from_numpy(waveform), config).numpy() for name, waveform in audio.items()}
        kind = folder / f"mel-{config.name}"
        write_kind(kind, mels, {name: len(mel) for name, mel in mels.items()}, to_mapping(config))
        with ArchiveWriter(kind / "cmvn.ark", kind / "cmvn.scp") as archive:
            for name in sorted(mels):
                archive.write(name, sums(mels[name]))
    targets = {name: rng.standard_normal((count, 8)).astype(np.float32) for name, count in LENGTHS.items()}
    for kind in ("targets-pase_grid", "targets-pase"):
        write_kind(folder / kind, targets, LENGTHS, {"kind": "targets"})
    times = {"s1-a": "0.2 0.4 blue 0.4 0.52 at", "s1-b": "0 0.3 red"}  # those of s1-c are not known
    return DataDir.write(folder / "data", utt2spk=dict.fromkeys(LENGTHS, "s1"), word_times=times)
