"""Clips into archives: in shards over worker processes, resumable, with a reason for every clip that fails.

The sorted ids are cut into runs of `shard_size`. One worker computes a shard and marks it when it is whole. A killed
step therefore resumes at the next shard, and the result does not depend on kills or on the number of workers.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from lipsound2.data.archive import INDEX, Archive
from lipsound2.data.datadir import DataDir
from lipsound2.data.texts import read_lines
from lipsound2.data.yaml_files import write_yaml
from lipsound2.errors import LipsoundError
from lipsound2.files import atomic_path, folder_lock, sweep, turn, write_text
from lipsound2.fingerprint import SIZES, changed, note_sizes
from lipsound2.jobs.batch_map import compute_shards, reconcile
from lipsound2.jobs.shards import FRAMES, MACHINE, Failure, Result, Shard, Worker, compute_shard, hash_of, rows_of
from lipsound2.jobs.slurm.array import Array
from lipsound2.jobs.workers import Workers
from lipsound2.progress import progress

__all__ = [
    "Failure",
    "Result",
    "Shard",
    "StepSummary",
    "Worker",
    "compute_shard",
    "dump_clips",
    "read_failures",
    "tell_removed",
]

FAILURES = "failures.tsv"
_WHOLE = "shards.sha256"  # in a kind's folder: hash over its shards; comes last
_log = logging.getLogger(__name__)


class StepSummary(NamedTuple):
    """Numbers of clips of a step: computed now, done by an earlier run, failed."""

    done: int
    skipped: int
    failed: int


@dataclass
class _Plan:
    """The shards of a step, and for each its failures, or None if it must be computed."""

    shards: list[Shard]
    failures_by_shard: list[list[Failure] | None]

    @property
    def missing(self) -> list[Shard]:
        return [shard for shard, failures in zip(self.shards, self.failures_by_shard, strict=True) if failures is None]

    @property
    def failures(self) -> list[Failure]:
        return [failure for failures in self.failures_by_shard for failure in failures or ()]


def dump_clips(
    dump: Path,
    kinds: Mapping[str, Mapping[str, Any]],
    ids: Sequence[str],
    make_worker: Callable[[], Worker],
    *,
    step: str,
    fingerprint: Mapping[str, Any],
    inputs: Mapping[str, str | Sequence[str]],
    nj: int = 1,
    shard_size: int = 100,
    launcher: str = "local",
    max_failures: float = 0.05,
    timeout: float | None = None,
    num_frames: Callable[[str, np.ndarray], int] = rows_of,
    facts: Mapping[str, Sequence[Any]] = {},
) -> StepSummary:
    """Bring `DUMP/<kind>/` up to date for a set of clips; whole shards are not computed again.

    A worker returns for one clip a mapping with

    * ``<kind>``: the entry of `feats.scp`, one for every kind of the step;
    * ``<kind>/frames``: its length for `utt2num_frames` (or `num_frames` finds it);
    * ``<kind>/<table>.tsv``: a row, without the id, for the text table of this name;
    * ``<kind>/<name>``: an array for a second archive, indexed by `<name>.scp`.

    It raises ClipFailure on a clip that cannot be used. Any other exception becomes the reason `error` with type,
    message and place. A clip that kills or hangs its process twice gets `worker-killed` or `timeout`. Failures stand in
    `DUMP/failures.tsv`; the next run tries a clip again whose line is deleted there. An error of the machine (no
    memory, a disk that fails) is no clip's fault: the next run tries `machine`, `worker-killed` and `timeout` again.

    Args:
        dump: folder of the feature types.
        kinds: feature type -> content of its kind.yaml; `compress` in it (True or a method of `entries.COMPRESSIONS`)
            stores float matrices compressed.
        ids: all clips of the dump; shards of clips that are not among them are removed, see `tell_removed`.
        make_worker: makes the worker, once in each process; picklable. A LipsoundError from it or from a worker stops
            the step.
        step: name of the step in failures.tsv and messages.
        fingerprint: all options that change the result.
        inputs: id -> the file or files of a clip; a shard is computed again when their size or time changes.
        nj: worker processes, or jobs of an array with `slurm`.
        shard_size: clips in a shard.
        launcher: `local`, or `slurm`: a job array, with a worker for each core of a job.
        max_failures: largest share of clips that may fail.
        timeout: seconds one clip may take; None: no limit.
        num_frames: (feature type, array) -> length of an entry, if the worker does not give it; picklable.
        facts: id -> what else a clip's result depends on; a shard is computed again when it changes.

    Returns:
        Numbers of clips.

    Raises:
        LipsoundError: another run works on this step, the disk is full, the machine fails clip after clip; or, after
            everything was written: the machine failed some clips, or more than `max_failures` of the clips failed.
    """
    if not ids or len(set(ids)) != len(ids):
        raise LipsoundError(
            f"{step}: expected clips with ids of their own, found {len(ids)} ids, {len(set(ids))} distinct"
        )
    if not 0 <= max_failures <= 1:
        raise LipsoundError(f"{step}: --max-failures is a share of the clips, from 0 to 1, found {max_failures:g}")
    if nj < 1 or shard_size < 1:
        raise LipsoundError(f"{step}: nj and shard_size must be at least 1, found {nj} and {shard_size}")
    dump = Path(dump)
    with folder_lock(dump / ".locks" / step, f"step {step}"):
        shards = _shards(dump, kinds, ids, fingerprint, inputs, facts, shard_size, num_frames)
        array = reconcile(launcher, dump, step, hash_of([shard.hashes for shard in shards], nj))
        _sweep(dump, kinds)
        plan = _plan(dump, step, shards)
        todo = plan.missing
        if todo or not all(_is_whole(dump, kind, shards) for kind in kinds):
            known = {shard.number for shard in todo}
            todo = [shard for shard in shards if shard.number in known or not shard.is_readable()]
            _open_up(dump, kinds)
            try:
                _compute(array, todo, make_worker, nj, timeout, step)
            finally:
                _sweep(dump, kinds)
            plan = _Plan(shards, [shard.failures() for shard in shards])
            for kind in kinds:
                _merge(dump / kind, kind, shards)
            _write_failures(dump, step, plan.failures)
            for kind in kinds:
                write_text(dump / kind / _WHOLE, _digest(kind, shards) + "\n")
                _note(dump / kind)
    return _summary(dump, step, plan.failures, {name for shard in todo for name in shard.ids}, len(ids), max_failures)


def tell_removed(dump: Path, kinds: Iterable[str], data: DataDir) -> None:
    """Warn of clips that a step is going to remove from a dump, since they are not in its data dir.

    No error: a corpus may become smaller.

    Args:
        dump: folder of the feature types.
        kinds: feature types of the step.
        data: data dir that it is given.
    """
    for folder in (dump / kind for kind in kinds):
        if not (folder / INDEX).exists():
            continue
        try:
            there = Archive(folder).ids
        except LipsoundError:  # what is damaged is made again anyway
            continue
        others = np.flatnonzero(data.ids.places(there) < 0)
        if len(others):
            _log.warning(
                "%s: %d clips are not in %s and are removed, '%s' first; to keep them, stop this, and give the data "
                "dir of all clips, such as data/all, or another dump",
                *(folder, len(others), data.path, there[int(others[0])]),
            )


def read_failures(dump: Path | str) -> list[tuple[str, str, str, str]]:
    """Rows (id, step, reason, detail) of a dump's failures.tsv; none when there is no such file."""
    path = Path(dump) / FAILURES
    if not path.exists():
        return []
    rows = []
    for _, line in read_lines(path):
        name, step, reason, detail, *_ = [*line.split("\t"), "", "", ""]
        rows.append((name, step, reason, detail))
    return rows


