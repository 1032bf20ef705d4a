"""Sentences to be said, and which of them a corpus holds already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lipsound2.corpora.sentences import SLOTS
from lipsound2.data.texts import read_lines, read_text
from lipsound2.errors import LipsoundError
from lipsound2.live.kept import Kept

GRID = "grid"
_SEED = 0  # of GRID's sentences: the same ones at each start, so that a recording can go on


@dataclass(frozen=True)
class Place:
    """Where the recordings of one speaker lie: `001.mp4` with its text `001.txt`, as `egs/own` reads them.

    Attributes:
        folder: of the speaker.
    """

    folder: Path

    def recorded(self) -> dict[str, Path]:
        """Text of each recording -> its video. A text without its video is none: the video is written last."""
        found = {}
        for path in sorted(self.folder.glob("*.txt")):
            video = path.with_suffix(".mp4")
            if path.stem.isdecimal() and video.is_file():
                found[" ".join(read_text(path).split())] = video
        return found

    def next(self) -> Path:
        """Name of the next video."""
        return Kept(self.folder).next().with_suffix(".mp4")


def read_prompts(name: str, count: int) -> list[str]:
    """Sentences to be said, each once.

    Args:
        name: `grid` for sentences of GRID's grammar, or a file with one a line.
        count: how many at most; 0: all of a file, 50 of GRID.

    Raises:
        LipsoundError: no such file, or it holds no sentence.
    """
    if name == GRID:
        rng = np.random.default_rng(_SEED)
        slots = [[*slot.values()] for slot in SLOTS]
        sentences = (" ".join(str(rng.choice(slot)) for slot in slots) for _ in range(10 * (count or 50)))
        return [*dict.fromkeys(sentences)][: count or 50]
    path = Path(name)
    if not path.is_file():
        raise LipsoundError(f"--prompts {name}: is neither '{GRID}' nor a file; wanted one sentence a line")
    found = [*dict.fromkeys(" ".join(line.split()) for _, line in read_lines(path) if line.strip())]
    if not found:
        raise LipsoundError(f"--prompts {name}: holds no sentence; write one a line")
    return found[: count or len(found)]
