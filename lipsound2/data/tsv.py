"""Tables with a header, one row a line, cells between tabs and in quotes where they need them (`csv.writer`)."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from lipsound2.data.texts import read_text, shown
from lipsound2.errors import LipsoundError

Rows = list[tuple[int, list[str]]]


def read_tsv(path: Path | str, advice: str) -> tuple[list[str], Rows]:
    """Names of the columns, and number and cells of every line below them; empty lines are passed over.

    Args:
        path: the table.
        advice: how to make it again.

    Raises:
        LipsoundError: no header, a column twice, or a row that is shorter or longer than the header.
        OSError: it cannot be read.
    """
    reader = csv.reader(io.StringIO(read_text(path, advice), newline=""), delimiter="\t")
    try:
        lines = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise LipsoundError(f"{path}:{reader.line_num}: no table with tabs ({error}); {advice}") from error
    if not lines:
        raise LipsoundError(f"{path}: expected a table with names of columns, found an empty file; {advice}")
    (_, header), *rows = lines
    if len(set(header)) < len(header):
        raise LipsoundError(f"{path}: a column stands there twice, found {shown(' '.join(header))}; {advice}")
    for number, cells in rows:
        if len(cells) != len(header):
            raise LipsoundError(
                f"{path}:{number}: expected {len(header)} cells between tabs, found {len(cells)}; {advice}"
            )
    return header, rows
