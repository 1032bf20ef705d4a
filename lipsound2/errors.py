"""The two ways things go wrong: a mistake the user must see, and a clip that cannot be used."""

from __future__ import annotations

import errno
import importlib
from types import ModuleType

# What the machine may answer for a while, whatever the file: no memory or handle left, a disk that is full or fails.
_MACHINE = frozenset(
    {
        *(errno.ENOMEM, errno.EMFILE, errno.ENFILE),
        *(errno.EIO, errno.ESTALE, errno.EACCES, errno.ETIMEDOUT, errno.ENODEV, errno.ENXIO),
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS),
    }
)


class LipsoundError(Exception):
    """A mistake of the user or of the data, told in one line: what, where, found, wanted, what to do.

    The command line prints it without a traceback and ends with status 1.
    """


class ClipFailure(Exception):  # noqa: N818 - it is a verdict, not an error of the program
    """One clip cannot be used. It becomes a line of `failures.tsv`; the stage goes on.

    Args:
        reason: one of a few words that can be counted, such as `unreadable`, `no-face`, `no-sound`, `too-short`.
        detail: what was found, for the person who looks into this clip.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[ClipFailure], tuple[str, str]]:
        return (ClipFailure, (self.reason, self.detail))


def machine_trouble(error: BaseException) -> bool:
    """Whether an error tells of the machine, not of the data: it may be gone when the same is tried again.

    Errors of PyAV count by their errno as Python's own do.
    """
    return out_of_memory(error) or (isinstance(error, OSError) and error.errno in _MACHINE)


def out_of_memory(error: BaseException) -> bool:
    """Whether there was no memory: Python's and numpy's own error, and torch's, which are RuntimeErrors."""
    if isinstance(error, RuntimeError):
        return any(words in str(error) for words in ("not enough memory", "can't allocate memory", "out of memory"))
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


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
        raise LipsoundError(
            f"the package '{module}' cannot be imported ({error}); install it with: tools/install.sh --extras {extra}"
        ) from error
