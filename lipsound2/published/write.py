"""A pack of weights that others published: its card says where they come from and under which license."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from lipsound2.config import to_mapping
from lipsound2.converted import Origin
from lipsound2.data.yaml_files import write_yaml
from lipsound2.decoding.search_options import FILE as SEARCH
from lipsound2.decoding.search_options import OwnSearch
from lipsound2.files import atomic_path, sha256, write_text
from lipsound2.model_names import CARD, CONFIG, WEIGHTS
from lipsound2.pack import pack_folder
from lipsound2.tasks.base import AnyTask


def write_pack(
    out: Path,
    file: Path,
    verb: str,
    task: AnyTask,
    assets: Any,
    tensors: Mapping[str, Tensor],
    *,
    knows: str,
    license: str,
    facts: Mapping[str, str] | None = None,
    search: OwnSearch | None = None,
) -> None:
    """Write a pack.

    Args:
        out: folder to write: a new or empty one, or an earlier pack of the same file.
        file: the published file.
        verb: the verb that converts it.
        task: that the network is used for.
        assets: of the task.
        tensors: of the network, by our names.
        knows: one line about the voices and words the model knows.
        license: of the weights.
        facts: further lines of the card.
        search: that the model was published with.

    Raises:
        LipsoundError: the folder holds something else.
    """
    knows, digest = " ".join(knows.split()), sha256(file)
    origin = f"* SHA-256 of the file: {digest}"
    with pack_folder(out, origin, verb):
        rows = [f"* {name}: {text}" for name, text in (facts or {}).items()]
        made = f"* Made by: `lipsound2 {verb} {file.name} {out.name}`"
        size = f"* Size: {sum(tensor.numel() for tensor in tensors.values()) / 1e6:.1f} M parameters"
        text = "\n".join([made, origin, size, *rows, f"* License: {license}"])
        write_text(out / CARD, f"# {out.resolve().name}\n\nKnows: {knows}\n\n{text}\n")
        write_yaml(out / CONFIG, {"task": task.name, **task.config()})
        task.save(assets, out)
        if search is not None:
            write_yaml(out / SEARCH, to_mapping(search))
        with atomic_path(out / WEIGHTS) as temporary:
            notes = Origin(f"{verb} {file.name}, SHA-256 of the file {digest}", license).notes()
            notes |= {"source": json.dumps(file.name), "sha256": json.dumps(digest)}
            save_file(_apart(tensors), temporary, notes)


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that share no memory, as tied ones do: the file takes no others."""
    seen: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        found[name] = tensor.contiguous().clone() if place in seen else tensor.contiguous()
        seen.add(place)
    return found
