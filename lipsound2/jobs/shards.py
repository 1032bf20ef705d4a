"""One shard: a run of clips, computed by one worker into archives, with a marker that is written last.

For every feature type (`kind`), a shard is `DUMP/<kind>/shards/<number>.ark`, perhaps further archives
`<number>.<name>.ark`, and the marker `<number>.done`. Its first line has the hash of the inputs, the failures, and the
sizes of the archives and of the second line, which holds the rows of the tables. A shard that differs from its marker
is computed again.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import hashlib
import json
import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lipsound2.data.archive import INDEX, ArchiveWriter
from lipsound2.data.texts import is_writable
from lipsound2.errors import ClipFailure, LipsoundError, is_machine_error, names_machine_error
from lipsound2.files import write_text

Result = Mapping[str, np.ndarray | str | int]
Worker = Callable[[str], Result]
FRAMES = "utt2num_frames"
# Failures of the machine: the next run tries such a clip again.
MACHINE = "machine"
KILLED = "worker-killed"
TIMEOUT = "timeout"
_STREAK = 5  # clips in a row that the machine may fail before the step stops
_LONGEST_NAME = 100  # characters of an archive's name


class Failure(NamedTuple):
    """Why a clip was rejected: a row of failures.tsv."""

    id: str
    reason: str
    detail: str

    @property
    def passing(self) -> bool:
        """Whether it is the machine's fault, not the clip's; earlier versions called that `error` or `unreadable`."""
        return self.reason in (MACHINE, KILLED, TIMEOUT) or names_machine_error(self.detail)


def rows_of(kind: str, array: np.ndarray) -> int:
    """The length of an entry whose first axis is time."""
    return len(array)


@dataclass(frozen=True)
class Shard:
    """All that is needed to compute one shard; picklable.

    Attributes:
        dump: folder of the feature types.
        number: index among the step's shards.
        ids: its clips, sorted.
        kinds: feature type -> content of its kind.yaml; the key `compress` tells how float matrices are stored.
        hashes: feature type -> hash of the inputs.
        num_frames: (feature type, array) -> length of the entry, if the worker does not give it.
    """

    dump: Path
    number: int
    ids: tuple[str, ...]
    kinds: Mapping[str, Mapping[str, Any]]
    hashes: Mapping[str, str]
    num_frames: Callable[[str, np.ndarray], int] = field(default=rows_of)

    def path(self, kind: str, suffix: str) -> Path:
        """A file of this shard, such as its `.ark`."""
        return self.dump / kind / "shards" / f"{self.number:05d}{suffix}"

    def failures(self) -> list[Failure] | None:
        """The failures of a shard that is whole and up to date; None if it must be computed."""
        found: list[Failure] = []
        for kind in self.kinds:
            head = self._head(kind)
            if head is None or head["hash"] != self.hashes[kind]:
                return None
            found = [Failure(*row) for row in head["failures"]]
        return found

    def _head(self, kind: str) -> dict[str, Any] | None:
        """The first line of a `.done`; None if it is absent or damaged, or an archive differs from it."""
        path = self.path(kind, ".done")
        try:
            with path.open("rb") as file:
                line = file.readline()
                size = os.fstat(file.fileno()).st_size
            head = json.loads(line)
        except (FileNotFoundError, ValueError, RecursionError):
            return None
        if not isinstance(head, dict) or not isinstance(head.get("hash"), str) or not self._are_verdicts(head):
            return None
        # Earlier versions wrote no sizes.
        sizes = head.get("sizes", {})
        names = isinstance(sizes, dict) and all(map(_is_name, sizes))
        if not names or head.get("rows", size - len(line)) != size - len(line):
            return None
        archives = {path.with_name(name): noted for name, noted in sizes.items()} or {self.path(kind, ".ark"): None}
        return head if all(_is_so(archive, noted) for archive, noted in archives.items()) else None

    def _are_verdicts(self, head: Mapping[str, Any]) -> bool:
        rows = head.get("failures")
        return isinstance(rows, list) and all(
            isinstance(row, list) and len(row) == len(Failure._fields) and all(isinstance(each, str) for each in row)
            for row in rows
        )

    def rows(self, kind: str) -> dict[str, dict[str, str]]:
        """Table name -> id -> row of a whole shard.

        Raises:
            ValueError: the rows are damaged, or not those of the shard's clips.
        """
        first, _, second = self.path(kind, ".done").read_bytes().partition(b"\n")
        tables = json.loads(second)
        if not isinstance(tables, dict) or not all(_is_table(table) for table in tables.values()):
            raise ValueError("no tables")
        good = set(self.ids) - {row[0] for row in json.loads(first)["failures"]}
        if set(tables.get(INDEX, ())) != good or set(tables.get(FRAMES, ())) != good:
            raise ValueError("rows of other clips")
        return tables

    def is_readable(self) -> bool:
        """Whether the rows of a whole shard can be read."""
        try:
            for kind in self.kinds:
                self.rows(kind)
        except (ValueError, RecursionError):
            return False
        return True


def _is_name(name: str) -> bool:
    """Whether this can be the name of a file of the folder."""
    return 0 < len(name) < _LONGEST_NAME and is_writable(name) and name == Path(name).name


def _is_so(path: Path, size: Any) -> bool:
    """Whether a file exists, with this size if one is known."""
    try:
        found = os.stat(path).st_size  # noqa: PTH116 - once a file of a dump
    except (FileNotFoundError, NotADirectoryError):
        return False
    return size is None or found == size


def _is_table(table: Any) -> bool:
    return isinstance(table, dict) and all(isinstance(row, str) for row in table.values())


def compute_shard(
    shard: Shard, worker: Worker, lost: Mapping[str, Failure], report: Callable[[int, int], None]
) -> list[Failure]:
    """Compute a shard, write it, mark it done.

    Args:
        shard: what to compute.
        worker: function from an id to what is stored of the clip; see `jobs.dump_clips`.
        lost: failures of clips that are not tried, since they killed a worker.
        report: called with (place of the clip that begins, failures so far).

    Returns:
        The clips that failed.

    Raises:
        LipsoundError: files cannot be written, the worker raises one, or the machine fails clip after clip.
    """
    for kind in shard.kinds:
        shard.path(kind, ".done").unlink(missing_ok=True)
    failures: list[Failure] = []
    streak = 0
    with _Output(shard) as output:
        for place, name in enumerate(shard.ids):
            report(place, len(failures))
            failure = lost.get(name)
            result = failure or attempt(worker, name)
            streak = streak + 1 if isinstance(result, Failure) and result.reason == MACHINE else 0
            if isinstance(result, Failure):
                if streak == _STREAK:
                    raise LipsoundError(
                        f"the machine failed {streak} clips in a row, the last one '{name}': {result[2]}"
                    )
                failures.append(result)
            else:
                output.add(name, result)
    head = [list(failure) for failure in failures]
    for kind in shard.kinds:
        rows = json.dumps(output.rows(kind), ensure_ascii=False)
        sizes = {path.name: path.stat().st_size for path in output.archives(kind)}
        first = {"hash": shard.hashes[kind], "failures": head, "sizes": sizes, "rows": len(rows.encode())}
        write_text(shard.path(kind, ".done"), f"{json.dumps(first, ensure_ascii=False)}\n{rows}")
    return failures


def attempt(worker: Worker, name: str) -> Result | Failure:
    """The worker's result for one clip, or why it failed. A clip that the machine fails is tried once more.

    Raises:
        LipsoundError: from the worker, when it is not the clip's fault; or the disk is full.
    """
    reason = ""
    for _ in range(2):
        try:
            return worker(name)
        except LipsoundError:
            raise
        except Exception as error:
            if not is_machine_error(error):
                return _verdict(name, error)
            cause = error.__cause__ if isinstance(error, ClipFailure) else error
            if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise LipsoundError(f"cannot write {cause.filename or 'a file'}: {cause.strerror}") from error
            reason = describe(cause or error)
        gc.collect()  # a reference cycle may hold the memory or the files that are missing
    return Failure(name, MACHINE, reason)


def _verdict(name: str, error: Exception) -> Failure:
    if isinstance(error, ClipFailure):
        return Failure(name, _one_line(error.reason), _one_line(error.detail))
    return Failure(name, "error", describe(error))


def describe(error: BaseException) -> str:
    """Type, message and the file and line where an exception was raised, in one line."""
    calls = traceback.extract_tb(error.__traceback__)
    where = f" [{Path(calls[-1].filename).name}:{calls[-1].lineno}]" if calls else ""
    return _one_line(f"{type(error).__name__}: {error}{where}")


def _one_line(text: str) -> str:
    return " ".join(text.split())


class _Output:
    """The archives of a shard while they are written, and the rows of its tables."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._stack = contextlib.ExitStack()
        self._writers: dict[tuple[str, str], ArchiveWriter] = {}
        self._tables: dict[str, dict[str, dict[str, str]]] = {kind: {} for kind in shard.kinds}

    def __enter__(self) -> _Output:
        self._stack.__enter__()
        for kind in self._shard.kinds:
            self._writer(kind, "")  # a shard without a single good clip is an empty archive
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def add(self, name: str, result: Result) -> None:
        """Store what a worker returned for one clip."""
        absent = self._shard.kinds.keys() - result.keys()
        if absent:
            raise LipsoundError(f"the worker returned nothing for '{min(absent)}' of clip '{name}' (a bug)")
        for key, value in result.items():
            kind, _, part = key.partition("/")
            if kind not in self._shard.kinds:
                raise LipsoundError(
                    f"the worker returned '{key}' for clip '{name}', which is no kind of this step (a bug)"
                )
            if isinstance(value, np.ndarray):
                compress = False if part else self._shard.kinds[kind].get("compress", False)
                self._writer(kind, part).write(name, value, compress=compress)
            elif part.endswith(".tsv") and isinstance(value, str) and "\n" not in value:
                self._table(kind, part)[name] = value
            elif part != "frames":
                raise LipsoundError(f"the worker returned '{key}' of type {type(value).__name__} (a bug)")
        for kind in self._shard.kinds:
            array = result[kind]
            assert isinstance(array, np.ndarray)
            given = result.get(f"{kind}/frames")
            length = self._shard.num_frames(kind, array) if given is None else given
            self._table(kind, FRAMES)[name] = str(int(length))

    def rows(self, kind: str) -> dict[str, dict[str, str]]:
        """Table name -> id -> row."""
        for (owner, part), writer in self._writers.items():
            if owner == kind:
                values = {key: f"shards/{value}" for key, value in writer.values.items()}
                self._tables[kind][f"{part}.scp" if part else INDEX] = values
        return self._tables[kind]

    def archives(self, kind: str) -> list[Path]:
        """The archives of a kind."""
        return [self._path(owner, part) for owner, part in self._writers if owner == kind]

    def _path(self, kind: str, part: str) -> Path:
        return self._shard.path(kind, f".{part}.ark" if part else ".ark")

    def _table(self, kind: str, name: str) -> dict[str, str]:
        return self._tables[kind].setdefault(name, {})

    def _writer(self, kind: str, part: str) -> ArchiveWriter:
        if (kind, part) not in self._writers:
            self._writers[kind, part] = self._stack.enter_context(ArchiveWriter(self._path(kind, part)))
        return self._writers[kind, part]


def hash_of(*parts: Any) -> str:
    """Hexadecimal SHA-256 of the parts as JSON; what JSON has no type for counts as text."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
