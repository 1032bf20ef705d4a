"""How English words are said: the dictionary that comes with PocketSphinx (CMUdict)."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from lipsound2.data.texts import read_lines


def has_dictionary() -> bool:
    """Whether there is a dictionary."""
    return _dictionary() is not None


def _dictionary() -> Path | None:
    spec = find_spec("pocketsphinx")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "model" / "en-us" / "cmudict-en-us.dict"


def dictionary_spelling(word: str) -> str:
    """How PocketSphinx's dictionary writes an English word.

    Names of letters end in a full stop there: "a" is the article. The name of z is said as in Britain.
    """
    if len(word) > 1:
        return word
    return "zed" if word == "z" else f"{word}."


def pronunciations(words: Iterable[str]) -> dict[str, list[tuple[str, ...]]]:
    """Phonemes of English words, each way to say one; words that the dictionary lacks are left out.

    Without PocketSphinx there is no dictionary, and the result is empty.

    Args:
        words: lower case; single letters are meant by their names.
    """
    dictionary = _dictionary()
    if dictionary is None:
        return {}
    entries = {word: (dictionary_spelling(word), f"{word}.") for word in words}  # z is said in both ways
    wanted = {entry for both in entries.values() for entry in both}
    said: dict[str, list[tuple[str, ...]]] = {}
    for _, line in read_lines(dictionary):
        name, *phonemes = line.split()
        entry = name.partition("(")[0]  # further ways are called "read(2)"
        if entry in wanted:
            # Vowels carry the stress as a digit in some editions of the dictionary.
            said.setdefault(entry, []).append(tuple(phoneme.rstrip("012") for phoneme in phonemes))
    found = {
        word: [way for entry in dict.fromkeys(both) for way in said.get(entry, ())] for word, both in entries.items()
    }
    return {word: ways for word, ways in found.items() if ways}
