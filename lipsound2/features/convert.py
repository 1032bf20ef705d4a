"""The verb `convert-pase`: the published PASE+ encoder as a pack, which `targets --target pase:PACK` reads."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as serialize
from torch import Tensor

from lipsound2.audio.augment import AudioAugmentConfig
from lipsound2.data.yaml_files import write_yaml
from lipsound2.errors import UNREADABLE, LipsoundError, is_machine_error
from lipsound2.files import folder_lock, sha256, write_bytes, write_text
from lipsound2.model_names import CARD, CONFIG, WEIGHTS
from lipsound2.models.pase.pase import PaseEncoder, PaseEncoderConfig
from lipsound2.models.pase.workers import PaseWorkersConfig
from lipsound2.outputs import OutputFolder
from lipsound2.pack import check_pack_folder
from lipsound2.tasks.pase import PaseConfig, PaseTask

# What the published modules are called there and here (pase/models/frontend.py, modules.py; torchqrnn/qrnn.py).
_NAMES = {
    "blocks.0.conv.low_hz_": "blocks.0.conv.low",
    "blocks.0.conv.band_hz_": "blocks.0.conv.band",
    "denseskips.": "skips.",
    "rnn.layers.0.": "recurrent.",
    "W.": "project.",
    "norm_out.": "norm.",
}
_COUNTER = "num_batches_tracked"  # of batch norms; older versions of torch wrote none


def convert_pase(file: Path, out: OutputFolder) -> None:
    """Make a pack of the published PASE+ encoder (FE_e199.ckpt), or of another one of its layout.

    The file is read as plain tensors: no code in it runs, and anything but a plain state dict is refused.

    Args:
        file: the published file.
        out: folder to write.
    """
    state = translate(read_state_dict(file), file)
    task = PaseTask(PaseConfig(), PaseEncoderConfig(), PaseWorkersConfig(predict=()), AudioAugmentConfig())
    digest = sha256(file)
    origin = f"* SHA-256 of the file: {digest}"
    check_pack_folder(out, origin)
    with folder_lock(out, "convert-pase"):
        write_text(
            out / CARD,
            f"# {out.resolve().name}\n\nKnows: the encoder of {file.name}, whatever it was trained on\n\n"
            f"* Made by: `lipsound2 convert-pase {file.name} {out.name}`\n{origin}\n"
            "* License: the file's own; PASE+ is published under the MIT license (github.com/santi-pdp/pase)\n",
        )
        write_yaml(out / CONFIG, {"task": task.name, **task.config()})
        tensors = {f"encoder.{name}": tensor.contiguous() for name, tensor in state.items()}
        notes = {"source": json.dumps(file.name), "sha256": json.dumps(digest)}
        write_bytes(out / WEIGHTS, serialize(tensors, notes))
    (out / ".lock").unlink()
    print(f"{out}: {len(state)} tensors; use it with: lipsound2 targets DIR DUMP --target pase:{out}")


def read_state_dict(file: Path) -> dict[str, Tensor]:
    """The tensors of a file that torch saved, by name; inside `state_dict` where it holds more than them.

    Raises:
        LipsoundError: it cannot be read, or holds anything that is no plain tensor.
    """
    refused = f"{file}: no plain state dict of tensors, so it is refused"
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
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
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise LipsoundError(f"{refused}: found {type(content).__name__}; wanted names with tensors")
    return dict(content)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip()


def translate(published: Mapping[str, Tensor], where: Path) -> dict[str, Tensor]:
    """Our names for the published tensors, every shape checked.

    Raises:
        LipsoundError: a tensor is missing, unknown, of another shape, or holds something that is no number.
    """
    wanted = PaseEncoder(PaseEncoderConfig()).state_dict()
    advice = "wanted the PASE+ encoder alone, such as FE_e199.ckpt"
    found: dict[str, Tensor] = {}
    for name, tensor in published.items():
        ours = next((new + name.removeprefix(old) for old, new in _NAMES.items() if name.startswith(old)), name)
        if ours not in wanted:
            raise LipsoundError(f"{where}: the tensor '{name}' belongs to no part of PASE+; {advice}")
        shape = wanted[ours].shape
        # The edges of the sinc filters have an axis more there.
        tensor = tensor[:, 0] if tensor.ndim == 2 and len(shape) == 1 and tensor.shape[1] == 1 else tensor
        if tensor.shape != shape:
            raise LipsoundError(f"{where}: '{name}' has the shape {list(tensor.shape)}, not {list(shape)}; {advice}")
        if tensor.is_floating_point() != wanted[ours].is_floating_point():
            raise LipsoundError(f"{where}: '{name}' is of {tensor.dtype}, not {wanted[ours].dtype}; {advice}")
        if not torch.isfinite(tensor).all():
            raise LipsoundError(f"{where}: '{name}' holds values that are no numbers; fetch the file again")
        found[ours] = tensor.to(wanted[ours].dtype)
    missing = [name for name in wanted if name not in found and not name.endswith(_COUNTER)]
    if missing:
        raise LipsoundError(f"{where}: lacks {len(missing)} tensors (first: '{missing[0]}'); {advice}")
    return {name: found.get(name, wanted[name]) for name in wanted}
