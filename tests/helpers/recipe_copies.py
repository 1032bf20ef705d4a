"""Recipes copied to another place, with a blank and an umlaut in its path, and run there as a user runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from helpers import warm_verbs
from lipsound2.data.yaml_files import read_yaml, write_yaml

ROOT = Path(__file__).resolve().parents[2]
BRIEF = {"max_epochs": 1, "valid_every": 1, "warmup": 1, "batch_size": 4, "workers": 0, "tensorboard": False}
TRUNK = {"crop": 64, "size": 32, "trunk_pool": False, "trunk_widths": [8, 8], "trunk_blocks": 1}
CONFORMER = {"width": 16, "layers": 1, "heads": 2, "kernel": 5}
TINY = {  # by model, where a task has several
    "lira": TRUNK | CONFORMER | {"head": 16},
    "parallel": TRUNK | CONFORMER | {"mel_width": 16, "mel_layers": 1, "valid_clips": 1},
    "lips": TRUNK | CONFORMER | {"decoder_layers": 1},
    "classify": TRUNK | {"branch": 4, "layers": 2},
    "language": {"width": 16, "layers": 1, "heads": 2},
    "pase": {"channels": [8] * 8, "units": 32},
}
ENVIRONMENT = os.environ | {"LIPSOUND2_VENV": sys.prefix}


def copy_recipes(place: Path, *names: str) -> Path:
    """Recipes beside what they need, in a folder that is new or holds others; returns its `egs`."""
    top = place / "my corpora ü"
    for name in names:
        without = shutil.ignore_patterns("corpus", "data", "dump", "exp")
        shutil.copytree(ROOT / "egs" / name, top / "egs" / name, ignore=without)
    if not (top / "tools").exists():
        shutil.copytree(ROOT / "utils", top / "utils")
        (top / "tools").mkdir()
        (top / "tools" / "install.sh").write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")  # the set-up stands already
        (top / "tools" / "install.sh").chmod(0o755)
    return top / "egs"


def recipes_in(place: Path, *names: str) -> Path:
    """The recipes in a folder with a blank in its name, their configs of LiRA as small as can be."""
    egs = copy_recipes(place, *names)
    for path in egs.glob("*/conf/*.yaml"):
        values = read_yaml(path)
        small = TINY.get(values.get("model", values["task"]))
        if small is not None:
            if str(values.get("input")).startswith("features-"):
                small = {key: value for key, value in small.items() if key not in TRUNK}
            write_yaml(path, values | small | BRIEF)
    return egs


def run(recipe: Path, *arguments: str, script: str = "run.sh", fails: bool = False) -> str:
    """Run a recipe with one worker; what it said on both channels."""
    command = [f"./{script}", "--nj", "1", *arguments]
    environment = ENVIRONMENT | warm_verbs.environment()
    done = subprocess.run(command, cwd=recipe, capture_output=True, text=True, env=environment)
    assert (done.returncode != 0) == fails, (done.stdout + done.stderr)[-3000:]
    return done.stdout + done.stderr
