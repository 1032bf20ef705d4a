"""Words that sound alike, such as in and inn: a recognizer that knows no corpus cannot tell which one is meant."""

from __future__ import annotations

from collections.abc import Mapping

from lipsound2.decoding.pronunciations import has_dictionary, pronunciations
from lipsound2.errors import LipsoundError, install_command
from lipsound2.text.normalize import normalize

LANGUAGE = "en"  # that there is a dictionary of


def folded(hypotheses: Mapping[str, str], references: Mapping[str, str]) -> dict[str, str]:
    """Hypotheses in which a word that no reference has is replaced by one of the references that is said alike.

    Where several words of the references are said alike, the first by the alphabet is taken. Words with more than one
    pronunciation are alike if they share one.

    Args:
        hypotheses: id -> English text.
        references: likewise.

    Returns:
        id -> normalized text.

    Raises:
        LipsoundError: there is no dictionary.
    """
    if not has_dictionary():
        raise LipsoundError(f"--homophones: needs PocketSphinx's dictionary; install it with: {install_command('asr')}")
    known = sorted({word for text in references.values() for word in normalize(text, LANGUAGE).split()})
    texts = {name: normalize(text, LANGUAGE).split() for name, text in hypotheses.items()}
    new = {word for text in texts.values() for word in text} - {*known}
    said = pronunciations([*known, *new])
    words: dict[tuple[str, ...], str] = {}
    for word in known:
        for phonemes in said.get(word, ()):
            words.setdefault(phonemes, word)
    alike = {word: words[phonemes] for word in new for phonemes in reversed(said.get(word, [])) if phonemes in words}
    return {name: " ".join(alike.get(word, word) for word in text) for name, text in texts.items()}
