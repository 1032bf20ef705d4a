"""Recognized texts aligned with their references, word by word or character by character.

Alignments are jiwer's: the fewest substitutions, deletions and insertions. Of several that are equally short the one
that rapidfuzz finds counts; rates do not depend on it, but confused pairs may.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lipsound2.errors import require
from lipsound2.text.normalize import Normalization

NOTHING = "<eps>"  # stands for the missing word of a deletion or insertion; no normalized word looks like it


@dataclass(frozen=True)
class Counts:
    """Words or characters of references and hypotheses, aligned."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )

    @property
    def units(self) -> int:
        """Words or characters of the references."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors by units: WER or CER, as a fraction; above 1 where much is inserted."""
        return self.errors / self.units


@dataclass(frozen=True)
class TextRow:
    """One clip.

    Attributes:
        id: of the clip.
        reference: normalized, never empty.
        hypothesis: normalized; empty when nothing was recognized.
        missing: there was no hypothesis at all, which counts as an empty one.
        words: None for a language whose unit is the character.
        characters: with the blanks between words, where there are words.
        alignment: pairs (of the reference, of the hypothesis) of words, or of characters where there are no words;
            `NOTHING` beside what was deleted or inserted.
    """

    id: str
    reference: str
    hypothesis: str
    missing: bool
    words: Counts | None
    characters: Counts
    alignment: tuple[tuple[str, str], ...]

    @property
    def counts(self) -> Counts:
        """Counts in the language's unit."""
        return self.characters if self.words is None else self.words

    def of_reference(self) -> list[tuple[str, str]]:
        """The pair of every unit of the reference, in its order: the alignment without the insertions."""
        return [pair for pair in self.alignment if pair[0] != NOTHING]


def align(references: Mapping[str, str], hypotheses: Mapping[str, str], rules: Normalization) -> list[TextRow]:
    """Align every clip.

    Args:
        references: id -> normalized text, not empty.
        hypotheses: id -> recognized text; a clip that is not there counts as an empty text, and is marked.
        rules: the normalization, which also names the unit.

    Raises:
        LipsoundError: jiwer is not installed.
    """
    jiwer = require("jiwer", "metrics")
    wanted = list(references.values())
    found = [rules.apply(hypotheses.get(key, "")) for key in references]
    by_character = jiwer.process_characters(wanted, found).alignments
    by_word = jiwer.process_words(wanted, found).alignments if rules.unit == "word" else [None] * len(wanted)
    rows = []
    for key, reference, hypothesis, words, characters in zip(
        references, wanted, found, by_word, by_character, strict=True
    ):
        chunks = characters if words is None else words
        rows.append(
            TextRow(
                id=key,
                reference=reference,
                hypothesis=hypothesis,
                missing=key not in hypotheses,
                words=None if words is None else _count(words),
                characters=_count(characters),
                alignment=tuple(_pairs(chunks, rules.units(reference), rules.units(hypothesis))),
            )
        )
    return rows


def _count(chunks: Iterable[Any]) -> Counts:
    """Counts of jiwer's `AlignmentChunk`s."""
    sizes: Counter[str] = Counter()
    for chunk in chunks:
        sizes[chunk.type] += max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
    return Counts(sizes["equal"], sizes["substitute"], sizes["delete"], sizes["insert"])


def _pairs(chunks: Iterable[Any], reference: Sequence[str], hypothesis: Sequence[str]) -> Iterable[tuple[str, str]]:
    for chunk in chunks:
        wanted = reference[chunk.ref_start_idx : chunk.ref_end_idx]
        found = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
        size = max(len(wanted), len(found))  # equal, except for deletions and insertions, where one is empty
        yield from zip(wanted or [NOTHING] * size, found or [NOTHING] * size, strict=True)
