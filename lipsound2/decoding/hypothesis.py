"""Hypotheses: what a recognizer found, words with their times."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lipsound2.data.json_text import parse_json
from lipsound2.data.texts import read_lines
from lipsound2.errors import LipsoundError
from lipsound2.files import write_text

TEXT, DETAILS = "text", "words.jsonl"  # files of `decode`: a table, and the file of `write_words`
ACCURACY = "accuracy.yaml"  # of single words: clips, top1, top5 (shares of 1)


@dataclass(frozen=True)
class Word:
    """One recognized word.

    Attributes:
        text: as it is written.
        start: seconds from the beginning of the audio.
        end: likewise.
        confidence: in [0, 1]; recognizers differ in its meaning.
    """

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class Hypothesis:
    """A recognizer's text of one clip.

    Attributes:
        text: words with blanks between; empty if nothing was recognized.
        words: the same with times, if the recognizer has them.
        score: natural log-probability or another score, higher is better; compare within one clip only.
    """

    text: str
    words: list[Word] = field(default_factory=list)
    score: float = 0.0


def to_json(what: Hypothesis) -> dict[str, Any]:
    """A hypothesis as plain values, times to the millisecond."""
    words = [
        {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(word).items()}
        for word in what.words
    ]
    return {"text": what.text, "words": words, "score": round(what.score, 3)}


def write_words(path: Path, hypotheses: Mapping[str, Hypothesis]) -> None:
    """A line of JSON for every clip: its text, and its words with times."""
    rows = (json.dumps({"id": name, **to_json(what)}, ensure_ascii=False) for name, what in sorted(hypotheses.items()))
    write_text(path, "".join(f"{row}\n" for row in rows))


def read_ids(path: Path) -> list[str]:
    """Ids of all clips in a file that `decode` wrote, also of those without a word.

    Raises:
        LipsoundError: it is not such a file.
    """
    ids = []
    for number, line in read_lines(path):
        row = parse_json(line, f"{path}, line {number}")
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            raise LipsoundError(f"{path}, line {number}: expected the id of a clip and its text; decode again")
        ids.append(row["id"])
    return ids
