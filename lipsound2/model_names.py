"""Experiments and packs by name. Torch is not imported, so that a wrong name is reported at once.

A name means a model that ships with the toolkit, or one in the user's own folder (`user_folder`), where converted and
fetched models lie.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import lipsound2
from lipsound2.arguments import near
from lipsound2.data.json_text import read_json
from lipsound2.data.texts import read_text
from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import LipsoundError, UsageError
from lipsound2.known_models import known_models
from lipsound2.model_uses import Use, use_of
from lipsound2.old_names import CARD_FACTS, keys_of_today, value_of_today
from lipsound2.outputs import check_folder

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.yaml", "card.md"
README = "README.md"  # of a pack for a hub
FETCHED = "fetched.json"  # of a pack that came from a hub
EXPORT = "export.yaml"  # of a folder of exported networks, which has no weights
Precision = Literal["auto", "fp32", "bf16", "int8"]  # of linear layers, see `experiment.load`
PRETRAINED = Path(lipsound2.__file__).parent / "pretrained"


def user_folder() -> Path:
    """Where this user's models lie, a folder each: $LIPSOUND2_MODELS, else `lipsound2/models` among the user's data."""
    if given := os.environ.get("LIPSOUND2_MODELS"):
        try:
            return Path(given).expanduser()
        except RuntimeError as error:  # ~NAME of nobody
            raise LipsoundError(f"LIPSOUND2_MODELS: {given}: {error} Give the whole path of a folder") from error
    home = Path.home()
    places = {"darwin": home / "Library" / "Application Support", "win32": home / "AppData" / "Local"}
    data = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_DATA_HOME", "")
    # The standard (XDG) says that a relative path is to be passed over.
    place = Path(data) if Path(data).is_absolute() else places.get(sys.platform, home / ".local" / "share")
    return place / "lipsound2" / "models"


def found(name: Path | str) -> Path | None:
    """Folder of an experiment or pack, as `find` looks it up; None: there is none."""
    path = Path(name)
    places = [path, PRETRAINED / path]
    if path.name == str(name):  # a name alone, no path
        places.append(user_folder() / path)
    return next((folder for folder in places if (folder / CONFIG).exists()), None)


def path_of(given: Path) -> Path:
    """What a path means that may also be the name of a model: the file or folder there, else that model's folder."""
    return given if given.exists() else found(given) or given


def find(name: Path | str, task: str = "") -> Path:
    """Folder of an experiment or pack: a path, or the name of a model that ships or that lies in the user's folder.

    Args:
        name: of it.
        task: that it should be of, for the message; empty: any.

    Raises:
        LipsoundError: neither.
    """
    if folder := found(name):
        return folder
    if str(name) in known_models():
        raise LipsoundError(
            f"{name}: a known public model that is not on this machine; get it with: lipsound2 models get {name}"
        )
    ship, own = shipped(task), of_user(task)
    what = f"models of the task {task}" if task else "models"
    here = f"; in {user_folder()}: {', '.join(own)}" if own else ""
    raise LipsoundError(
        f"{name}: no experiment or pack (no config.yaml in it); {what} that ship with the toolkit: "
        f"{', '.join(ship) or 'none'}{here}{near(str(name), [*ship, *own, *known_models()])}"
    )


def shipped(task: str = "") -> list[str]:
    """Names of the models that ship with the toolkit, of one task or of all."""
    return _names(PRETRAINED, task)


def of_user(task: str = "") -> list[str]:
    """Names of the models in the user's folder, of one task or of all."""
    return _names(user_folder(), task)


def _names(place: Path, task: str) -> list[str]:
    names = sorted(path.parent.name for path in place.glob(f"[!.]*/{CONFIG}"))
    return [name for name in names if not task or task_of(place / name) == task]


def fetched_from(folder: Path) -> str:
    """Where a pack was fetched from, `hub:OWNER/NAME@COMMIT`; empty: from no hub."""
    path = folder / FETCHED
    if not path.is_file():
        return ""
    noted: _Fetched = read_json(path, _Fetched, "remove the folder of this model, and get it anew")
    return f"hub:{noted.repository}@{noted.commit}"


@dataclass(frozen=True)
class _Fetched:
    """What was noted when a pack was fetched."""

    repository: str
    commit: str


def check_name(name: str, taken: Iterable[str] = ()) -> None:
    """Check what a model shall be called in the user's folder.

    Raises:
        UsageError: no name of a folder there.
        LipsoundError: another model has it.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise UsageError(f"--name: found '{name}', wanted letters, digits, '.', '-' and '_'")
    if name in (*shipped(), *taken):
        raise LipsoundError(f"{name}: is the name of another model; give it another one with --name")


def folder_for(out: Path | None, name: str | None) -> Path:
    """Where a pack is written: to the folder `out`, or in the user's folder under a name.

    Raises:
        UsageError: both are given, or none.
        LipsoundError: nothing can be written there, or a model that ships has the name.
    """
    if (out is None) == (name is None):
        raise UsageError("give one of the two: OUT, a folder to write, or --name NAME, for your folder of models")
    if out is not None:
        return out
    check_name(str(name))
    check_folder(folder := user_folder() / str(name))
    return folder


def name_of(folder: Path) -> str:
    """What a model in this folder is called in a command: its name if it is found by it, else its path."""
    here = folder.name
    return here if (there := found(here)) and there.resolve() == folder.resolve() else str(folder)


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


def use_of_model(name: Path | str) -> Use:
    """What an experiment or pack is for, from its config.

    Raises:
        LipsoundError: there is none of this name.
    """
    return use_of(task_of(name), read_yaml(find(name) / CONFIG))


def check_task(name: Path | str, *tasks: str) -> None:
    """Check that an experiment or pack exists and is of a task, or of one of several.

    Raises:
        LipsoundError: it does not, or is of another.
    """
    if (found := task_of(find(name, tasks[0]))) not in tasks:
        wanted = " or ".join(f"'{task}'" for task in tasks)
        command = use_of_model(name).of(name)
        use = f"; use it with: {command}" if command else ""
        raise LipsoundError(f"{name}: is of the task '{found}', wanted one of {wanted}{use}")


if __name__ == "__main__":  # of recipes: task and folder of a model
    try:
        print(task_of(sys.argv[1]), find(sys.argv[1]))
    except LipsoundError as error:
        sys.exit(str(error))
