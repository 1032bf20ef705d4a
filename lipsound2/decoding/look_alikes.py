"""Sentences that look alike on the lips: their phonemes have the same visemes.

Visemes are those of J. Jeffers and M. Barley, Speechreading (Lipreading), 1971, as Bear and Harvey (Speech
Communication 95, 2017) list them. Of three published maps it told best which words lips confused on GRID: of
word pairs with equal visemes 40 % were confused, of others 17 %; see docs/results/phrases.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lipsound2.decoding.pronunciations import pronunciations

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

Shapes = dict[str, tuple[int, ...]]


def look_alikes(sentences: Sequence[str], visemes: Shapes) -> list[list[int]]:
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


def visemes_of(words: Iterable[str], groups: Sequence[str] = VISEMES) -> Shapes:
    """Visemes of English words; those that the dictionary lacks are left out.

    Without PocketSphinx there is no dictionary, and the result is empty.

    Args:
        words: lower case.
        groups: phonemes of each viseme, with blanks between; others have no shape.
    """
    viseme_of = {phoneme: number for number, group in enumerate(groups) for phoneme in group.split()}
    # The first of a word's ways to say it.
    return {
        word: tuple(viseme_of[phoneme] for phoneme in ways[0] if phoneme in viseme_of)
        for word, ways in pronunciations(words).items()
    }
