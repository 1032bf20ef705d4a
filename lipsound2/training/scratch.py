"""A folder for the sockets of the processes that load clips, which goes even when all of them are killed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from lipsound2.files import temporary_home, temporary_of

_LONGEST_SOCKET = 107  # bytes of its path
_SOCKET = "/pymp-12345678/listener-12345678"  # what Python adds


def scratch_folder() -> Path:
    """Make this process' folder among the user's temporary files; those of trainings that were killed are removed.

    Raises:
        LipsoundError: somebody else's folder lies in its place.
    """
    folder = temporary_of(temporary_home() / "w")
    folder.mkdir(exist_ok=True)
    return folder


def use_scratch(folder: Path) -> None:
    """Let this process put its temporary files there, unless that leaves no room for the name of a socket."""
    if len(os.fsencode(f"{folder}{_SOCKET}")) <= _LONGEST_SOCKET:
        tempfile.tempdir = str(folder)
