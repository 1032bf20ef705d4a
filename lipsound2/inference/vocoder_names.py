"""Vocoders by name. Torch is not imported, so that a wrong name is reported at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lipsound2 import model_names
from lipsound2.arguments import near
from lipsound2.audio.griffin_lim_numpy import DEFAULT_ITERATIONS
from lipsound2.data.shapes import checked
from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import LipsoundError

AUTO = "auto"  # the vocoder that a model's pack asks for
FILE = "vocoder.yaml"  # of such a pack
GRIFFIN_LIM = "griffin-lim"
_KNOWN = "'griffin-lim', or 'griffin-lim:N' with N rounds, or the folder of a trained vocoder"


@dataclass(frozen=True)
class OwnVocoder:
    """Content of a pack's vocoder.yaml.

    Attributes:
        vocoder: name of one that ships with the toolkit, and was trained on the model's mel and voice.
    """

    vocoder: str


def vocoder_of(name: str, model: Path | str) -> str:
    """A vocoder with `auto` settled: the one that the pack of a lip-to-speech model asks for, else `griffin-lim`.

    Args:
        name: `auto`, or a name that stays as it is.
        model: experiment or pack, or the name of one.

    Raises:
        LipsoundError: there is no such model, or its vocoder.yaml names none that ships.
    """
    if name != AUTO:
        return name
    path = model_names.find(model) / FILE
    if not path.exists():
        return GRIFFIN_LIM
    own: OwnVocoder = checked(read_yaml(path), OwnVocoder, str(path))
    shipped = model_names.shipped("vocode")
    if own.vocoder not in shipped:
        raise LipsoundError(
            f"{path}: found the vocoder '{own.vocoder}', wanted one that ships: {', '.join(shipped)}; delete the file, "
            "or give a vocoder of your own with --vocoder"
        )
    return own.vocoder


def iterations_of(name: str) -> int | None:
    """Rounds that `griffin-lim` or `griffin-lim:N` asks for; None for a name of another vocoder.

    Raises:
        LipsoundError: N is no whole number from 1 on.
    """
    match = re.fullmatch(r"griffin-lim(?::([1-9]\d{0,4}))?", name)
    if match:
        return int(match.group(1) or DEFAULT_ITERATIONS)
    if name.startswith("griffin-lim"):
        raise LipsoundError(
            f"unknown vocoder '{name}'; in griffin-lim:N the number of rounds is a whole number from 1 on"
        )
    return None


def folder_of(name: str) -> Path | None:
    """Folder of the experiment or pack of a vocoder; None: Griffin-Lim.

    Raises:
        LipsoundError: there is no vocoder of this name.
    """
    if iterations_of(name) is not None:
        return None
    folder = _trained(name)
    if folder is None:
        known = [*model_names.shipped("vocode"), *model_names.of_user("vocode")]
        raise LipsoundError(
            f"unknown vocoder '{name}'; wanted {_KNOWN}, or the name of one: {', '.join(known) or 'none yet'}"
            f"{near(name, ['griffin-lim', *known])}"
        )
    model_names.check_task(folder, "vocode")
    return folder


def _trained(name: str) -> Path | None:
    """Folder of a trained vocoder, as `model_names.find` looks it up; None when there is none of that name."""
    folder = model_names.found(name)
    return folder if folder and (folder == Path(name) or model_names.task_of(folder) == "vocode") else None
