"""Which words a model knows, where it knows whole words and no others. Torch is not imported."""

from __future__ import annotations

from pathlib import Path

from lipsound2.datasets.word_alignment import load_words
from lipsound2.text.tokens import FILES, known_words, load


def words_of(folder: Path) -> list[str]:
    """The words of an experiment or pack, sorted; empty: it has no list of words.

    A recognizer writes the words of its tokenizer. A lip-to-speech model ranks those of its word head.

    Raises:
        LipsoundError: its tokenizer cannot be read.
    """
    if any((folder / name).is_file() for name in FILES):
        return known_words(load(folder))
    return sorted(load_words(folder))
