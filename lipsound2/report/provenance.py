"""Where a model comes from: config, commit, hardware, hours and command, out of what training wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipsound2.data.yaml_files import read_yaml
from lipsound2.versions import read_hours, read_runs

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
