"""Map a function over batches of clips, here or in a job array; compute shards of archives in a job array."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from lipsound2.errors import LipsoundError
from lipsound2.files import look_again
from lipsound2.jobs.shards import KILLED, Failure, Shard, Worker, hash_of
from lipsound2.jobs.slurm import ipc
from lipsound2.jobs.slurm.array import Array, clear, remove
from lipsound2.jobs.slurm.array_task import ReportProgress
from lipsound2.jobs.slurm.ipc import FOLDER
from lipsound2.jobs.workers import Workers
from lipsound2.progress import progress

LAUNCHERS = ("local", "slurm")
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class ShardTask:
    """Shards for one array task, which computes them as the local launcher does.

    Attributes:
        make_worker: see `jobs.dump_clips`.
        shards: what to compute.
        timeout: seconds one clip may take; None for any.
    """

    make_worker: Callable[[], Worker]
    shards: tuple[Shard, ...]
    timeout: float | None

    @property
    def clips(self) -> int:
        """Number of clips in the shards."""
        return sum(len(shard.ids) for shard in self.shards)

    def missing(self) -> int:
        """Number of shards that are not done."""
        for kind in self.shards[0].kinds:
            look_again(self.shards[0].path(kind, "").parent)
        return sum(shard.failures() is None for shard in self.shards)

    def run(self, lost: Mapping[str, str], processes: int, report: ReportProgress) -> None:
        """Compute the shards that are not done."""
        done = {shard.number: shard.failures() for shard in self.shards}
        finished = sum(len(shard.ids) for shard in self.shards if done[shard.number] is not None)
        failed = sum(len(failures) for failures in done.values() if failures is not None)

        def progress(more: int, failures: int) -> None:
            nonlocal finished
            finished += more
            report(finished, failed + failures, workers.busy)

        failures = {name: Failure(name, KILLED, detail) for name, detail in lost.items()}
        workers = Workers(self.make_worker, processes, self.timeout, progress, failures)
        workers.run([shard for shard in self.shards if done[shard.number] is None])


def batches(items: Sequence[Item], size: int = 16) -> list[Sequence[Item]]:
    """Items in batches of `size`; the last one may be shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def reconcile(launcher: str, where: Path, step: str, plan: str, **kind: Any) -> Array | None:
    """Wait for jobs that an earlier run of a step left, or cancel them; the step's lock must be held.

    Args:
        launcher: `local` or `slurm`.
        where: folder of the output.
        step: name of the step.
        plan: digest of the work.
        kind: further arguments of `Array`.

    Returns:
        The job array, with `slurm`.

    Raises:
        LipsoundError: there is no such launcher, or Slurm cannot be asked.
    """
    if launcher not in LAUNCHERS:
        raise LipsoundError(f"{step}: unknown launcher '{launcher}'; known: {', '.join(LAUNCHERS)}")
    if launcher == "local":
        clear(where, step)
        return None
    array = Array(where, step, plan, **kind)
    array.finish_left()
    return array


def compute_shards(
    array: Array, shards: Sequence[Shard], make_worker: Callable[[], Worker], nj: int, timeout: float | None
) -> None:
    """Compute shards in an array of `nj` jobs.

    Args:
        array: from `reconcile`.
        shards: the shards to compute.
        make_worker: see `jobs.dump_clips`.
        nj: jobs.
        timeout: seconds one clip may take; None for any.

    Raises:
        LipsoundError: see `Array.run`.
    """
    for shard in shards:  # a whole shard that is to be computed again must not look done
        for kind in shard.kinds:
            shard.path(kind, ".done").unlink(missing_ok=True)
    # Distributed round robin: neighbors in name have similar lengths, and every job gets its share.
    count = min(nj, len(shards))
    if count:
        array.run([ShardTask(make_worker, tuple(shards[number::count]), timeout) for number in range(count)])


@dataclass(frozen=True)
class BatchTask(Generic[Item, Result]):
    """Batches for one array task; results lie in files until they are collected.

    Attributes:
        make_worker: makes the function from a batch to its result.
        batches: by number.
        folder: of the results.
    """

    make_worker: Callable[[], Callable[[Sequence[Item]], Result]]
    batches: Mapping[int, Sequence[Item]]
    folder: Path

    @property
    def clips(self) -> int:
        """Number of items in the batches."""
        return sum(map(len, self.batches.values()))

    def missing(self) -> int:
        """Number of batches without a result."""
        look_again(self.folder)
        return sum(not self._path(number).exists() for number in self.batches)

    def _path(self, number: int) -> Path:
        return self.folder / str(number)

    def run(self, lost: Mapping[str, str], processes: int, report: ReportProgress) -> None:
        """Process the batches without a result, in this process."""
        worker = self.make_worker()
        finished = 0
        for number, batch in self.batches.items():
            if not self._path(number).exists():
                ipc.store(self._path(number), worker(batch))
            finished += len(batch)
            report(finished, 0, [])


def map_batches(
    make_worker: Callable[[], Callable[[Sequence[Item]], Result]],
    batches: Sequence[Sequence[Item]],
    *,
    where: Path,
    step: str,
    made_of: object,
    nj: int,
    launcher: str,
    ngpu: int = 0,
) -> Iterator[Result]:
    """Map a function over batches, in this process or in a job array; results come in order.

    Args:
        make_worker: makes the function from a batch to its result; with `slurm`, it and the results are picklable.
        batches: of clips.
        where: folder of the output.
        step: name of the step.
        made_of: everything the results depend on; if it is unchanged, results of a killed run are used again.
        nj: jobs, with `slurm`.
        launcher: `local`, in this process, or `slurm`.
        ngpu: GPUs of a job.

    Raises:
        LipsoundError: from the worker, or see `Array.run`.
    """
    plan = hash_of(made_of, batches, nj)
    array = reconcile(launcher, where, step, plan, threaded=True, ngpu=ngpu)
    if array is None:
        worker = make_worker()
        return (worker(batch) for batch in _shown(batches, step))
    results = where / FOLDER / f"{step}-results" / plan
    ipc.make_private(results)
    left = {number: batch for number, batch in enumerate(batches) if not (results / str(number)).exists()}
    count = min(nj, len(left))
    if count:
        shares = [list(left)[start::count] for start in range(count)]
        array.run([BatchTask(make_worker, {number: left[number] for number in share}, results) for share in shares])
    return _collect(results, len(batches))


def _collect(results: Path, count: int) -> Iterator[Result]:
    for number in range(count):
        # Written by jobs of this run, or of a killed one with the same plan.
        yield ipc.load(results / str(number))
    remove(results.parent)


def _shown(batches: Sequence[Sequence[Item]], step: str) -> Iterator[Sequence[Item]]:
    with progress(total=sum(map(len, batches)), desc=step, unit="clip") as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))
