"""A shared archive that nobody vouches for: plain files with plain names, and no more of them than fit."""

from __future__ import annotations

import contextlib
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from lipsound2.arguments import near_file
from lipsound2.errors import LipsoundError

_MOST_FILES, _MOST_BYTES, _SWELLS = 10_000, 20 << 30, 50
_SMALL = 1 << 26  # bytes that an archive may become in any case


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
            with tarfile.open(shared, "r:gz") as archive:
                tops = _unpack(archive, shared, Path(folder))
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise LipsoundError(f"{shared}: no whole .tar.gz archive ({error}); get it again") from error
        if len(tops) != 1:
            raise LipsoundError(f"{shared}: expected one folder in it, found {len(tops)}; make it with lipsound2 share")
        yield Path(folder, *tops)


def _unpack(archive: tarfile.TarFile, shared: Path, folder: Path) -> set[str]:
    """Write the files of an archive below a folder; returns the first parts of their names."""
    left = min(_MOST_BYTES, _SWELLS * shared.stat().st_size + _SMALL)
    tops = set()
    for number, member in enumerate(archive):
        path = PurePosixPath(member.name)
        named = path.parts and not path.is_absolute() and ".." not in path.parts and "\\" not in member.name
        if not named or ":" in path.parts[0]:
            raise LipsoundError(f"{shared}: the member '{member.name[:80]}' would leave its folder; nothing was read")
        if not member.isfile() and not member.isdir():
            raise LipsoundError(f"{shared}: the member '{member.name[:80]}' is no plain file; nothing was read")
        left -= member.size
        if left < 0 or number >= _MOST_FILES:
            raise LipsoundError(f"{shared}: would become more than any experiment is; nothing was read")
        archive.extract(member, folder, set_attrs=False, filter="data")
        tops.add(path.parts[0])
    return tops
