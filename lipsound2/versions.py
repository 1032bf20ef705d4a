"""Reading `versions.yaml` of an experiment: an entry for each start of the training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lipsound2.data.shapes import checked
from lipsound2.data.yaml_files import read_yaml

# Keys that are used in computations; others are only shown.
_SHAPES: dict[str, Any] = {
    "hours": float | None,
    "updates": int | None,
    "clips": int | None,
    "init": str | None,
    "license": str | None,
    "origin": str | None,
    "hardware": Mapping[str, Any] | None,
}


def read_hours(path: Path) -> float | None:
    """Hours of all runs together; None if the file is absent or does not have them.

    Raises:
        LipsoundError: it is no number.
    """
    content = read_yaml(path) if path.exists() else {}
    hours: float | None = checked(content.get("hours"), float | None, f"{path}: hours")
    return hours


def read_runs(path: Path) -> list[dict[str, Any]]:
    """The entries, the oldest first; none without the file.

    Raises:
        LipsoundError: it is not such a file, or a value has another type.
    """
    if not path.exists():
        return []
    runs: list[dict[str, Any]] = checked(read_yaml(path).get("runs") or [], list[Mapping[str, Any]], f"{path}: runs")
    for run in runs:
        run |= {key: checked(run[key], shape, f"{path}: {key}") for key, shape in _SHAPES.items() if key in run}
        checked((run.get("hardware") or {}).get("processes", 1), int, f"{path}: hardware: processes")
    return runs
