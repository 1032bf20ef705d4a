"""Kaldi's text tables: UTF-8, one `key value` a line, keys unique and sorted by bytes.

A table is kept as the bytes of its file, and the places of its keys and values in them. A million rows are read in a
third of a second and never become Python objects. Files with another layout (tabs, blanks at the end of a line, ...)
are read row by row, and an error names the row.
"""

from __future__ import annotations

import itertools
from collections.abc import ItemsView, Iterator, Mapping
from pathlib import Path

import numpy as np

from lipsound2.data.names import Names, Numbers, cut, runs, whole_numbers
from lipsound2.data.numerals import seconds
from lipsound2.data.texts import BOM, is_writable, text_of
from lipsound2.errors import LipsoundError
from lipsound2.files import write_bytes

MEDIA = ("video.scp", "wav.scp")
TABLES = (*MEDIA, "text", "utt2spk", "utt2num_frames", "utt2lang", "segments", "word_times")  # of a data dir, by id
PARTIAL = frozenset({"text", "word_times"})  # those that need not know every clip
BLANKS = " \t\r"
_BREAKS = (" ", "\t", "\n", "\r", "\v", "\f", "\0")
_ODD = (b"\t", b"\r", b"\v", b"\f", b"\0")  # other blanks than the one that ends a key, and what numpy pads with
_LINE, _BLANK, _PIPE = b"\n "[0], b"\n "[1], b"|"[0]


class Lines:
    """The rows of a text, each a key, a blank and a value, as places in its bytes.

    Attributes:
        content: the text.
        starts: (N,) int64, where each row begins.
        blanks: (N,) where its key ends.
        ends: (N,) where its value ends.
    """

    def __init__(self, content: bytes, starts: np.ndarray, blanks: np.ndarray, ends: np.ndarray) -> None:
        self.content, self.starts, self.blanks, self.ends = content, starts, blanks, ends

    @classmethod
    def of(cls, content: bytes) -> Lines | None:
        """The rows; None when one of them has no key or no value, or more blanks around them than it needs."""
        text = np.frombuffer(content, np.uint8)
        ends = np.flatnonzero(text == _LINE)
        if len(text) and text[-1] != _LINE:
            return cls.of(content + b"\n")
        starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
        spaces = np.append(np.flatnonzero(text == _BLANK), len(text))
        blanks = spaces[np.searchsorted(spaces, starts)]
        if not ((starts < blanks) & (blanks + 1 < ends)).all():
            return None
        if (text[blanks + 1] == _BLANK).any() or (text[ends - 1] == _BLANK).any():
            return None
        return cls(content, starts, blanks, ends)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def text(self) -> np.ndarray:
        """The bytes as an array."""
        return np.frombuffer(self.content, np.uint8)

    def keys(self) -> np.ndarray:
        """(N,) of numpy type `S`."""
        return cut(self.text, self.starts, self.blanks)

    def values(self) -> np.ndarray:
        """(N,) of numpy type `S`, as wide as the longest."""
        return cut(self.text, self.blanks + 1, self.ends)

    def piped(self) -> bool:
        """Whether a value begins or ends with `|`."""
        if b"|" not in self.content:
            return False
        return bool(((self.text[self.blanks + 1] == _PIPE) | (self.text[self.ends - 1] == _PIPE)).any())

    def take(self, places: np.ndarray) -> Lines:
        """Some of the rows, in any order."""
        return Lines(self.content, self.starts[places], self.blanks[places], self.ends[places])

    def value(self, place: int) -> str:
        """One value."""
        return self.content[self.blanks[place] + 1 : self.ends[place]].decode("utf-8")


