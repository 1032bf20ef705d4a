"""A table of a Markdown file that rows are put into, and replaced in, between two markers.

All around the markers is the reader's own text and is never touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lipsound2.data.texts import read_text
from lipsound2.errors import LipsoundError
from lipsound2.files import turn, write_text


@dataclass(frozen=True)
class MarkedTable:
    """One kind of table.

    Attributes:
        begin: the line before it.
        end: the line after it.
        columns: titles of all columns there may be, in their order; the first `keys` of them name a row.
        keys: how many.
        heading: put above the table where a file gets one for the first time; empty: none.
        notes: sentences below the table, within the markers, each for a column that is in use.
        renamed: what a column was called in older files -> what it is called now.
    """

    begin: str
    end: str
    columns: Sequence[str]
    keys: int
    heading: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)

    def put(self, path: Path, rows: Iterable[Mapping[str, str]], title: str) -> None:
        """Put rows into the table of a file, each in the place of the one with the same keys.

        Columns that no row has are left out; a column that the file has and `columns` has not is kept, as the last.

        Args:
            path: the file; made with a heading when it is absent; the table is added at its end when it has none.
            rows: what to put there: title of a column -> cell.
            title: heading of a new file.

        Raises:
            LipsoundError: the file has only one of the two markers.
        """
        with turn(path):  # several experiments may be reported at once
            self._put(path, rows, title)

    def _put(self, path: Path, rows: Iterable[Mapping[str, str]], title: str) -> None:
        text = read_text(path) if path.exists() else f"# {title}\n"
        whole = (self.begin in text) == (self.end in text) and text.count(self.begin) <= 1
        if not whole or text.find(self.begin) > text.find(self.end):
            raise LipsoundError(
                f"{path}: the table's markers are damaged; expected one line '{self.begin}' and after it one line "
                f"'{self.end}'"
            )
        if self.begin not in text:
            heading = f"{self.heading}\n\n" if self.heading else ""
            text = f"{text.rstrip()}\n\n{heading}{self.begin}\n{self.end}\n"
        before, _, rest = text.partition(self.begin)
        block, _, after = rest.partition(self.end)
        found = [{self.renamed.get(name, name): cell for name, cell in row.items()} for row in _rows(block)]
        kept = {self._key(row): row for row in found}
        for row in rows:
            clean = {name: _clean(cell) for name, cell in row.items()}
            kept[self._key(clean)] = clean
        used = {name for row in kept.values() for name in row}
        columns = [name for name in self.columns if name in used or not used]
        columns += [
            name for name in dict.fromkeys(name for row in kept.values() for name in row) if name not in columns
        ]
        lines = [_line(columns), _line(["---"] * len(columns))]
        lines += [_line([row.get(name, "-") for name in columns]) for row in kept.values()]
        notes = " ".join(note for name, note in self.notes.items() if name in columns)
        below = f"\n\n{notes}" if notes else ""
        write_text(path, f"{before}{self.begin}\n\n" + "\n".join(lines) + f"{below}\n\n{self.end}{after}")

    def _key(self, row: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(row.get(name, "") for name in self.columns[: self.keys])


def _rows(block: str) -> list[dict[str, str]]:
    """The rows of the Markdown table in a text, by its own heading."""
    table = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in block.splitlines()
        if line.startswith("|")
    ]
    return [dict(zip(table[0], cells, strict=False)) for cells in table[2:]]  # the second line is the rule


def _clean(cell: str) -> str:
    return " ".join(cell.replace("|", "/").split())


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
