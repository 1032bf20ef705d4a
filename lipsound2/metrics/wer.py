"""Texts against their references: word, character and sentence error rates, by speaker, by word, and by GRID's slots.

Alignments are jiwer's: the fewest substitutions, deletions and insertions. Of several that are equally short the one
that rapidfuzz finds counts; rates do not depend on it, but confused pairs may.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lipsound2.corpora.sentences import SLOTS
from lipsound2.errors import LipsoundError, require
from lipsound2.metrics import rates
from lipsound2.metrics.bootstrap import Interval
from lipsound2.text.normalize import Normalisation, normalisation

NOTHING = "<eps>"  # the other side of a word that was left out or put in; no normalised word looks like it
PAIRS = 50  # confused pairs that are kept, of substitutions, of deletions, and of insertions each
SLOT_NAMES = ("command", "colour", "preposition", "letter", "digit", "adverb")
SLOT_CHANCE = tuple(1 - 1 / len(slot) for slot in SLOTS)  # errors of a guess drawn uniformly among a slot's words
# Every sentence has one word a slot and no word is in two slots, so a guess has no errors but substitutions.
CHANCE = sum(SLOT_CHANCE) / len(SLOTS)


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
        reference: normalised, never empty.
        hypothesis: normalised; empty when nothing was recognised.
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
        """In the language's unit."""
        return self.characters if self.words is None else self.words


@dataclass(frozen=True)
class Tally:
    """Added up over clips.

    Attributes:
        clips: how many.
        missing: those without a hypothesis.
        wrong: those with an error.
        words: None for a language whose unit is the character.
        characters: with the blanks between words.
    """

    clips: int
    missing: int
    wrong: int
    words: Counts | None
    characters: Counts

    @property
    def rates(self) -> dict[str, float]:
        """`wer` (where there are words), `cer` and `ser`, as fractions."""
        words = {} if self.words is None else {"wer": self.words.rate}
        return {**words, "cer": self.characters.rate, "ser": self.wrong / self.clips}


@dataclass(frozen=True)
class Confusion:
    """How often `hypothesis` stands for `reference`; `NOTHING` for `reference` is an insertion, else a deletion."""

    reference: str
    hypothesis: str
    count: int


@dataclass(frozen=True)
class Slot:
    """One place of GRID's sentence.

    Attributes:
        rate: of its words that were substituted or deleted; an inserted word belongs to no slot.
        chance: the rate of a guess drawn uniformly among its words.
        substitutions: how many.
        deletions: how many.
    """

    rate: Interval
    chance: float
    substitutions: int
    deletions: int


@dataclass
class TextSummary:
    """What a system's texts are worth.

    Attributes:
        language: of the texts.
        normalisation: version of the normalisation.
        total: over all clips.
        rates: `wer` (where there are words), `cer`, `ser` with their intervals, as fractions.
        speakers: speaker -> his or her clips.
        confusions: the most frequent of each kind, the most frequent first.
        slots: by `SLOT_NAMES` where every reference is a GRID sentence, else empty.
        letters: likewise: letter -> what was recognised -> count, with the hits; `NOTHING` where it was deleted.
    """

    language: str
    normalisation: str
    total: Tally
    rates: dict[str, Interval]
    speakers: dict[str, Tally]
    confusions: list[Confusion]
    slots: dict[str, Slot] = field(default_factory=dict)
    letters: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass
class TextScores:
    """A system's summary, and every clip it was made from, sorted by id."""

    summary: TextSummary
    rows: list[TextRow]


