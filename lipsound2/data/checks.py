"""The verbs `validate` and `fix`: check a data dir, and repair it."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lipsound2.data.names import Names, whole_numbers
from lipsound2.data.tables import (
    MEDIA,
    PARTIAL,
    TABLES,
    Table,
    as_table,
    is_pipe,
    is_text,
    parse_words,
    plain_lines,
    rows,
    spk2utt,
)
from lipsound2.errors import LipsoundError
from lipsound2.files import turn, write_bytes
from lipsound2.fingerprint import note_sizes_again
from lipsound2.outputs import OutputFolder

_SHOWN = 5
# What is wrong with a row -> what should stand there.
_WANTED = {
    "not UTF-8": "UTF-8 text",
    "no value": "'id value'",
    "a command": "a file; nothing is ever executed",
    "rows that differ": "one row",
}


@dataclass(frozen=True)
class TableProblem:
    """One problem of a data dir.

    Attributes:
        kind: a word to count by, such as `unsorted`.
        file: where it is wrong.
        id: the clip or speaker; empty when it is the file as a whole.
        found: what stands there.
        wanted: what should.
        repair: the command that repairs it.
        line: line of the file, where that helps; else 0.
    """

    kind: str
    file: str
    id: str
    found: str
    wanted: str
    repair: str
    line: int = 0

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        name = f"'{self.id}': " if self.id else ""
        return f"{where}: {name}found {self.found}, wanted {self.wanted}; repair with: {self.repair}"


def validate(dir: Path, *, media: bool = True, show: int = _SHOWN) -> int:
    """Check a data dir: tables sorted, ids unique, equal in all tables and beginning with the speaker, files there.

    Prints a line for each problem, and ends with status 1 if there is any.

    Args:
        dir: the data dir.
        media: also check that all video and audio files exist.
        show: lines printed for problems of the same kind in the same file.
    """
    tables = _tables(Path(dir))
    problems = list(_problems(Path(dir), tables, media))
    counts: Counter[tuple[str, str]] = Counter()
    for problem in problems:
        key = (problem.file, problem.kind)
        counts[key] += 1
        if counts[key] <= show:
            print(problem)
    for (file, kind), count in counts.items():
        if count > show:
            print(f"{file}: ... and {count - show} more of this kind ({kind})")
    if problems:
        print(f"{dir}: {len(problems)} problems")
        return 1
    print(f"{dir}: in order, {len(tables['utt2spk'].values)} clips")
    return 0


def fix(dir: OutputFolder) -> int:
    """Repair a data dir: sort tables, remove duplicate rows, drop incomplete clips, rewrite spk2utt.

    A clip is dropped if a table lacks it, if its rows contradict each other, or if a row cannot be read, is a command,
    or names a missing file. The former files are kept in DIR/.backup/<number>. `validate` runs at the end.

    Args:
        dir: the data dir.
    """
    dir = Path(dir)
    if not (dir / "utt2spk").is_file():
        raise LipsoundError(
            f"{dir} has no utt2spk, so there is nothing to repair it from; make it with: lipsound2 prepare"
        )
    with turn(dir / "utt2spk"):
        _repair(dir)
        note_sizes_again(dir)
        note_sizes_again(dir.parent, f"{dir.name}/")  # a set's sizes are noted beside all sets of its protocol
    return validate(dir, media=False)  # a clip whose file is not there has just been dropped


def _repair(dir: Path) -> None:
    """Rewrite what is wrong, and say what was done."""
    tables = _tables(dir)
    dropped = _incomplete(dir, tables)
    utt2spk = tables["utt2spk"].values
    kept = Names.of(name for name in utt2spk if name not in dropped) if dropped else utt2spk.names
    if not len(kept):
        counts = Counter(dropped.values()).most_common(3)
        reasons = ", ".join(f"{reason} ({count})" for reason, count in counts) or "utt2spk is empty"
        raise LipsoundError(
            f"{dir}: no clip would be left: {reasons}; nothing was changed; make it again with: lipsound2 prepare"
        )
    keep = dict.fromkeys(tables, kept)
    if "segments" in tables:
        used = Names.of(tables["segments"].values[name].split()[0] for name in kept)
        keep |= {name: used for name in MEDIA if name in tables}
    after = {name: table.values.take(keep[name]) for name, table in tables.items()}
    after["spk2utt"] = as_table(dir / "spk2utt", spk2utt(after["utt2spk"]))
    contents = {name: table.content() for name, table in after.items()}
    changed = [name for name, content in contents.items() if _differs(dir / name, content)]
    backup = back_up(dir, changed)
    for name in changed:
        write_bytes(dir / name, contents[name])
        print(f"{dir / name}: {_change(tables.get(name), len(after[name]))}")
    for reason, count in Counter(dropped.values()).most_common():
        first = min(name for name, why in dropped.items() if why == reason)
        print(f"{dir}: dropped {count} clips: {reason}, '{first}' first")
    if backup:
        print(f"{dir}: what was changed is kept as it was in {backup}")
    elif not changed:
        print(f"{dir}: nothing to repair")


def _tables(dir: Path) -> dict[str, _Table]:
    return {name: _read(dir / name) for name in TABLES if (dir / name).exists()}


def _problems(dir: Path, tables: Mapping[str, _Table], media: bool) -> Iterator[TableProblem]:
    """All problems of a data dir, the ones that explain others first."""
    prepare, repair = "lipsound2 prepare", f"lipsound2 fix {dir}"
    if not (dir / "utt2spk").is_file():
        found = "no such file" if dir.is_dir() else "no such folder"
        yield TableProblem("absent", str(dir / "utt2spk"), "", found, "a table 'id speaker'", prepare)
        return
    for table in tables.values():
        yield from table.problems(repair)
    utt2spk = tables["utt2spk"].values
    if not utt2spk:
        yield TableProblem("empty", str(dir / "utt2spk"), "", "no clips", "at least one", prepare)
    if not any(name in tables for name in MEDIA):
        yield TableProblem("absent", str(dir), "", "neither video.scp nor wav.scp", "one of them", prepare)
    yield from _other_ids(dir, tables, repair)
    for start, end, speaker in utt2spk.runs():
        # Sorted ids between two with the same beginning have it too.
        if not all(utt2spk.names[place].startswith(f"{speaker}-") for place in (start, end - 1)):
            for name in utt2spk.names[start:end]:
                if not name.startswith(f"{speaker}-"):
                    file = str(dir / "utt2spk")
                    yield TableProblem("prefix", file, name, f"speaker '{speaker}'", f"an id '{speaker}-...'", prepare)
    yield from _speakers(dir, utt2spk, repair)
    yield from _values(dir, tables, repair)
    if media:
        for name in MEDIA:
            for key, path in _absent(tables[name].values) if name in tables else ():
                wanted = "a file that is there"
                yield TableProblem("no-file", str(dir / name), key, f"'{path}'", wanted, f"{repair} (drops the clip)")


@dataclass
class _Table:
    """A table read leniently.

    Attributes:
        path: the file.
        values: key -> value of the rows that are in order, sorted.
        count: rows of the file.
        bad: key -> (what is wrong with its rows, as found).
        lines: of the bad rows, key -> line of the first.
        duplicates: keys of rows that stand there twice, the same.
        unsorted: first (key, the key before it, line) out of order.
    """

    path: Path
    values: Table
    count: int
    bad: dict[str, tuple[str, str]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    duplicates: list[str] = field(default_factory=list)
    unsorted: tuple[str, str, int] | None = None

    def problems(self, repair: str) -> Iterator[TableProblem]:
        """What is wrong with the file, taken by itself."""
        for key, (fault, found) in self.bad.items():
            drops = f"{repair} (drops the clip)"
            yield TableProblem(fault, str(self.path), key, found, _WANTED[fault], drops, self.lines[key])
        for key in self.duplicates:
            yield TableProblem("double", str(self.path), key, "the same row twice", "one", repair)
        if self.unsorted:
            key, before, line = self.unsorted
            wanted = "rows sorted by bytes (LC_ALL=C)"
            yield TableProblem("unsorted", str(self.path), key, f"it after '{before}'", wanted, repair, line)


def _read(path: Path) -> _Table:
    lines = plain_lines(path)
    if lines is None:
        return _read_row_by_row(path)
    keys = lines.keys()
    falls = np.flatnonzero(keys[1:] <= keys[:-1]) + 1
    if not falls.size:
        return _Table(path, Table(lines, keys), len(lines))
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    if (ordered[1:] == ordered[:-1]).any():
        return _read_row_by_row(path)
    fall = int(falls[0])
    key, before = keys[fall].decode(), keys[fall - 1].decode()
    return _Table(path, Table(lines.take(order), ordered), len(lines), unsorted=(key, before, fall + 1))


def _read_row_by_row(path: Path) -> _Table:
    table = _Table(path, as_table(path, {}), 0)
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    last = ""
    for number, key, value in rows(path, strict=False):
        table.count += 1
        first = key not in lines
        lines.setdefault(key, number)
        if not is_text(key + value):
            table.bad[key] = ("not UTF-8", f"{value!a}")
        elif not value:
            table.bad[key] = ("no value", "nothing after the id" if key else "an empty line")
        elif path.suffix == ".scp" and is_pipe(value):
            table.bad[key] = ("a command", f"the command '{value}'")
        elif first:
            values[key] = value
        elif values.get(key) == value:
            table.duplicates.append(key)
        else:
            table.bad[key] = ("rows that differ", f"'{value}', and another row in line {lines[key]}")
        if key < last and table.unsorted is None:
            table.unsorted = (key, last, lines[key])
        last = key
    for key in table.bad:
        values.pop(key, None)
    table.lines = {key: lines[key] for key in table.bad}
    table.values = as_table(path, values)
    return table


def _other_ids(dir: Path, tables: Mapping[str, _Table], repair: str) -> Iterator[TableProblem]:
    """Tables whose ids are not those of utt2spk; media, when there are segments, not those of the recordings."""
    for name, table in tables.items():
        wanted, of = tables["utt2spk"].values.names, "utt2spk"
        if name in MEDIA and "segments" in tables:
            wanted, of = Names.of(value.split()[0] for _, value in tables["segments"].values.items()), "segments"
        if table.values.names == wanted:
            continue
        missing, extra = set(wanted) - set(table.values), set(table.values) - set(wanted)
        if name in PARTIAL:
            missing = set()
        if missing or extra:
            first = [f"'{min(missing)}' is missing"] if missing else []
            first += [f"'{min(extra)}' is too much"] if extra else []
            found = f"{len(table.values)} ids ({' and '.join(first)}, the first of {len(missing) + len(extra)})"
            key = min(missing | extra)
            yield TableProblem("ids", str(dir / name), key, found, f"the {len(wanted)} ids of {of}", repair)


def _speakers(dir: Path, utt2spk: Table, repair: str) -> Iterator[TableProblem]:
    path = dir / "spk2utt"
    if not path.exists():
        yield TableProblem("absent", str(path), "", "no such file", "the inverse of utt2spk", repair)
        return
    found, wanted = _read(path).values, spk2utt(utt2spk)
    differing = sorted(key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key))
    if differing:
        key = differing[0]
        counts = [len(side.get(key, "").split()) for side in (found, wanted)]
        text = f"{counts[0]} clips (the first of {len(differing)} speakers that differ)"
        yield TableProblem("spk2utt", str(path), key, text, f"the {counts[1]} of utt2spk, sorted", repair)


def _values(dir: Path, tables: Mapping[str, _Table], repair: str) -> Iterator[TableProblem]:
    """Ids that cannot name a file, and numbers that are none."""
    drops = f"{repair} (drops the clip)"
    for name, wanted in (
        ("utt2spk", "an id that can name a file"),
        ("utt2num_frames", "a whole number above 0"),
        ("segments", "'recording start end' in seconds"),
        ("word_times", "'start end word ...' in seconds"),
    ):
        for key, value in _improper(name, tables[name].values) if name in tables else ():
            yield TableProblem("value", str(dir / name), key, f"'{value}'", wanted, drops)


def _improper(name: str, table: Table) -> Iterator[tuple[str, str]]:
    """Keys and values of rows that hold no proper value."""
    if name == "utt2spk":
        yield from ((key, why) for key, why in table.names.odd())
    elif name == "utt2num_frames":
        for place in np.flatnonzero(whole_numbers(table.lines.values()) <= 0).tolist():
            yield table.names[place], table.lines.value(place)
    elif name in ("segments", "word_times"):
        yield from ((key, value) for key, value in table.items() if not _is_proper(name, value))


def _is_proper(name: str, value: str) -> bool:
    if name == "segments":
        try:
            _, start, end = value.split()
            return 0 <= float(start) < float(end)
        except ValueError:
            return False
    try:
        return bool(parse_words(value))
    except ValueError:
        return False


def _incomplete(dir: Path, tables: Mapping[str, _Table]) -> dict[str, str]:
    """Id -> why the clip cannot be kept."""
    faults = {name: _faults(table) for name, table in tables.items()}
    for name in MEDIA:
        values = tables[name].values if name in tables else None
        if values and all(key in faults[name] for key in values):
            raise LipsoundError(
                f"{dir / name}: none of its {len(values)} files is there, the first '{values.lines.value(0)}'; "
                "is the corpus' disk mounted? Nothing was changed; if it has moved: lipsound2 prepare"
            )
    clips = tables["utt2spk"].values.names
    if not any(faults.values()) and all(table.values.names == clips for table in tables.values()):
        return {}
    segments = tables["segments"].values if "segments" in tables else None
    by_clip = [name for name in tables if segments is None or name not in MEDIA]
    dropped: dict[str, str] = {}
    for clip in {key for name in by_clip for key in (*tables[name].values, *tables[name].bad)}:
        for name, table in tables.items():
            key = clip if name in by_clip or segments is None else segments.get(clip, " ").split(" ")[0]
            if key in faults[name]:
                dropped[clip] = f"{faults[name][key]} in {name}"
            elif key not in table.values and name not in PARTIAL:
                dropped[clip] = f"not in {name}"
    return dropped


def _faults(table: _Table) -> dict[str, str]:
    """Key -> why its row cannot be kept."""
    name = table.path.name
    faults = {key: fault for key, (fault, _) in table.bad.items()}
    faults |= {key: "no proper value" for key, _ in _improper(name, table.values)}
    if name in MEDIA:
        faults |= {key: "a file that is not there" for key, _ in _absent(table.values)}
    return faults


def _absent(table: Table) -> Iterator[tuple[str, str]]:
    """Keys and paths of files that are not there."""
    # Path.is_file takes three times as long, which a million files show.
    return ((key, path) for key, path in table.items() if not os.path.isfile(path))  # noqa: PTH113


def _differs(path: Path, content: bytes) -> bool:
    return not path.exists() or path.read_bytes() != content


def back_up(dir: Path, names: Iterable[str]) -> Path | None:
    """Copy files to a folder of their own below DIR/.backup."""
    present = [name for name in names if (dir / name).exists()]
    if not present:
        return None
    number = 1 + max((int(p.name) for p in (dir / ".backup").glob("[0-9]*")), default=0)
    folder = dir / ".backup" / str(number)
    folder.mkdir(parents=True)
    for name in present:
        shutil.copy2(dir / name, folder / name)
    return folder


def _change(before: _Table | None, after: int) -> str:
    """What was done to one file."""
    if before is None:
        return f"written anew, {after} rows"
    done = [f"{len(before.duplicates)} duplicate rows removed"] if before.duplicates else []
    done += ["sorted"] if before.unsorted else []
    return f"{before.count} rows -> {after}" + (f" ({', '.join(done)})" if done else "")
