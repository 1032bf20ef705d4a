"""Files that are whole or absent, and folders that belong to one run at a time."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import operator
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lipsound2.errors import LipsoundError, error_numbers

# Full, over quota, over the size a file may have, read-only, broken.
_DISK = error_numbers("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO")
_LONGEST_NAME = 255  # bytes
_LONGEST_SUFFIX = 32  # what is longer is no suffix, but a name with a dot in it
_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}
_FORGOTTEN = 7 * 86400.0  # seconds after which another machine's temporary file is nobody's


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it is synced and renamed to `path`.

    When the block raises, the temporary file is removed and whatever stood at `path` before is untouched. A symbolic
    link stays one: what it names is written.

    Raises:
        LipsoundError: `path` is a device, a pipe, a socket or a folder, or the disk cannot take the file.
    """
    path = written_to(Path(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_of(path)
    try:
        yield temporary
        with temporary.open("r+b") as file:  # Windows syncs only what may be written
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # some writers make files that only their owner can read
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        # Only what befell the file itself: the block may have met other files, whose errors are not about this one.
        if error.errno in _DISK or error.filename == str(temporary):
            raise LipsoundError(f"cannot write {path}: {error.strerror or error}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def temporary_of(path: Path) -> Path:
    """Where this process writes a file until it is whole: beside it, with the process and its host."""
    # The suffix is kept last: writers such as soundfile and PyAV choose the format by it.
    stem, suffix = (path.stem, path.suffix) if len(path.suffix) < _LONGEST_SUFFIX else (path.name, "")
    process = f"{os.getpid()}-{_here()}.tmp"
    if len(os.fsencode(f".{stem}.{process}{suffix}")) > _LONGEST_NAME:  # though `path` itself may be short enough
        stem = hashlib.sha256(os.fsencode(stem)).hexdigest()
    return path.with_name(f".{stem}.{process}{suffix}")


def written_to(path: Path) -> Path:
    """The file that writing to `path` means: a symbolic link is followed, as `open` does, even to what is not there.

    Raises:
        LipsoundError: it is no file: a device, a pipe, a socket, a folder, an open file of a process (/dev/stdout); or
            its links lead nowhere.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        kind = stat.S_IFREG  # so it will be
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise LipsoundError(f"cannot write {path}: {why}") from error
    target = path
    while True:
        if os.path.realpath(target.parent).startswith("/proc/"):
            raise LipsoundError(f"cannot write {path}: it is an open file of a process; name a file to be written")
        if kind != stat.S_IFREG:
            raise LipsoundError(f"cannot write {path}: it is a {_KINDS[kind]}, not a file; name a file to be written")
        if not target.is_symlink():
            return target
        target = target.parent / target.readlink()


def sweep(folder: Path | str) -> None:
    """Remove what killed processes left in a folder, temporary files and folders: of this machine, if they are gone.

    A process of another machine cannot be asked; its file goes when nothing was written to it for a week.
    """
    here = _here()
    for path in Path(folder).glob(".*.tmp*"):
        # Names of earlier versions have no host.
        found = re.search(r"\.(\d+)(?:-([0-9a-f]{8}))?\.tmp", path.name)
        if found and (_forgotten(path) if found[2] not in (None, here) else not _alive(int(found[1]))):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def temporary_home() -> Path:
    """The user's folder `lipsound2-UID` among temporary files, without what killed processes left in it.

    Raises:
        LipsoundError: somebody else's folder lies in its place.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0  # as Windows has it in `st_uid`
    home = Path(tempfile.gettempdir()) / f"lipsound2-{user}"
    home.mkdir(mode=0o700, exist_ok=True)
    status = home.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != user:
        raise LipsoundError(f"{home} is no folder of yours; delete it, or set TMPDIR to a folder of your own")
    sweep(home)
    return home


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder in `temporary_home`, which goes when the block ends, and after a killed process with the next."""
    home = temporary_home()
    with tempfile.TemporaryDirectory(prefix=temporary_of(home / "c").name, dir=home) as folder:
        yield Path(folder)


def _here() -> str:
    """Eight hexadecimal digits that tell this machine, or container, from others that number processes too."""
    with contextlib.suppress(OSError):
        numbering = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - no file: a name the kernel made up
        return hashlib.sha256(f"{socket.gethostname()} {numbering}".encode()).hexdigest()[:8]
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _forgotten(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > _FORGOTTEN
    except FileNotFoundError:
        return False


def _alive(process: int) -> bool:
    if os.name == "nt":  # there, asking would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _umask() -> int:
    """The process' umask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def look_again(folder: Path) -> None:
    """Open a folder, so that a network file system asks its server which files other machines put there by now."""
    os.scandir(folder).close()


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut; Windows opens no folders, and has no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path | str, data: bytes | memoryview) -> None:
    """Write bytes, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def told_size(count: int) -> str:
    """So many bytes as a message tells them: '400 bytes', '38 kB', '15.8 MB', '1.2 GB'."""
    for unit, name, digits in ((1e9, "GB", 1), (1e6, "MB", 1), (1e3, "kB", 0)):
        if round(count / unit, digits) >= 1:
            return f"{count / unit:.{digits}f} {name}"
    return f"{count} bytes"


def sha256(path: Path | str) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_lock(path: Path) -> IO[str]:
    """Open a file that is only there to be locked, made where it is absent; what it says is read and replaced.

    Raises:
        LipsoundError: a link, a folder or something else lies there: what it stands for must not be written to.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | open_flags("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"), 0o666)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        raise LipsoundError(f"{path} is no plain file but a link or a folder; delete it and try again") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise LipsoundError(f"{path} is no plain file but a device or a pipe; delete it and try again")
    return os.fdopen(descriptor, "r+", encoding="utf-8", errors="replace")


@contextlib.contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Errors of an open file, which do not know its name, say which file or folder it is."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def open_flags(*names: str) -> int:
    """Flags of `os.open` by their names, as far as this system has them."""
    return functools.reduce(operator.or_, (getattr(os, name, 0) for name in names), 0)


def _lock(file: IO[str], *, wait: bool) -> None:
    """Lock an open file for this process.

    Raises:
        BlockingIOError: another process has it, and `wait` is false.
        LipsoundError: this system has no such locks.
    """
    try:
        import fcntl
    except ImportError as error:
        raise LipsoundError(
            f"{file.name}: this system has no locks for folders that several runs write into; on Windows use speak and "
            "transcribe, and WSL for recipes"
        ) from error
    fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


@contextlib.contextmanager
def folder_lock(folder: Path | str, purpose: str) -> Iterator[None]:
    """Hold `folder` for this process; a second run is refused in one line. What a killed run left half written goes.

    A folder that was not there before, and to which a block that fails added nothing, is removed again.

    The lock is the kernel's (`flock`), so that of a killed process is free again at once.

    Raises:
        LipsoundError: another process holds the folder.
    """
    folder = Path(folder)
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with open_lock(folder / ".lock") as file:
        # Forked workers outlive a killed process by seconds and must not keep its lock for that long.
        os.register_at_fork(after_in_child=file.close)
        try:
            _lock(file, wait=False)
        except BlockingIOError as error:
            file.seek(0)
            raise LipsoundError(
                f"{folder} is in use by another run ({file.read().strip() or 'unknown process'}); "
                "wait for it to end, or choose another folder"
            ) from error
        if not _is_still(folder / ".lock", file.fileno()):
            raise LipsoundError(f"{folder} was removed by another run that was refused just now; try again")
        try:
            with naming(folder / ".lock"):
                os.ftruncate(file.fileno(), 0)
                os.pwrite(file.fileno(), f"{purpose}, process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            sweep(folder)
            yield
        except BaseException:
            if new and [path.name for path in folder.glob("*")] == [".lock"]:
                shutil.rmtree(folder)
            raise


@contextlib.contextmanager
def turn(path: Path | str) -> Iterator[None]:
    """Wait until no other process reads and rewrites a file, or a set of files named after one; then nobody else may.

    The lock is the kernel's, on a hidden file beside `path` that goes with the last who waits.
    """
    path = written_to(Path(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.turn")
    while True:
        with open_lock(lock) as file:
            _lock(file, wait=True)
            # Who held it before may have removed it: then others are at a new one.
            if not _is_still(lock, file.fileno()):
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
