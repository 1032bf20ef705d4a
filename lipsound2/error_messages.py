"""Errors of the machine and its files in one plain line: a full disk, missing permissions, no memory left."""

from __future__ import annotations

import ast
import errno
import os
import re
import sys
from pathlib import Path

from lipsound2.errors import ClipFailure, error_numbers, is_machine_error, out_of_memory

# Errors that only writing meets.
_WRITING = error_numbers("ENOSPC", "EDQUOT", "EROFS", "EFBIG", "ETXTBSY")
_ADVICE_BY_NAME = {
    "ENOSPC": "free some room, or choose another disk",
    "EDQUOT": "delete what you no longer need, or ask for a larger quota",
    "EFBIG": "raise the limit on the size of files (ulimit -f), or choose another disk",
    "EROFS": "choose a folder that can be written to",
    "EACCES": "ask its owner for permission, or choose another place",
    "EPERM": "ask its owner for permission, or choose another place",
    "EIO": "the disk or the connection to it fails; try again, and look at the system's log",
    "ESTALE": "the server's file changed or went away; try again",
    "ETIMEDOUT": "the server of this folder does not answer; try again",
    "EMFILE": "too many files are open at once; raise the limit (ulimit -n) and try again",
    "ENFILE": "too many files are open on this machine; try again",
    "ENAMETOOLONG": "give it a shorter name",
    "ENOTDIR": "a part of this path is a file, not a folder",
    "ELOOP": "its links lead in a circle",
    "EISDIR": "give the name of a file",
    "EAGAIN": "the machine starts no further process; end some, or raise the limit (ulimit -u)",
}
_ADVICE = {number: advice for name, advice in _ADVICE_BY_NAME.items() for number in error_numbers(name)}
_LONGEST = 500  # characters of a path in a message
_LINE = 4000  # characters of a message
_SYSTEM_ERROR = 2  # SF_ERR_SYSTEM of libsndfile
_OF_A_SCREEN = ("libGL.so", "libEGL.so", "libgthread-2")  # what OpenCV's other wheels load


def message_for(error: BaseException) -> str:
    """One line about an error that is no bug: of a file, of memory, of a name, or a clip's failure; else empty."""
    if isinstance(error, ClipFailure):
        return str(error)
    if out_of_memory(error):
        return "no memory is left for this on the machine or its GPU; close other programs or do less at once"
    if isinstance(error, UnicodeEncodeError):
        return _unwritable_name(error)
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return "a name in these files holds a zero byte, so no file can have it; make them again"
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _ADVICE or is_machine_error(error)):
        return _of_file(error)
    if isinstance(error, ImportError) and any(library in str(error) for library in _OF_A_SCREEN):
        return (
            f"OpenCV cannot be loaded ({error}): an OpenCV for machines with a screen lies in the place of the one "
            "that lipsound2 brings; run: pip uninstall -y opencv-python opencv-contrib-python; "
            "pip install --force-reinstall --no-deps opencv-python-headless"
        )
    libsndfile = getattr(sys.modules.get("soundfile"), "LibsndfileError", ())
    if isinstance(error, libsndfile):
        return _of_audio(error)
    return ""


def plain(text: str) -> str:
    """A text as one line for the terminal: control and invisible characters are shown as escapes."""
    shown = text if len(text) <= _LINE else f"{text[: _LINE // 2]} ... {text[-_LINE // 2 :]}"
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in shown)


def _of_file(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    advice = _ADVICE.get(error.errno or 0, "try again")
    if error.filename is None:
        return f"{reason}: {advice}"
    path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else "an open file"
    doing = "write" if error.filename2 is not None else _doing(error.errno, path)
    if isinstance(error, FileNotFoundError):
        folder = os.path.dirname(path) or "."  # noqa: PTH120 - pathlib would tidy a name that is quoted as it stands
        there = os.path.isdir(folder)  # noqa: PTH112 - Path.is_dir raises where the name is too long
        reason = "no such file or folder" if there else f"there is no folder {folder}"
        advice = "is the name right?"
    shown = path if len(path) <= _LONGEST else f"{path[:_LONGEST]}..."
    return f"cannot {doing} {shown}: {reason[:1].lower()}{reason[1:]}; {advice}"


def _doing(number: int | None, path: str) -> str:
    """`read` or `write` where the error or the file tells which; else `open`."""
    if number in _WRITING:
        return "write"
    if number in (errno.EACCES, errno.EPERM):
        if os.path.lexists(path):
            return "read" if not os.access(path, os.R_OK) else "write"
        return "write" if os.access(os.path.dirname(path) or ".", os.X_OK) else "open"  # noqa: PTH120
    return "open"


def _unwritable_name(error: UnicodeEncodeError) -> str:
    """A name with bytes that are no text of its encoding: Python keeps such bytes as lone surrogates."""
    name = str(error.object).strip()[:200]
    if error.reason == "surrogates not allowed":
        return f"the name {name!a} is not UTF-8; rename the file or folder"
    return f"the text {name!a} cannot be written as {error.encoding}; set LC_ALL=C.UTF-8 and run it again"


def _of_audio(error: BaseException) -> str:
    """libsndfile says "System error" where the system refused a file: which refusal, the file itself tells."""
    name = re.fullmatch(r"Error opening (['\"].*['\"]): ", str(getattr(error, "prefix", "")))
    if getattr(error, "code", None) != _SYSTEM_ERROR or not name:
        return " ".join(str(error).split())
    path = str(ast.literal_eval(name[1]))
    try:
        with Path(path).open("r+b"):
            pass
    except OSError as reason:
        return _of_file(reason)
    return f"cannot write {path}: the system refused it; is there room on the disk?"
