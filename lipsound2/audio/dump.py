"""The verb `mel`: sound cut to the picture, then its mel-spectrogram and the sums for its statistics."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from lipsound2.arguments import AtLeast1, Share
from lipsound2.audio.io import decode_flac
from lipsound2.audio.mel import MelConfig, mel_config, mel_spectrogram
from lipsound2.audio.segment import MakeSounds, cuts_of
from lipsound2.audio.statistics import sums
from lipsound2.audio.usable import check_sound
from lipsound2.config import to_mapping
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.jobs.jobs import Worker, dump_clips
from lipsound2.jobs.shards import hash_of
from lipsound2.outputs import OutputFolder
from lipsound2.timing import SAMPLE_RATE

log = logging.getLogger(__name__)


def mel(
    dir: Path,
    dump: OutputFolder,
    *,
    mel: Literal["fine", "paper", "none"] = "fine",
    nj: AtLeast1 = 2,
    launcher: str = "local",
    max_failures: Share = 0.05,
    shard_size: AtLeast1 = 100,
) -> None:
    """Cut the sound of every clip to its pictures and make its mel-spectrogram.

    Leaves DUMP/sound (16 kHz mono FLAC, exactly 640 samples a picture) and DUMP/mel-<name> (natural logarithm, with
    sums for the statistics of any set of clips). Sound that is there already is used again, so another mel costs no
    decoding. Clips with a picture need the time line that `lipsound2 crop` leaves; a data dir of sound alone uses all
    of each sound.

    Args:
        dir: data dir of the clips.
        dump: folder of the archives.
        mel: fine (10 ms hops, 4 frames a picture), paper (LipSound2's 16 ms hops, 2.5 frames a picture), or none: the
            sound alone, which is all that a recogniser reads.
        nj: worker processes.
        launcher: where workers run: local, this machine.
        max_failures: share of clips that may fail before the stage does.
        shard_size: clips to a shard, the unit of resuming.
    """
    cuts, left_out = cuts_of(DataDir(dir), dump)
    if left_out:
        log.info("%s: %d clips have no time line (crop failed on them) and are left out", dir, left_out)
    # What lies where in the file; that the file is the same one is told by its size and time of change.
    places = hash_of([[name, cut.start, cut.pictures] for name, cut in sorted(cuts.items())])
    shared: dict[str, Any] = {"nj": nj, "launcher": launcher, "max_failures": max_failures, "shard_size": shard_size}
    sounds = dump_clips(
        dump,
        {"sound": {"kind": "sound", "content": "flac", "rate": SAMPLE_RATE, "bits": 16}},
        sorted(cuts),
        MakeSounds(Path(dir), dump, SAMPLE_RATE),
        step="sound",
        fingerprint={"places": places, "rate": SAMPLE_RATE},
        inputs={name: cut.path for name, cut in cuts.items()},
        **shared,
    )
    whole = Archive(dump / "sound").ids
    if not whole:
        raise LipsoundError(f"{dump / 'sound'}: no clip has usable sound; see {dump / 'failures.tsv'}")
    if mel == "none":
        if not sounds.done:
            log.info("%s is there already: skipped", dump / "sound")
        return
    config = mel_config(mel)
    kind = f"mel-{config.name}"
    mels = dump_clips(
        dump,
        {kind: to_mapping(config)},
        whole,
        MakeMels(dump / "sound", config),
        step=kind,
        fingerprint={"places": places, "mel": to_mapping(config)},
        inputs={name: cuts[name].path for name in whole},
        **shared,
    )
    if sounds.done + mels.done == 0:
        log.info("%s and %s are there already: skipped", dump / "sound", dump / kind)


@dataclass(frozen=True)
class MakeMels:
    """Makes the worker that turns stored sounds into mels and their sums; picklable.

    Attributes:
        sounds: folder of the kind `sound`.
        config: the mel.
    """

    sounds: Path
    config: MelConfig

    def __call__(self) -> Worker:
        """The worker: id -> mel and sums."""
        archive, config, kind = Archive(self.sounds), self.config, f"mel-{self.config.name}"

        def work(name: str) -> dict[str, np.ndarray | str | int]:
            stored = decode_flac(archive[name])
            if len(stored) < config.shortest:
                raise ClipFailure("too-short", f"{len(stored)} samples of sound, at least {config.shortest} wanted")
            check_sound(stored, SAMPLE_RATE)  # it may have been stored by another hand
            sound = torch.from_numpy(stored)
            features = mel_spectrogram(sound, config).numpy()
            return {kind: features, f"{kind}/cmvn": sums(features)}

        return work
