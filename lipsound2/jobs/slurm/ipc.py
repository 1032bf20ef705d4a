"""Pickles that the controlling process and its jobs exchange, in a folder that only the user can write to.

A pickle is code. These come from the user's own processes, like those of `multiprocessing`. Outputs often lie where a
whole group may write, so the folder's mode is checked before any pickle is read.
"""

from __future__ import annotations

import os
import pickle
import stat
from pathlib import Path
from typing import Any

from lipsound2.errors import LipsoundError
from lipsound2.files import write_bytes

FOLDER = ".slurm"  # beside the output; gone when the step is done


def make_private(folder: Path) -> None:
    """Make a folder below a `FOLDER` that only the user can write to.

    Raises:
        LipsoundError: the `FOLDER` exists, and others may write to it.
    """
    top = _top(folder)
    top.parent.mkdir(parents=True, exist_ok=True)
    top.mkdir(mode=0o700, exist_ok=True)
    _check(top)
    folder.mkdir(parents=True, exist_ok=True)


def store(path: Path, what: object) -> None:
    """Write an object for another process."""
    write_bytes(path, pickle.dumps(what))


def load(path: Path) -> Any:
    """Read what `store` wrote.

    Raises:
        LipsoundError: somebody else may have written it.
    """
    _check(_top(path))
    return pickle.loads(path.read_bytes())  # noqa: S301 - only the user can have written it


def _top(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.name == FOLDER)


def _check(folder: Path) -> None:
    status = folder.lstat()
    private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
    if not private:
        raise LipsoundError(
            f"{folder}: expected a folder of yours alone (mode 700), found mode {stat.S_IMODE(status.st_mode):o} of "
            f"user {status.st_uid}; delete it and run again, on a file system that keeps modes"
        )
