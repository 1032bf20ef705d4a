"""What was said, kept in a folder."""

from __future__ import annotations

from pathlib import Path


class Kept:
    """A folder in which what was said is kept: 001.wav with its text 001.txt, 002.wav, ...; what is there stays.

    Args:
        folder: made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = max((int(path.stem) for path in folder.glob("*.txt") if path.stem.isdecimal()), default=0)

    def next(self) -> Path:
        """The next name, without a suffix."""
        self._number += 1
        while (path := self.folder / f"{self._number:03d}").with_suffix(".txt").exists():  # of another session
            self._number += 1
        return path
