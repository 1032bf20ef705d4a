"""Begin with the weights of another experiment, and say which of them were taken."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lipsound2.errors import LipsoundError
from lipsound2.training import checkpoint
from lipsound2.training.average import MODEL, read_weights

log = logging.getLogger(__name__)


@dataclass
class Loaded:
    """What became of each tensor.

    Attributes:
        taken: names found with the right shape.
        other_shape: name, shape in the network, shape in the file.
        missing: names the file does not have; they keep their fresh weights.
        unused: names the network does not have.
    """

    taken: list[str] = field(default_factory=list)
    other_shape: list[tuple[str, list[int], list[int]]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The table for a person: one line a tensor that was not taken, under one line of counts."""
        head = (
            f"{len(self.taken)} tensors taken, {len(self.other_shape)} of another shape, "
            f"{len(self.missing)} not in the file, {len(self.unused)} not in this network"
        )
        rows = [f"fresh   {name}: shape {ours}, in the file {theirs}" for name, ours, theirs in self.other_shape]
        rows += [f"fresh   {name}: not in the file" for name in self.missing]
        rows += [f"unused  {name}: not in this network" for name in self.unused]
        return [head, *rows]


def find_weights(source: Path) -> dict[str, Tensor]:
    """The weights of an experiment or a pack, finished or not, of a safetensors file, or of a checkpoint.

    Raises:
        LipsoundError: there are none.
    """
    if source.is_dir() and (source / MODEL).exists():
        return read_weights(source / MODEL)
    if source.suffix == ".safetensors":
        return read_weights(source)
    state = _checkpoint(source)
    if state is None:
        raise LipsoundError(
            f"--init {source}: no weights there; give an experiment, a pack, a .safetensors file or a checkpoint"
        )
    weights: dict[str, Tensor] = state["average"] or state["model"]
    return weights


def _checkpoint(source: Path) -> dict[str, Any] | None:
    """The newest checkpoint of an experiment, or the one that a file holds; None when there is none."""
    if source.is_dir():
        return checkpoint.newest(source / checkpoint.FOLDER)
    return checkpoint.read(source) if source.is_file() else None


def initialize_discriminator(discriminator: nn.Module, source: Path) -> None:
    """Load the discriminator of an adversarial training; where `source` has none that fits, its weights stay fresh.

    A trained generator gets a misleading loss from an untrained discriminator until that one has learned.
    """
    state = _checkpoint(source) if source.suffix != ".safetensors" else None
    found = state.get("discriminator") if state else None
    own = discriminator.state_dict()
    if not found or {name: t.shape for name, t in own.items()} != {name: t.shape for name, t in found["model"].items()}:
        log.warning(
            "--init %s: has no discriminator that fits, which only checkpoints hold; it begins with fresh weights",
            source,
        )
        return
    discriminator.load_state_dict(found["model"])
    log.info("discriminator from the checkpoint of update %d of %s", state["update"] if state else 0, source)


@torch.no_grad()
def initialize(model: nn.Module, source: Path, only: Sequence[str] = ()) -> Loaded:
    """Copy every tensor of `source` that has the name and shape of one of the network's, buffers included.

    Args:
        model: the network.
        source: experiment, pack or file of weights.
        only: modules to fill, such as `trunk`, wherever they stand in either network; empty: whatever fits.

    Raises:
        LipsoundError: there are no weights at `source`, or none of them fits.
    """
    given = _within(find_weights(source), only)
    own = _within(model.state_dict(), only)
    loaded = Loaded(unused=[name for name in given if name not in own])
    for name, tensor in own.items():
        if name not in given:
            loaded.missing.append(name)
        elif tensor.shape != given[name].shape:
            loaded.other_shape.append((name, list(tensor.shape), list(given[name].shape)))
        else:
            tensor.copy_(given[name])
            loaded.taken.append(name)
    if not loaded.taken:
        raise LipsoundError(
            f"--init {source}: not one tensor has a name and shape of this network{_of(only)}; is it another model?"
        )
    log.info("weights from %s%s: %s", source, _of(only), "\n  ".join(loaded.lines()))
    return loaded


def _within(tensors: Mapping[str, Tensor], only: Sequence[str]) -> dict[str, Tensor]:
    """The tensors of some modules, named from there on: `encoder.trunk.stem.weight` -> `trunk.stem.weight`."""
    if not only:
        return dict(tensors)
    found = {}
    for name, tensor in tensors.items():
        parts = name.split(".")
        place = next((place for place, part in enumerate(parts) if part in only), None)
        if place is not None:
            found[".".join(parts[place:])] = tensor
    return found


def _of(only: Sequence[str]) -> str:
    return f" ({', '.join(only)} alone)" if only else ""
