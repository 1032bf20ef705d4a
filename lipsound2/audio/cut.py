"""Which stretch of which file is a clip's sound: the one under its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lipsound2.audio.sound import encode_flac, read_span
from lipsound2.datadir import DataDir
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.shards import Worker

PICTURE_RATE = 25.0
# Sound may begin later or end earlier than the picture, or have holes, by so many seconds (five pictures; zeros are put
# there). GRID's ends 22 ms early. A clip that lacks more would teach that moving lips are silent.
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


def cuts_of(data: DataDir, dump: Path) -> tuple[dict[str, Cut], int]:
    """Where each clip's sound comes from, and how many clips have no time line.

    Raises:
        LipsoundError: the data dir has neither video nor sound, or none of its clips was cropped.
    """
    if not data.video:
        if not data.wav:
            raise LipsoundError(f"{data.path}: neither video.scp nor wav.scp; run: lipsound2 validate {data.path}")
        return {name: Cut(data.wav[name], None, None) for name in data.ids if name in data.wav}, 0
    lines = read_timeline(dump)
    cuts = {}
    for name in data.ids:
        if name in lines and (name in data.wav or name in data.video):
            start, pictures = lines[name]
            path = data.wav.get(name) or data.video[name]
            # A sound file of its own begins with the picture; sound in the video file shares the video's clock.
            cuts[name] = Cut(path, start if path == data.video.get(name) else None, pictures)
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
        """The worker: id -> FLAC stream."""
        return self._work

    def _work(self, name: str) -> dict[str, np.ndarray | str | int]:
        sound = cut_sound(self.cuts[name], self.rate)
        return {"sound": encode_flac(sound, self.rate), "sound/frames": len(sound)}


def cut_sound(cut: Cut, rate: int) -> np.ndarray:
    """One clip's sound (samples,) float32 under its pictures.

    Raises:
        ClipFailure: `unreadable`, `no-sound`, `short-sound` (it does not cover the picture), `silent` (only zeros).
    """
    seconds = None if cut.pictures is None else cut.pictures / PICTURE_RATE
    span = read_span(cut.path, start=cut.start, seconds=seconds, rate=rate)
    for missing, what in (
        (span.missing_before, "begins {:.2f} s after the picture"),
        (span.missing_after, "ends {:.2f} s before the picture"),
        (span.missing_inside, "has holes of {:.2f} s"),
    ):
        if missing > MISSING_SECONDS:
            raise ClipFailure("short-sound", f"the sound {what.format(missing)}, at most {MISSING_SECONDS} s wanted")
    if not np.any(span.sound):
        raise ClipFailure("silent", f"{len(span.sound) / rate:.2f} s of zeros")
    return span.sound
