"""What others are given: source archive and wheel hold what git tracks."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest
from helpers.wheels import build, tracked

import lipsound2

# What a checkout has and nobody who unpacks an archive wants.
OF_GIT = (".ci/", ".github/", ".gitignore", ".shellcheckrc", ".dockerignore")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the source archive, and of the wheel that is built from it."""
    return build(tmp_path_factory.mktemp("built"))


def test_the_source_archive_holds_what_git_tracks(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    made = {name for name in names if name.startswith("lipsound2.egg-info/")} | {"PKG-INFO"}
    assert names - made == {name for name in tracked() if not name.startswith(OF_GIT)}


def test_the_wheel_holds_the_package(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        (about,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = wheel.read(about).decode()
    info = about.split("/", maxsplit=1)[0]
    files = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt", "licenses/LICENSE")
    assert names == set(tracked("lipsound2")) | {f"{info}/{name}" for name in files}
    assert "lipsound2/py.typed" in names
    assert f"\nVersion: {lipsound2.__version__}\n" in metadata
    assert "\nLicense-File: LICENSE\n" in metadata