def _shards(
    dump: Path,
    kinds: Mapping[str, Mapping[str, Any]],
    ids: Sequence[str],
    fingerprint: Mapping[str, Any],
    inputs: Mapping[str, str | Sequence[str]],
    facts: Mapping[str, Sequence[Any]],
    size: int,
    num_frames: Callable[[str, np.ndarray], int],
) -> list[Shard]:
    """The sorted ids in runs, each with the hash of what goes in."""
    names = sorted(ids)
    shards = []
    for number, start in enumerate(range(0, len(names), size)):
        part = tuple(names[start : start + size])
        sources = [[*_state(inputs.get(name, ())), *facts.get(name, ())] for name in part]
        hashes = {kind: hash_of(part, sources, fingerprint, kind, content) for kind, content in kinds.items()}
        shards.append(Shard(dump, number, part, kinds, hashes, num_frames))
    return shards


def _state(source: str | Sequence[str]) -> list[list[int]]:
    """Size and modification time of each file; empty for one that is absent."""
    states = []
    for path in [source] if isinstance(source, str) else source:
        try:
            status = os.stat(path)  # noqa: PTH116 - Path takes three times as long, and there may be a million
            states.append([status.st_size, status.st_mtime_ns])
        except OSError:
            states.append([])  # the worker will report it
    return states


def _plan(dump: Path, step: str, shards: list[Shard]) -> _Plan:
    """Which shards are whole, without failures of the machine.

    In a finished dump, deleting a clip's line in failures.tsv makes its shard be computed again.
    """
    known = [shard.failures() for shard in shards]
    known = [None if f is not None and any(failure.passing for failure in f) else f for f in known]
    if all((dump / kind / _WHOLE).exists() for kind in shards[0].kinds):
        listed = {name for name, owner, _, _ in read_failures(dump) if owner == step}
        known = [None if f is not None and any(failure.id not in listed for failure in f) else f for f in known]
    return _Plan(shards, known)


def _digest(kind: str, shards: list[Shard]) -> str:
    return hash_of([shard.hashes[kind] for shard in shards])


def _is_whole(dump: Path, kind: str, shards: list[Shard]) -> bool:
    """Whether the tables of a feature type are made of these shards, and unchanged."""
    folder = dump / kind
    mark = folder / _WHOLE
    if not mark.exists() or mark.read_bytes().strip() != _digest(kind, shards).encode():
        return False
    if not (folder / SIZES).exists():  # of an earlier version, which noted no sizes: only presence is checked
        tables = shards[0].rows(kind) if shards[0].is_readable() else {}
        if not tables or not all((folder / name).exists() for name in ("kind.yaml", INDEX, FRAMES, *tables)):
            return False
        _note(folder)
    return not changed(folder)


