"""The two kinds of errors: a mistake that the user must see, and a clip that cannot be used."""

from __future__ import annotations

import errno
import importlib
import pickle
import re
import struct
import sys
from pathlib import Path
from types import ModuleType


def error_numbers(*names: str) -> frozenset[int]:
    """Numbers of errors by their names in `errno`, as far as this system has them."""
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


# Errors of the machine that may pass, whatever the file: no memory, handle or thread left, a disk that is full or
# fails, a server that is away.
_MACHINE = error_numbers(
    *("ENOMEM", "EMFILE", "ENFILE", "EAGAIN", "EBUSY"),
    *("EIO", "EREMOTEIO", "EACCES", "ENODEV", "ENXIO"),
    *("ENOSPC", "EDQUOT", "EFBIG", "EROFS"),
    *("ESTALE", "ETIMEDOUT", "ENOTCONN", "ENOLCK", "EHOSTDOWN", "EHOSTUNREACH"),
    *("ENETDOWN", "ENETUNREACH", "ECONNRESET", "ECONNABORTED", "ECONNREFUSED"),
)
# Messages of torch, OpenCV, onnxruntime and the C++ library.
_NO_MEMORY = re.compile(
    "not enough memory|can't allocate memory|cannot allocate memory|out of memory|insufficient memory|bad[_ ]alloc|"
    "failed to allocate memory|unable to allocate",
    re.IGNORECASE,
)
_NO_THREAD = "can't start new thread"
_SYSTEM_ERROR = 2  # SF_ERR_SYSTEM of libsndfile: the system refused a call

# Packages whose compiled part does not work with every build of another one.
_WANTS = {
    "mediapipe": "where there is no tools/install.sh, then also: pip install --no-deps mediapipe==0.10.14; or use "
    "--detector facemesh: the same networks, without mediapipe",
    "sounddevice": "on Linux it needs PortAudio as well: sudo apt-get install libportaudio2",
    "torchaudio": "its wheels load beside a CUDA build of torch alone (which runs without a GPU too): "
    "tools/torchaudio_check.sh makes an environment of its own with both, some 5 GB",
}


# Errors of torch on a file that is damaged or not its own. Some come from the machine: call `is_machine_error` first.
UNREADABLE = (
    *(RuntimeError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError, EOFError),
    *(pickle.UnpicklingError, struct.error),
)


class LipsoundError(Exception):
    """A mistake of the user or of the data, in one line: what, where, found, wanted, what to do.

    The command line prints it without a traceback and ends with status 1.
    """


class UsageError(LipsoundError):
    """Wrong usage: the command line ends with status 2."""


class ClipFailure(Exception):  # noqa: N818 - it is about the clip, not an error of the program
    """One clip cannot be used. It becomes a line of `failures.tsv`; the stage goes on.

    Args:
        reason: one of a few words that can be counted, such as `unreadable`, `no-face`, `no-audio`, `too-short`.
        detail: what was found, for the person who looks into this clip.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[ClipFailure], tuple[str, str]]:
        return (ClipFailure, (self.reason, self.detail))


def is_machine_error(error: BaseException) -> bool:
    """Whether an error is the machine's, not the data's: trying again may help.

    Errors of PyAV count by their errno as Python's own do, except EAGAIN, by which FFmpeg asks for more data. A
    clip's failure counts by its cause.
    """
    if isinstance(error, ClipFailure):
        return error.__cause__ is not None and is_machine_error(error.__cause__)
    if out_of_memory(error) or _NO_THREAD in str(error):
        return True
    if isinstance(error, OSError):
        flow = error.errno == errno.EAGAIN and type(error).__module__.startswith("av.")
        return error.errno in _MACHINE and not flow
    libsndfile = getattr(sys.modules.get("soundfile"), "LibsndfileError", ())
    return isinstance(error, libsndfile) and getattr(error, "code", None) == _SYSTEM_ERROR


def names_machine_error(text: str) -> bool:
    """Whether the detail of a failure names an error of the machine: an errno of it, no memory, no thread."""
    number = re.search(r"\[Errno (\d+)\]", text)
    named = number is not None and int(number[1]) in _MACHINE
    return named or text.startswith("MemoryError") or _NO_THREAD in text or bool(_NO_MEMORY.search(text))


def out_of_memory(error: BaseException) -> bool:
    """Whether there was no memory: Python's, numpy's and FFmpeg's own error, and those of libraries, by their words."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    ours = isinstance(error, OSError | LipsoundError | ClipFailure)
    return not ours and isinstance(error, Exception) and _NO_MEMORY.search(str(error)) is not None


def install_command(extra: str) -> str:
    """What installs an extra here: the set-up of a checkout, or pip where there is none."""
    checkout = Path(__file__).resolve().parents[1] / "tools" / "install.sh"
    return f"tools/install.sh --extras {extra}" if checkout.is_file() else f'pip install "lipsound2[{extra}]"'


def require(module: str, extra: str) -> ModuleType:
    """Import an optional package, or say how to get it.

    Args:
        module: dotted module name.
        extra: the extra of `setup.cfg` that brings it.

    Raises:
        LipsoundError: the package is missing or its compiled part cannot be loaded (OSError).
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        wants = _WANTS.get(module, "")
        if wants and isinstance(error, OSError):
            wants = f"it is installed, but {wants}"
        else:
            wants = f"install it with: {install_command(extra)}" + (f"; {wants}" if wants else "")
        raise LipsoundError(f"the package '{module}' cannot be imported ({error}); {wants}") from error
