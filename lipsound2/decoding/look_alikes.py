"""Sentences that look alike on the lips: their phonemes have the same visemes.

Visemes are those of J. Jeffers and M. Barley, Speechreading (Lipreading), 1971, as Bear and Harvey (Speech
Communication 95, 2017) list them. Of three published maps it told best which words lips confused on GRID: of
word pairs with equal visemes 40 % were confused, of others 17 %; see egs/grid/RESULTS.md. Pronunciations are those of
the dictionary that comes with PocketSphinx.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from lipsound2.data.texts import read_lines

VISEMES = (
    "F V",
    "ER OW R W UH UW",
    "B P M",
    "AW",
    "DH TH",
    "CH JH SH ZH",
    "OY AO",
    "S Z",
    "AA AE AH AY EH EY IH IY Y",
    "D L N T",
    "G K NG",
)  # the breath of HH has no shape of its own

Pronunciations = dict[str, tuple[int, ...]]


def look_alikes(sentences: Sequence[str], visemes: Pronunciations) -> list[list[int]]:
    """Groups of sentences that look alike, each the numbers of two sentences or more.

    Args:
        sentences: words with blanks between.
        visemes: of words; a sentence with a word that is not there looks like no other.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, sentence in enumerate(sentences):
        words = sentence.split()
        if words and all(word in visemes for word in words):
            groups.setdefault(tuple(viseme for word in words for viseme in visemes[word]), []).append(number)
    return [group for group in groups.values() if len(group) > 1]


def has_dictionary() -> bool:
    """Whether there is a dictionary, so that sentences can be compared."""
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


def visemes_of(words: Iterable[str], groups: Sequence[str] = VISEMES) -> Pronunciations:
    """Visemes of English words; those that the dictionary lacks are left out.

    Without PocketSphinx there is no dictionary, and the result is empty.

    Args:
        words: lower case.
        groups: phonemes of each viseme, with blanks between; others have no shape.
    """
    viseme_of = {phoneme: number for number, group in enumerate(groups) for phoneme in group.split()}
    dictionary = _dictionary()
    if dictionary is None:
        return {}
    spelled = {dictionary_spelling(word): word for word in words}
    found: Pronunciations = {}
    for _, line in read_lines(dictionary):
        word, *phonemes = line.split()
        if word in spelled:
            # Vowels carry the stress as a digit in some editions of the dictionary.
            plain = (phoneme.rstrip("012") for phoneme in phonemes)
            found[spelled[word]] = tuple(viseme_of[phoneme] for phoneme in plain if phoneme in viseme_of)
    return found
