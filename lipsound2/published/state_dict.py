"""Tensors out of files that others saved: read without running code, and fitted to a network of ours."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from lipsound2.errors import UNREADABLE, LipsoundError, is_machine_error

COUNTER = "num_batches_tracked"  # of batch norms; older versions of torch wrote none
_INSIDE = ("state_dict", "model_state_dict", "model", "generator")  # where files keep their tensors, beside others


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
    return dict(content)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip()


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
        if not torch.isfinite(tensor).all():
            raise LipsoundError(f"{where}: '{theirs}' holds values that are no numbers; fetch the file again")
    missing = [name for name in wanted if name not in state and not name.endswith(COUNTER)]
    if missing:
        raise LipsoundError(f"{where}: lacks {len(missing)} tensors (first: '{missing[0]}'); {advice}")
    return {name: state.get(name, wanted[name]).to(wanted[name].dtype) for name in wanted}
