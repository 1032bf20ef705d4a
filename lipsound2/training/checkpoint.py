"""Checkpoints: everything that decides how a training goes on, whole or absent, and checked before it is believed."""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lipsound2.errors import UNREADABLE, LipsoundError, is_machine_error
from lipsound2.files import write_bytes
from lipsound2.old_names import checkpoint_of_today
from lipsound2.training.distributed import World

log = logging.getLogger(__name__)

FOLDER = "checkpoints"
FORMAT = 1  # raised when the content changes so that older checkpoints cannot be taken up
_KEPT = 2  # the newest, and the one before in case the newest is damaged
# The name carries the first digits of the content's SHA-256: one file, one rename, nothing to get out of step.
_NAME = re.compile(r"update-(\d{8})\.([0-9a-f]{16})\.pt")


def save(folder: Path, state: Mapping[str, Any]) -> Path:
    """Write `state` (tensors and plain types; `update` is its place in the row) and drop all but the newest two.

    A file is written under a temporary name, synced and renamed, so a run killed in between leaves the older ones.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    content = buffer.getbuffer()  # a view: `getvalue` would copy what may be a gigabyte
    digest = hashlib.sha256(content).hexdigest()[:16]
    path = folder / f"update-{state['update']:08d}.{digest}.pt"
    write_bytes(path, content)
    # The row is by update: one of the same update was written by a run that was stopped there.
    older = [other for other in existing(folder) if other != path]
    rivals = [other for other in older if other.name[:15] == path.name[:15]]
    for old in {*rivals, *older[len(rivals) + _KEPT - 1 :]}:
        old.unlink(missing_ok=True)
    return path


def existing(folder: Path) -> list[Path]:
    """Checkpoints in `folder`, newest first."""
    return sorted((path for path in folder.glob("update-*.pt") if _NAME.fullmatch(path.name)), reverse=True)


def newest(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint that is whole; None when there is none.

    A damaged one is named in the log, renamed to `*.broken` and passed over.

    Raises:
        LipsoundError: it was written by a version of another format.
    """
    for path in existing(folder):
        state = read(path)
        if state is not None:
            return state
        log.warning("%s is damaged (its content is not what was written); it is passed over", path)
        path.rename(path.with_suffix(".broken"))
    return None


def read(path: Path) -> dict[str, Any] | None:
    """One checkpoint; None when it is damaged.

    Raises:
        LipsoundError: it is of another format.
        OSError: it cannot be read.
    """
    content = path.read_bytes()
    match = _NAME.fullmatch(path.name)
    if not match or hashlib.sha256(content).hexdigest()[:16] != match.group(2):
        return None
    try:
        state: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        if is_machine_error(error):
            raise
        return None  # named by the sum of its content, which is none of ours
    if not isinstance(state, dict) or not isinstance(state.get("format"), int):
        return None
    if state["format"] != FORMAT:
        raise LipsoundError(
            f"{path}: checkpoint format {state['format']}, this version writes {FORMAT}; finish the training with the "
            "version that began it, or start another with --init"
        )
    return checkpoint_of_today(state)


def random_states(world: World) -> list[Tensor]:
    """torch's generators of every process, as bytes: the CPU's, and the GPU's behind it."""
    states = [torch.get_rng_state()]
    if world.device.type == "cuda":
        states.append(torch.cuda.get_rng_state(world.device))
    return world.gather(torch.cat(states))


def restore_random_states(states: list[Tensor], world: World) -> bool:
    """Set this process' generators; False when the states are of another number of processes or kind of device."""
    length = torch.get_rng_state().numel()
    whole = length + (torch.cuda.get_rng_state(world.device).numel() if world.device.type == "cuda" else 0)
    if len(states) != world.size or states[world.rank].numel() != whole:
        return False
    torch.set_rng_state(states[world.rank][:length])
    if world.device.type == "cuda":
        torch.cuda.set_rng_state(states[world.rank][length:], world.device)
    return True


@contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """A block with generators of its own, seeded the same every time; training's are as before afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
