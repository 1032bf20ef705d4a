"""Your own split lists: a folder of TSV files, `id<TAB>file<TAB>transcript`, one file a set.

A file with two columns of ids, `test_mismatched.tsv`, belongs to the set `test`: the other clip that the model is shown
in the control `mismatched`. A byte-order mark and CRLF line ends, as spreadsheets write them, are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lipsound2.data.names import is_training, no_file_name
from lipsound2.data.texts import read_text
from lipsound2.errors import LipsoundError


@dataclass(frozen=True)
class Row:
    """One line of a list."""

    file: str
    text: str


@dataclass
class Lists:
    """All lists of a folder: the sets, and the pairs of some of them."""

    sets: dict[str, dict[str, Row]] = field(default_factory=dict)
    pairs: dict[str, dict[str, str]] = field(default_factory=dict)


def read_lists(folder: Path) -> Lists:
    """Read every `*.tsv` of a folder.

    Raises:
        LipsoundError: no list there, one whose name cannot be a folder's, a line with another number of columns, an id
            twice in a list, or in one to train on and in another, or pairs without their set.
    """
    files = sorted(folder.glob("*.tsv"))
    if not files:
        raise LipsoundError(f"{folder}: no *.tsv list found; wanted lines 'id<TAB>file<TAB>transcript', one file a set")
    lists = Lists()
    unplaced: dict[str, tuple[Path, dict[str, str]]] = {}
    for path in files:
        if why := no_file_name(path.stem) or ("it begins with a dash" if path.name.startswith("-") else ""):
            raise LipsoundError(f"{path}: '{path.stem}' cannot name a set: {why}; rename the list or remove it")
        rows = _rows(path)
        if rows and len(next(iter(rows.values()))) == 1:
            unplaced[path.stem] = path, {id: fields[0] for id, fields in rows.items()}
        else:
            lists.sets[path.stem] = {id: Row(*fields) for id, fields in rows.items()}
    _check_apart(folder, lists.sets)
    for stem, (path, pairs) in unplaced.items():
        owner = stem.rpartition("_")[0]
        if owner not in lists.sets:
            raise LipsoundError(
                f"{path}: two columns, so pairs of the set '{owner or stem}', but {owner or stem}.tsv is absent"
            )
        lists.pairs[owner] = pairs
    for owner, pairs in lists.pairs.items():
        for id in [id for pair in pairs.items() for id in pair]:
            if id not in lists.sets[owner]:
                raise LipsoundError(f"{folder}: the pairs of '{owner}' name {id}, which {owner}.tsv does not hold")
    return lists


def _check_apart(folder: Path, sets: Mapping[str, Mapping[str, Row]]) -> None:
    """Refuse clips that would be trained on and scored."""
    trained = {id: name for name, rows in sets.items() if is_training(name) for id in rows}
    for name, rows in sets.items():
        twice = [] if is_training(name) else sorted(rows.keys() & trained)
        if twice:
            raise LipsoundError(
                f"{folder}: {twice[0]} stands in {trained[twice[0]]}.tsv and in {name}.tsv, as do {len(twice)} of its "
                f"{len(rows)} clips; scores of clips that were trained on say little: take them out of one of the two"
            )


def _rows(path: Path) -> dict[str, list[str]]:
    """First column -> the others; all lines have two columns, or all have three."""
    rows: dict[str, list[str]] = {}
    columns = 0
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        fields = [part.strip() for part in line.split("\t")]
        columns = columns or len(fields)
        if len(fields) != columns or columns not in (2, 3) or not all(fields[:2]):
            raise LipsoundError(
                f"{path}, line {number}: expected 'id<TAB>file<TAB>transcript' (or two ids), "
                f"found {len(fields)} columns: {line!r}"
            )
        if fields[0] in rows:
            raise LipsoundError(f"{path}, line {number}: {fields[0]} is listed twice")
        rows[fields[0]] = fields[1:]
    return rows
