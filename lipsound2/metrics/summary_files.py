"""Summaries of speech scores as files: clips.tsv and summary.json, checked as they are read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lipsound2.data.json_text import read_json
from lipsound2.data.numerals import MOST, real, whole
from lipsound2.data.shapes import checked
from lipsound2.data.texts import shown
from lipsound2.data.tsv import read_tsv
from lipsound2.errors import LipsoundError
from lipsound2.files import write_text
from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.registry import SPEECH, STANDARD, in_order
from lipsound2.metrics.speech import ClipScores
from lipsound2.metrics.summary import THRESHOLD, Row, Summary, System, Verdict

AGAIN = "run lipsound2 score again"
LARGEST = 1e6  # of any score
LONGEST = 200  # letters of a name of a system
_ABSENT = "-"


def _columns(scores: Iterable[str]) -> list[str]:
    return ["id", "system", *scores, "length_difference", "failures"]


def write_clips(path: Path, rows: Sequence[Row]) -> None:
    """`clips.tsv`: one line a clip and system."""
    scores = in_order(row.scores.values for row in rows)
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(_columns(scores))
    for row in rows:
        found = row.scores.values
        values = [f"{found[name]:.5f}" if name in found else _ABSENT for name in scores]
        reasons = ",".join(f"{name}={reason}" for name, reason in row.scores.failures.items()) or _ABSENT
        writer.writerow([row.id, row.system, *values, row.scores.difference, reasons])
    write_text(path, text.getvalue())


def read_clips(path: Path) -> list[Row]:
    """Read `clips.tsv` back.

    Raises:
        LipsoundError: it is not such a file.
    """
    columns, lines = read_tsv(path, AGAIN)
    scores = [name for name in SPEECH if name in STANDARD or name in columns]
    if columns != _columns(scores):
        raise LipsoundError(
            f"{path}: expected the columns {' '.join(_columns(STANDARD))}, with further scores before the last two, "
            f"found {' '.join(columns)[:200]}; {AGAIN}"
        )
    rows = []
    for number, cells in lines:
        line = dict(zip(columns, cells, strict=True))
        reasons = dict(item.split("=", 1) for item in line["failures"].split(",") if "=" in item)
        try:
            values = {name: real(line[name], -LARGEST, LARGEST) for name in scores if line[name] != _ABSENT}
            difference = whole(line["length_difference"], -MOST)
        except ValueError as error:
            raise LipsoundError(f"{path}:{number}: {error}; {AGAIN}") from error
        rows.append(Row(line["id"], line["system"], ClipScores(values, reasons, difference)))
    return rows


def to_json(summary: Summary) -> dict[str, Any]:
    """The summary as plain data, for `summary.json`."""
    verdict = summary.verdict
    return {
        "verdict": {
            "lips_are_read": verdict.lips_are_read,
            "estoi_matched_minus_mismatched": verdict.difference and verdict.difference.rounded(),
            "threshold": THRESHOLD,
            "sentence": verdict.sentence,
        },
        "systems": {
            name: {
                "clips": system.clips,
                "scores": {metric: value.rounded() for metric, value in system.scores.items()},
                "failed_clips": system.failed,
                "failures": system.failures,
                "mismatched_lengths": system.mismatched_lengths,
            }
            for name, system in summary.systems.items()
        },
        "speakers": {
            speaker: {
                key: value if key == "clips" else {metric: round(mean, 5) for metric, mean in value.items()}
                for key, value in entry.items()
            }
            for speaker, entry in summary.speakers.items()
        },
    }


@dataclass(frozen=True)
class _SystemEntry:
    """A system as `to_json` writes it."""

    clips: int
    scores: Mapping[str, Interval]
    failed_clips: int
    failures: Mapping[str, int]
    mismatched_lengths: int


@dataclass(frozen=True)
class _VerdictEntry:
    """The verdict as `to_json` writes it."""

    lips_are_read: bool | None
    estoi_matched_minus_mismatched: Interval | None
    sentence: str


@dataclass(frozen=True)
class _Entries:
    """`summary.json` as far as it is read."""

    systems: Mapping[str, _SystemEntry]
    speakers: Mapping[str, Mapping[str, Any]]
    verdict: _VerdictEntry


def from_json(content: Mapping[str, Any], where: str = "summary.json") -> Summary:
    """The inverse of `to_json`.

    Args:
        content: of the file, whoever wrote it.
        where: the file, for messages.

    Raises:
        LipsoundError: a key is missing, or holds what is no score.
    """
    found: _Entries = checked(content, _Entries, where)
    if not found.systems:
        raise LipsoundError(f"{where}: systems: expected at least one, found none; {AGAIN}")
    for name, entry in found.systems.items():
        check_name(name, f"{where}: systems")
        _check_scores({score: value.mean for score, value in entry.scores.items()}, f"{where}: {name}")
        for score, value in entry.scores.items():
            check_interval(value, f"{where}: {name}: {score}")
    speakers = {
        speaker: {
            key: checked(value, int if key == "clips" else Mapping[str, float], f"{where}: {speaker[:40]}: {key[:40]}")
            for key, value in {"clips": 0, **entry}.items()
        }
        for speaker, entry in found.speakers.items()
    }
    for speaker, entry_of in speakers.items():
        for scores in (value for key, value in entry_of.items() if key != "clips"):
            _check_scores(scores, f"{where}: {speaker[:40]}")
    verdict = found.verdict
    if verdict.estoi_matched_minus_mismatched is not None:
        check_interval(verdict.estoi_matched_minus_mismatched, f"{where}: verdict")
    return Summary(
        {
            name: System(
                clips=entry.clips,
                scores=dict(entry.scores),
                failed=entry.failed_clips,
                failures=dict(entry.failures),
                mismatched_lengths=entry.mismatched_lengths,
            )
            for name, entry in found.systems.items()
        },
        speakers,
        Verdict(verdict.lips_are_read, verdict.estoi_matched_minus_mismatched, verdict.sentence),
    )


@dataclass(frozen=True)
class Facts:
    """How a `summary.json` says that its scores were measured.

    Attributes:
        clips: which clips.
        rule: in lines.
        verdict_rule: what the verdict stands on.
        level: share of the resampled means that an interval holds.
        measured_with: package -> version.
        speech: what the speech was made with: vocoder, target.
    """

    clips: str
    rule: list[str]
    verdict_rule: str
    level: float
    measured_with: Mapping[str, str] = field(default_factory=dict)
    speech: Mapping[str, str] = field(default_factory=dict)


def read_scores(path: Path) -> tuple[Summary, Facts]:
    """Read a `summary.json`.

    Raises:
        LipsoundError: it is no such file.
    """
    content: Mapping[str, Any] = read_json(path, Mapping[str, Any], AGAIN)
    bootstrap_of = checked(content.get("bootstrap", {}), Mapping[str, Any], f"{path}: bootstrap")
    return from_json(content, str(path)), checked({**bootstrap_of, **content}, Facts, str(path))


def _check_scores(scores: Mapping[str, float], where: str) -> None:
    """Refuse what is no score of ours, or lies where none can."""
    for name, value in scores.items():
        if name not in SPEECH:
            raise LipsoundError(f"{where}: no score is called '{name[:40]}'; one of: {', '.join(SPEECH)}; {AGAIN}")
        check_interval(Interval(value, value, value), f"{where}: {name}")


def check_interval(value: Interval, where: str) -> None:
    """Refuse a mean or an end of its interval that no score has.

    Raises:
        LipsoundError: a number beyond `LARGEST`.
    """
    for number in (value.mean, value.low, value.high):
        if not abs(number) <= LARGEST:
            raise LipsoundError(f"{where}: expected a score between -{LARGEST:g} and {LARGEST:g}, found {number}")


def check_name(name: str, where: str) -> None:
    """Refuse a name of a system that cannot be that of a folder.

    Raises:
        LipsoundError: it is empty, begins with a dot, or has a slash or a mark that cannot be seen in it.
    """
    if not name or name.startswith(".") or "/" in name or not name.isprintable() or len(name) > LONGEST:
        raise LipsoundError(f"{where}: no name of a folder of speech: {shown(name)}")
