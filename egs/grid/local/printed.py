"""Tables between markers in a Markdown file: where they are, and what differs from what they should be."""

from __future__ import annotations

from pathlib import Path

from lipsound2.data.texts import read_text
from lipsound2.errors import LipsoundError
from lipsound2.files import write_text


def markers(name: str) -> tuple[str, str]:
    """The lines around a printed table: `shipped/speech`."""
    return f"<!-- results {name} -->", f"<!-- end of results {name} -->"


def between(path: Path, name: str) -> tuple[str, str, str]:
    """The text before a printed table, the table, and the text after it.

    Raises:
        LipsoundError: the file has not both markers, once each.
    """
    begin, end = markers(name)
    if not path.is_file():
        raise LipsoundError(f"{path}: found no such file, wanted the one that '{begin}' stands in")
    text = read_text(path)
    if text.count(begin) != 1 or text.count(end) != 1 or text.find(begin) > text.find(end):
        raise LipsoundError(f"{path}: expected one line '{begin}' and after it one line '{end}'")
    before, _, rest = text.partition(begin)
    inside, _, after = rest.partition(end)
    return before, inside.strip("\n"), after


def put(path: Path, name: str, text: str) -> None:
    """Put a table in the place of the one between its markers."""
    before, _, after = between(path, name)
    begin, end = markers(name)
    write_text(path, f"{before}{begin}\n{text}\n{end}{after}")


def differences(found: str, wanted: str) -> list[tuple[int, str]]:
    """What differs between two tables: number of the line, and cell by cell what is found and wanted."""
    told = []
    ours, theirs = wanted.splitlines(), found.splitlines()
    if len(ours) != len(theirs):
        return [(0, f"found {len(theirs)} lines, wanted {len(ours)}")]
    heads = _cells(ours[0])
    for number, (line, other) in enumerate(zip(ours, theirs, strict=True)):
        cells, others = _cells(line), _cells(other)
        if len(cells) == len(others) == len(heads):
            told += [
                (number, f"{cells[0] or 'heading'}, {head or 'row'}: found '{printed}', wanted '{cell}'")
                for head, cell, printed in zip(heads, cells, others, strict=True)
                if cell != printed
            ]
        elif line != other:
            told.append((number, f"found '{other}', wanted '{line}'"))
    return told


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
