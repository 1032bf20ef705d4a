"""Which part of which file is a clip's audio: the part under its video frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lipsound2.audio.check import check_audio
from lipsound2.audio.io import encode_flac, load_span
from lipsound2.audio.kind import AUDIO
from lipsound2.data.datadir import DataDir
from lipsound2.data.lookup import Lookup
from lipsound2.data.numerals import SECONDS, real, whole
from lipsound2.data.texts import read_text, shown
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.fingerprint import changed
from lipsound2.jobs.shards import Worker
from lipsound2.timing import FRAME_RATE

# Audio may begin later or end earlier than the video, or have holes, by so many seconds (five video frames; zeros
# are put there). GRID's ends 22 ms early. A clip that lacks more would teach that moving lips are silent.
MISSING_SECONDS = 0.2


@dataclass(frozen=True)
class Segment:
    """Where one clip's audio comes from.

    Attributes:
        path: file with the audio.
        start: seconds on the file's clock of the first video frame; None: where the audio begins.
        num_frames: of the video at 25 fps that the audio belongs to; None: all of the audio.
    """

    path: str
    start: float | None
    num_frames: int | None


def segments_of(data: DataDir, dump: Path) -> tuple[dict[str, Segment], int]:
    """Where each clip's audio comes from, and how many clips have no timeline.

    Raises:
        LipsoundError: the data dir has neither video nor audio, or none of its clips was cropped.
    """
    if not data.video:
        if not data.wav:
            raise LipsoundError(f"{data.path}: neither video.scp nor wav.scp; run: lipsound2 validate {data.path}")
        return {name: Segment(data.wav[name], None, None) for name in data.ids if name in data.wav}, 0
    lines = read_timeline(dump)
    found = {
        name: _segment(lines[name], data.wav.get(name), data.video.get(name)) for name in data.ids if name in lines
    }
    segments = {name: segment for name, segment in found.items() if segment is not None}
    if not segments:
        raise LipsoundError(
            f"{data.path}: none of its {len(data.ids)} clips has a timeline in {dump / 'landmarks'}; "
            f"run: lipsound2 crop {data.path} {dump}"
        )
    return segments, len(data.ids) - len(segments)


def _segment(line: tuple[float, int], wav: str | None, video: str | None) -> Segment | None:
    """The audio under a clip's video frames: in a file of its own, where there is one, or in the video."""
    start, num_frames = line
    path = wav or video
    if path is None:
        return None
    # An audio file of its own begins with the video; audio in the video file shares the video's clock.
    return Segment(path, start if path == video else None, num_frames)


def read_timeline(dump: Path) -> dict[str, tuple[float, int]]:
    """Start in seconds and number of video frames at 25 fps of every clip that was cropped.

    Raises:
        LipsoundError: crop has not run, or the table is damaged.
    """
    path = dump / "landmarks" / "timeline.tsv"
    if not path.exists():
        raise LipsoundError(f"{path}: no timeline of the video frames; run stage 1 first (lipsound2 crop DIR {dump})")
    if changed(path.parent, path.name):
        raise LipsoundError(f"{path}: has another size than stage 1 left it with; run lipsound2 crop DIR {dump} again")
    lines = {}
    for number, line in enumerate(read_text(path, "run stage 1 again").removesuffix("\n").split("\n"), start=1):
        name, _, row = line.partition("\t")
        try:
            lines[name] = _parse(row)
        except ValueError as error:
            raise LipsoundError(
                f"{path}, line {number}: expected id, start, frames, ... between tabs, found {shown(line)} ({error}); "
                "run stage 1 again"
            ) from error
    return lines


def _parse(row: str) -> tuple[float, int]:
    start, _, rest = row.partition("\t")
    return real(start, -SECONDS, SECONDS), whole(rest.partition("\t")[0], 1, round(SECONDS * FRAME_RATE))


@dataclass(frozen=True)
class AudioFactory:
    """Makes the worker that cuts audio; picklable, and small whatever the number of clips.

    Attributes:
        data: folder of the data dir.
        dump: folder with the timeline of its clips.
        rate: samples per second.
        kind: what the audio is called in the dump.
    """

    data: Path
    dump: Path
    rate: int
    kind: str = AUDIO

    def __call__(self) -> Worker:
        """The worker: id -> FLAC stream."""
        return self._work

    def _work(self, name: str) -> dict[str, np.ndarray | str | int]:
        waveform = cut_audio(self._find(name), self.rate)
        return {self.kind: encode_flac(waveform, self.rate), f"{self.kind}/frames": len(waveform)}

    def _find(self, name: str) -> Segment:
        """As `segments_of` has it."""
        wav, video = (Lookup(self.data / table).get(name) for table in ("wav.scp", "video.scp"))
        row = Lookup(self.dump / "landmarks" / "timeline.tsv").get(name) if video else None
        segment = _segment(_parse(row), wav, video) if row else Segment(wav, None, None) if wav else None
        if segment is None:
            raise ClipFailure("unreadable", f"{name} is no longer in {self.data}")
        return segment


def cut_audio(segment: Segment, rate: int) -> np.ndarray:
    """One clip's audio (samples,) float32 under its video frames.

    Raises:
        ClipFailure: `unreadable`, `no-audio`, `short-audio` (it does not cover the video frames), or one of
            `check_audio`.
    """
    seconds = None if segment.num_frames is None else segment.num_frames / FRAME_RATE
    span = load_span(segment.path, start=segment.start, seconds=seconds, rate=rate)
    for missing, what in (
        (span.missing_before, "begins {:.2f} s after the video"),
        (span.missing_after, "ends {:.2f} s before the video"),
        (span.missing_inside, "has holes of {:.2f} s"),
    ):
        if missing > MISSING_SECONDS:
            raise ClipFailure("short-audio", f"the audio {what.format(missing)}, at most {MISSING_SECONDS} s wanted")
    check_audio(span.waveform, rate)
    return span.waveform