def score_texts(
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    utt2spk: Mapping[str, str],
    language: str,
    *,
    unseen: bool = False,
) -> TextScores:
    """Score recognised texts by `wer_summary.TEXT_RULE`.

    Args:
        references: id -> what was said.
        hypotheses: id -> what was recognised; a clip that is not there counts as an empty text, and is counted.
        utt2spk: id -> speaker, of every reference.
        language: `en` or `zh`.
        unseen: the intervals are about speakers like these, not about more clips of these.

    Raises:
        LipsoundError: no references, references that are empty once normalised, hypotheses without a reference, clips
            without a speaker, a language without a normalisation; jiwer is not installed.
    """
    rules = normalisation(language)
    rows = _rows(_checked(references, hypotheses, utt2spk, rules), hypotheses, rules)
    speakers: dict[str, list[TextRow]] = {}
    for row in rows:
        speakers.setdefault(utt2spk[row.id], []).append(row)
    grid = rules.unit == "word" and all(is_grid_sentence(row.reference) for row in rows)
    total = _tally(rows)
    errors, units = _columns(rows, grid)
    who = [utt2spk[row.id] for row in rows] if unseen else None
    intervals = dict(zip(errors, rates.rates(_matrix(errors), _matrix(units), who), strict=True))
    summary = TextSummary(
        language=language,
        normalisation=rules.version,
        total=total,
        rates={name: intervals[name] for name in total.rates},
        speakers={speaker: _tally(speakers[speaker]) for speaker in sorted(speakers)},
        confusions=confusions(rows),
    )
    if grid:
        summary.slots = _slots(rows, intervals)
        summary.letters = letter_confusions(rows)
    return TextScores(summary, rows)


def difference(first: TextScores, second: TextScores, utt2spk: Mapping[str, str] | None = None) -> dict[str, Interval]:
    """`wer`, `cer`, `ser` of the first system minus those of the second, with paired intervals.

    Args:
        first: of one system.
        second: of another one, on the same clips.
        utt2spk: id -> speaker, when the intervals are about speakers like these.

    Returns:
        Fractions; below 0 where the first system makes fewer errors. An interval that leaves out 0 is a difference
        that more clips of these speakers (with `utt2spk`: more speakers) would not take away.

    Raises:
        LipsoundError: the systems were not scored on the same references, or not by the same normalisation.
    """
    versions = (first.summary.normalisation, second.summary.normalisation)
    if versions[0] != versions[1]:
        raise LipsoundError(f"scores by the normalisations {versions[0]} and {versions[1]} cannot be compared")
    texts = [{row.id: row.reference for row in scores.rows} for scores in (first, second)]
    if texts[0] != texts[1]:
        differing = [key for key in texts[0].keys() | texts[1].keys() if texts[0].get(key) != texts[1].get(key)]
        raise LipsoundError(f"two systems are compared on the same references; these differ: {_some(differing)}")
    columns = [_columns(scores.rows, grid=False) for scores in (first, second)]
    gain = _matrix(columns[0][0]) - _matrix(columns[1][0])
    who = None if utt2spk is None else [utt2spk[row.id] for row in first.rows]
    found = rates.differences(gain, _matrix(columns[0][1]), who)
    return dict(zip(columns[0][0], found, strict=True))


def is_grid_sentence(text: str) -> bool:
    """Whether a normalised text is one of GRID's sentences: a word of each slot, in order."""
    words = text.split()
    return len(words) == len(SLOTS) and all(word in slot.values() for word, slot in zip(words, SLOTS, strict=True))


def confusions(rows: Iterable[TextRow], most: int = PAIRS) -> list[Confusion]:
    """The `most` frequent substitutions, deletions and insertions, the most frequent first, equals by alphabet."""
    pairs = Counter(pair for row in rows for pair in row.alignment if pair[0] != pair[1])
    kinds: Counter[int] = Counter()
    kept = []
    for (reference, hypothesis), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0])):
        kind = (reference, hypothesis).index(NOTHING) if NOTHING in (reference, hypothesis) else -1
        kinds[kind] += 1
        if kinds[kind] <= most:
            kept.append(Confusion(reference, hypothesis, count))
    return kept


def letter_confusions(rows: Iterable[TextRow]) -> dict[str, dict[str, int]]:
    """Letter -> what was recognised in its place -> count, for GRID sentences; hits are in it, too."""
    place = SLOT_NAMES.index("letter")
    pairs = Counter(_said(row)[place] for row in rows)
    table: dict[str, dict[str, int]] = {}
    for (letter, hypothesis), count in sorted(pairs.items()):
        table.setdefault(letter, {})[hypothesis] = count
    return table


