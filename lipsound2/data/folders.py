"""Folders of the user's files: searched in a fixed order, without the files that operating systems leave in them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

# In small letters, as names are compared. Cameras, phones, discs, the web, and streams without a container.
VIDEO_SUFFIXES = (
    *(".mp4", ".mpg", ".mpeg", ".avi", ".mov", ".mkv", ".webm", ".m4v"),
    *(".mts", ".m2ts", ".m2t", ".ts", ".tod", ".mod", ".dv", ".mxf", ".3gp", ".3g2", ".3gpp", ".qt", ".insv", ".lrv"),
    *(".wmv", ".asf", ".flv", ".f4v", ".ogv", ".ogm", ".rm", ".rmvb", ".divx", ".vob", ".mpe", ".m1v", ".m2v"),
    *(".mpv", ".mp2v", ".mj2", ".nut", ".y4m", ".ivf", ".gif", ".h264", ".264", ".h265", ".265", ".hevc"),
)
AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac")
_IGNORED = ("__MACOSX", "@eaDir")  # what operating systems strew


def folders(root: Path, depth: int, closed: Collection[str] = ()) -> Iterator[Path]:
    """`root` and the folders below it in a fixed order; hidden ones, and those below a `closed` name, are left out."""
    yield root
    if depth and root.name not in closed:
        for entry in entries(root):
            if entry.is_dir():
                yield from folders(Path(entry.path), depth - 1, closed)


def entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """What is in a folder by name, without hidden things and what operating systems strew."""
    with os.scandir(folder) as found:
        kept = [entry for entry in found if not entry.name.startswith((".", *_IGNORED))]
    return sorted(kept, key=lambda entry: entry.name)
