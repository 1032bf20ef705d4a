"""The verb `targets`: from the audio of a dump to acoustic targets of a lip model, one vector a video frame."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lipsound2.arguments import AtLeast1, Share
from lipsound2.audio.check import check_audio
from lipsound2.audio.io import decode_flac
from lipsound2.audio.kind import audio_kind
from lipsound2.audio.statistics import moments, sums
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.data.names import no_file_name
from lipsound2.errors import LipsoundError
from lipsound2.features.representations import Representation, representation
from lipsound2.fingerprint import digest
from lipsound2.jobs.jobs import dump_clips, tell_removed
from lipsound2.jobs.shards import Worker
from lipsound2.old_names import NORMALIZED_ON
from lipsound2.outputs import OutputFolder
from lipsound2.timing import FRAME_RATE, SAMPLE_RATE

log = logging.getLogger(__name__)


def targets(
    dir: Path,
    dump: OutputFolder,
    *,
    target: str,
    name: str = "",
    train: Path | None = None,
    surveyed: AtLeast1 = 1000,
    compress: bool = False,
    nj: AtLeast1 = 2,
    launcher: str = "local",
    max_failures: Share = 0.05,
    shard_size: AtLeast1 = 100,
) -> None:
    """Make the acoustic targets of a lip model: features of every clip's audio, one vector a video frame.

    Leaves DUMP/targets-<name>: matrices (video frames, D), every dimension with mean 0 and variance 1 over the clips of
    --train. Its kind.yaml holds the name of the features, and mean and standard deviation before that. Audio is read
    from DUMP/audio (lipsound2 mel).

    Args:
        dir: data dir of all clips of the dump, such as data/all.
        dump: folder of the archives.
        target: the features: logmel, mfcc, pase:EXP (an experiment of the task pase, a pack, or published weights made
            a pack by convert-pase), pase:random (the control), hubert:HUBERT_BASE:9, wav2vec2:WAV2VEC2_BASE:9 or
            wavlm:WAVLM_BASE:9 (a layer of torchaudio's bundle).
        name: of the kind, after targets-; empty: the features' own, such as pase or pase-random.
        train: data dir whose clips the features are normalized on; empty: DIR itself.
        surveyed: the most clips to normalize on, evenly spread; their features are computed twice.
        compress: store Kaldi's compressed matrices, a byte a value.
        nj: worker processes.
        launcher: where workers run: local or slurm.
        max_failures: share of clips that may fail before the stage does.
        shard_size: clips to a shard, the unit of resuming.
    """
    kind = f"targets-{name or default_name(target)}"
    if why := no_file_name(kind):
        raise LipsoundError(f"--name {name}: cannot name a folder: {why}")
    audio = Archive(dump / audio_kind(dump))
    data = DataDir(dir)
    ids = with_audio(data, audio)
    learned = with_audio(DataDir(train), audio) if train else ids
    if surveyed < 1:
        raise LipsoundError(f"--surveyed: expected 1 or more clips, found {surveyed}")
    chosen = [learned[index] for index in np.unique(np.linspace(0, len(learned) - 1, surveyed).round().astype(int))]
    made = representation(target)
    content: dict[str, Any] = {"kind": "targets", "target": made.name, **made.facts}
    shared: dict[str, Any] = {
        "fingerprint": {audio_kind(dump): digest(dump / audio_kind(dump))},
        "inputs": {},
        "nj": nj,
        "launcher": launcher,
        "shard_size": shard_size,
        "max_failures": max_failures,
    }
    tell_removed(dump, [kind], data)
    survey = kind.replace("targets-", "survey-", 1)
    dump_clips(
        dump, {survey: content | {"kind": "survey"}}, chosen, SumFactory(dump, target, survey), step=survey, **shared
    )
    mean, std = statistics_of(Archive(dump / survey))
    content |= {
        "rate": FRAME_RATE,
        "dims": len(mean),
        NORMALIZED_ON: f"{len(chosen)} clips of {(train or dir).resolve().name}",
        "compress": compress,
        "mean": mean.tolist(),
        "std": std.tolist(),
    }
    found = dump_clips(dump, {kind: content}, ids, TargetFactory(dump, target, kind, mean, std), step=kind, **shared)
    if not found.done:
        log.info("%s is there already: skipped", dump / kind)


def default_name(target: str) -> str:
    """Name of the features where no other is given."""
    return "pase-random" if target == "pase:random" else target.partition(":")[0]


def with_audio(data: DataDir, audio: Archive) -> list[str]:
    """The clips of a data dir that have audio, sorted.

    Raises:
        LipsoundError: none.
    """
    ids = sorted(name for name in data.ids if name in audio)
    if not ids:
        raise LipsoundError(
            f"{data.path}: none of its {len(data.ids)} clips has audio in {audio.path.parent}; run: lipsound2 mel"
        )
    return ids


def statistics_of(survey: Archive) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (D,) float32 over the clips of a survey.

    Raises:
        LipsoundError: no clip could be used.
    """
    tables = [np.asarray(survey[name], np.float64) for name in survey.ids]
    if not tables:
        raise LipsoundError(f"{survey.path}: no clip could be used; see failures.tsv in the dump")
    return moments(np.sum(tables, axis=0))


@dataclass(frozen=True)
class SumFactory:
    """Makes the worker that adds features up; picklable.

    Attributes:
        dump: folder of the archives.
        target: name of the features.
        kind: what is made.
    """

    dump: Path
    target: str
    kind: str

    def __call__(self) -> Worker:
        """The worker: id -> sums (2, D + 1) over the clip's video frames."""
        archive, made = Archive(self.dump / audio_kind(self.dump)), representation(self.target)

        def work(name: str) -> dict[str, np.ndarray | str | int]:
            features = _features(archive, made, name)
            return {self.kind: sums(features), f"{self.kind}/frames": len(features)}

        return work


@dataclass(frozen=True)
class TargetFactory:
    """Makes the worker that computes features and normalizes them; picklable.

    Attributes:
        dump: folder of the archives.
        target: name of the features.
        kind: what is made.
        mean: (D,) float32.
        std: (D,) float32.
    """

    dump: Path
    target: str
    kind: str
    mean: np.ndarray
    std: np.ndarray

    def __call__(self) -> Worker:
        """The worker: id -> features (video frames, D), and their sums as the mel's."""
        archive, made = Archive(self.dump / audio_kind(self.dump)), representation(self.target)

        def work(name: str) -> dict[str, np.ndarray | str | int]:
            features = (_features(archive, made, name) - self.mean) / self.std
            return {self.kind: features, f"{self.kind}/cmvn": sums(features)}

        return work


def _features(archive: Archive, made: Representation, name: str) -> np.ndarray:
    # Clip by clip: three seconds keep a core busy, and in a batch the longest would pad the others.
    waveform = decode_flac(archive[name])
    check_audio(waveform, SAMPLE_RATE)  # another program may have stored it
    return made(waveform)
