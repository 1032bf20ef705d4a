"""The verb `voices`: the speaker embedding of every clip of a dump."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lipsound2.arguments import AtLeast1, Share
from lipsound2.audio.io import decode_flac
from lipsound2.audio.kind import audio_kind
from lipsound2.audio.speaker_embedding import SpeakerEmbedder
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.features.targets import with_audio
from lipsound2.files import sha256
from lipsound2.fingerprint import digest
from lipsound2.jobs.jobs import dump_clips, tell_removed
from lipsound2.jobs.shards import Worker
from lipsound2.outputs import OutputFolder
from lipsound2.tasks.regress import VOICES

log = logging.getLogger(__name__)


def voices(
    dir: Path,
    dump: OutputFolder,
    *,
    voice_encoder: Path | None = None,
    nj: AtLeast1 = 2,
    launcher: str = "local",
    max_failures: Share = 0.05,
    shard_size: AtLeast1 = 100,
) -> None:
    """Compute the speaker embedding of every clip, for models with `speaker: embedding`.

    The audio is read from DUMP/audio, which lipsound2 mel writes. Leaves DUMP/voice: a vector of 256 values a clip, by
    GE2E with Resemblyzer's weights. docs/voices.md has more.

    Args:
        dir: data dir of all clips of the dump, such as data/all.
        dump: folder of the archives.
        voice_encoder: weights of the speaker encoder: the wheel of resemblyzer, or pretrained.pt out of it; by default
            those of the installed package (pip install --no-deps resemblyzer==0.1.4).
        nj: worker processes.
        launcher: where workers run: local or slurm.
        max_failures: share of clips that may fail before the stage does.
        shard_size: clips to a shard, the unit of resuming.
    """
    kind = audio_kind(dump)
    data = DataDir(dir)
    ids = with_audio(data, Archive(dump / kind))
    make = VoiceFactory(dump, SpeakerEmbedder(voice_encoder).weights)
    tell_removed(dump, [VOICES], data)
    found = dump_clips(
        dump,
        {VOICES: {"kind": VOICES, "encoder": "ge2e", "weights": sha256(make.weights)}},
        ids,
        make,
        step=VOICES,
        fingerprint={kind: digest(dump / kind)},
        inputs={},
        nj=nj,
        launcher=launcher,
        max_failures=max_failures,
        shard_size=shard_size,
    )
    if not found.done:
        log.info("%s is there already: skipped", dump / VOICES)


@dataclass(frozen=True)
class VoiceFactory:
    """Makes the worker that embeds the voices of clips; picklable.

    Attributes:
        dump: folder of the audio.
        weights: file of the encoder's weights.
    """

    dump: Path
    weights: Path

    def __call__(self) -> Worker:
        """The worker: id -> embedding (256,)."""
        embed, archive = SpeakerEmbedder(self.weights), Archive(self.dump / audio_kind(self.dump))

        def work(name: str) -> dict[str, np.ndarray | str | int]:
            return {VOICES: embed(decode_flac(archive[name])), f"{VOICES}/frames": 1}

        return work
