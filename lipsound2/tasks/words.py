"""Which word is being said at each picture, where a corpus knows: a second thing to learn beside the sound.

A distance between mels tells a network how the sound differs, not which difference decides what was said. Naming the
word at each picture does. It needs the table `word_times` in the training data dir and nothing when the model speaks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lipsound2.errors import LipsoundError
from lipsound2.tables import parse_words

UNKNOWN = -100  # what cross entropy leaves out
PICTURE_RATE = 25  # pictures a second, everywhere in the toolkit


Rows = list[tuple[float, float, str]]  # start and end in seconds, and the word


def read_words(table: Mapping[str, str], where: str) -> dict[str, Rows]:
    """Words and times by clip id, out of a table `word_times`.

    Raises:
        LipsoundError: a row that cannot be read.
    """
    found = {}
    for name, times in table.items():
        try:
            found[name] = parse_words(times)
        except ValueError as error:
            raise LipsoundError(f"{where}: {name}: {error}; run stage 0 again with the corpus' alignments") from error
    return found


def vocabulary(rows: Mapping[str, Rows]) -> list[str]:
    """All words, sorted; their classes are 1, 2, ...: class 0 is silence."""
    return sorted({word for clip in rows.values() for _, _, word in clip})


class WordTimes:
    """Words by clip and time.

    Args:
        rows: clip id -> its words and times; clips may be missing.
        words: the vocabulary; other words are unknown.
    """

    def __init__(self, rows: Mapping[str, Rows], words: Sequence[str]) -> None:
        classes = {word: number for number, word in enumerate(words, start=1)}
        self._rows = {
            name: [(start, end, classes.get(word, UNKNOWN)) for start, end, word in clip] for name, clip in rows.items()
        }

    def at(self, name: str, places: np.ndarray) -> np.ndarray:
        """Classes (T,) int64 at `places` (T,) of a clip, in pictures; UNKNOWN for a clip without times."""
        rows = self._rows.get(name)
        if rows is None:
            return np.full(len(places), UNKNOWN)
        classes = np.zeros(len(places), np.int64)
        seconds = (places + 0.5) / PICTURE_RATE
        for start, end, number in rows:
            classes[(start <= seconds) & (seconds < end)] = number
        return classes
