"""Result rows: what was reached, by which command, on what, in how long; kept in a table of a Markdown file.

A row is replaced when the same experiment is scored again on the same set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from lipsound2.config import read_yaml
from lipsound2.scoring.marked_table import MarkedTable
from lipsound2.scoring.metrics import METRICS
from lipsound2.scoring.summary import Summary

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


@dataclass(frozen=True)
class Result:
    """One row: an experiment on a set."""

    experiment: str
    set: str
    clips: str
    stoi: str
    estoi: str
    pesq_nb: str
    pesq_wb: str
    controls: str
    lips_read: str
    config: str
    commit: str
    hardware: str
    hours: str
    date: str
    command: str


_TITLES = {
    "pesq_nb": "PESQ nb",
    "pesq_wb": "PESQ wb",
    "stoi": "STOI",
    "estoi": "ESTOI",
    "controls": "ESTOI of ceiling / another sentence / mean mel",
    "lips_read": "lips are read",
}


def provenance(exp: Path) -> Provenance:
    """Read `config.yaml` and `versions.yaml` of an experiment; what they do not say is `-`."""
    config = read_yaml(exp / "config.yaml") if (exp / "config.yaml").exists() else {}
    record = read_yaml(exp / "versions.yaml") if (exp / "versions.yaml").exists() else {}
    run = _last_training(record.get("runs") or [])
    model = " ".join(str(config[key]) for key in ("task", "model") if key in config)
    kinds = " to ".join(str(config[key]) for key in ("input", "target") if key in config)
    hours = record.get("hours")
    return Provenance(
        config=", ".join(filter(None, (model, kinds))) or _NONE,
        commit=_commit(str(run.get("git") or _NONE)),
        hardware=_hardware(run.get("hardware") or {}),
        hours=f"{hours:.2f}" if isinstance(hours, int | float) and hours else _NONE,
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


def result(experiment: str, name: str, summary: Summary, origin: Provenance) -> Result:
    """The row of an experiment's scores on the set `name`."""
    own = summary.systems.get("generated")
    means = {
        key: own.scores[key].format(metric.digits) if own is not None else _NONE for key, metric in METRICS.items()
    }
    controls = (summary.systems.get(control) for control in CONTROLS)
    return Result(
        experiment=experiment,
        set=name,
        clips=str(own.clips) if own is not None else _NONE,
        **means,
        controls=" / ".join(_NONE if system is None else f"{system.scores['estoi'].mean:.3f}" for system in controls),
        lips_read=summary.verdict.word
        + (f" ({summary.verdict.difference.format(3)})" if summary.verdict.difference else ""),
        config=origin.config,
        commit=origin.commit,
        hardware=origin.hardware,
        hours=origin.hours,
        date=origin.date,
        command=f"`{origin.command}`" if origin.command != _NONE else _NONE,
    )


def publish(path: Path, rows: Iterable[Result], title: str = "Results") -> None:
    """Put rows into the table of a Markdown file, replacing those of the same experiment and set.

    Args:
        path: the file; made with a heading when it is absent; the table is added at its end when it has none.
        rows: what to put there.
        title: heading of a new file.

    Raises:
        LipsoundError: the file has only one of the two markers.
    """
    columns = [_TITLES.get(field.name, field.name) for field in fields(Result)]
    table = MarkedTable(BEGIN, END, columns, keys=2)
    table.put(path, (dict(zip(columns, astuple(row), strict=True)) for row in rows), title)


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
