"""One part of a step, and what a job of an array runs: `python -m lipsound2.jobs.slurm.array_task FOLDER`.

The controlling process pickles every part into a file of the array's folder, as `multiprocessing` hands work to its
processes: planned once, not by every job, and readable by nobody's jobs but these. While it works, a job keeps a small
file up to date: how far it is, and which clips are in work, so that a clip that takes the whole job down (memory, say)
can be named.
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
_FLUSH = 2.0  # seconds between two times that other machines are shown how far this one is


class ArrayTask(Protocol):
    """Work for one job; picklable. Doing it again does what is left of it."""

    @property
    def clips(self) -> int:
        """How many clips it has."""

    def missing(self) -> int:
        """How many pieces of it are not done, as the files say: none is whole, fewer than before is progress."""

    def run(self, lost: Mapping[str, str], processes: int, report: ReportProgress) -> None:
        """Do what is left.

        Args:
            lost: id -> detail, of clips that took their job down and must not be tried.
            processes: how many may work at once.
            report: called as clips are finished.

        Raises:
            LipsoundError: the whole step is at fault, and to try again is no use.
        """


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        finished: clips, failed ones too.
        failed: of these.
        busy: ids of those in work.
    """

    finished: int = 0
    failed: int = 0
    busy: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TaskFiles:
    """The files of one part in the folder of an array.

    Attributes:
        folder: of the array.
        number: of the part, the job's index in the array.
    """

    folder: Path
    number: int

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}-{self.number}"

    @property
    def log(self) -> Path:
        """What its jobs print."""
        return self._path("log").with_suffix(".txt")

    def store(self, part: ArrayTask) -> None:
        """Write the part down for its jobs."""
        ipc.store(self._path("part"), part)

    def load(self) -> ArrayTask:
        """The part."""
        part: ArrayTask = ipc.load(self._path("part"))
        return part

    def warn(self, lost: Mapping[str, str]) -> None:
        """Tell the next job of this part what its forerunner died of: it works with one process, to know who it was."""
        write_text(self._path("lost"), json.dumps(lost))

    def warned(self) -> dict[str, str] | None:
        """Clips not to be tried, with the reason; None when no job of this part has died yet."""
        with contextlib.suppress(FileNotFoundError):
            lost: dict[str, str] = json.loads(self._path("lost").read_text(encoding="utf-8"))
            return lost
        return None

    def stop(self, error: LipsoundError) -> None:
        """Tell the controlling process that the whole step is at fault."""
        write_text(self._path("stop"), str(error))

    def stopped(self) -> str:
        """What is at fault; empty when nothing is."""
        with contextlib.suppress(FileNotFoundError):
            return self._path("stop").read_text(encoding="utf-8")
        return ""

    @contextlib.contextmanager
    def reporting(self) -> Iterator[ReportProgress]:
        """Write down how far the work is.

        Every change is in the kernel's hands at once, so that it outlives a killed process; other machines see it a
        little later. A node that fails takes the last seconds with it, and then no clip is to blame.
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
        """How far the newest job of this part is."""
        # A file that is absent, or seen half-written from another machine, says nothing.
        with contextlib.suppress(FileNotFoundError, ValueError):
            return Progress(*json.loads(self._path("progress").read_text(encoding="utf-8").split("\n")[0]))
        return Progress()


def main(folder: Path, number: int, processes: int) -> int:
    """Do a part; returns the exit status."""
    place = TaskFiles(folder, number)
    lost = place.warned()
    try:
        with place.reporting() as report:
            place.load().run(lost or {}, processes if lost is None else 1, report)
    except LipsoundError as error:
        place.stop(error)
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(
        main(Path(sys.argv[1]), int(os.environ["SLURM_ARRAY_TASK_ID"]), int(os.environ.get("SLURM_CPUS_PER_TASK", "1")))
    )
