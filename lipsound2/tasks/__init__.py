"""The tasks that a config can name with `task: NAME`, and how a config is read."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipsound2.config import build, to_mapping
from lipsound2.data.yaml_files import parse_flow, read_yaml
from lipsound2.errors import LipsoundError
from lipsound2.old_names import CONFIG_KEYS, config_of_today
from lipsound2.tasks.base import AnyTask
from lipsound2.tasks.foreign_keys import explained
from lipsound2.train_config import FREE, TrainConfig

TASKS: dict[str, str] = {
    "regress": "lipsound2.tasks.regress:Regress",
    "recognize": "lipsound2.tasks.recognize:Recognize",
    "classify": "lipsound2.tasks.classify:Classify",
    "language": "lipsound2.tasks.language:Language",
    "pase": "lipsound2.tasks.pase:PaseTask",
    "vocode": "lipsound2.tasks.vocode:Vocode",
    "trunk": "lipsound2.tasks.trunk:Trunk",
}


@dataclass(frozen=True)
class RunConfig:
    """A config file as it was read.

    Attributes:
        train: the trainer's options.
        task: the task, with its options and the model's.
    """

    train: TrainConfig
    task: AnyTask

    @property
    def free(self) -> frozenset[str]:
        """Keys that the trained weights do not depend on."""
        return FREE | self.task.free

    def mapping(self) -> dict[str, Any]:
        """Every key, resolved and flat; `load_config` reads it back."""
        return {"task": self.task.name, **self.task.config(), **to_mapping(self.train)}


def find(name: Any, where: str) -> type[AnyTask]:
    """The class of a task.

    Raises:
        LipsoundError: no such task.
    """
    if not isinstance(name, str) or name not in TASKS:
        near = difflib.get_close_matches(str(name), TASKS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"one of: {', '.join(TASKS)}"
        raise LipsoundError(f"{where}: unknown task '{name}'; {hint}")
    module, _, attribute = TASKS[name].partition(":")
    found: type[AnyTask] = getattr(importlib.import_module(module), attribute)
    return found


def load_config(path: Path | str, override: str = "") -> RunConfig:
    """Read a config: one flat file with the keys of the trainer, the task and the model.

    Args:
        path: the YAML file.
        override: keys with other values than the file's, as YAML: "max_epochs: 12, lr: 1e-4".

    Raises:
        LipsoundError: no such file, no `task:`, an unknown key, or a value of another type.
    """
    written, overridden = read_yaml(path), parse_flow(override, "--override")
    values = config_of_today(written, str(path)) | config_of_today(overridden, "--override")
    where = f"{path} with --override" if override else str(path)
    if "task" not in values:
        raise LipsoundError(f"{where}: the key 'task' is missing; one of: {', '.join(TASKS)}")
    task = find(values["task"], where)
    owners: list[type[Any]] = [TrainConfig, *task.options(values, where)]
    mine = {field.name for owner in owners for field in dataclasses.fields(owner)}

    def explain(key: str) -> str:
        old = next((name for name in (*written, *overridden) if CONFIG_KEYS.get(name) == key), "")
        return (f"written '{old}', its old name: " if old else "") + explained(key, mine)

    train, *options = build(owners, values, where, known=["task"], explain=explain)
    return RunConfig(train, task(*options))
