"""Recipes copied to another place, with a blank and an umlaut in its path, and run there as a user runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from helpers import warm_verbs

ROOT = Path(__file__).resolve().parents[2]
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


def run(recipe: Path, *arguments: str, script: str = "run.sh", fails: bool = False) -> str:
    """Run a recipe with one worker; what it said on both channels."""
    command = [f"./{script}", "--nj", "1", *arguments]
    environment = ENVIRONMENT | warm_verbs.environment()
    done = subprocess.run(command, cwd=recipe, capture_output=True, text=True, env=environment)
    assert (done.returncode != 0) == fails, (done.stdout + done.stderr)[-3000:]
    return done.stdout + done.stderr
