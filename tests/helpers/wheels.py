"""The project as others get it: source archive of what git tracks, the wheel built from it, a venv around that."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from helpers.archives import unpack

ROOT = Path(__file__).resolve().parents[2]
_HOOK = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"


def tracked(*folders: str) -> list[str]:
    """The files that git tracks, below some folders or all of them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    return [name for name in listed if name and (ROOT / name).is_file()]


def build(place: Path) -> Path:
    """Build in a folder outside the checkout, so that nothing old in it gets into the wheel.

    Returns:
        The folder of the archive and of the wheel.
    """
    dist, tree = place / "dist", place / "tree"
    dist.mkdir()
    for name in tracked():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    _hook("build_sdist", tree, dist)
    unpack(next(dist.glob("*.tar.gz")), place / "unpacked")
    (unpacked,) = (place / "unpacked").iterdir()
    _hook("build_wheel", unpacked, dist)
    return dist


def _hook(name: str, tree: Path, dist: Path) -> None:
    """What pip calls to build."""
    done = subprocess.run([sys.executable, "-c", _HOOK, name, str(dist)], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def install(wheel: Path, extras: str, venv: Path) -> dict[str, str]:
    """Make a venv and install the wheel with plain pip, at the tested versions and with no other program in reach.

    Returns:
        The environment of a shell in which nothing but this venv is on the PATH.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LIPSOUND2_"))}
    environment |= {"PATH": str(venv / "bin"), "VIRTUAL_ENV": str(venv)}
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(venv / "bin/python"),
        "--disable-pip-version-check",
        "--no-input",
    ]
    # Bytecode is left to the first import: most of torch's is never needed.
    command = [*pip, "install", "--quiet", "--no-compile", "--constraint", str(ROOT / "tools/constraints.txt")]
    done = subprocess.run([*command, f"{wheel}[{extras}]"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return environment
