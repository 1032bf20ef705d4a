"""Tensors out of files that others saved: read without running code, and fitted to a network of ours."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from lipsound2.errors import UNREADABLE, LipsoundError, is_machine_error

LINEAR = ("weight", "bias")
BATCH_NORM = (*LINEAR, "running_mean", "running_var")
_LONGEST = 200  # letters of a tensor's name
_TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.uint8)
_PARALLEL = "module."  # before every name, where a network was saved inside of torch's DataParallel
COUNTER = "num_batches_tracked"  # of batch norms; older versions of torch wrote none
_INSIDE = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "generator",
)  # where files keep their tensors, beside others


def read_state_dict(file: Path, opened: IO[bytes] | None = None) -> dict[str, Tensor]:
    """The tensors of a file that torch saved, by name; those inside of it where it holds more than them.

    Args:
        file: the file, or its name for messages.
        opened: its content, where it lies in an archive.

    Raises:
        LipsoundError: it cannot be read, or holds anything that is no plain tensor.
    """
    refused = f"{file}: no plain state dict of tensors, so it is refused"
    try:
        # Mapped from the disk, so that a file of a gigabyte is not held twice.
        mapped = opened is None and zipfile.is_zipfile(file)  # torch before 1.6 wrote another format
        content: Any = torch.load(opened or file, map_location="cpu", weights_only=True, mmap=mapped)
    except OSError as error:
        raise LipsoundError(f"cannot read {file}: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        # Torch's own message advises to read the file without this guard.
        named = re.search(r"GLOBAL (\S+)", str(error))
        why = f"it names '{named[1]}', which is code" if named else "it is no file of torch's, or holds code"
        raise LipsoundError(f"{refused}: {why}; nothing in it was run") from error
    except UNREADABLE as error:
        if is_machine_error(error):
            raise
        raise LipsoundError(f"{file}: torch cannot read it ({_first_line(error)}); fetch it again") from error
    if isinstance(content, Mapping):
        content = next((content[name] for name in _INSIDE if isinstance(content.get(name), Mapping)), content)
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise LipsoundError(f"{refused}: found {type(content).__name__}; wanted names with tensors")
    for name, tensor in content.items():
        if problem := _problem(name, tensor):
            raise LipsoundError(f"{refused}: the tensor '{name[:_LONGEST]}' {problem}")
    if all(name.startswith(_PARALLEL) for name in content):
        return {name.removeprefix(_PARALLEL): tensor for name, tensor in content.items()}
    return dict(content)


def _problem(name: str, tensor: Tensor) -> str:
    """Why a tensor is none that a network is made of; empty: it is."""
    if len(name) > _LONGEST:
        return f"has a name of {len(name)} letters"
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        return "is sparse, quantized or without content"
    if tensor.dtype not in _TYPES:
        return f"is of {tensor.dtype}"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return f"of shape {list(tensor.shape)} has more values than the file holds of it"
    return "" if tensor.numel() else f"is empty: {list(tensor.shape)}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip()


@dataclass(frozen=True)
class Translated:
    """A published network by our names.

    Attributes:
        config: keys of our config that describe it.
        tensors: of our network.
        named: our names of tensors -> those in the file, for messages.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    named: dict[str, str]


class Tensors:
    """The tensors of a file, each of which is taken once.

    Args:
        state: name -> tensor.
        where: the file, for messages.
        today: function from a name there to the name that is looked for.

    Raises:
        LipsoundError: two tensors have one name today.

    Attributes:
        left: those that were not taken yet.
        named: our names of those that were -> the first name there of what each is made of.
    """

    def __init__(self, state: Mapping[str, Tensor], where: str, today: Callable[[str], str] = str) -> None:
        self._names = {today(name): name for name in state}
        self.left = {today(name): tensor for name, tensor in state.items()}
        if twice := next((name for name in state if self._names[today(name)] != name), ""):
            raise LipsoundError(f"{where}: '{twice}' and '{self._names[today(twice)]}' are one tensor by two names")
        self.where = where
        self.named: dict[str, str] = {}

    def take(self, name: str, ours: str) -> Tensor:
        """One tensor.

        Args:
            name: there, as the first toolkit has it.
            ours: what it becomes, or a part of.

        Raises:
            LipsoundError: it is absent, or no array of floats.
        """
        if name not in self.left:
            raise LipsoundError(
                f"{self.where}: has no tensor '{name}', which such a model has; is it of another model?"
            )
        self.named.setdefault(ours, self._names[name])
        tensor = self.left.pop(name)
        if not tensor.dim() or not tensor.is_floating_point():
            raise LipsoundError(f"{self.where}: '{self._names[name]}' is a number, or not of floats; wanted an array")
        return tensor

    def move(self, theirs: str, ours: str, names: Iterable[str] = LINEAR) -> dict[str, Tensor]:
        """Some tensors under another first name."""
        return {f"{ours}.{name}": self.take(f"{theirs}.{name}", f"{ours}.{name}") for name in names}

    def count(self, pattern: str) -> int:
        """How many numbers there are in names of this form, such as layers."""
        found = {int(match[1]) for name in self.left if (match := re.match(pattern, name))}
        return max(found) + 1 if found else 0

    def end(self) -> None:
        """Check that all were taken.

        Raises:
            LipsoundError: some were not.
        """
        rest = [self._names[name] for name in self.left if not name.endswith((COUNTER, ".pe"))]
        if rest:
            more = f" and {len(rest) - 1} more" if len(rest) > 1 else ""
            raise LipsoundError(
                f"{self.where}: nothing here uses its tensor '{rest[0]}'{more}; is it of another model?"
            )


def fitted(
    state: Mapping[str, Tensor], network: nn.Module, where: str, advice: str, named: Mapping[str, str]
) -> dict[str, Tensor]:
    """Tensors by our names, each of which a network has, of its shape, its type and of numbers.

    Args:
        state: the tensors.
        network: the network, which is not changed.
        where: the file, for messages.
        advice: what to do about a tensor that does not fit.
        named: our names -> those in the file.

    Raises:
        LipsoundError: a tensor is missing, unknown, of another shape or type, or holds something that is no number.
    """
    wanted = network.state_dict()
    for name, tensor in state.items():
        theirs = named.get(name, name)
        if name not in wanted:
            raise LipsoundError(f"{where}: nothing here uses the tensor '{theirs}'; {advice}")
        shape = wanted[name].shape
        if tensor.shape != shape:
            raise LipsoundError(f"{where}: '{theirs}' has the shape {list(tensor.shape)}, not {list(shape)}; {advice}")
        if tensor.is_floating_point() != wanted[name].is_floating_point():
            raise LipsoundError(f"{where}: '{theirs}' is of {tensor.dtype}, not {wanted[name].dtype}; {advice}")
        if not torch.isfinite(tensor.to(wanted[name].dtype)).all():
            raise LipsoundError(f"{where}: '{theirs}' holds values that are no numbers; fetch the file again")
    missing = [name for name in wanted if name not in state and not name.endswith(COUNTER)]
    if missing:
        raise LipsoundError(f"{where}: lacks {len(missing)} tensors (first: '{missing[0]}'); {advice}")
    return {name: state.get(name, wanted[name]).to(wanted[name].dtype) for name in wanted}
