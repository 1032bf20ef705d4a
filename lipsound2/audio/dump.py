"""The verb `mel`: audio cut to the video frames, then its mel-spectrogram and the sums for its statistics."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from lipsound2.arguments import AtLeast1, Share
from lipsound2.audio.check import check_audio
from lipsound2.audio.io import decode_flac
from lipsound2.audio.kind import audio_kind
from lipsound2.audio.mel import MelConfig, mel_config, mel_spectrogram
from lipsound2.audio.segment import AudioFactory, segments_of
from lipsound2.audio.statistics import sums
from lipsound2.config import to_mapping
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.jobs.jobs import Worker, dump_clips, tell_removed
from lipsound2.outputs import OutputFolder
from lipsound2.timing import SAMPLE_RATE

log = logging.getLogger(__name__)


def mel(
    dir: Path,
    dump: OutputFolder,
    *,
    mel: Literal["fine", "paper", "speecht5", "none"] = "fine",
    nj: AtLeast1 = 2,
    launcher: str = "local",
    max_failures: Share = 0.05,
    shard_size: AtLeast1 = 100,
) -> None:
    """Cut the audio of every clip to its video frames and make its mel-spectrogram.

    Leaves DUMP/audio (16 kHz mono FLAC, exactly 640 samples a video frame) and DUMP/mel-<name> (natural logarithm, with
    sums for the statistics of any set of clips). Audio that is there already is used again, so another mel costs no
    decoding. Clips with video need the timeline that `lipsound2 crop` leaves. A data dir of audio alone needs
    none, and all of its audio is used.

    Args:
        dir: data dir of all clips of the dump, such as data/all.
        dump: folder of the archives.
        mel: fine (10 ms hops, 4 mel frames a video frame), paper (LipSound2's 16 ms hops, 2.5 mel frames a video
            frame), speecht5 (the same frames, as SpeechT5's vocoder speaks them), or none: the audio alone, which is
            all that a recognizer reads.
        nj: worker processes.
        launcher: where workers run: local or slurm.
        max_failures: share of clips that may fail before the stage does.
        shard_size: clips to a shard, the unit of resuming.
    """
    data = DataDir(dir)
    segments, left_out = segments_of(data, dump)
    if left_out:
        log.info("%s: %d clips have no timeline (crop failed on them) and are left out", dir, left_out)
    shared: dict[str, Any] = {
        # What lies where in the file; whether the file is the same one is known by its size and time of change.
        "facts": {name: (segment.start, segment.num_frames) for name, segment in segments.items()},
        **{"nj": nj, "launcher": launcher, "max_failures": max_failures, "shard_size": shard_size},
    }
    folder = audio_kind(dump)
    tell_removed(dump, (folder, f"mel-{mel}"), data)
    audio = dump_clips(
        dump,
        {folder: {"kind": folder, "content": "flac", "rate": SAMPLE_RATE, "bits": 16}},
        sorted(segments),
        AudioFactory(Path(dir), dump, SAMPLE_RATE, folder),
        step=folder,
        fingerprint={"rate": SAMPLE_RATE},
        inputs={name: segment.path for name, segment in segments.items()},
        **shared,
    )
    whole = Archive(dump / folder).ids
    if not whole:
        raise LipsoundError(f"{dump / folder}: no clip has audio that can be used; see {dump / 'failures.tsv'}")
    if mel == "none":
        if not audio.done:
            log.info("%s is there already: skipped", dump / folder)
        return
    config = mel_config(mel)
    kind = f"mel-{config.name}"
    mels = dump_clips(
        dump,
        {kind: to_mapping(config)},
        whole,
        MelFactory(dump / folder, config),
        step=kind,
        fingerprint={"mel": to_mapping(config)},
        inputs={name: segments[name].path for name in whole},
        **shared,
    )
    if audio.done + mels.done == 0:
        log.info("%s and %s are there already: skipped", dump / folder, dump / kind)


@dataclass(frozen=True)
class MelFactory:
    """Makes the worker that turns stored audio into mels and their sums; picklable.

    Attributes:
        audio: folder of the audio.
        config: the mel.
    """

    audio: Path
    config: MelConfig

    def __call__(self) -> Worker:
        """The worker: id -> mel and sums."""
        archive, config, kind = Archive(self.audio), self.config, f"mel-{self.config.name}"

        def work(name: str) -> dict[str, np.ndarray | str | int]:
            stored = decode_flac(archive[name])
            if len(stored) < config.shortest:
                raise ClipFailure("too-short", f"{len(stored)} samples of audio, at least {config.shortest} wanted")
            check_audio(stored, SAMPLE_RATE)  # another program may have stored it
            waveform = torch.from_numpy(stored)
            features = mel_spectrogram(waveform, config).numpy()
            return {kind: features, f"{kind}/cmvn": sums(features)}

        return work
