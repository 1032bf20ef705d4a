"""By how much the audio of clips lags their video, as `lipsound2 sync` leaves it in a dump."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lipsound2.data.archive import INDEX, Archive
from lipsound2.data.datadir import DataDir
from lipsound2.data.names import Names
from lipsound2.errors import LipsoundError
from lipsound2.jobs.jobs import read_failures

AV_OFFSET = "av_offset"  # kind of the offsets in a dump
LIMIT = 1.0  # seconds; the most that `sync` may be told to look for


def offsets_of(data: DataDir, ids: Names, dump: Path) -> tuple[np.ndarray, np.ndarray]:
    """The offsets of clips.

    Args:
        data: data dir of the clips.
        ids: those whose offsets are wanted.
        dump: folder of the archives.

    Returns:
        For each of `ids`, whether it has an offset, (N,) bool; and the offsets of those that have one, (K,) float32
        seconds, above 0 where the audio comes late. Clips that `sync` failed on have none.

    Raises:
        LipsoundError: there are no offsets, clips are missing that `sync` never saw, or one is not as it writes them.
    """
    folder = dump / AV_OFFSET
    again = f"lipsound2 sync MODEL {data.path} {dump}"
    if not (folder / INDEX).exists():
        raise LipsoundError(f"{folder}: no offsets between audio and video there; run: {again}")
    archive = Archive(folder)
    there = archive.ids.places(ids) >= 0
    failed = {name for name, step, _, _ in read_failures(dump) if step == AV_OFFSET}
    unseen = [name for name in Names(ids.keys[~there]) if name not in failed]
    if unseen:
        raise LipsoundError(
            f"{folder}: expected the offsets of {len(ids)} clips of {data.path}, found none of {len(unseen)} of them, "
            f"'{unseen[0]}' first; run: {again}"
        )
    return there, np.array([_seconds(archive, name, again) for name in Names(ids.keys[there])], np.float32)


def _seconds(archive: Archive, name: str, again: str) -> float:
    """The offset of a clip."""
    entry = archive[name]
    if entry.shape != (1, 2):
        found = f"an entry {entry.shape}"
    elif not abs(seconds := float(entry[0, 0])) <= LIMIT:
        found = f"{seconds:g} seconds"
    else:
        return seconds
    raise LipsoundError(
        f"{archive.path}: '{name}': expected seconds and correlation, (1, 2), with {LIMIT:g} second at most, found "
        f"{found}; delete {archive.path.parent} and run: {again}"
    )
