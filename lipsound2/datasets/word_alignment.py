"""The word at each frame, from a corpus' word alignments: labels of an auxiliary loss beside audio or text.

A distance between mels weighs all differences alike, whether or not they decide which word is understood; a text says
nothing about time. Classifying the word at each frame adds both. It needs the table `word_times` in the training data
dir, and nothing at inference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lipsound2.data.datadir import DataDir
from lipsound2.data.tables import parse_words
from lipsound2.data.texts import read_text
from lipsound2.errors import LipsoundError
from lipsound2.files import write_text
from lipsound2.timing import FRAME_RATE

WORDS_FILE = "words.txt"  # the vocabulary of an experiment whose model has a word head
UNKNOWN = -100  # the label that cross entropy ignores


Rows = list[tuple[float, float, str]]  # start and end in seconds, and the word


def word_times(data: DataDir, weight: float) -> dict[str, Rows]:
    """Words and times by clip id, out of a data dir's table `word_times`; {} when the weight of their loss is 0.

    Raises:
        LipsoundError: the data dir has no such table, or a row of it cannot be read.
    """
    if not weight:
        return {}
    found = read_times(data)
    if not found:
        raise LipsoundError(
            f"{data.path}: has no word_times, which word_loss_weight {weight:g} asks for; prepare it "
            "from a corpus with alignments, or set word_loss_weight: 0"
        )
    return found


def read_times(data: DataDir) -> dict[str, Rows]:
    """Words and times by clip id, out of a data dir's table `word_times`; {} without one.

    Raises:
        LipsoundError: a row of it cannot be read.
    """
    found = {}
    for name, times in data.table("word_times").items():
        try:
            found[name] = parse_words(times)
        except ValueError as error:
            raise LipsoundError(
                f"{data.path / 'word_times'}: {name}: {error}; run stage 0 again with the corpus' alignments"
            ) from error
    return found


def save_words(exp: Path, words: Sequence[str]) -> None:
    """Write the vocabulary of a word head; nothing when there is none."""
    if words:
        write_text(exp / WORDS_FILE, "".join(f"{word}\n" for word in words))


def load_words(exp: Path) -> tuple[str, ...]:
    """Read the vocabulary of a word head; () when there is none."""
    return tuple(read_text(exp / WORDS_FILE).split()) if (exp / WORDS_FILE).exists() else ()


def vocabulary(rows: Mapping[str, Rows]) -> tuple[str, ...]:
    """All words, sorted. Their classes are 1, 2, ...; class 0 is silence."""
    return tuple(sorted({word for clip in rows.values() for _, _, word in clip}))


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
        """Classes (T,) int64 at `places` (T,) of a clip, in video frames; UNKNOWN for a clip without times."""
        return self.during(name, (places + 0.5) / FRAME_RATE)

    def during(self, name: str, seconds: np.ndarray) -> np.ndarray:
        """Classes (T,) int64 at moments (T,) of a clip; UNKNOWN for a clip without times."""
        rows = self._rows.get(name)
        if rows is None:
            return np.full(len(seconds), UNKNOWN)
        classes = np.zeros(len(seconds), np.int64)
        for start, end, number in rows:
            classes[(start <= seconds) & (seconds < end)] = number
        return classes
