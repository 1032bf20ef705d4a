"""From clip scores to means, intervals, the table and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lipsound2.metrics import bootstrap, rates
from lipsound2.metrics.audio_sources import SYSTEMS
from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.registry import METRICS, PRIMARY, STANDARD, Metric, in_order, rule
from lipsound2.metrics.speech import ClipScores
from lipsound2.timing import SAMPLES_PER_FRAME

THRESHOLD = 0.10  # of the primary metric, that showing the right clip must add

_PRIMARY = METRICS[PRIMARY].title
VERDICT_RULE = f"""\
Lips are read when the model's {_PRIMARY} on the clip it is shown lies at least {THRESHOLD:.2f} above its {_PRIMARY} \
when it is shown another sentence, and the 95 % paired interval of that difference lies above 0. A clip on which \
either cannot be scored adds no evidence: its difference counts as 0 at most."""

GAINS = "Differences clip by clip, with 95 % paired intervals; **bold** where the interval leaves out 0."


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
        return Verdict(None, None, f"Whether lips are read cannot be said: no system is called {missing}.")
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


def difference(
    first: Sequence[Row],
    second: Sequence[Row],
    speakers: Mapping[str, str] | None = None,
    *,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = bootstrap.SEED,
) -> dict[str, Interval]:
    """Scores of the first system minus those of the second, with paired intervals.

    Args:
        first: clips of one system.
        second: of another one; clips that only one of the two has are left out, and so is a metric on which a clip
            has no value.
        speakers: of the clips, when the intervals are about speakers like these.
        resamples: draws of the bootstrap.
        seed: of the draws.
    """
    other = {row.id: row.scores.values for row in second}
    found = {}
    for name in in_order(row.scores.values for row in first):
        pairs = [
            (row.id, row.scores.values[name] - other[row.id][name])
            for row in first
            if name in row.scores.values and name in other.get(row.id, {})
        ]
        if pairs:
            values = np.array([[gain] for _, gain in pairs])
            found[name] = _intervals(values, [clip for clip, _ in pairs], resamples, seed, speakers)[0]
    return found


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


def gains(
    rows: Sequence[Row],
    against: str,
    speakers: Mapping[str, str] | None = None,
    *,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = bootstrap.SEED,
) -> str:
    """What every other system scores above one of them, clip by clip, as a Markdown table with a caption.

    Args:
        rows: every clip of every system.
        against: the system that the others are compared with.
        speakers: see `difference`.
        resamples: likewise.
        seed: likewise.
    """
    by_system: dict[str, list[Row]] = {}
    for row in rows:
        by_system.setdefault(row.system, []).append(row)
    base = by_system.pop(against)
    found = {name: difference(own, base, speakers, resamples=resamples, seed=seed) for name, own in by_system.items()}
    scores = in_order(found.values())
    header = ["system", *(METRICS[name].title for name in scores)]
    body = [
        [f"{name} - {against}", *(difference_text(METRICS[key], each[key]) if key in each else "-" for key in scores)]
        for name, each in found.items()
    ]
    return f"{markdown(header, body)}\n\n{GAINS}\n\n"


def difference_text(metric: Metric, value: Interval) -> str:
    """A difference as tables show it: **bold** where its interval leaves out 0."""
    text = interval_text(metric, value, sign=True)
    return text if value.low <= 0 <= value.high else f"**{text}**"


def interval_text(metric: Metric, value: Interval, *, sign: bool = False) -> str:
    """A score with its interval as tables show it, in per cent where the metric is; a difference has its sign."""
    mean, low, high = (metric.shown_as * number for number in (value.mean, value.low, value.high))
    form = f"{'+' if sign else ''}.{metric.digits}f"
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]"


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


def page(summary: Summary, which: str, apart: str = "") -> str:
    """The table with its rule and verdict, as `table.md` and the terminal show them.

    Args:
        summary: of all systems.
        which: what clips these are.
        apart: the table of `gains`, if one is wanted.
    """
    lines = rule(score for system in summary.systems.values() for score in system.scores) + "\n" + VERDICT_RULE
    rules = "\n".join(f"- {line}" for line in lines.splitlines())
    return (
        f"{table(summary.systems)}\n\n"
        f"Mean and 95 % interval over {which}.\n\n{apart}{rules}\n\n"
        f"**Lips are read: {summary.verdict.word}.** {summary.verdict.sentence}\n"
    )
