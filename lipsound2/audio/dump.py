"""The verb `mel`: sound cut to the picture, then its mel-spectrogram and the sums for its statistics."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
import torch

from lipsound2.archive import Archive
from lipsound2.audio.mel import MelConfig, mel_config, mel_spectrogram
from lipsound2.audio.sound import decode_flac, encode_flac, read_span
from lipsound2.audio.statistics import sums
from lipsound2.config import to_mapping
from lipsound2.datadir import DataDir
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.files import folder_lock
from lipsound2.jobs import Worker, dump_clips
from lipsound2.stamp import Stamp

PICTURE_RATE = 25.0
# Sound may begin later or end earlier than the picture by so many seconds (five pictures; zeros are put there). GRID's
# ends 22 ms early. A clip that lacks more would teach that moving lips are silent.
MISSING_SECONDS = 0.2


@dataclass(frozen=True)
class Cut:
    """Where one clip's sound comes from.

    Attributes:
        path: file with the sound.
        start: seconds on the file's clock of the first picture; None: where the sound begins.
        pictures: pictures at 25 fps that the sound lies under; None: all of the sound.
    """

    path: str
    start: float | None
    pictures: int | None


def mel(
    dir: Path,
    dump: Path,
    *,
    mel: Literal["fine", "paper"] = "fine",
    nj: int = 2,
    launcher: str = "local",
    max_failures: float = 0.05,
    shard_size: int = 100,
) -> None:
    """Cut the sound of every clip to its pictures and make its mel-spectrogram.

    Leaves DUMP/sound (16 kHz mono FLAC, exactly 640 samples a picture) and DUMP/mel-<name> (natural logarithm, with
    sums for the statistics of any set of clips). Sound that is there already is used again, so another mel costs no
    decoding. Clips with a picture need the time line that `lipsound2 crop` leaves; a data dir of sound alone uses all
    of each sound.

    Args:
        dir: data dir of the clips.
        dump: folder of the archives.
        mel: fine (10 ms hops, 4 frames a picture) or paper (LipSound2's 16 ms hops, 2.5 frames a picture).
        nj: worker processes.
        launcher: where workers run: local or slurm.
        max_failures: share of clips that may fail before the stage does.
        shard_size: clips to a shard, the unit of resuming.
    """
    config = mel_config(mel)
    cuts, left_out = _cuts(DataDir(dir), dump)
    sources = {name: cut.path for name, cut in cuts.items()}
    fingerprint = {"cuts": _digest(cuts)}
    sound_kind, mel_kind = dump / "sound", f"mel-{config.name}"
    options = {**to_mapping(config), **fingerprint, "sources": _digest_files(sources), "shard_size": shard_size}
    stamp = Stamp(dump / mel_kind, "mel", options, [])
    if stamp.fresh():
        print(f"{dump / mel_kind}: done already with these inputs and options; skipped")
        return
    shared: dict[str, Any] = {"nj": nj, "launcher": launcher, "max_failures": max_failures, "shard_size": shard_size}
    with folder_lock(dump / mel_kind, "mel"):
        stamp.clear()
        dump_clips(
            dump,
            {"sound": {"sample_rate": config.sample_rate, "coding": "flac", "bits": 16}},
            sorted(cuts),
            MakeSounds(cuts, config.sample_rate),
            step="sound",
            fingerprint={**fingerprint, "sample_rate": config.sample_rate},
            inputs=sources,
            frames=_frames,
            **shared,
        )
        whole = [name for name in sorted(cuts) if name in Archive(sound_kind)]
        dump_clips(
            dump,
            {mel_kind: to_mapping(config)},
            whole,
            MakeMels(sound_kind, config),
            step=mel_kind,
            fingerprint={**fingerprint, "mel": to_mapping(config)},
            inputs={name: sources[name] for name in whole},
            frames=_frames,
            **shared,
        )
        stamp.write()
    note = f"; {left_out} without a time line (they failed in crop) left out" if left_out else ""
    print(f"{dump / mel_kind}: {len(whole)} of {len(cuts)} clips{note}")


@dataclass(frozen=True)
class MakeSounds:
    """Makes the worker that cuts sounds; picklable.

    Attributes:
        cuts: id -> where its sound comes from.
        rate: samples per second.
    """

    cuts: Mapping[str, Cut]
    rate: int

    def __call__(self) -> Worker:
        return self._one

    def _one(self, name: str) -> dict[str, np.ndarray]:
        return {"sound": encode_flac(cut_sound(self.cuts[name], self.rate), self.rate)}


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
        if multiprocessing.parent_process() is not None:
            torch.set_num_threads(1)  # the workers share the cores
        archive, config = Archive(self.sounds), self.config

        def one(name: str) -> dict[str, np.ndarray]:
            sound = torch.from_numpy(decode_flac(archive[name]))
            if len(sound) < max(config.hop, config.reach + 1):
                raise ClipFailure("too-short", f"{len(sound)} samples of sound")
            features = mel_spectrogram(sound, config).numpy()
            return {f"mel-{config.name}": features, f"mel-{config.name}/cmvn": sums(features)}

        return one


def cut_sound(cut: Cut, rate: int) -> np.ndarray:
    """One clip's sound (samples,) float32 under its pictures.

    Raises:
        ClipFailure: `unreadable`, `no-sound`, `short-sound` (it does not cover the picture), `silent` (only zeros).
    """
    seconds = None if cut.pictures is None else cut.pictures / PICTURE_RATE
    span = read_span(cut.path, start=cut.start, seconds=seconds, rate=rate)
    missing = max(span.missing_before, span.missing_after)
    if missing > MISSING_SECONDS:
        side = "begins after" if span.missing_before > MISSING_SECONDS else "ends before"
        raise ClipFailure(
            "short-sound", f"the sound {side} the picture by {missing:.2f} s, at most {MISSING_SECONDS} wanted"
        )
    if not np.any(span.sound):
        raise ClipFailure("silent", f"{len(span.sound) / rate:.2f} s of zeros")
    return span.sound


def _cuts(data: DataDir, dump: Path) -> tuple[dict[str, Cut], int]:
    """Where each clip's sound comes from, and how many clips have no time line."""
    if not data.video:
        if not data.wav:
            raise LipsoundError(f"{data.path}: neither video.scp nor wav.scp; run: lipsound2 validate {data.path}")
        return {name: Cut(data.wav[name], None, None) for name in data.ids if name in data.wav}, 0
    lines = read_timeline(dump)
    cuts = {}
    for name in data.ids:
        if name in lines and (name in data.wav or name in data.video):
            start, pictures = lines[name]
            # A sound file of its own begins with the picture; sound in the video file shares the video's clock.
            cuts[name] = (
                Cut(data.wav[name], None, pictures) if name in data.wav else Cut(data.video[name], start, pictures)
            )
    if not cuts:
        raise LipsoundError(
            f"{data.path}: none of its {len(data.ids)} clips has a time line in {dump / 'landmarks'}; "
            f"run: lipsound2 crop {data.path} {dump}"
        )
    return cuts, len(data.ids) - len(cuts)


def read_timeline(dump: Path) -> dict[str, tuple[float, int]]:
    """Start in seconds and number of pictures at 25 fps of every clip that was cropped.

    Raises:
        LipsoundError: crop has not run, or the table is damaged.
    """
    path = dump / "landmarks" / "timeline.tsv"
    if not path.exists():
        raise LipsoundError(f"{path}: no time line of the pictures; run stage 1 first (lipsound2 crop DIR {dump})")
    lines = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split("\t")
        try:
            lines[fields[0]] = (float(fields[1]), int(fields[2]))
        except (IndexError, ValueError) as error:
            raise LipsoundError(
                f"{path}, line {number}: expected id, start, frames, ... between tabs, found {line[:80]!r}; "
                "run stage 1 again"
            ) from error
    return lines


def _frames(kind: str, entry: np.ndarray) -> int:
    """What `utt2num_frames` counts: samples of a sound, frames of a mel."""
    if kind == "sound":
        return int(soundfile.info(io.BytesIO(entry.tobytes())).frames)
    return len(entry)


def _digest(cuts: Mapping[str, Cut]) -> str:
    rows = [[name, cut.path, cut.start, cut.pictures] for name, cut in sorted(cuts.items())]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _digest_files(paths: Mapping[str, str]) -> str:
    """Of every file its size and time of change: a clip that was replaced is read again."""
    rows = []
    for name, path in sorted(paths.items()):
        file = Path(path)
        status = file.stat() if file.exists() else None
        rows.append([name, status.st_size, status.st_mtime_ns] if status else [name])
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
