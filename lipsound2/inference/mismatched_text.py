"""The control of a lip reader: as the text of each clip what it read in the video of another sentence."""

from __future__ import annotations

import sys
from pathlib import Path

from lipsound2.corpora.pairs import other_clips
from lipsound2.data.datadir import DataDir, read_table, write_table
from lipsound2.decoding.hypothesis import DETAILS, TEXT, Hypothesis, write_words
from lipsound2.errors import LipsoundError


def mismatch(read: Path, data: Path, out: Path) -> None:
    """Write the control, as `decode` writes texts.

    Args:
        read: folder that `decode` wrote.
        data: data dir of the clips.
        out: folder to write.
    """
    found, known = read_table(read / TEXT), DataDir(data)
    pairs = other_clips(known, [*known.ids])
    texts = {name: found[other] for name, other in pairs.items() if other in found}
    write_table(out / TEXT, texts)
    write_words(out / DETAILS, {name: Hypothesis(texts.get(name, ""), []) for name in pairs})


if __name__ == "__main__":  # of recipes
    try:
        mismatch(*map(Path, sys.argv[1:]))
    except LipsoundError as error:
        sys.exit(str(error))