def _checked(
    references: Mapping[str, str], hypotheses: Mapping[str, str], utt2spk: Mapping[str, str], rules: Normalisation
) -> dict[str, str]:
    """The references, normalised and sorted by id, when all can be scored."""
    if not references:
        raise LipsoundError("there are no reference texts to score against")
    if unknown := hypotheses.keys() - references.keys():
        raise LipsoundError(f"these hypotheses have no reference text: {_some(unknown)}; are both of the same set?")
    if strangers := references.keys() - utt2spk.keys():
        raise LipsoundError(f"these clips have no speaker in utt2spk: {_some(strangers)}")
    texts = {key: rules.apply(references[key]) for key in sorted(references)}
    if empty := [key for key, text in texts.items() if not text]:
        raise LipsoundError(
            f"these reference texts are empty once normalised ({rules.version}): {_some(empty)}; "
            "give them a text or leave the clips out"
        )
    return texts


def _some(ids: Iterable[str], shown: int = 5) -> str:
    names = sorted(ids)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _rows(references: Mapping[str, str], hypotheses: Mapping[str, str], rules: Normalisation) -> list[TextRow]:
    """Align every clip."""
    jiwer = require("jiwer", "metrics")
    said = list(references.values())
    heard = [rules.apply(hypotheses.get(key, "")) for key in references]
    by_character = jiwer.process_characters(said, heard).alignments
    by_word = jiwer.process_words(said, heard).alignments if rules.unit == "word" else [None] * len(said)
    rows = []
    for key, reference, hypothesis, words, characters in zip(
        references, said, heard, by_word, by_character, strict=True
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
        said = reference[chunk.ref_start_idx : chunk.ref_end_idx]
        heard = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
        size = max(len(said), len(heard))  # equal, but for deletions and insertions, where one is empty
        yield from zip(said or [NOTHING] * size, heard or [NOTHING] * size, strict=True)


def _tally(rows: Sequence[TextRow]) -> Tally:
    words = [row.words for row in rows if row.words is not None]
    return Tally(
        clips=len(rows),
        missing=sum(row.missing for row in rows),
        wrong=sum(row.counts.errors > 0 for row in rows),
        words=sum(words, Counts()) if words else None,
        characters=sum((row.characters for row in rows), Counts()),
    )


def _columns(rows: Sequence[TextRow], grid: bool) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """By rate, the errors of every clip, and what they are divided by."""
    ones = [1.0] * len(rows)
    errors: dict[str, list[float]] = {}
    units: dict[str, list[float]] = {}
    words = [row.words for row in rows if row.words is not None]
    if words:
        errors["wer"], units["wer"] = [float(one.errors) for one in words], [float(one.units) for one in words]
    errors["cer"] = [float(row.characters.errors) for row in rows]
    units["cer"] = [float(row.characters.units) for row in rows]
    errors["ser"], units["ser"] = [float(row.counts.errors > 0) for row in rows], ones
    if grid:
        said = [_said(row) for row in rows]
        for place, name in enumerate(SLOT_NAMES):
            errors[name], units[name] = [float(pairs[place][0] != pairs[place][1]) for pairs in said], ones
    return errors, units


def _matrix(columns: Mapping[str, Sequence[float]]) -> np.ndarray:
    return np.array(list(columns.values())).T


def _said(row: TextRow) -> list[tuple[str, str]]:
    """The pair of every word of the reference, in its order: without the insertions."""
    return [pair for pair in row.alignment if pair[0] != NOTHING]


def _slots(rows: Sequence[TextRow], intervals: Mapping[str, Interval]) -> dict[str, Slot]:
    slots = {}
    for place, (name, chance) in enumerate(zip(SLOT_NAMES, SLOT_CHANCE, strict=True)):
        pairs = [_said(row)[place] for row in rows]
        deletions = sum(pair[1] == NOTHING for pair in pairs)
        wrong = sum(pair[0] != pair[1] for pair in pairs)
        slots[name] = Slot(intervals[name], chance, wrong - deletions, deletions)
    return slots