class Table(Mapping[str, str]):
    """Key -> value, sorted by the keys' bytes.

    Args:
        lines: the rows, sorted, each key once.
        keys: theirs, where they are known already.
    """

    def __init__(self, lines: Lines, keys: np.ndarray | None = None) -> None:
        self.lines = lines
        self.names = Names(lines.keys() if keys is None else keys)

    def __getitem__(self, key: str) -> str:
        place = self.names.find(key)
        if place < 0:
            raise KeyError(key)
        return self.lines.value(place)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, key: object) -> bool:
        return key in self.names

    def items(self) -> ItemsView[str, str]:
        """Keys and values, one after the other without looking any up."""
        return _Items(self)

    def take(self, names: Names) -> Table:
        """The rows of those of `names` that have one."""
        places = self.names.places(names)
        return self.at(places[places >= 0])

    def at(self, places: np.ndarray) -> Table:
        """The rows at some places, which rise."""
        return Table(self.lines.take(places), self.names.keys[places])

    def content(self) -> bytes:
        """The table as a file."""
        starts, ends = self.lines.starts, self.lines.ends + 1
        if not len(starts):
            return b""
        # Rows that follow each other in the text are taken in one piece.
        breaks = np.flatnonzero(starts[1:] != ends[:-1])
        pieces = zip(starts[np.append(0, breaks + 1)].tolist(), ends[np.append(breaks, -1)].tolist(), strict=True)
        return b"".join(itertools.starmap(lambda start, end: self.lines.content[start:end], pieces))

    def runs(self) -> list[tuple[int, int, str]]:
        """Neighboring rows of the same value: the first, the one after the last, the value."""
        bounds = itertools.pairwise(runs(self.lines.values()).tolist())
        return [(start, end, self.lines.value(start)) for start, end in bounds]

    def classes(self) -> np.ndarray:
        """A number (N,) int32 for each row, the same for rows of the same value, counted in the order they appear."""
        numbers: dict[str, int] = {}
        found = self.runs()
        of_run = np.array([numbers.setdefault(value, len(numbers)) for _, _, value in found], np.int32)
        return np.repeat(of_run, [end - start for start, end, _ in found])


class _Items(ItemsView[str, str]):
    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self._table = table

    def __iter__(self) -> Iterator[tuple[str, str]]:
        lines = self._table.lines
        spans = zip((lines.blanks + 1).tolist(), lines.ends.tolist(), strict=True)
        return zip(self._table.names, (lines.content[start:end].decode() for start, end in spans), strict=True)


