"""One shard: a run of clips, computed by one worker into whole archives with a marker that comes last.

For every kind a shard is `DUMP/<kind>/shards/<number>.ark` (and `<number>.<name>.ark` for archives beside it) and
`<number>.done`: a first line with the hash of what went in and the verdicts, a second with the rows for the tables.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lipsound2.data.archive import INDEX, ArchiveWriter
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.files import write_text

Result = Mapping[str, np.ndarray | str | int]
Worker = Callable[[str], Result]
FRAMES = "utt2num_frames"


class Failure(NamedTuple):
    """A clip's verdict, a row of failures.tsv."""

    id: str
    reason: str
    detail: str


def rows_of(kind: str, array: np.ndarray) -> int:
    """The length of an entry whose first axis is time."""
    return len(array)


@dataclass(frozen=True)
class Shard:
    """All that is needed to compute one shard; picklable.

    Attributes:
        dump: folder of the kinds.
        number: place among the step's shards.
        ids: its clips, sorted.
        kinds: kind -> the content of its kind.yaml; a key `compress` says how its float matrices are stored.
        hashes: kind -> hash of what goes in.
        frames: (kind, array) -> length of the entry; need not be given where the worker says it.
    """

    dump: Path
    number: int
    ids: tuple[str, ...]
    kinds: Mapping[str, Mapping[str, Any]]
    hashes: Mapping[str, str]
    frames: Callable[[str, np.ndarray], int] = field(default=rows_of)

    def path(self, kind: str, suffix: str) -> Path:
        """A file of this shard, such as its `.ark`."""
        return self.dump / kind / "shards" / f"{self.number:05d}{suffix}"

    def failures(self) -> list[Failure] | None:
        """The verdicts of a shard that is whole and up to date for every kind; None when it has to be computed."""
        found: list[Failure] = []
        for kind in self.kinds:
            try:
                with self.path(kind, ".done").open(encoding="utf-8") as file:
                    head = json.loads(file.readline())
            except (FileNotFoundError, ValueError):
                return None
            if head.get("hash") != self.hashes[kind] or not self.path(kind, ".ark").exists():
                return None
            found = [Failure(*row) for row in head["failures"]]
        return found

    def rows(self, kind: str) -> dict[str, dict[str, str]]:
        """Table name -> id -> row, out of a shard that is whole."""
        content = json.loads(self.path(kind, ".done").read_text(encoding="utf-8").split("\n", 1)[1])
        return {name: dict(table) for name, table in content.items()}


def compute_shard(
    shard: Shard, worker: Worker, lost: Mapping[str, Failure], report: Callable[[int, int], None]
) -> list[Failure]:
    """Compute a shard, write it, mark it done.

    Args:
        shard: what to compute.
        worker: id -> what is stored of this clip, see `jobs.dump_clips`.
        lost: verdicts on clips that must not be tried (they took a worker down).
        report: called with (place of the clip that begins, failures so far).

    Returns:
        The verdicts on clips that failed.

    Raises:
        LipsoundError: the files cannot be written, or the worker says that the whole step is at fault.
    """
    for kind in shard.kinds:
        shard.path(kind, ".done").unlink(missing_ok=True)
    failures: list[Failure] = []
    with _Output(shard) as output:
        for place, name in enumerate(shard.ids):
            report(place, len(failures))
            verdict = lost.get(name)
            result = verdict or attempt(worker, name)
            if isinstance(result, Failure):
                failures.append(result)
            else:
                output.add(name, result)
    head = [list(failure) for failure in failures]
    for kind in shard.kinds:
        lines = [{"hash": shard.hashes[kind], "failures": head}, output.rows(kind)]
        write_text(shard.path(kind, ".done"), "\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
    return failures


def attempt(worker: Worker, name: str) -> Result | Failure:
    """What the worker makes of one clip, or the verdict.

    Raises:
        LipsoundError: from the worker, when it is not the clip's fault; also when the disk is full.
    """
    try:
        return worker(name)
    except ClipFailure as failure:
        return Failure(name, _one_line(failure.reason), _one_line(failure.detail))
    except LipsoundError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise LipsoundError(f"cannot write {error.filename or 'a file'}: {error.strerror}") from error
        return Failure(name, "error", describe(error))


def describe(error: BaseException) -> str:
    """Type, message and the file and line where an exception was raised, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" [{Path(frames[-1].filename).name}:{frames[-1].lineno}]" if frames else ""
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

    def __exit__(self, *trouble: Any) -> None:
        self._stack.__exit__(*trouble)

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
            told = result.get(f"{kind}/frames")
            length = self._shard.frames(kind, array) if told is None else told
            self._table(kind, FRAMES)[name] = str(int(length))

    def rows(self, kind: str) -> dict[str, dict[str, str]]:
        """Table name -> id -> row."""
        for (owner, part), writer in self._writers.items():
            if owner == kind:
                values = {key: f"shards/{value}" for key, value in writer.values.items()}
                self._tables[kind][f"{part}.scp" if part else INDEX] = values
        return self._tables[kind]

    def _table(self, kind: str, name: str) -> dict[str, str]:
        return self._tables[kind].setdefault(name, {})

    def _writer(self, kind: str, part: str) -> ArchiveWriter:
        if (kind, part) not in self._writers:
            path = self._shard.path(kind, f".{part}.ark" if part else ".ark")
            self._writers[kind, part] = self._stack.enter_context(ArchiveWriter(path))
        return self._writers[kind, part]


def hash_of(*parts: Any) -> str:
    """Hexadecimal SHA-256 of anything JSON can tell, the rest as text."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
