"""An experiment, or a pack of one, as later verbs read it: config, task and the network with its averaged weights."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from lipsound2.data.json_text import parse_json
from lipsound2.errors import LipsoundError
from lipsound2.gpus import check_gpus
from lipsound2.model_names import CONFIG, EXPORT, WEIGHTS, card_facts, check_task, find
from lipsound2.old_names import tensors_of_today
from lipsound2.tasks import load_config
from lipsound2.tasks.base import AnyTask, AssetsT, BatchT, DatasetT, ModelT, Task

TaskT_co = TypeVar("TaskT_co", bound=AnyTask, covariant=True)
TaskT = TypeVar("TaskT", bound=AnyTask)


@dataclass(frozen=True)
class Experiment(Generic[TaskT_co]):
    """A trained model and what it was trained as.

    Attributes:
        path: its folder.
        task: the task.
        notes: metadata of the weights file, such as the updates that were averaged.
    """

    path: Path
    task: TaskT_co
    notes: dict[str, Any]
    _assets: object
    _model: nn.Module

    @property
    def assets(self: Experiment[Task[AssetsT, ModelT, DatasetT, BatchT]]) -> AssetsT:
        """What its training set added to the task's options, as `Task.restore` read it."""
        return typing.cast(AssetsT, self._assets)

    @property
    def model(self: Experiment[Task[AssetsT, ModelT, DatasetT, BatchT]]) -> ModelT:
        """The network in evaluation mode."""
        return typing.cast(ModelT, self._model)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self._model.parameters()).device

    @property
    def knows(self) -> str:
        """Voices and words it knows, from the first line of its card that says so."""
        return (
            card_facts(self.path).get("Knows")
            or "no card beside it; it knows the voices and words of its training data"
        )


@overload
def load(name: Path | str, device: torch.device | str = "cpu") -> Experiment[AnyTask]: ...


@overload
def load(name: Path | str, device: torch.device | str = "cpu", *, task: type[TaskT]) -> Experiment[TaskT]: ...


def load(
    name: Path | str, device: torch.device | str = "cpu", *, task: type[AnyTask] | None = None
) -> Experiment[AnyTask]:
    """Load an experiment or pack.

    Args:
        name: its folder, or the name of a model that ships with the toolkit.
        device: where the network goes.
        task: the class of the task it must be of; None: any.

    Raises:
        LipsoundError: no such experiment, one of another task, training has not ended, or the weights do not fit the
            config.
    """
    path = find(name)
    if task is not None:
        check_task(name, task.name)
    learned = load_config(path / CONFIG).task
    assets = learned.restore(path)
    model: nn.Module = learned.build(assets)
    weights = path / WEIGHTS
    if (path / EXPORT).exists():
        raise LipsoundError(
            f"{path}: holds exported networks; use it with: lipsound2 transcribe --onnx, or lipsound2.load"
        )
    if not weights.exists():
        raise LipsoundError(f"{path}: no {WEIGHTS}; training has not ended there: run stage 3 (lipsound2 train) again")
    if not weights.is_file():
        raise LipsoundError(f"{weights}: is no file; copy the experiment again or train again")
    try:
        with safe_open(weights, framework="pt", device="cpu") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            notes = {key: _plain(value) for key, value in (file.metadata() or {}).items()}
    except SafetensorError as error:
        raise LipsoundError(f"{weights}: cannot be read ({error}); copy it again or train again") from error
    state, wanted = tensors_of_today(state), model.state_dict()
    wrong = sorted({*wanted, *state} - ({*wanted} & {*state})) + [
        key for key in wanted if key in state and wanted[key].shape != state[key].shape
    ]
    if wrong:
        raise LipsoundError(
            f"{weights}: {len(wrong)} tensors do not fit {path / CONFIG} (first: {wrong[0]}); "
            "the two files come from different runs"
        )
    # Packs hold half precision; computing is done in what the network was built in.
    model.load_state_dict({key: tensor.to(wanted[key].dtype) for key, tensor in state.items()})
    return Experiment(path, learned, notes, assets, model.to(device).eval())


def _plain(text: str) -> Any:
    """A metadata value, which safetensors keeps as text."""
    try:
        return parse_json(text, "metadata")
    except LipsoundError:
        return text


def device_for(ngpu: int) -> torch.device:
    """The first GPU when one is wanted, else the CPU.

    Raises:
        LipsoundError: GPUs are wanted that are not there.
    """
    check_gpus(ngpu)
    return torch.device("cuda" if ngpu else "cpu")
