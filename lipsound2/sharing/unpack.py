"""A shared archive that nobody vouches for: plain files with plain names, and no more of them than fit."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from lipsound2.arguments import near_file
from lipsound2.errors import LipsoundError

MOST_PARTS, LONGEST_PART = 32, 255  # of a file's place: folders, bytes of each
_MOST_FILES, _MOST_BYTES, _SWELLS = 10_000, 20 << 30, 50
_SMALL = 1 << 26  # bytes that an archive may become in any case
_LARGEST_READ = 1 << 16  # bytes; tarfile reads a long name or a pax header whole, whatever size it claims


@contextlib.contextmanager
def opened(shared: Path) -> Iterator[Path]:
    """The folder of a shared experiment: of an archive, a temporary one.

    Raises:
        LipsoundError: it is not there, no such archive, or holds what may not be unpacked.
    """
    if shared.is_dir():
        yield shared
        return
    if not shared.is_file():
        raise LipsoundError(f"{shared}: no such file or folder{near_file(shared)}")
    with tempfile.TemporaryDirectory(prefix="lipsound2-") as folder:
        try:
            with gzip.open(shared, "rb") as packed:
                bounded = _Bounded(cast(IO[bytes], packed), shared)
                with tarfile.open(fileobj=cast(IO[bytes], bounded), mode="r:") as archive:
                    tops = _unpack(archive, shared, Path(folder))
                bounded.read_to_the_end()
        except (tarfile.TarError, OSError, EOFError, zlib.error, RecursionError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise LipsoundError(f"{shared}: no whole .tar.gz archive ({error}); get it again") from error
        if len(tops) != 1:
            raise LipsoundError(f"{shared}: expected one folder in it, found {len(tops)}; make it with lipsound2 share")
        yield Path(folder, *tops)


class _Bounded:
    """What a small file is decompressed to, as tarfile reads it: little at once, and not without end.

    Args:
        packed: the decompressed file.
        shared: the archive.
    """

    def __init__(self, packed: IO[bytes], shared: Path) -> None:
        self._packed, self._shared, self._most = packed, shared, _most(shared)

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _LARGEST_READ:
            raise LipsoundError(f"{self._shared}: a header in it is longer than any file's name; nothing was read")
        self._check(self._packed.tell() + size)
        return self._packed.read(size)

    def seek(self, place: int) -> int:
        self._check(place)
        return self._packed.seek(place)

    def tell(self) -> int:
        return self._packed.tell()

    def read_to_the_end(self) -> None:
        """Read what is behind the last member, whereby gzip's checksum is compared.

        Raises:
            LipsoundError: anything but zeros.
        """
        while rest := self.read(_LARGEST_READ):
            if rest.strip(b"\0"):
                raise LipsoundError(f"{self._shared}: something lies behind its last file; get it again")

    def _check(self, place: int) -> None:
        if place > self._most + _LARGEST_READ:
            raise _too_much(self._shared)


def _most(shared: Path) -> int:
    return min(_MOST_BYTES, _SWELLS * shared.stat().st_size + _SMALL)


def _too_much(shared: Path) -> LipsoundError:
    return LipsoundError(f"{shared}: would become more than any experiment is; nothing was read")


def _unpack(archive: tarfile.TarFile, shared: Path, folder: Path) -> set[str]:
    """Write the files of an archive below a folder; returns the first parts of their names."""
    left = _most(shared)
    tops = set()
    for number, member in enumerate(archive):
        path, shown = PurePosixPath(member.name), repr(member.name[:80])
        named = path.parts and not path.is_absolute() and ".." not in path.parts and "\\" not in member.name
        if not named or ":" in path.parts[0]:
            raise LipsoundError(f"{shared}: the member {shown} would leave its folder; nothing was read")
        if odd := odd_place(member.name):
            raise LipsoundError(f"{shared}: the member {shown}: {odd}; nothing was read")
        plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE) and not member.issparse()
        if not plain or member.size < 0 or archive.pax_headers:
            raise LipsoundError(f"{shared}: the member {shown} is no plain file; nothing was read")
        left -= member.size
        if left < 0 or number >= _MOST_FILES:
            raise _too_much(shared)
        _write(archive, member, folder / path)
        tops.add(path.parts[0])
    return tops


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    """Write a plain file, or make a folder; tarfile's own filter for archives of strangers is not in Python 3.11.2."""
    packed = archive.extractfile(member)
    (place if packed is None else place.parent).mkdir(parents=True, exist_ok=True)
    if packed is not None:
        with packed, place.open("wb") as written:
            shutil.copyfileobj(packed, written, _LARGEST_READ)


def odd_place(name: str) -> str:
    """Why a file's place in an archive is none; empty when it is one."""
    parts = PurePosixPath(name).parts
    if any(mark < " " or mark == "\x7f" for mark in name):
        return "it has a control character in it"
    if len(parts) > MOST_PARTS:
        return f"it has {len(parts)} folders, at most {MOST_PARTS} are taken"
    longest = max((len(part.encode("utf-8", "surrogatepass")) for part in parts), default=0)
    return f"a name of {longest} bytes, at most {LONGEST_PART} are taken" if longest > LONGEST_PART else ""
