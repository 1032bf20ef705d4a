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
from lipsound2.model_names import CONFIG, EXPORT, WEIGHTS, Precision, card_facts, check_task, find
from lipsound2.models import processor
from lipsound2.models.weights import Unfilled, fill
from lipsound2.old_names import lacking_tensors, tensors_of_today
from lipsound2.tasks import load_config
from lipsound2.tasks.base import AnyTask, AssetsT, BatchT, DatasetT, ModelT, Task

_LARGE = 100_000_000  # numbers in a network whose products take most of the time

TaskT_co = TypeVar("TaskT_co", bound=AnyTask, covariant=True)
TaskT = TypeVar("TaskT", bound=AnyTask)


@dataclass(frozen=True)
class Experiment(Generic[TaskT_co]):
    """A trained model and what it was trained as.

    Attributes:
        path: its folder.
        task: the task.
        notes: metadata of the weights file, such as the updates that were averaged.
        precision: of its linear layers.
    """

    path: Path
    task: TaskT_co
    notes: dict[str, Any]
    precision: Precision
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
def load(
    name: Path | str, device: torch.device | str = "cpu", *, precision: Precision = "fp32"
) -> Experiment[AnyTask]: ...


@overload
def load(
    name: Path | str, device: torch.device | str = "cpu", *, task: type[TaskT], precision: Precision = "fp32"
) -> Experiment[TaskT]: ...


def load(
    name: Path | str,
    device: torch.device | str = "cpu",
    *,
    task: type[AnyTask] | None = None,
    precision: Precision = "fp32",
) -> Experiment[AnyTask]:
    """Load an experiment or pack.

    Args:
        name: its folder, or the name of a model that ships with the toolkit.
        device: where the network goes.
        task: the class of the task it must be of; None: any.
        precision: of its linear layers: `fp32`, `bf16`, `int8` (on CPUs); `auto`: `bf16` for networks of 100 million
            numbers or more, where the device has it, else `fp32`.

    Raises:
        LipsoundError: no such experiment, one of another task, training has not ended, the weights do not fit the
            config, or int8 on a GPU.
    """
    path = find(name)
    if task is not None:
        check_task(name, task.name)
    learned = load_config(path / CONFIG).task
    assets = learned.restore(path)
    with Unfilled():
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
            names = tensors_of_today({key: key for key in file.keys()})  # noqa: SIM118 - not a mapping
            lacking = lacking_tensors(names)
            names |= {name: names[beside] for name, beside in lacking.items()}
            shapes = {name: tuple(file.get_slice(key).get_shape()) for name, key in names.items()}
            notes = {key: _plain(value) for key, value in (file.metadata() or {}).items()}
    except SafetensorError as error:
        raise LipsoundError(f"{weights}: cannot be read ({error}); copy it again or train again") from error
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    wrong = sorted({*wanted, *shapes} - ({*wanted} & {*shapes})) + [
        key for key in wanted if key in shapes and wanted[key] != shapes[key]
    ]
    if wrong:
        raise LipsoundError(
            f"{weights}: {len(wrong)} tensors do not fit {path / CONFIG} (first: {wrong[0]}); "
            "the two files come from different runs"
        )
    chosen = _chosen(precision, model, torch.device(device))
    fill(model, weights, names, chosen)
    for name in lacking:
        above, _, last = name.rpartition(".")
        tensor = model.get_buffer(name)
        setattr(model.get_submodule(above), last, torch.zeros_like(tensor))  # the file's own memory stays as it is
    return Experiment(path, learned, notes, chosen, assets, model.to(device).eval())


def _chosen(precision: Precision, model: nn.Module, device: torch.device) -> Precision:
    """The precision with `auto` settled."""
    if precision == "int8" and device.type != "cpu":
        raise LipsoundError(f"precision int8: is for processors, not for '{device.type}'; take bf16 or fp32 there")
    if precision != "auto":
        return precision
    large = sum(parameter.numel() for parameter in model.parameters()) >= _LARGE
    return processor.best(device) if large else "fp32"


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
