"""What lies in a shared experiment: `share.json`, which lists the other files with their digests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lipsound2.data.json_text import read_json
from lipsound2.errors import LipsoundError
from lipsound2.files import sha256

SHARE, SETS, SCORES, VOCODER = "share.json", "sets", "scores", "vocoder"
FORMAT = 1


@dataclass(frozen=True)
class SharedSet:
    """How the scores of a set were made.

    Attributes:
        resamples: of the bootstrap.
        seed: of the bootstrap.
        unseen: whether intervals generalize to new speakers.
        vocoder: by which speech was made: a name that ships, or a folder of the archive; empty: there is no speech.
        systems: what was scored, the model's speech and the controls.
        unseen_text: recognizer or way of decoding -> whether its intervals generalize to new speakers.
    """

    resamples: int = 0
    seed: int = 0
    unseen: bool = False
    vocoder: str = ""
    systems: tuple[str, ...] = ()
    unseen_text: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """`share.json`.

    Attributes:
        format: of this file.
        name: of the experiment.
        task: that it was trained for.
        version: of the toolkit that shared it.
        commands: by which it was trained, without folders of a machine.
        packages: package -> version, of the last training.
        sets: set -> how its scores were made.
        files: file -> SHA-256, of all others.
    """

    format: int
    name: str
    task: str
    version: str
    commands: tuple[str, ...]
    packages: Mapping[str, str]
    sets: Mapping[str, SharedSet]
    files: Mapping[str, str]


def read_contents(folder: Path) -> Contents:
    """Read `share.json`, and compare every file with its digest.

    Raises:
        LipsoundError: it is not there or of a later format; a file is missing, was changed, or lies elsewhere.
    """
    if not (folder / SHARE).is_file():
        raise LipsoundError(f"{folder}: no shared experiment (no {SHARE}); make one with: lipsound2 share exp/NAME")
    found: Contents = read_json(folder / SHARE, Contents, "share the experiment again")
    if found.format > FORMAT:
        raise LipsoundError(f"{folder}: shared by a later version ({found.version}); update the toolkit")
    for name, digest in found.files.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise LipsoundError(f"{folder / SHARE}: '{name}' would lie outside of the folder")
        if not (folder / name).is_file() or sha256(folder / name) != digest:
            what = "is missing" if not (folder / name).exists() else "is not the file that was shared"
            raise LipsoundError(f"{folder / name}: {what}; get the archive again")
    return found
