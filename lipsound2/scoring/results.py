"""Result rows: what was reached, by which command, on what, in how long; kept in a table of a Markdown file.

The table lies between two markers. All around it is the reader's own text and is never touched; a row is replaced when
the same experiment is scored again on the same set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from lipsound2.config import read_yaml
from lipsound2.errors import LipsoundError
from lipsound2.files import write_text
from lipsound2.scoring.metrics import METRICS
from lipsound2.scoring.summary import Summary

BEGIN = "<!-- results: rows between these two lines are written by `lipsound2 report --publish` -->"
END = "<!-- end of results -->"
_CONTROLS = ("real_mel", "mismatched", "mean_mel")
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
    run: Mapping[str, Any] = (record.get("runs") or [{}])[-1]
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


def result(experiment: str, name: str, summary: Summary, origin: Provenance) -> Result:
    """The row of an experiment's scores on the set `name`."""
    own = summary.systems.get("generated")
    means = {
        key: own.scores[key].format(metric.digits) if own is not None else _NONE for key, metric in METRICS.items()
    }
    controls = (summary.systems.get(control) for control in _CONTROLS)
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
    text = path.read_text(encoding="utf-8") if path.exists() else f"# {title}\n"
    if (BEGIN in text) != (END in text) or text.count(BEGIN) > 1 or text.find(BEGIN) > text.find(END):
        raise LipsoundError(
            f"{path}: the table's markers are damaged; expected one line '{BEGIN}' and after it one line '{END}'"
        )
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    block, _, after = rest.partition(END)
    table = [line for line in block.splitlines() if line.startswith("|")]
    kept = {_key(line): line for line in table[2:]}  # below the heading and its rule, which are written anew
    for row in rows:
        line = _line(astuple(row))
        kept[_key(line)] = line
    titles = [_TITLES.get(field.name, field.name) for field in fields(Result)]
    lines = [_line(titles), _line(["---"] * len(titles)), *kept.values()]
    write_text(path, f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}")


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "/").split()) for cell in cells) + " |"


def _key(line: str) -> tuple[str, str]:
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    return cells[0], cells[1] if len(cells) > 1 else ""


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
