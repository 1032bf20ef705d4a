"""Many ids, and numbers and places of theirs, in arrays instead of Python objects.

A million ids are 25 MB this way, and forked processes share them for good. Looking at a Python object would write its
reference count, which copies the page it lies on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from typing import overload

import numpy as np

_CHUNK = 1 << 16  # ids decoded at a time
_LONGEST_NUMBER = 18  # digits that surely fit int64
_LONGEST_NAME = 200  # bytes; file systems take 255, and a file has a suffix and a temporary name too


TRAINING = ("train*", "pretrain*")  # names of training sets in recipes


def is_training(name: str) -> bool:
    """Whether a set of this name is there to train on."""
    return any(fnmatch(name, pattern) for pattern in TRAINING)


def no_file_name(name: str) -> str:
    """Why an id, or the name of a speaker, a set or a kind, cannot be part of a file's name; empty when it can.

    Such names come out of data and become files (`<id>.wav`) and folders: `../x` must not reach out of its folder.
    """
    if not name:
        return "it is empty"
    if "/" in name:
        return "it has a '/' in it"
    if name != name.strip():
        return "it has a blank at an end"
    if name.startswith("."):
        return "it begins with a dot"
    if any(mark < " " or mark == "\x7f" for mark in name):
        return "it has a control character in it"
    length = len(name.encode("utf-8", "surrogateescape"))
    return f"it has {length} bytes, at most {_LONGEST_NAME} are taken" if length > _LONGEST_NAME else ""


class Names(Sequence[str]):
    """Ids sorted by bytes, each once.

    Args:
        keys: (N,) of numpy type `S`: UTF-8, padded with zeros to the longest.
    """

    def __init__(self, keys: np.ndarray) -> None:
        self.keys = keys

    @classmethod
    def of(cls, names: Iterable[str]) -> Names:
        """Any ids, sorted; duplicates are dropped."""
        encoded = [name.encode("utf-8", "surrogateescape") for name in names]
        keys = np.array(encoded, dtype=np.bytes_) if encoded else np.empty(0, "S1")
        return cls(keys if (keys[:-1] < keys[1:]).all() else np.unique(keys))

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Names: ...
    def __getitem__(self, place: int | slice) -> str | Names:
        if isinstance(place, slice):
            return Names(self.keys[place])
        return str(self.keys[place].decode("utf-8", "surrogateescape"))

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self.keys), _CHUNK):
            for key in self.keys[start : start + _CHUNK].tolist():
                yield key.decode("utf-8", "surrogateescape")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.find(name) >= 0

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Names):
            return np.array_equal(self.keys, other.keys)
        return list(self) == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))

    def find(self, name: str) -> int:
        """Place of `name`, -1 when it is not there."""
        wanted = name.encode("utf-8", "surrogateescape")
        if len(wanted) > self.keys.itemsize:
            return -1  # and numpy would widen all the keys to compare
        place = int(self.keys.searchsorted(np.array(wanted, self.keys.dtype)))
        return place if place < len(self.keys) and self.keys[place] == wanted else -1

    def odd(self) -> list[tuple[str, str]]:
        """Those that cannot be part of a file's name, each with the reason of `no_file_name`."""
        if not len(self):
            return []
        marks = np.ascontiguousarray(self.keys).view(np.uint8).reshape(len(self), self.keys.itemsize)
        found = (marks == ord("/")) | ((marks < ord(" ")) & (marks > 0)) | (marks == 0x7F)
        found[:, 0] |= (marks[:, 0] == ord(".")) | (marks[:, 0] == 0)
        if self.keys.itemsize > _LONGEST_NAME:
            found[:, 0] |= marks[:, _LONGEST_NAME] > 0
        return [(name, no_file_name(name)) for name in Names(self.keys[found.any(1)])]

    def places(self, names: Names) -> np.ndarray:
        """Where each of `names` is among these: (len(names),) int64, -1 where it is not."""
        if self == names or not len(self):
            return np.arange(len(names)) if len(self) else np.full(len(names), -1)
        places = np.minimum(self.keys.searchsorted(names.keys), len(self) - 1)
        return np.where(self.keys[places] == names.keys, places, -1)

    def spread(self, most: int) -> Names:
        """At most so many of the ids, evenly spread."""
        return self if len(self) <= most else Names(self.keys[np.linspace(0, len(self) - 1, most).round().astype(int)])


class Numbers(Mapping[str, int]):
    """A whole number for each of some ids.

    Args:
        names: the ids.
        values: (N,) int64.
    """

    def __init__(self, names: Names, values: np.ndarray) -> None:
        self.names, self.array = names, values

    def __getitem__(self, name: str) -> int:
        place = self.names.find(name)
        if place < 0:
            raise KeyError(name)
        return int(self.array[place])

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def of(self, names: Names) -> np.ndarray:
        """The numbers (len(names),) int64 of several ids.

        Raises:
            KeyError: one of them has none.
        """
        places = self.names.places(names)
        if (places < 0).any():
            raise KeyError(names[int(places.argmin())])
        return self.array[places]


def cut(text: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Pieces of a text as one array of strings.

    Args:
        text: uint8.
        starts: (N,) places in it.
        ends: (N,) places behind each piece, none of which is empty.

    Returns:
        (N,) of numpy type `S`, as wide as the longest piece.
    """
    if not len(starts):
        return np.empty(0, "S1")
    lengths = ends - starts
    width = int(lengths.max())
    last = len(text) - width  # where a window still fits
    pieces = np.lib.stride_tricks.sliding_window_view(text, width)[np.minimum(starts, last)]
    for row in np.flatnonzero(starts > last):
        pieces[row, : lengths[row]] = text[starts[row] : ends[row]]
    if (lengths < width).any():
        pieces *= np.arange(width) < lengths[:, None]
    return pieces.view(f"S{width}")[:, 0]


def runs(column: np.ndarray) -> np.ndarray:
    """Where each run of neighboring, equal strings of (N,) begins, and N: int64."""
    if not len(column):
        return np.zeros(1, np.int64)
    return np.concatenate([[0], np.flatnonzero(column[1:] != column[:-1]) + 1, [len(column)]])


def whole_numbers(column: np.ndarray) -> np.ndarray:
    """Digits as numbers.

    Args:
        column: (N,) of numpy type `S`.

    Returns:
        (N,) int64, -1 where there is anything but digits.
    """
    digits = column.view(np.uint8).reshape(len(column), column.itemsize).T
    numbers = np.zeros(len(column), np.int64)
    good = (digits[_LONGEST_NUMBER:] == 0).all(0)
    for digit in digits[:_LONGEST_NUMBER]:
        is_digit = (digit >= ord("0")) & (digit <= ord("9"))
        good &= is_digit | (digit == 0)
        numbers = np.where(is_digit, numbers * 10 + digit - ord("0"), numbers)
    return np.where(good, numbers, -1)
