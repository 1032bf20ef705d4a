"""Unpacking of archives nobody vouches for: members stay in their folder, which appears whole or not at all."""

from __future__ import annotations

import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from lipsound2.errors import LipsoundError
from lipsound2.files import sweep, temporary_of
from lipsound2.progress import progress

_SWELLS, _SMALL = 100, 1 << 26  # what is unpacked is at most so many times as large, and 64 MB
# What zipfile raises on damaged archives, and on those with a password or packed by what Python cannot read.
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error),
    *(NotImplementedError, RuntimeError, ValueError, OverflowError, KeyError, IndexError),
)
_JUNK = ("__MACOSX", ".DS_Store")


def unpack_zip(archive: Path, folder: Path) -> Path:
    """Unpack `NAME.zip` to `folder/NAME`; a single top folder called NAME inside the archive is not doubled.

    Members with absolute names, with `..` or that are links are refused. Everything is checked (CRC) and written to
    a temporary folder beside the target first, which is renamed at the end: what exists is whole, and is kept.

    Returns:
        The folder.

    Raises:
        LipsoundError: not a zip file, damaged, a member would leave the folder, or no room on the disk.
    """
    target = folder / archive.stem
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    temporary = temporary_of(target)
    try:
        with zipfile.ZipFile(archive) as file:
            members = [m for m in file.infolist() if not any(part in _JUNK for part in PurePosixPath(m.filename).parts)]
            for member in members:
                _check(archive, member)
            size = sum(member.file_size for member in members)
            if size > _SWELLS * archive.stat().st_size + _SMALL:
                have = f"{archive}: its {archive.stat().st_size:,} bytes"
                raise LipsoundError(f"{have} would become {size:,}, more than any corpus does; nothing was unpacked")
            free = shutil.disk_usage(folder).free
            if size > free:
                raise LipsoundError(
                    f"{archive.name} needs {size / 1e9:.1f} GB in {folder}, only {free / 1e9:.1f} GB are free"
                )
            temporary.mkdir()
            for member in progress(members, desc=f"unpack {archive.name}", unit="file", leave=False):
                file.extract(member, temporary)
        inner = temporary / archive.stem
        alone = [path.name for path in temporary.iterdir()] == [archive.stem] and inner.is_dir()
        (inner if alone else temporary).rename(target)
    except _DAMAGED as error:
        raise LipsoundError(f"{archive}: not a whole zip file ({error}); fetch it again") from error
    except OSError as error:
        raise LipsoundError(f"cannot unpack {archive} to {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _check(archive: Path, member: zipfile.ZipInfo) -> None:
    """Refuse a member that would not stay below the folder it is unpacked to."""
    name = member.filename.replace("\\", "/")
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise LipsoundError(f"{archive}: the member '{member.filename}' would leave its folder; nothing was unpacked")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise LipsoundError(f"{archive}: the member '{member.filename}' is a link; nothing was unpacked")
