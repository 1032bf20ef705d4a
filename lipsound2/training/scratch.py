"""A folder for the sockets of the processes that load clips, which goes even when all of them are killed."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from lipsound2.errors import LipsoundError
from lipsound2.files import sweep, temporary_of

_LONGEST_SOCKET = 107  # bytes of its path
_SOCKET = "/pymp-12345678/listener-12345678"  # what Python adds


def scratch_folder() -> Path:
    """Make this process' folder among the user's temporary files; those of trainings that were killed are removed.

    Raises:
        LipsoundError: somebody else's folder lies in its place.
    """
    home = Path(tempfile.gettempdir()) / f"lipsound2-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    status = home.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise LipsoundError(f"{home} is no folder of yours; delete it, or set TMPDIR to a folder of your own")
    sweep(home)
    folder = temporary_of(home / "w")
    folder.mkdir(exist_ok=True)
    return folder


def use_scratch(folder: Path) -> None:
    """Let this process put its temporary files there, unless that leaves no room for the name of a socket."""
    if len(os.fsencode(f"{folder}{_SOCKET}")) <= _LONGEST_SOCKET:
        tempfile.tempdir = str(folder)
