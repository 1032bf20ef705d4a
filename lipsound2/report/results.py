"""Result rows: what was reached, by which command, on what, in how long; kept in tables of a Markdown file.

One table has the scores of speech, a row a set of an experiment. The other has word errors, a row a recognizer besides.
A row is replaced when the same is scored again. Rows of older files are read under the columns they have now.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lipsound2 import old_names
from lipsound2.metrics import grid_slots
from lipsound2.metrics.audio_sources import REAL
from lipsound2.metrics.registry import METRICS, PRIMARY, SPEECH, STANDARD, TEXT
from lipsound2.metrics.summary import Summary
from lipsound2.metrics.wer import TextSummary
from lipsound2.report.marked_table import MarkedTable
from lipsound2.report.provenance import Provenance
from lipsound2.report.view import CONTROLS, ReportContent, TextView

_NONE = "-"
_LIPS_READ = "lips are read"
_CONTROLS = f"{METRICS[PRIMARY].title} of copy-synthesis / mismatched video / mean mel"
_BESIDE = "; ground truth {}, mismatched video {}"
_WORD_CONTROLS = "WER % of ground truth / copy-synthesis / mismatched video / mean mel"
_SLOTS = {name: f"{name} slot %" for name in grid_slots.SLOT_NAMES}

SPEECH_TABLE = MarkedTable(
    begin="<!-- results: rows between these two lines are written by `lipsound2 report --publish` -->",
    end="<!-- end of results -->",
    columns=(
        *("experiment", "set", "clips"),
        *(metric.heading for metric in SPEECH.values()),
        *(_CONTROLS, _LIPS_READ, "config", "commit", "hardware", "hours", "date", "command"),
    ),
    keys=2,
    renamed={old_names.SPEECH_CONTROLS: _CONTROLS},
)
WORD_TABLE = MarkedTable(
    begin="<!-- word errors: rows between these two lines are written by `lipsound2 report --publish` -->",
    end="<!-- end of word errors -->",
    columns=(
        *("experiment", "set", "recognizer", "clips"),
        *(metric.heading for metric in TEXT.values()),
        *(_WORD_CONTROLS, *_SLOTS.values(), "date", "commit", "command"),
    ),
    keys=3,
    heading="## Word errors",
    notes={
        "clips": "Per cent, with 95 % intervals; SER: sentences with an error. The ground truth tells how good the "
        "recognizer is.",
        _SLOTS["letter"]: f"Chance level, a word drawn uniformly in each of GRID's slots, is a WER of "
        f"{100 * grid_slots.CHANCE:.0f} %.",
    },
    renamed={**old_names.WORD_COLUMNS, old_names.WORD_CONTROLS: _WORD_CONTROLS},
)


def publish(path: Path, content: ReportContent, title: str = "Results") -> list[str]:
    """Put the rows of an experiment into the tables of a Markdown file.

    Args:
        path: the file; made with a heading when it is absent; a table is added at its end when it has none.
        content: the experiment's report.
        title: heading of a new file.

    Returns:
        How many rows of which table, in words; empty without scores.

    Raises:
        LipsoundError: the file has only one of a table's two markers.
    """
    origin = content.origin
    speech = [speech_row(content.experiment, part.name, part.summary, origin) for part in content.sets if part.summary]
    words = [row for part in content.sets for row in word_rows(content.experiment, part.name, part.texts, origin)]
    told = []
    for table, rows, what in ((SPEECH_TABLE, speech, ""), (WORD_TABLE, words, " of word errors")):
        if rows:
            table.put(path, rows, title)
            told.append(f"{len(rows)} row{'s' * (len(rows) > 1)}{what}")
    return told


def speech_row(experiment: str, name: str, summary: Summary, origin: Provenance) -> dict[str, str]:
    """The row of an experiment's scores on the set `name`: title of a column -> cell.

    A score without a reference stands there where it was asked for, beside that of the ground truth.
    """
    own = summary.systems.get("generated")
    row = {"experiment": experiment, "set": name, "clips": str(own.clips) if own is not None else _NONE}
    row |= {metric.heading: _NONE for metric in STANDARD.values()}
    for key, value in own.scores.items() if own is not None else ():
        beside = (_mean(summary, system, key) for system in (REAL, "mismatched"))
        row[METRICS[key].heading] = value.format(METRICS[key].digits) + (
            "" if key in STANDARD else _BESIDE.format(*beside)
        )
    row[_CONTROLS] = " / ".join(_mean(summary, control, PRIMARY) for control in CONTROLS)
    difference = summary.verdict.difference
    row[_LIPS_READ] = summary.verdict.word + (f" ({difference.format(3)})" if difference else "")
    row |= {"config": origin.config, "commit": origin.commit, "hardware": origin.hardware, "hours": origin.hours}
    return row | {"date": origin.date, "command": _code(origin.command)}


def word_rows(experiment: str, name: str, texts: Iterable[TextView], origin: Provenance) -> list[dict[str, str]]:
    """The rows of an experiment's text scores on the set `name`: title of a column -> cell; a row a recognizer.

    A row is of what the model says (or, of a recognizer, what it recognized); the controls share a cell beside it.
    """
    rows = []
    for view in texts:
        own = next((view.systems[system] for system in ("generated", "heard") if system in view.systems), None)
        if own is None:
            continue  # nothing of the model's was transcribed
        row = {"experiment": experiment, "set": name, "recognizer": view.recognizer, "clips": str(own.total.clips)}
        row |= {TEXT[rate].heading: value.percent() for rate, value in own.rates.items()}
        if any(system in view.systems for system in (REAL, *CONTROLS)):
            row[_WORD_CONTROLS] = " / ".join(_rate(view.systems.get(system)) for system in (REAL, *CONTROLS))
        if (grid := own.further.get(grid_slots.NAME)) is not None:
            row |= {_SLOTS[slot]: f"{100 * found.rate.mean:.1f}" for slot, found in grid.slots.items()}
        rows.append(row | {"date": origin.date, "commit": origin.commit, "command": _code(origin.command)})
    return rows


def _mean(summary: Summary, system: str, key: str) -> str:
    found = summary.systems.get(system)
    return _NONE if found is None or key not in found.scores else METRICS[key].shown(found.scores[key].mean)


def _rate(summary: TextSummary | None) -> str:
    """Word errors, or character errors of a language without words."""
    if summary is None:
        return _NONE
    key = "wer" if "wer" in summary.rates else "cer"
    return METRICS[key].shown(summary.rates[key].mean)


def _code(command: str) -> str:
    return f"`{command}`" if command != _NONE else _NONE
