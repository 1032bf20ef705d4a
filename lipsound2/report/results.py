"""Result rows: what was reached, by which command, on what, in how long; kept in a table of a Markdown file.

A row is replaced when the same experiment is scored again on the same set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipsound2.data.yaml_files import read_yaml
from lipsound2.metrics.audio_sources import REAL
from lipsound2.metrics.registry import METRICS, SPEECH, STANDARD
from lipsound2.metrics.summary import Summary
from lipsound2.report.marked_table import MarkedTable
from lipsound2.versions import read_hours, read_runs

BEGIN = "<!-- results: rows between these two lines are written by `lipsound2 report --publish` -->"
END = "<!-- end of results -->"
CONTROLS = ("real_mel", "mismatched", "mean_mel")
_NONE = "-"


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from, as text; `-` for what is not known."""

    config: str = _NONE
    commit: str = _NONE
    hardware: str = _NONE
    hours: str = _NONE
    date: str = _NONE
    command: str = _NONE


_LIPS_READ = "lips are read"
_ESTOI = "ESTOI of ceiling / another sentence / mean mel"
_FURTHER_NOTE = "; true sound {}, another sentence {}"
_COLUMNS = (
    *("experiment", "set", "clips"),
    *(metric.title for metric in SPEECH.values()),
    *(_ESTOI, _LIPS_READ, "config", "commit", "hardware", "hours", "date", "command"),
)


def provenance(exp: Path) -> Provenance:
    """Read `config.yaml` and `versions.yaml` of an experiment; what they do not say is `-`."""
    config = read_yaml(exp / "config.yaml") if (exp / "config.yaml").exists() else {}
    runs = read_runs(exp / "versions.yaml")
    run = _last_training(runs)
    model = " ".join(str(config[key]) for key in ("task", "model") if key in config)
    kinds = " to ".join(str(config[key]) for key in ("input", "target") if key in config)
    hours = read_hours(exp / "versions.yaml")
    return Provenance(
        config=", ".join(filter(None, (model, kinds))) or _NONE,
        commit=_commit(str(run.get("git") or _NONE)),
        hardware=_hardware(run.get("hardware") or {}),
        hours=f"{hours:.2f}" if hours else _NONE,
        date=str(run.get("ended") or run.get("started") or _NONE)[:10],
        command=_command(str(run.get("command") or _NONE)),
    )


def _last_training(runs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The last run that made an update: a finished training may have been called again."""
    before, found = 0, runs[-1] if runs else {}
    for run in runs:
        updates = run.get("updates") or 0
        if updates > before:
            before, found = updates, run
    return found


def result(experiment: str, name: str, summary: Summary, origin: Provenance) -> dict[str, str]:
    """The row of an experiment's scores on the set `name`: title of a column -> cell.

    A score without a reference stands there where it was asked for, beside what it says of the true sound.
    """
    own = summary.systems.get("generated")
    row = {"experiment": experiment, "set": name, "clips": str(own.clips) if own is not None else _NONE}
    row |= {metric.title: _NONE for metric in STANDARD.values()}
    for key, value in own.scores.items() if own is not None else ():
        row[METRICS[key].title] = value.format(METRICS[key].digits)
        if key not in STANDARD:
            beside = (_mean(summary, system, key) for system in (REAL, "mismatched"))
            row[METRICS[key].title] += _FURTHER_NOTE.format(*beside)
    row[_ESTOI] = " / ".join(_mean(summary, control, "estoi") for control in CONTROLS)
    difference = summary.verdict.difference
    row[_LIPS_READ] = summary.verdict.word + (f" ({difference.format(3)})" if difference else "")
    row |= {"config": origin.config, "commit": origin.commit, "hardware": origin.hardware, "hours": origin.hours}
    return row | {"date": origin.date, "command": f"`{origin.command}`" if origin.command != _NONE else _NONE}


def _mean(summary: Summary, system: str, score: str) -> str:
    found = summary.systems.get(system)
    if found is None or score not in found.scores:
        return _NONE
    return f"{found.scores[score].mean:.{METRICS[score].digits}f}"


def publish(path: Path, rows: Iterable[Mapping[str, str]], title: str = "Results") -> None:
    """Put rows into the table of a Markdown file, replacing those of the same experiment and set.

    Args:
        path: the file; made with a heading when it is absent; the table is added at its end when it has none.
        rows: of `result`.
        title: heading of a new file.

    Raises:
        LipsoundError: the file has only one of the two markers.
    """
    MarkedTable(BEGIN, END, _COLUMNS, keys=2).put(path, rows, title)


def _commit(git: str) -> str:
    commit, mark, _ = git.partition("+")
    return commit[:10] + (" with changes" if mark else "")


def _hardware(facts: Mapping[str, Any]) -> str:
    if not facts:
        return _NONE
    if facts.get("gpu"):
        processes = int(facts.get("processes", 1))
        return f"{processes} x {facts['gpu']}" if processes > 1 else str(facts["gpu"])
    return f"{facts.get('cpu', 'CPU')}, {facts.get('cores', '?')} cores"


def _command(command: str) -> str:
    """The command as anyone would type it: no path of this machine before the program's name."""
    words = command.split(" ")
    if words and words[0].endswith((".py", "lipsound2")):
        words[0] = "lipsound2"
    return " ".join(words) if words != [_NONE] else _NONE
