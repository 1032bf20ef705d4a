"""Single rows of a sorted table, found where it lies: what a worker process needs of a table of a million."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

from lipsound2.data.tables import key_and_value
from lipsound2.data.texts import BOM, text_of


@dataclass(frozen=True)
class Lookup:
    """A table on disk whose rows are sorted by the bytes of their keys. Picklable; nothing of it is kept in memory.

    Attributes:
        path: the table; when there is no such file, it has no rows.
    """

    path: Path

    def get(self, key: str) -> str | None:
        """The value of `key`, None when it has none.

        Raises:
            LipsoundError: a row on the way is not UTF-8.
            OSError: the file cannot be read.
        """
        wanted = key.encode()
        try:
            with self.path.open("rb") as file:
                if not self.path.stat().st_size:
                    return None
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
                    return _search(text, wanted, self.path)
        except FileNotFoundError:
            return None


def _search(text: mmap.mmap, wanted: bytes, path: Path) -> str | None:
    """Halve the text, row by row, until the row of the key is found."""
    low, high = len(BOM) if text[: len(BOM)] == BOM else 0, len(text)
    while low < high:
        middle = (low + high) // 2
        start = max(low, text.rfind(b"\n", low, middle) + 1)
        end = text.find(b"\n", middle, high)
        end = high if end < 0 else end
        key, value = key_and_value(text_of(text[start:end], path))
        if key.encode() == wanted:
            return value
        if key.encode() < wanted:
            low = end + 1
        else:
            high = start
    return None
