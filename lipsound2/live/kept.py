"""What was said, kept in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kept:
    """A folder in which what was said is kept: 001.wav with its text 001.txt, 002.wav, ...; what is there stays.

    Attributes:
        folder: made when the first is written.
    """

    folder: Path

    def next(self) -> Path:
        """The next name, without a suffix: behind those of all files that are there now."""
        taken = [int(path.stem) for path in self.folder.glob("*.*") if path.stem.isdecimal()]
        return self.folder / f"{max(taken, default=0) + 1:03d}"