def rows(path: Path, *, strict: bool = True) -> Iterator[tuple[int, str, str]]:
    """Line number, key and value of each line, in the file's order. The value is all after the first blank.

    Args:
        path: the table.
        strict: refuse bytes that are not UTF-8; else they come as lone surrogates, see `is_text`.

    Raises:
        LipsoundError: when strict, not UTF-8.
        OSError: it cannot be read.
    """
    # Only the line feed ends a line: str.splitlines would also cut at marks that may stand in a path.
    lines = read_bytes(path).split(b"\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        if strict:
            text = text_of(line, path, f"repair it with: lipsound2 fix {path.parent}", number)
        else:
            text = line.decode("utf-8", "surrogateescape")
        yield number, *key_and_value(text)


def key_and_value(line: str) -> tuple[str, str]:
    """What stands before the first blank of a line, and what after it."""
    text = line.strip(BLANKS)
    key = text.split(" ", 1)[0].split("\t", 1)[0]
    return key, text[len(key) :].strip(BLANKS)


def read_bytes(path: Path) -> bytes:
    """A file's content without a byte-order mark, which spreadsheets and editors of Windows put before it.

    Raises:
        LipsoundError: no such file.
        OSError: it cannot be read.
    """
    try:
        return path.read_bytes().removeprefix(BOM)
    except FileNotFoundError as error:
        raise LipsoundError(f"{path}: {error.strerror}") from error


def is_text(text: str) -> bool:
    """Whether a key or value that was not read strictly is proper UTF-8, without zero bytes."""
    return is_writable(text)


def is_word(key: str) -> bool:
    """Whether a key can stand in a table: one word, of any script."""
    return bool(key) and not any(mark in key for mark in _BREAKS)


def is_pipe(value: str) -> bool:
    """Whether Kaldi would run the value as a command."""
    return value.startswith("|") or value.endswith("|")


def plain_lines(path: Path) -> Lines | None:
    """The rows of a file, in its order, if all of them are laid out as `write_table` does; commands are not.

    Raises:
        OSError: it cannot be read.
    """
    content = read_bytes(path)
    if any(mark in content for mark in _ODD) or not _is_utf8(content):
        return None
    lines = Lines.of(content)
    return None if lines is None or (path.suffix == ".scp" and lines.piped()) else lines


def _is_utf8(content: bytes) -> bool:
    try:
        return content.isascii() or bool(content.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def read_table(path: Path | str) -> Table:
    """Read a table, strictly.

    Returns:
        Key -> value, in the file's order, which is the order of the keys' bytes.

    Raises:
        LipsoundError: not UTF-8, a line without a value, a key twice or out of order, a `|` in an scp.
    """
    path = Path(path)
    lines = plain_lines(path)
    if lines is not None:
        keys = lines.keys()
        if (keys[:-1] < keys[1:]).all():
            return Table(lines, keys)
    return as_table(path, _row_by_row(path))


def _row_by_row(path: Path) -> dict[str, str]:
    """Read a table that is unusual, or wrong."""
    table: dict[str, str] = {}
    repair = f"repair it with: lipsound2 fix {path.parent}"
    last = ""
    for number, key, value in rows(path):
        where = f"{path}:{number}"
        if not value:
            raise LipsoundError(f"{where}: expected 'key value', found '{key}'; {repair}")
        # Strings compare by code point, which is the order of their UTF-8 bytes.
        if key <= last:
            wrong = "twice" if key in table else f"after '{last}'; lines must be sorted by bytes (LC_ALL=C)"
            raise LipsoundError(f"{where}: the key '{key}' stands {wrong}; {repair}")
        if path.suffix == ".scp" and is_pipe(value):
            raise LipsoundError(f"{where}: '{key}' is a command ('{value}'); only files are read, nothing is executed")
        table[key] = value
        last = key
    return table


def read_numbers(path: Path | str) -> Numbers:
    """Read a table of whole numbers, strictly.

    Raises:
        LipsoundError: as `read_table`; a value that is no whole number.
    """
    table = read_table(path)
    values = whole_numbers(table.lines.values())
    if (values < 0).any():
        place = int(values.argmin())
        found = f"'{table.lines.value(place)}' of '{table.names[place]}'"
        raise LipsoundError(f"{path}: expected whole numbers, found {found}")
    return Numbers(table.names, values)


def as_table(path: Path, mapping: Mapping[str, str]) -> Table:
    """What would stand in a file.

    Args:
        path: the file, for its suffix and for messages.
        mapping: key -> value.

    Raises:
        LipsoundError: a key with a blank in it, an empty value, a value of several lines, a `|` in an scp.
    """
    if isinstance(mapping, Table):
        if path.suffix == ".scp" and mapping.lines.piped():
            _refuse(path, mapping)
        return mapping
    content = "".join([f"{key} {mapping[key]}\n" for key in sorted(mapping)]).encode()
    lines = Lines.of(content)
    # A key with a blank is read back as a shorter one, a value with a line feed as two rows.
    if (
        lines is None
        or len(lines) != len(mapping)
        or (lines.blanks - lines.starts).sum() != len("".join(mapping).encode())
        or any(mark in content for mark in _ODD)
        or (path.suffix == ".scp" and lines.piped())
    ):
        _refuse(path, mapping)
    assert lines is not None
    return Table(lines)


def _refuse(path: Path, mapping: Mapping[str, str]) -> None:
    """Say which row cannot be written; odd blanks inside a value can."""
    for key, value in mapping.items():
        if not is_word(key):
            raise LipsoundError(f"{path}: a key must be one word, found {key!r}")
        if not value or value != value.strip(BLANKS) or "\n" in value:
            raise LipsoundError(
                f"{path}: the value of '{key}' must be one line without blanks around it, found {value!r}"
            )
        if path.suffix == ".scp" and is_pipe(value):
            raise LipsoundError(
                f"{path}: the value of '{key}' is a command ('{value}'); only files may stand in an scp"
            )


def write_table(path: Path | str, mapping: Mapping[str, str]) -> None:
    """Write a table sorted by bytes, whole or not at all.

    Raises:
        LipsoundError: a key with a blank in it, an empty value, a value of several lines, a `|` in an scp.
    """
    path = Path(path)
    write_bytes(path, as_table(path, mapping).content())


def parse_words(times: str) -> list[tuple[float, float, str]]:
    """Start and end in seconds, and the word, of a value of `word_times`: "0.69 0.9 bin 0.9 1.08 blue".

    Raises:
        ValueError: it is not of this form.
    """
    fields = times.split()
    if len(fields) % 3:
        raise ValueError(f"expected 'start end word ...', found {len(fields)} fields")
    rows = [(seconds(start), seconds(end), word) for start, end, word in zip(*[iter(fields)] * 3, strict=True)]
    if any(not start <= end for start, end, _ in rows):
        raise ValueError("a word ends before it starts")
    return rows


def spk2utt(utt2spk: Table) -> dict[str, str]:
    """Speaker -> its ids, sorted, with blanks between: the inverse of utt2spk."""
    clips: dict[str, list[bytes]] = {}
    for start, end, speaker in utt2spk.runs():
        clips.setdefault(speaker, []).extend(utt2spk.names.keys[start:end].tolist())
    return {speaker: b" ".join(ids).decode() for speaker, ids in clips.items()}
