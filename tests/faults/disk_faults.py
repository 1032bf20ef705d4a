"""What `disks.py` does to a disk: it is full, read-only, foreign, failing, or limits stand in the way."""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
import random
import resource
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disk_commands import Place

NOBODY = 65534
ERRORS = (
    *(errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.EACCES, errno.EPERM),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT, errno.EBUSY),
)
MINE = "the user's own\n"


@dataclass
class Fault:
    """What is wrong with the disk during one command.

    Attributes:
        name: of the kind.
        about: the kind's particulars.
        before: done to the disk first.
        inside: done in the process of the command.
        after: makes the disk well again.
    """

    name: str
    about: str = ""
    before: Callable[[], None] = lambda: None
    inside: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None


Maker = Callable[[Place, random.Random], Fault]


def full(at: Place, draw: random.Random) -> Fault:
    """A disk with little or no room left."""
    room = draw.choice((0, 0, 4, 16, 64)) << 10
    filler = at.folder.parent / "filler"

    def fill() -> None:
        state = os.statvfs(at.folder)
        with contextlib.suppress(OSError):
            filler.write_bytes(bytes(max(0, state.f_bavail * state.f_frsize - room)))

    return Fault("full", f"{room} bytes left", before=fill, after=filler.unlink)


def no_inodes(at: Place, draw: random.Random) -> Fault:
    """A disk that takes no further files."""
    left = draw.choice((0, 0, 1, 2, 4))
    folder = at.folder.parent / "many"

    def fill() -> None:
        folder.mkdir()
        for number in range(max(0, os.statvfs(at.folder).f_favail - left)):
            (folder / str(number)).touch()

    return Fault("inodes", f"{left} left", before=fill, after=lambda: shutil.rmtree(folder))


def read_only(at: Place, draw: random.Random) -> Fault:
    """A disk that was mounted to be read."""

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", at.folder.parent], check=True)

    return Fault("read-only", before=lambda: remount("ro"), after=lambda: remount("rw"))


def foreign(at: Place, draw: random.Random) -> Fault:
    """A folder of somebody else."""

    def become_nobody() -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)

    return Fault("foreign", inside=become_nobody)


def short_files(at: Place, draw: random.Random) -> Fault:
    """A limit on the size of files (ulimit -f)."""
    size = draw.choice((0, 1, 100, 1000))
    return Fault("file size", f"{size} bytes", inside=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))


def few_handles(at: Place, draw: random.Random) -> Fault:
    """A limit on open files (ulimit -n)."""
    more = draw.choice((0, 0, 1, 2))

    def limit() -> None:
        free = os.dup(0)  # the lowest that is free
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + more, free + more))

    return Fault("handles", f"{more} more", inside=limit)


def little_memory(at: Place, draw: random.Random) -> Fault:
    """A limit on memory (ulimit -v)."""
    more = draw.choice((0, 1, 4)) << 20

    def limit() -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))

    return Fault("memory", f"{more} bytes more", inside=limit)


def in_the_way(at: Place, draw: random.Random) -> Fault:
    """A file, or a link that leads nowhere or in a circle, where a folder should be."""
    what = draw.choice(("file", "dead link", "circle"))
    aside = at.folder.with_name("aside")

    def put() -> None:
        at.folder.rename(aside)
        if what == "file":
            at.folder.write_text(MINE)
        else:
            at.folder.symlink_to("absent" if what == "dead link" else at.folder.name)

    def undo() -> None:
        at.folder.unlink()
        aside.rename(at.folder)

    return Fault("in the way", what, before=put, after=undo)


def failing(at: Place, draw: random.Random) -> Fault:
    """A disk that answers with an error, from some call on."""
    number, call, first = draw.choice(ERRORS), draw.choice(("open", "fsync", "replace", "mkdir", "read")), 1
    if call != "mkdir":
        first = draw.choice((1, 1, 2, 3, 5))

    def break_it() -> None:
        below = at.material if call == "read" else at.folder
        left = [first]

        def check(path: object) -> None:
            where = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else str(path)  # noqa: PTH115
            if where.startswith(str(below)):
                left[0] -= 1
                if left[0] <= 0:
                    raise OSError(number, os.strerror(number), where)

        def wrap(module: Any, name: str, wanted: Callable[..., bool] = lambda *_, **__: True) -> None:
            real = getattr(module, name)

            def broken(path: object, *more: Any, **options: Any) -> Any:
                if not (name == "open" and isinstance(path, int)) and wanted(*more, **options):
                    check(path)
                return real(path, *more, **options)

            setattr(module, name, broken)

        if call in ("open", "read"):

            def writes(mode: str = "r", *_: Any, **__: Any) -> bool:
                return any(mark in mode for mark in "wax+") == (call == "open")

            for module in (io, builtins):
                wrap(module, "open", writes)
        else:
            wrap(os, call)

    return Fault("errno", f"{errno.errorcode[number]} of {call} {first}", inside=break_it)


ANYWHERE = (short_files, few_handles, little_memory, in_the_way, failing, failing)
MOUNTED = (full, full, no_inodes, read_only, foreign)  # these need a file system of their own, or to be root
