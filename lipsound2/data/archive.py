"""Kaldi archives: many arrays in few files (`ark`), found through a text index (`scp`).

An index holds `id path:offset`. Our own paths are relative to the index' folder, so that a dump can be moved. Foreign
ones may be absolute, or relative to the working directory as in Kaldi. Nothing is ever executed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from lipsound2.data.entries import EntryError, decode, encode
from lipsound2.data.names import Names, Numbers, cut, runs, whole_numbers
from lipsound2.data.tables import Lines, is_pipe, is_word, plain_lines, read_bytes, read_numbers
from lipsound2.data.texts import shown, text_of
from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import LipsoundError, is_machine_error
from lipsound2.files import atomic_path, write_text

INDEX = "feats.scp"
_OPEN_FILES = 64
_ROW = re.compile(rb"^([^ \t\n]+)[ \t]+([^\n]*):(\d{1,18})[ \t\r]*$")
_OFFSET = re.compile(r":[-+]?\d+$")
_RANGE = re.compile(r":\d+\[[\d:,]*\]$")


class MissingEntry(LipsoundError, KeyError):  # noqa: N818 - named for what is missing, as KeyError is
    """An archive has no entry of this id."""

    __str__ = Exception.__str__  # KeyError's own shows the message in quotes


class ArchiveWriter:
    """Writes an ark and its scp. Both appear, whole, when the block ends without an exception; else neither.

    Args:
        ark_path: the archive to write.
        scp_path: its index, sorted by id, with paths relative to the index' folder. None writes no index: `values`
            has what would stand in it.

    Attributes:
        values: id -> `name:offset` of all that was written, `name` being the ark's path relative to the index
            (without one: to the ark's own folder).
    """

    def __init__(self, ark_path: Path | str, scp_path: Path | str | None = None) -> None:
        self.ark_path = Path(ark_path)
        self.scp_path = Path(scp_path) if scp_path is not None else None
        self.values: dict[str, str] = {}
        folder = self.ark_path.parent if self.scp_path is None else self.scp_path.parent
        self._name = os.path.relpath(self.ark_path, folder)
        self._stack = contextlib.ExitStack()
        self._file: IO[bytes] | None = None

    def __enter__(self) -> ArchiveWriter:
        temporary = self._stack.enter_context(atomic_path(self.ark_path))
        if self.scp_path is not None:
            self.scp_path.unlink(missing_ok=True)  # an index of the archive that is being replaced
        self._file = self._stack.enter_context(temporary.open("wb"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if kind is None and self.scp_path is not None:
            write_text(self.scp_path, "".join(f"{key} {self.values[key]}\n" for key in sorted(self.values)))

    def write(self, key: str, array: np.ndarray, compress: bool | str = False) -> None:
        """Append one entry.

        Args:
            key: its id, one word, new to this archive.
            array: float32/float64 with one or two axes: a Kaldi matrix or vector; anything else: an NPY entry.
            compress: for float matrices: True compresses as Kaldi does by default (1 byte a value), or a method
                named in `entries.COMPRESSIONS`.

        Raises:
            LipsoundError: the key stands in the archive already or is not one word; the array cannot be stored.
        """
        assert self._file is not None, "ArchiveWriter is used in a with statement"
        if key in self.values:
            raise LipsoundError(f"{self.ark_path}: '{key}' was written already")
        if not is_word(key):
            raise LipsoundError(f"{self.ark_path}: an id must be one word, found {key!r}")
        try:
            data = encode(np.asarray(array), compress)
        except EntryError as error:
            raise LipsoundError(f"{self.ark_path}: '{key}': {error}") from error
        self._file.write(f"{key} ".encode())
        self.values[key] = f"{self._name}:{self._file.tell()}"
        self._file.write(data)


class _File:
    """An open file that closes itself when nobody reads from it any more, whichever thread is the last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


def _located(name: str, folder: Path) -> Path:
    """Our paths are relative to the index; a foreign one may be relative to the working directory."""
    beside = folder / name
    return Path(name) if not beside.exists() and Path(name).exists() else beside


class _Index:
    """The rows of an scp in arrays: a million of them are some 40 MB, shared by forked processes.

    Attributes:
        names: ids, sorted.
        paths: the distinct ark paths, as they stand in the file.
        files: (N,) int32, row of `paths`.
        offsets: (N,) int64, bytes.
    """

    def __init__(self, path: Path) -> None:
        lines, colons, offsets = _places(path)
        numbers: dict[bytes, int] = {}
        arks = cut(lines.text, lines.blanks + 1, colons)
        bounds = runs(arks)
        files = [numbers.setdefault(ark, len(numbers)) for ark in arks[bounds[:-1]].tolist()]
        self.files = np.repeat(np.array(files, np.int32), np.diff(bounds))
        self.offsets = offsets
        try:
            self.paths = [name.decode("utf-8") for name in numbers]
        except UnicodeDecodeError as error:
            raise LipsoundError(f"{path}: not UTF-8 text ({error.reason})") from error
        for ark in self.paths:
            if is_pipe(ark):
                raise LipsoundError(f"{path}: '{ark}' is a command; only files are read, nothing is executed")
        self.names = Names(self._sorted(path, lines.keys()))

    def _sorted(self, path: Path, keys: np.ndarray) -> np.ndarray:
        if (keys[:-1] < keys[1:]).all():
            return keys
        order = np.argsort(keys, kind="stable")
        keys, self.files, self.offsets = keys[order], self.files[order], self.offsets[order]
        twice = np.flatnonzero(keys[:-1] == keys[1:])
        if twice.size:
            raise LipsoundError(f"{path}: the id '{keys[twice[0]].decode()}' stands there twice")
        return keys


def _places(path: Path) -> tuple[Lines, np.ndarray, np.ndarray]:
    """The rows of an index, where the ark's path ends in each, and the offsets (N,) int64."""
    lines = plain_lines(path)
    found = None if lines is None else _split(lines)
    if lines is None or found is None:
        lines = Lines.of(b"".join(b"%s %s:%s\n" % row for row in _row_by_row(path)))
        found = None if lines is None else _split(lines)
    if lines is None or found is None:
        raise LipsoundError(f"{path}: expected lines 'id path:offset'; make it again")
    return lines, *found


def _split(lines: Lines) -> tuple[np.ndarray, np.ndarray] | None:
    """Where the ark's path ends in each row, and the offsets; None when a row has no path or no offset."""
    colons = np.concatenate([[-1], np.flatnonzero(lines.text == ord(":"))])
    colons = colons[np.searchsorted(colons, lines.ends) - 1]
    if not ((lines.blanks + 1 < colons) & (colons + 1 < lines.ends)).all():
        return None
    offsets = whole_numbers(cut(lines.text, colons + 1, lines.ends))
    return None if (offsets < 0).any() else (colons, offsets)


def _row_by_row(path: Path) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Id, ark path and offset of every line of an unusual index."""
    for number, line in enumerate(read_bytes(path).removesuffix(b"\n").split(b"\n"), 1):
        found = _ROW.match(line)
        text_of(line, path, "make it again", number)
        key, name, offset = found.groups() if found and found[2].strip() else _unusual(path, number, line)
        if not is_word(key.decode()):
            raise LipsoundError(f"{path}:{number}: an id must be one word, found {key!r}")
        yield key, name.strip(), offset


def _unusual(path: Path, number: int, line: bytes) -> tuple[bytes, bytes, bytes]:
    """A row without an offset: a file that holds this one matrix, or it is refused."""
    key, _, name = line.replace(b"\t", b" ", 1).partition(b" ")
    text = name.strip().decode("utf-8", "replace")
    where = f"{path}:{number}: '{key.decode('utf-8', 'replace')}'"
    if not key or not text:
        raise LipsoundError(f"{where}: expected 'id path:offset', found {line[:80]!r}")
    if is_pipe(text):
        raise LipsoundError(f"{where} is a command ('{text}'); only files are read, nothing is executed")
    if _RANGE.search(text):
        raise LipsoundError(f"{where}: ranges of rows ('{text}') are not read; copy the matrices whole")
    if _OFFSET.search(text):
        raise LipsoundError(f"{where}: expected an offset of up to 18 digits, found {shown(text)}")
    return key, name.strip(), b"0"


class Archive(Mapping[str, np.ndarray]):
    """The arrays of an index, read one by one when asked for.

    May be pickled, forked and used by several threads at once: reads carry their own position. Files are opened when
    first needed, in each process.

    Args:
        path: an archive folder (`DUMP/<kind>`, holding feats.scp), or an scp file.

    Raises:
        LipsoundError: there is no index; it holds a command, an id twice, or no offsets.
    """

    def __init__(self, path: Path | str) -> None:
        path = Path(path)
        if not path.exists():
            others = sorted(each.parent.name for each in path.parent.glob(f"*/{INDEX}"))
            mel = path.name.removeprefix("mel-") if path.name.startswith("mel-") else ""
            how = f"; this one by lipsound2 mel --mel {mel}" if mel else ""
            raise LipsoundError(
                f"{path}: No such file or folder; stage 1 makes crops, stage 2 audio, mels and targets{how}"
                + (f"; there are: {', '.join(others)}" if others else "")
            )
        if path.is_dir() and not (path / INDEX).exists():
            raise LipsoundError(f"{path} has no {INDEX}: the stage that makes it has not ended; run it again")
        self.path = path / INDEX if path.is_dir() else path
        self._index = _Index(self.path)
        self._open = self._opener()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key in ("path", "_index")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open = self._opener()

    @property
    def ids(self) -> Names:
        """All ids, sorted by bytes."""
        return self._index.names

    @functools.cached_property
    def meta(self) -> dict[str, Any]:
        """What the folder's kind.yaml says; empty when there is none."""
        path = self.path.parent / "kind.yaml"
        return read_yaml(path) if path.exists() else {}

    def num_frames(self) -> Numbers:
        """The folder's utt2num_frames: id -> length, in the units of this kind."""
        return read_numbers(self.path.parent / "utt2num_frames")

    def __getitem__(self, key: str) -> np.ndarray:
        """The array of an id, a fresh and writable one.

        Raises:
            MissingEntry: a KeyError and a LipsoundError; no such id.
            LipsoundError: the ark is missing, truncated or damaged at this place.
            OSError: an error of the machine, such as too many open files.
        """
        row = self._index.names.find(key)
        if row < 0:
            raise MissingEntry(f"{self.path}: no entry '{key}' among {len(self)}")
        name, offset = self._index.paths[self._index.files[row]], int(self._index.offsets[row])
        return _read(lambda: self._open(name), offset, key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._index.names.find(key) >= 0

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self._index.names)

    def _opener(self) -> Callable[[str], _File]:
        folder = self.path.parent
        return functools.lru_cache(maxsize=_OPEN_FILES)(lambda name: _File(_located(name, folder)))


def _read(opened: Callable[[], _File], offset: int, key: str) -> np.ndarray:
    advice = "delete its folder and run what made it again, or fetch it again"
    path: Path | str = "?"
    try:
        file = opened()
        path = file.path
        return decode(file.descriptor, offset)
    except OSError as error:
        error.filename = error.filename or str(path)
        if is_machine_error(error):  # too many open files, say: the archive is as it was
            raise
        raise LipsoundError(
            f"{error.filename}: cannot read entry '{key}' at byte {offset}: {error.strerror}; {advice}"
        ) from error
    except EntryError as error:
        raise LipsoundError(f"{path}: entry '{key}' at byte {offset}: {error}; {advice}") from error
