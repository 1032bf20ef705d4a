"""Experiments and packs by name. Torch is not imported, so that a wrong name is reported at once."""

from __future__ import annotations

import re
from pathlib import Path

import lipsound2
from lipsound2.arguments import near
from lipsound2.data.texts import read_text
from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import LipsoundError
from lipsound2.old_names import CARD_FACTS, keys_of_today, value_of_today

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.yaml", "card.md"
PRETRAINED = Path(lipsound2.__file__).parent / "pretrained"


def find(name: Path | str, task: str = "") -> Path:
    """Folder of an experiment or pack: a path, or the name of a model that ships with the toolkit.

    Args:
        name: of it.
        task: that it should be of, for the message; empty: any.

    Raises:
        LipsoundError: neither.
    """
    path = Path(name)
    for folder in (path, PRETRAINED / path):
        if (folder / CONFIG).exists():
            return folder
    known = shipped(task)
    what = f"models of the task {task}" if task else "models"
    raise LipsoundError(
        f"{name}: no experiment or pack (no config.yaml in it); {what} that ship with the toolkit: "
        f"{', '.join(known) or 'none'}{near(str(name), known)}"
    )


def shipped(task: str = "") -> list[str]:
    """Names of the models that ship with the toolkit, of one task or of all."""
    names = sorted(path.parent.name for path in PRETRAINED.glob(f"*/{CONFIG}"))
    return [name for name in names if not task or task_of(PRETRAINED / name) == task]


def card_facts(folder: Path) -> dict[str, str]:
    """What the card of a pack says in lines such as `Knows: ...` and `* License: ...`; nothing without a card."""
    card = folder / CARD
    lines = read_text(card).splitlines() if card.exists() else []
    facts = [
        line.removeprefix("* ").partition(": ") for line in lines if re.match(r"(\* )?[A-Z][A-Za-z0-9 -]*: ", line)
    ]
    return keys_of_today({key: value.strip() for key, _, value in reversed(facts)}, CARD_FACTS)


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
    if (found := task_of(find(name, task))) != task:
        raise LipsoundError(f"{name}: is of the task '{found}', wanted one of '{task}'")
