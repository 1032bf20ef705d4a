"""Experiments and packs by name. Torch is not imported, so that a wrong name is reported at once."""

from __future__ import annotations

from pathlib import Path

import lipsound2
from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import LipsoundError
from lipsound2.old_names import value_of_today

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.yaml", "card.md"
PRETRAINED = Path(lipsound2.__file__).parent / "pretrained"


def find(name: Path | str) -> Path:
    """Folder of an experiment or pack: a path, or the name of a model that ships with the toolkit.

    Raises:
        LipsoundError: neither.
    """
    path = Path(name)
    for folder in (path, PRETRAINED / path):
        if (folder / CONFIG).exists():
            return folder
    shipped = sorted(p.parent.name for p in PRETRAINED.glob("*/config.yaml"))
    raise LipsoundError(
        f"{name}: no experiment or pack (no config.yaml in it); models that ship with the toolkit: "
        f"{', '.join(shipped) or 'none'}"
    )


def task_of(name: Path | str) -> str:
    """Task of an experiment or pack, from its config.

    Raises:
        LipsoundError: there is none of this name.
    """
    return str(value_of_today("task", read_yaml(find(name) / CONFIG).get("task", "")))


def check_task(name: Path | str, task: str) -> None:
    """Check that an experiment or pack exists and is of a task.

    Raises:
        LipsoundError: it does not, or is of another.
    """
    if (found := task_of(name)) != task:
        raise LipsoundError(f"{name}: is of the task '{found}', wanted one of '{task}'")
