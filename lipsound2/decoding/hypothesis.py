"""Hypotheses: what a recognizer found, words with their times, how sure it is, and what else it could be."""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lipsound2.data.json_text import parse_json
from lipsound2.data.shapes import checked
from lipsound2.data.texts import read_lines
from lipsound2.decoding.phrases import Ranking
from lipsound2.errors import LipsoundError
from lipsound2.files import write_text

TEXT, DETAILS = "text", "words.jsonl"  # files of `decode`: a table, and the file of `write_words`
ACCURACY = "accuracy.yaml"  # of single words: clips, top1, top5 (shares of 1)


DOUBTFUL = 0.8  # words below this confidence are marked


@dataclass(frozen=True)
class Word:
    """One recognized word.

    Attributes:
        text: as it is written.
        start: seconds from the beginning of the audio.
        end: likewise.
        confidence: probability in [0, 1] that the word is right; None: the recognizer has none.
    """

    text: str
    start: float
    end: float
    confidence: float | None = None


def confidence_of_all(words: Sequence[Word]) -> float | None:
    """Confidence of a whole text whose words are right or wrong each for itself; None: there is no word."""
    return math.prod(word.confidence or 0.0 for word in words) if words else None


@dataclass(frozen=True)
class Alternative:
    """Another text that the same clip could be.

    Attributes:
        text: words with blanks between.
        probability: in [0, 1] that it is right.
    """

    text: str
    probability: float


@dataclass(frozen=True)
class Hypothesis:
    """A recognizer's text of one clip.

    Attributes:
        text: words with blanks between; empty if nothing was recognized.
        words: the same with times, if the recognizer has them.
        score: natural log-probability or another score, higher is better; compare within one clip only.
        confidence: probability in [0, 1] that the whole text is right; None: the recognizer has none.
        alternatives: other texts, the most probable first. Their probabilities and `confidence` sum to 1 at most.
            Greedy decoding may miss the most probable text; then the first alternative is above `confidence`.
        phrases: where sentences were given of which one may have been said, their ranking for each utterance. The text
            is then one of them, or empty for none of these.
    """

    text: str
    words: list[Word] = field(default_factory=list)
    score: float = 0.0
    confidence: float | None = None
    alternatives: list[Alternative] = field(default_factory=list)
    phrases: list[Ranking] = field(default_factory=list)


def is_doubtful(word: Word) -> bool:
    """Whether a word is marked as doubtful; without a confidence it is not."""
    return word.confidence is not None and word.confidence < DOUBTFUL


def marked(what: Hypothesis) -> str:
    """The text with doubtful words marked: `bin [blue?] now`."""
    if not any(is_doubtful(word) for word in what.words):
        return what.text
    return " ".join(f"[{word.text}?]" if is_doubtful(word) else word.text for word in what.words)


def joined(found: Iterable[tuple[float, Hypothesis]]) -> Hypothesis:
    """Join the hypotheses of stretches into one; times count from the beginning of the clip.

    Stretches count as independent: the confidence is the product of theirs, and the alternatives are the most probable
    combinations of their texts.

    Args:
        found: for each stretch, the second at which it begins and its hypothesis.
    """
    found = list(found)
    words = [
        replace(word, start=word.start + begin, end=word.end + begin) for begin, what in found for word in what.words
    ]
    text, confidence, alternatives = _combined([what for _, what in found])
    score = sum((what.score for _, what in found), 0.0)
    phrases = [ranking.moved(begin) for begin, what in found for ranking in what.phrases]
    return Hypothesis(text, words, score, confidence, alternatives, phrases)


def _combined(parts: list[Hypothesis]) -> tuple[str, float | None, list[Alternative]]:
    """Text, confidence and alternatives of stretches in order."""
    text = " ".join(part.text for part in parts if part.text)
    sure = [part.confidence for part in parts if part.confidence is not None]
    if not parts or len(sure) < len(parts):
        return text, None, []
    kept = max(len(part.alternatives) for part in parts)
    begun, confidence = "", 1.0  # the parts so far
    sums: dict[str, float] = {}  # other texts than theirs, with their probabilities
    for part, own in zip(parts, sure, strict=True):
        options = [(part.text, own), *((each.text, each.probability) for each in part.alternatives)]
        before = [(begun, confidence), *sums.items()]
        begun = f"{begun} {part.text}".strip()
        # Words may lie in one stretch or in the next, and the text is the same.
        longer: dict[str, float] = {}
        for first, share in before:
            for second, probability in options:
                combined = f"{first} {second}".strip()
                longer[combined] = longer.get(combined, 0.0) + share * probability
        confidence = longer.pop(begun)
        sums = dict(heapq.nlargest(kept, longer.items(), key=lambda item: item[1]))
    return text, confidence, ranked(sums)


def ranked(probabilities: Mapping[str, float]) -> list[Alternative]:
    """Alternatives from texts and their probabilities, the most probable first; impossible ones are left out."""
    alternatives = [Alternative(text, share) for text, share in probabilities.items() if share > 0]
    return sorted(alternatives, key=lambda each: (-each.probability, each.text))


def to_json(what: Hypothesis, alternatives: int = 0) -> dict[str, Any]:
    """A hypothesis as plain values, times to the millisecond.

    Args:
        what: the hypothesis.
        alternatives: how many of its alternatives at most; 0: without their key.
    """
    words = [
        {
            "text": word.text,
            "start": round(word.start, 3),
            "end": round(word.end, 3),
            "confidence": _rounded(word.confidence),
        }
        for word in what.words
    ]
    row: dict[str, Any] = {
        "text": what.text,
        "words": words,
        "score": round(what.score, 3),
        "confidence": _rounded(what.confidence),
    }
    if alternatives:
        chosen = what.alternatives[:alternatives]
        row["alternatives"] = [{"text": each.text, "probability": _rounded(each.probability)} for each in chosen]
    if what.phrases:
        row["phrases"] = [_ranking(each) for each in what.phrases]
    return row


def _ranking(what: Ranking) -> dict[str, Any]:
    choices = [{"text": each.text, "probability": _rounded(each.probability)} for each in what.choices]
    times = {"start": round(what.start, 3), "end": round(what.end, 3)}
    return {**times, "none": _rounded(what.none), "choices": choices}


def _rounded(probability: float | None) -> float | None:
    return None if probability is None else round(probability, 4)


def write_words(path: Path, hypotheses: Mapping[str, Hypothesis], alternatives: int = 0) -> None:
    """A line of JSON for every clip: its text, words with times, and confidences.

    Args:
        path: the file.
        hypotheses: by the id of the clip.
        alternatives: see `to_json`.
    """
    rows = (
        json.dumps({"id": name, **to_json(what, alternatives)}, ensure_ascii=False)
        for name, what in sorted(hypotheses.items())
    )
    write_text(path, "".join(f"{row}\n" for row in rows))


def read_words(path: Path) -> dict[str, Hypothesis]:
    """The hypotheses in a file of `write_words`, by the id of the clip.

    Raises:
        LipsoundError: it is not such a file.
    """
    return {row["id"]: checked(row, Hypothesis, where) for where, row in _rows(path)}


def read_ids(path: Path) -> list[str]:
    """Ids of all clips in a file that `decode` wrote, also of those without a word.

    Raises:
        LipsoundError: it is not such a file.
    """
    return [row["id"] for _, row in _rows(path)]


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each line stands, and its content, which has an id."""
    for number, line in read_lines(path):
        where = f"{path}, line {number}"
        row = parse_json(line, where)
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            raise LipsoundError(f"{where}: expected the id of a clip and its text; decode again")
        yield where, row
