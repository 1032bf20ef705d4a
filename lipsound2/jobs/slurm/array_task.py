"""One task of a job array, and what its job runs: `python -m lipsound2.jobs.slurm.array_task FOLDER`.

The controlling process pickles every task into a file of the array's folder, as `multiprocessing` does: the work is
planned once, not by every job. While it works, a job keeps a small file up to date with its progress and the clips in
work. So a clip that kills the whole job (by its memory, say) can be named.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lipsound2.errors import LipsoundError
from lipsound2.files import write_text
from lipsound2.jobs.slurm import ipc

ReportProgress = Callable[[int, int, Sequence[str]], None]  # clips finished, failed, ids in work
_FLUSH = 2.0  # seconds between two writes that other machines see


class ArrayTask(Protocol):
    """Work for one job; picklable. Running it again does what is left."""

    @property
    def clips(self) -> int:
        """Number of clips."""

    def missing(self) -> int:
        """Number of shards or batches that are not done, by their files; fewer than before is progress."""

    def run(self, lost: Mapping[str, str], processes: int, report: ReportProgress) -> None:
        """Do what is left.

        Args:
            lost: id -> detail, of clips that killed their job and are not tried.
            processes: number of worker processes.
            report: called as clips are finished.

        Raises:
            LipsoundError: the whole step is at fault; trying again would not help.
        """


@dataclass(frozen=True)
class Progress:
    """Progress of a job.

    Attributes:
        finished: clips, failed ones included.
        failed: clips that failed.
        busy: ids of clips in work.
    """

    finished: int = 0
    failed: int = 0
    busy: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TaskFiles:
    """The files of one task in the folder of an array.

    Attributes:
        folder: of the array.
        number: of the task, its index in the array.
    """

    folder: Path
    number: int

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}-{self.number}"

    @property
    def log(self) -> Path:
        """Output of its jobs."""
        return self._path("log").with_suffix(".txt")

    def store(self, task: ArrayTask) -> None:
        """Write the task for its jobs."""
        ipc.store(self._path("part"), task)

    def load(self) -> ArrayTask:
        """Read the task."""
        task: ArrayTask = ipc.load(self._path("part"))
        return task

    def warn(self, lost: Mapping[str, str]) -> None:
        """Tell the next job of this task that one before died: it works with one process, to find the clip."""
        write_text(self._path("lost"), json.dumps(lost))

    def warned(self) -> dict[str, str] | None:
        """Clips that are not tried, with the reason; None if no job of this task has died yet."""
        with contextlib.suppress(FileNotFoundError):
            lost: dict[str, str] = json.loads(self._path("lost").read_text(encoding="utf-8"))
            return lost
        return None

    def stop(self, error: LipsoundError) -> None:
        """Tell the controlling process that the whole step is at fault."""
        write_text(self._path("stop"), str(error))

    def stopped(self) -> str:
        """The fault of the whole step; empty if there is none."""
        with contextlib.suppress(FileNotFoundError):
            return self._path("stop").read_text(encoding="utf-8")
        return ""

    @contextlib.contextmanager
    def reporting(self) -> Iterator[ReportProgress]:
        """Write the progress of the work to a file.

        The kernel has every change at once, so it outlives a killed process; other machines see it a little later. A
        node that fails loses the last seconds, and then no clip is blamed.
        """
        flushed = 0.0
        descriptor = os.open(self._path("progress"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:

            def report(finished: int, failed: int, busy: Sequence[str]) -> None:
                nonlocal flushed
                line = json.dumps([finished, failed, list(busy)]).encode() + b"\n"
                os.ftruncate(descriptor, os.pwrite(descriptor, line, 0))
                if time.monotonic() - flushed > _FLUSH:
                    os.fsync(descriptor)
                    flushed = time.monotonic()

            yield report
        finally:
            os.close(descriptor)

    def progress(self) -> Progress:
        """Progress of the newest job of this task."""
        # The file may be absent, or seen half-written from another machine.
        with contextlib.suppress(FileNotFoundError, ValueError):
            return Progress(*json.loads(self._path("progress").read_text(encoding="utf-8").split("\n")[0]))
        return Progress()


def main(folder: Path, number: int, processes: int) -> int:
    """Run a task; returns the exit status."""
    files = TaskFiles(folder, number)
    lost = files.warned()
    try:
        with files.reporting() as report:
            files.load().run(lost or {}, processes if lost is None else 1, report)
    except LipsoundError as error:
        files.stop(error)
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(
        main(Path(sys.argv[1]), int(os.environ["SLURM_ARRAY_TASK_ID"]), int(os.environ.get("SLURM_CPUS_PER_TASK", "1")))
    )
