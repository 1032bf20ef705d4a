"""Copies of all recipes, run with a stand-in for `lipsound2` that notes how it was called, so each takes no time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.recipe_copies import ROOT, copy_recipes

RECIPES = sorted(path.parent.name for path in ROOT.glob("egs/*/run.sh"))
SCRIPTS = sorted(f"{path.parent.name}/{path.name}" for path in ROOT.glob("egs/*/run*.sh"))


class Recipes:
    """Copies of all recipes, run with a stand-in for `lipsound2`."""

    def __init__(self, place: Path) -> None:
        self.egs = copy_recipes(place, *RECIPES)
        self.calls, self.set_up = place / "calls", place / "set-up"
        binaries = place / "venv/bin"
        binaries.mkdir(parents=True)
        stand_in = binaries / "lipsound2"
        stand_in.write_text(
            '#!/bin/sh\necho "$@" $LIPSOUND2_SBATCH >> "$CALLS"\n[ -z "$SLEEPS" ] || sleep 60\nexit ${FAILS:-0}\n'
        )
        python = binaries / "python"  # this one, whether its environment is active or not
        python.write_text(f"#!/bin/sh\nexec '{sys.executable}' \"$@\"\n")
        for path in (stand_in, python):
            path.chmod(0o755)
        for recipe in RECIPES:
            corpus = re.search(r"^corpus=(\S+)", (self.egs / recipe / "run.sh").read_text(), re.MULTILINE)
            assert corpus
            (self.egs / recipe / corpus[1]).mkdir()
        install = self.egs.parent / "tools/install.sh"
        install.write_text(f"#!/bin/sh\ntouch '{self.set_up}'\n")
        self.environment = os.environ | {"LIPSOUND2_VENV": str(place / "venv"), "CALLS": str(self.calls)}

    def run(self, script: str, *arguments: str, shell: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        folder, _, name = script.partition("/")
        self.calls.unlink(missing_ok=True)
        self.set_up.unlink(missing_ok=True)
        command = [*([shell] if shell else []), f"./{name or 'run.sh'}", *arguments]
        where = self.egs / folder
        return subprocess.run(command, cwd=where, capture_output=True, text=True, env=self.environment | variables)

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def refused(self, script: str, *arguments: str) -> str:
        """The one line that refuses a command before any set-up."""
        done = self.run(script, *arguments)
        assert (done.returncode, done.stdout) == (2, ""), done
        assert not self.set_up.exists()
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Recipes:
    return Recipes(tmp_path_factory.mktemp("recipes"))


@pytest.fixture
def fresh(tmp_path: Path) -> Recipes:
    return Recipes(tmp_path)


def stages(recipe: Path, *paths: str) -> None:
    for path in paths:
        (recipe / path).parent.mkdir(parents=True, exist_ok=True)
        (recipe / path).touch()
