"""The project as others get it: source archive of what git tracks, and the wheel built from it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

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
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        archive.extractall(place / "unpacked", filter="data")
    (unpacked,) = (place / "unpacked").iterdir()
    _hook("build_wheel", unpacked, dist)
    return dist


def _hook(name: str, tree: Path, dist: Path) -> None:
    """What pip calls to build."""
    done = subprocess.run([sys.executable, "-c", _HOOK, name, str(dist)], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
