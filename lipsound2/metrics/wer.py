"""Texts against their references: word, character and sentence error rates, by speaker and by word.

What a corpus' sentences allow beyond that, such as the slots of GRID's, stands in `sentence_tables`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lipsound2.errors import LipsoundError
from lipsound2.metrics import rates
from lipsound2.metrics.alignment import NOTHING, Counts, TextRow, align
from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.sentence_tables import TABLES
from lipsound2.text.normalize import Normalization, normalization

PAIRS = 50  # confused pairs that are kept, of substitutions, of deletions, and of insertions each


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


@dataclass
class TextSummary:
    """Text scores of a system.

    Attributes:
        language: of the texts.
        normalization: version of the normalization.
        total: over all clips.
        rates: `wer` (where there are words), `cer`, `ser` with their intervals, as fractions.
        speakers: speaker -> his or her clips.
        confusions: the most frequent of each kind, the most frequent first.
        further: by name in `sentence_tables.TABLES`, what that module measured; only where it applies.
    """

    language: str
    normalization: str
    total: Tally
    rates: dict[str, Interval]
    speakers: dict[str, Tally]
    confusions: list[Confusion]
    further: dict[str, Any] = field(default_factory=dict)


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
    """Score recognized texts by `wer_summary.TEXT_RULE`.

    Args:
        references: id -> reference text.
        hypotheses: id -> recognized text; a missing one counts as an empty text, and as missing.
        utt2spk: id -> speaker, of every reference.
        language: one of `text.normalize.languages()`.
        unseen: whether the intervals generalize to new speakers, not to more clips of these.

    Raises:
        LipsoundError: no references, references that are empty once normalized, hypotheses without a reference, clips
            without a speaker, a language without a normalization; jiwer is not installed.
    """
    rules = normalization(language)
    rows = align(_checked(references, hypotheses, utt2spk, rules), hypotheses, rules)
    speakers: dict[str, list[TextRow]] = {}
    for row in rows:
        speakers.setdefault(utt2spk[row.id], []).append(row)
    total = _tally(rows)
    errors, units = _columns(rows)
    who = [utt2spk[row.id] for row in rows] if unseen else None
    intervals = dict(zip(errors, rates.rates(_matrix(errors), _matrix(units), who), strict=True))
    further = {name: table.measure(rows, who) for name, table in TABLES.items()}
    summary = TextSummary(
        language=language,
        normalization=rules.version,
        total=total,
        rates={name: intervals[name] for name in total.rates},
        speakers={speaker: _tally(speakers[speaker]) for speaker in sorted(speakers)},
        confusions=confusions(rows),
        further={name: found for name, found in further.items() if found is not None},
    )
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
        LipsoundError: the systems were not scored on the same references, or not by the same normalization.
    """
    versions = (first.summary.normalization, second.summary.normalization)
    if versions[0] != versions[1]:
        raise LipsoundError(f"scores by the normalizations {versions[0]} and {versions[1]} cannot be compared")
    texts = [{row.id: row.reference for row in scores.rows} for scores in (first, second)]
    if texts[0] != texts[1]:
        differing = [key for key in texts[0].keys() | texts[1].keys() if texts[0].get(key) != texts[1].get(key)]
        raise LipsoundError(f"two systems are compared on the same references; these differ: {_some(differing)}")
    columns = [_columns(scores.rows) for scores in (first, second)]
    gain = _matrix(columns[0][0]) - _matrix(columns[1][0])
    who = None if utt2spk is None else [utt2spk[row.id] for row in first.rows]
    found = rates.differences(gain, _matrix(columns[0][1]), who)
    return dict(zip(columns[0][0], found, strict=True))


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


def _checked(
    references: Mapping[str, str], hypotheses: Mapping[str, str], utt2spk: Mapping[str, str], rules: Normalization
) -> dict[str, str]:
    """The references, normalized and sorted by id, when all can be scored."""
    if not references:
        raise LipsoundError("there are no reference texts to score against")
    if unknown := hypotheses.keys() - references.keys():
        raise LipsoundError(f"these hypotheses have no reference text: {_some(unknown)}; are both of the same set?")
    if strangers := references.keys() - utt2spk.keys():
        raise LipsoundError(f"these clips have no speaker in utt2spk: {_some(strangers)}")
    texts = {key: rules.apply(references[key]) for key in sorted(references)}
    if empty := [key for key, text in texts.items() if not text]:
        raise LipsoundError(
            f"these reference texts are empty once normalized ({rules.version}): {_some(empty)}; "
            "give them a text or leave the clips out"
        )
    return texts


def _some(ids: Iterable[str], shown: int = 5) -> str:
    names = sorted(ids)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _tally(rows: Sequence[TextRow]) -> Tally:
    words = [row.words for row in rows if row.words is not None]
    return Tally(
        clips=len(rows),
        missing=sum(row.missing for row in rows),
        wrong=sum(row.counts.errors > 0 for row in rows),
        words=sum(words, Counts()) if words else None,
        characters=sum((row.characters for row in rows), Counts()),
    )


def _columns(rows: Sequence[TextRow]) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
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
    return errors, units


def _matrix(columns: Mapping[str, Sequence[float]]) -> np.ndarray:
    return np.array(list(columns.values())).T
