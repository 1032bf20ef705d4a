"""From clip scores to means, intervals, the table and the verdict."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lipsound2.data.json_text import read_json
from lipsound2.data.numerals import MOST, real, whole
from lipsound2.data.shapes import checked
from lipsound2.data.texts import shown
from lipsound2.data.tsv import read_tsv
from lipsound2.errors import LipsoundError
from lipsound2.files import write_text
from lipsound2.metrics import bootstrap, rates
from lipsound2.metrics.audio_sources import SYSTEMS
from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.registry import METRICS, PRIMARY, SPEECH, STANDARD, in_order, rule
from lipsound2.metrics.speech import ClipScores
from lipsound2.timing import SAMPLES_PER_FRAME

AGAIN = "run lipsound2 score again"
LARGEST = 1e6  # of any score
LONGEST = 200  # letters of a name of a system
THRESHOLD = 0.10  # of the primary metric, that showing the right clip must add

_PRIMARY = METRICS[PRIMARY].title
VERDICT_RULE = f"""\
Lips are read when the model's {_PRIMARY} on the clip it is shown lies at least {THRESHOLD:.2f} above its {_PRIMARY} \
when it is shown another sentence, and the 95 % paired interval of that difference lies above 0. A clip on which \
either cannot be scored adds no evidence: its difference counts as 0 at most."""


@dataclass(frozen=True)
class Row:
    """One clip of one system: a line of `clips.tsv`."""

    id: str
    system: str
    scores: ClipScores


@dataclass(frozen=True)
class Verdict:
    """Whether lips are read.

    Attributes:
        lips_are_read: None if it cannot be decided.
        difference: ESTOI, matched minus mismatched.
        sentence: the finding in words and numbers.
    """

    lips_are_read: bool | None
    difference: Interval | None
    sentence: str

    @property
    def word(self) -> str:
        """YES, NO or UNKNOWN."""
        return {True: "YES", False: "NO", None: "UNKNOWN"}[self.lips_are_read]


@dataclass
class System:
    """Scores of one system over all clips.

    Attributes:
        clips: how many.
        scores: metric -> mean and interval; without metrics that were not requested or fit no clip.
        failed: clips with a metric at its floor.
        failures: `reason` or `metric: reason` -> clips.
        mismatched_lengths: clips whose length is off by more than one video frame.
    """

    clips: int
    scores: dict[str, Interval]
    failed: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    mismatched_lengths: int = 0


@dataclass
class Summary:
    """Scores of all systems, by speaker, and the verdict."""

    systems: dict[str, System]
    speakers: dict[str, dict[str, Any]]
    verdict: Verdict


def summarize(
    rows: Sequence[Row],
    utt2spk: Mapping[str, str],
    *,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = bootstrap.SEED,
    unseen: bool = False,
) -> Summary:
    """Means, intervals, failures and verdict.

    Args:
        rows: every clip of every system, the clips in the same order in each.
        utt2spk: speaker of every clip.
        resamples: draws of the bootstrap.
        seed: of the draws.
        unseen: whether the intervals generalize to new speakers, not to more clips of these.
    """
    who = utt2spk if unseen else None
    by_system: dict[str, list[Row]] = {}
    for row in rows:
        by_system.setdefault(row.system, []).append(row)
    systems = {name: _system(own, resamples, seed, who) for name, own in by_system.items()}
    speakers: dict[str, dict[str, Any]] = {}
    for speaker in sorted({utt2spk[row.id] for row in rows}):
        entry: dict[str, Any] = {}
        for name, own in by_system.items():
            of_speaker = [row for row in own if utt2spk[row.id] == speaker]
            entry["clips"] = len(of_speaker)
            entry[name] = {
                score: float(values[:, column].mean())
                for scores, values in _together(of_speaker)
                for column, score in enumerate(scores)
            }
        speakers[speaker] = entry
    return Summary(systems, speakers, lip_reading_verdict(by_system, who, resamples=resamples, seed=seed))