def _note(folder: Path) -> None:
    """Note the sizes of the tables and archives of a feature type."""
    tables = [path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    note_sizes(folder, [*tables, *(f"shards/{path.name}" for path in (folder / "shards").glob("[!.]*.ark"))])


def _open_up(dump: Path, kinds: Mapping[str, Mapping[str, Any]]) -> None:
    """Remove the indices before shards change."""
    for kind, content in kinds.items():
        folder = dump / kind
        (folder / "shards").mkdir(parents=True, exist_ok=True)
        for path in [folder / _WHOLE, folder / SIZES, folder / FRAMES, *folder.glob("*.scp"), *folder.glob("*.tsv")]:
            path.unlink(missing_ok=True)
        write_yaml(folder / "kind.yaml", content)


def _sweep(dump: Path, kinds: Mapping[str, Any]) -> None:
    """Remove temporary files of processes that were killed: nobody else works on this step now."""
    for kind in kinds:
        for path in [*(dump / kind).glob(".*.tmp*"), *(dump / kind / "shards").glob(".*.tmp*")]:
            path.unlink(missing_ok=True)


def _compute(
    array: Array | None,
    todo: list[Shard],
    make_worker: Callable[[], Worker],
    nj: int,
    timeout: float | None,
    step: str,
) -> None:
    try:
        if array is not None:
            compute_shards(array, todo, make_worker, nj, timeout)
            return
        clips = sum(len(shard.ids) for shard in todo)
        with progress(total=clips, desc=step, unit="clip", disable=not todo) as bar:

            def count(finished: int, failed: int) -> None:
                bar.set_postfix(failed=failed, refresh=False)
                bar.update(finished)

            Workers(make_worker, nj, timeout, count).run(todo)
    except LipsoundError as error:
        raise LipsoundError(f"{step}: {error}; whole shards are kept: run the same command again to go on") from error


def _merge(folder: Path, kind: str, shards: list[Shard]) -> None:
    """Join the tables of the shards, the index last, and remove files of shards that are not among them."""
    with contextlib.ExitStack() as stack:
        files: dict[str, IO[str]] = {}

        def table(name: str) -> IO[str]:
            if name not in files:
                temporary = stack.enter_context(atomic_path(folder / name))
                files[name] = stack.enter_context(temporary.open("w", encoding="utf-8"))
            return files[name]

        # Closed in reverse order: the index, opened first, appears when all the others stand.
        table(INDEX)
        table(FRAMES)
        # Shards are runs of sorted ids, so joined tables are sorted.
        for shard in shards:
            for name, rows in shard.rows(kind).items():
                blank = "\t" if name.endswith(".tsv") else " "
                table(name).writelines(f"{key}{blank}{value}\n" for key, value in rows.items())
    belong = {shard.path(kind, "").name for shard in shards}
    for path in (folder / "shards").iterdir():
        if path.name.split(".")[0] not in belong:
            path.unlink(missing_ok=True)


def _write_failures(dump: Path, step: str, failures: list[Failure]) -> None:
    """Replace this step's rows in failures.tsv; steps that run at once take turns."""
    with turn(dump / FAILURES):
        sweep(dump)
        rows = [row for row in read_failures(dump) if row[1] != step]
        rows += [(failure.id, step, failure.reason, failure.detail) for failure in failures]
        write_text(dump / FAILURES, "".join("\t".join(row) + "\n" for row in sorted(rows)))


def _summary(
    dump: Path, step: str, failures: list[Failure], computed: set[str], total: int, max_failures: float
) -> StepSummary:
    failed = {failure.id for failure in failures}
    done = len(computed - failed)
    summary = StepSummary(done, total - done - len(failed), len(failed))
    counts = ", ".join(f"{reason} {n}" for reason, n in Counter(f.reason for f in failures).most_common())
    text = f"{step}: {total} clips, {summary.done} done, {summary.skipped} done before, {summary.failed} failed"
    _log.info("%s", f"{text} ({counts}), see {dump / FAILURES}" if counts else text)
    lost = [failure for failure in failures if failure.reason == MACHINE]
    if lost:
        raise LipsoundError(
            f"{step}: the machine failed {len(lost)} of {total} clips, the first one '{lost[0].id}': {lost[0].detail}; "
            "the rest is kept: run the same command again to try them once more (a clip that no run gets through can "
            "be taken out of the data dir)"
        )
    if again := sum(failure.passing for failure in failures):
        _log.warning("%s: %d clips ended their worker or took too long; the next run tries them again", step, again)
    if len(failed) > max_failures * total:
        raise LipsoundError(
            f"{step}: {len(failed)} of {total} clips failed ({counts}), more than --max-failures {max_failures:g} "
            f"allows; see {dump / FAILURES}"
        )
    return summary
