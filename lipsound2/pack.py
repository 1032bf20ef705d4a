"""An experiment -> a folder anyone can use: config, half-precision weights, card; no path of this machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from lipsound2 import experiment
from lipsound2.config import read_yaml
from lipsound2.errors import LipsoundError
from lipsound2.files import atomic_path, folder_lock, write_text

COPIED = ("config.yaml", "target.yaml", "mean_by_time.npy")


def pack(
    exp: Path,
    out: Path,
    *,
    knows: str,
    corpus: str,
    licence: str,
    command: str = "",
) -> None:
    """Make a folder that works elsewhere out of an experiment.

    Args:
        exp: experiment whose training has ended.
        out: folder to write.
        knows: one line about the voices and words the model knows; `speak` shows it to its users.
        corpus: what it was trained on.
        licence: licence of that corpus, and with it of the weights.
        command: the command that trains it.
    """
    loaded = experiment.load(exp)
    if out.exists() and any(out.iterdir()) and not (out / "config.yaml").exists():
        raise LipsoundError(f"{out}: holds other files and is no pack; choose a new or an empty folder")
    with folder_lock(out, "pack"):
        for name in COPIED:
            with atomic_path(out / name) as temporary:
                shutil.copyfile(loaded.path / name, temporary)
        # Counters stay whole numbers; everything else loses nothing a listener hears.
        state = {
            key: tensor.half().contiguous() if tensor.is_floating_point() else tensor.contiguous()
            for key, tensor in loaded.model.state_dict().items()
        }
        with atomic_path(out / experiment.WEIGHTS) as temporary:
            save_file(state, temporary, {key: json.dumps(value) for key, value in loaded.notes.items()})
        write_text(out / "card.md", card(loaded, out.name, knows, corpus, licence, command))
    (out / ".lock").unlink()
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{out}: {size / 1e6:.1f} MB; use it with: lipsound2 speak CLIP -o OUT.wav --model {out}")


def card(loaded: experiment.Experiment, name: str, knows: str, corpus: str, licence: str, command: str) -> str:
    """The text that tells a stranger what this model is, and how well it does, controls included."""
    versions: dict[str, Any] = {}
    if (loaded.path / "versions.yaml").exists():
        versions = read_yaml(loaded.path / "versions.yaml")
    parameters = sum(parameter.numel() for parameter in loaded.model.parameters())
    tables = [
        f"## Scores on `{path.parent.name}`\n\n{path.read_text(encoding='utf-8').strip()}"
        for path in sorted(loaded.path.glob("scores/*/table.md"))
    ]
    facts = {
        "Trained on": corpus,
        "Licence": licence,
        "Parameters": f"{parameters / 1e6:.1f} M, stored in half precision",
        "Input": f"`{loaded.task.settings.input}` crops, 25 pictures a second",
        "Output": f"`{loaded.task.mel.name}` mel, {loaded.task.mel.sample_rate} Hz",
        "Command": f"`{command}`" if command else "",
        "Commit": str(versions.get("git", "")),
        "Date": str(versions.get("ended", "")),
        "Hardware and hours": f"{versions.get('hardware', '')}, {versions.get('hours', '?')} h" if versions else "",
        "Weights": f"{experiment.WEIGHTS}, torch {torch.__version__.partition('+')[0]}",
    }
    rows = "\n".join(f"* {key}: {value}" for key, value in facts.items() if value)
    return "\n\n".join([f"# {name}", f"Knows: {knows}", rows, *tables]) + "\n"