def lip_reading_verdict(
    by_system: Mapping[str, Sequence[Row]],
    speakers: Mapping[str, str] | None = None,
    *,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = bootstrap.SEED,
) -> Verdict:
    """The verdict "lips are read" (`VERDICT_RULE`); with the speaker of each clip, for unseen speakers."""
    if not {"generated", "mismatched"} <= by_system.keys():
        missing = " and ".join(sorted({"generated", "mismatched"} - by_system.keys()))
        return Verdict(None, None, f"Whether lips are read cannot be said: there is no speech of {missing} to compare.")
    other = {row.id: row.scores for row in by_system["mismatched"]}
    differences = []
    for row in by_system["generated"]:
        pair = (row.scores, other[row.id])
        gain = pair[0].values[PRIMARY] - pair[1].values[PRIMARY]
        failed = any(PRIMARY in scores.failures for scores in pair)
        differences.append(min(gain, 0.0) if failed else gain)
    ids = [row.id for row in by_system["generated"]]
    difference = _intervals(np.array(differences)[:, None], ids, resamples, seed, speakers)[0]
    read = difference.mean >= THRESHOLD and difference.low > 0
    return Verdict(
        read,
        difference,
        f"Given its own video instead of a mismatched one, the model gains {difference.mean:+.3f} {_PRIMARY} "
        f"(95 % interval {difference.low:+.3f} to {difference.high:+.3f}, {len(differences)} clips; "
        f"wanted: at least +{THRESHOLD:.2f} and an interval above 0): "
        + ("it reads lips." if read else "that is not enough to say that it reads lips."),
    )


def _intervals(
    values: np.ndarray, ids: Sequence[str], resamples: int, seed: int, speakers: Mapping[str, str] | None
) -> list[Interval]:
    if speakers is None:
        return bootstrap.intervals(values, resamples=resamples, seed=seed)
    return rates.means(values, [speakers[name] for name in ids])


def _together(rows: Sequence[Row]) -> list[tuple[list[str], np.ndarray]]:
    """Scores with their values (clips, scores): first those that all clips have, then each of the others by itself."""
    names = in_order(row.scores.values for row in rows)
    whole = [name for name in names if all(name in row.scores.values for row in rows)]
    groups = ([whole] if whole else []) + [[name] for name in names if name not in whole]
    return [
        (
            group,
            np.array([[row.scores.values[name] for name in group] for row in rows if group[0] in row.scores.values]),
        )
        for group in groups
    ]


def _system(rows: Sequence[Row], resamples: int, seed: int, speakers: Mapping[str, str] | None) -> System:
    failures: Counter[str] = Counter()
    for row in rows:
        reasons = row.scores.failures
        if reasons.keys() >= STANDARD.keys() and len(set(reasons.values())) == 1:
            failures[next(iter(reasons.values()))] += 1
        else:
            failures.update(f"{METRICS[name].title}: {reason}" for name, reason in reasons.items())
    scores: dict[str, Interval] = {}
    for names, values in _together(rows):
        ids = [row.id for row in rows if names[0] in row.scores.values]
        scores |= zip(names, _intervals(values, ids, resamples, seed, speakers), strict=True)
    return System(
        clips=len(rows),
        scores=scores,
        failed=sum(bool(row.scores.failures) for row in rows),
        failures=dict(sorted(failures.items())),
        mismatched_lengths=sum(row.scores.mismatched_length for row in rows),
    )


def table(systems: Mapping[str, System]) -> str:
    """The scores as a Markdown table."""
    scores = in_order(system.scores for system in systems.values())
    header = ["system", "clips", *(METRICS[name].title for name in scores), "failures"]
    body = []
    for name, system in systems.items():
        cells = [system.scores[key].format(METRICS[key].digits) if key in system.scores else "-" for key in scores]
        body.append(
            [f"{name}: {SYSTEMS[name]}" if name in SYSTEMS else name, str(system.clips), *cells, failures(system)]
        )
    return markdown(header, body)


def markdown(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table, columns aligned so that it reads well on a terminal too."""
    rows = [header, *body]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)


def failures(system: System) -> str:
    """`2 (missing 1, PESQ nb: no-utterance 1)`, or `0`."""
    text = str(system.failed)
    if system.failures:
        text += " (" + ", ".join(f"{reason} {count}" for reason, count in system.failures.items()) + ")"
    if system.mismatched_lengths:
        text += f"; length off by more than {SAMPLES_PER_FRAME} samples: {system.mismatched_lengths}"
    return text


def page(summary: Summary, which: str) -> str:
    """The table with its rule and verdict, as `table.md` and the terminal show them."""
    lines = rule(score for system in summary.systems.values() for score in system.scores) + "\n" + VERDICT_RULE
    rules = "\n".join(f"- {line}" for line in lines.splitlines())
    return (
        f"{table(summary.systems)}\n\n"
        f"Mean and 95 % interval over {which}.\n\n{rules}\n\n"
        f"**Lips are read: {summary.verdict.word}.** {summary.verdict.sentence}\n"
    )


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
    """

    clips: str
    rule: list[str]
    verdict_rule: str
    level: float
    measured_with: Mapping[str, str] = field(default_factory=dict)


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
