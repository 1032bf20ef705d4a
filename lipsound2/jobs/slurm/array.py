"""A step as a job array: submitted and watched; tasks that are not done are submitted again.

Files decide: a task is done when its output is whole, whatever Slurm says about its job. Slurm is only asked which
jobs are live, by their name, so that jobs of a killed controlling process are found again.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from lipsound2.errors import LipsoundError
from lipsound2.files import write_text
from lipsound2.jobs.slurm import commands
from lipsound2.jobs.slurm.array_task import ArrayTask, TaskFiles
from lipsound2.jobs.slurm.commands import Job
from lipsound2.jobs.slurm.ipc import FOLDER, make_private
from lipsound2.progress import progress

log = logging.getLogger(__name__)

TRIES = 3  # jobs of one task in a row that may end without progress
STRIKES = 2  # jobs that may end while the same clip is in work
_TAIL = 20  # lines of a log that are shown
_QUICK, _SLOW = 1.0, 15.0  # seconds between two looks: soon after a change, and in the long run
# States of jobs that ended without any fault of the clips.
_INNOCENT = commands.ENDED - {"FAILED", "OUT_OF_MEMORY"}


class Array:
    """The job array of one step.

    Args:
        where: folder of the output, which every node sees.
        step: name of the step.
        plan: digest of the work; jobs that were submitted for the same plan may finish.
        threaded: a job computes in one process with a thread for each core.
        ngpu: GPUs of a job.
    """

    def __init__(self, where: Path, step: str, plan: str, *, threaded: bool = False, ngpu: int = 0) -> None:
        commands.check()
        self.folder = where / FOLDER / step
        self._step = step
        self._name = commands.job_name(self.folder, step)
        self._options = [*([f"--gres=gpu:{ngpu}"] if ngpu else []), *commands.options(step)]
        self._threaded = threaded
        self._plan = "\n".join([plan, *self._options])
        self._files: list[TaskFiles] = []
        self._submitted: dict[int, int] = {}  # task -> id of its newest job
        self._tries: Counter[int] = Counter()
        self._strikes: Counter[str] = Counter()
        self._lost: dict[int, dict[str, str]] = {}

    def finish_left(self) -> None:
        """Wait for jobs of the same plan that a killed controlling process left; cancel others."""
        mark = self.folder / "plan"
        if mark.exists() and mark.read_text(encoding="utf-8") == self._plan:
            with commands.no_survivors(self._name):
                logged = False
                for live in self._looks():
                    if not live:
                        break
                    if not logged:
                        log.info("%s: waiting for %d jobs that an earlier run submitted", self._step, len(live))
                        logged = True
        clear(self.folder.parent.parent, self._step)

    def run(self, tasks: Sequence[ArrayTask]) -> None:
        """Run all tasks.

        Raises:
            LipsoundError: Slurm refuses the jobs, the jobs of a task end again and again without progress, or a worker
                raises one. No job is left behind.
        """
        make_private(self.folder)
        self._files = [TaskFiles(self.folder, number) for number in range(len(tasks))]
        for files, task in zip(self._files, tasks, strict=True):
            files.store(task)
        write_text(self.folder / "script.sh", self._script())
        write_text(self.folder / "plan", self._plan)
        waiting = dict(enumerate(tasks))
        missing = {number: task.missing() for number, task in waiting.items()}
        with (
            commands.no_survivors(self._name),
            progress(total=sum(task.clips for task in tasks), desc=self._step, unit="clip", miniters=0) as bar,
        ):
            self._submit(list(waiting))
            for live in self._looks():
                again = []
                for number in sorted(waiting.keys() - live.keys()):
                    before, missing[number] = missing[number], waiting[number].missing()
                    if missing[number]:
                        self._again(number, missing[number] < before)
                        again.append(number)
                    else:
                        del waiting[number]
                self._show(bar, live)
                if not waiting:
                    break
                if again:
                    self._submit(again)
        remove(self.folder)

    def _script(self) -> str:
        command = [sys.executable, "-m", "lipsound2.jobs.slurm.array_task", str(self.folder.absolute())]
        threads = "export OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}\n" if self._threaded else ""
        return f"#!/bin/bash\n{threads}exec {shlex.join(command)}\n"

    def _submit(self, numbers: Sequence[int]) -> None:
        """Submit jobs for these tasks."""
        wanted = [
            f"--array={','.join(map(str, numbers))}",
            f"--output={self.folder.absolute()}/log-%a.txt",
            "--open-mode=append",
            "--export=ALL",
            # Slurm itself would wait two minutes before it runs a job again.
            "--no-requeue",
        ]
        job = commands.submit(self.folder / "script.sh", self._name, [*self._options, *wanted])
        self._submitted.update(dict.fromkeys(numbers, job))

    def _looks(self) -> Iterator[dict[int, Job]]:
        """The live jobs by task number, polled again and again."""
        self._jobs: list[Job] = []
        pause, seen = _QUICK, None
        while True:
            self._jobs = commands.jobs(self._name)
            live = {job.index: job for job in self._jobs if not job.ended}
            yield live
            states = Counter(job.state for job in live.values())
            pause = _QUICK if states != seen else min(_SLOW, pause * 1.2)
            seen = states
            time.sleep(pause)

    def _again(self, number: int, further: bool) -> None:
        """Handle a task that is not done though its job ended: find the cause, refuse it after too many tries."""
        job = self._submitted[number]
        state = next((each.state for each in self._jobs if (each.id, each.index) == (job, number)), "gone")
        files = self._files[number]
        if stopped := files.stopped():
            self._show_log(files)
            raise LipsoundError(stopped)
        lost = self._lost.setdefault(number, {})
        if state not in _INNOCENT:
            busy = files.progress().busy
            # With several clips in work the cause is unknown; the next job takes one at a time.
            if len(busy) == 1:
                name = busy[0]
                self._strikes[name] += 1
                if self._strikes[name] >= STRIKES:
                    lost[name] = f"its job ended as {state}, tried {STRIKES} times"
                    further = True
            files.warn(lost)
        self._tries[number] = 0 if further else self._tries[number] + 1
        if self._tries[number] >= TRIES:
            self._show_log(files)
            raise LipsoundError(
                f"job {job}_{number} ended as {state}, after {TRIES} jobs in a row without progress; "
                f"their log is {files.log}"
            )
        log.warning("%s: job %d_%d ended as %s; what is missing is submitted again", self._step, job, number, state)

    def _show_log(self, files: TaskFiles) -> None:
        with contextlib.suppress(FileNotFoundError):
            lines = files.log.read_text(encoding="utf-8", errors="replace").splitlines()
            log.error("the end of %s:\n%s", files.log, "\n".join(lines[-_TAIL:]))

    def _show(self, bar: tqdm, live: dict[int, Job]) -> None:
        """Show the progress of all jobs."""
        progress = [files.progress() for files in self._files]
        states = Counter("running" if job.state == "RUNNING" else "waiting" for job in live.values())
        shown: dict[str, str | int] = {"failed": sum(each.failed for each in progress), **states}
        reasons = Counter(job.reason for job in live.values() if job.state == "PENDING")
        if reasons:
            shown["reason"] = max(reasons, key=reasons.__getitem__)
        bar.set_postfix(shown, refresh=False)
        bar.update(max(0, sum(each.finished for each in progress) - bar.n))


def clear(where: Path, step: str) -> None:
    """Cancel jobs that an earlier run of a step left, and remove the array's folder.

    Raises:
        LipsoundError: Slurm cannot be asked from here.
    """
    folder = where / FOLDER / step
    if not folder.exists():
        return
    try:
        commands.cancel_all(commands.job_name(folder, step))
    except LipsoundError as error:
        raise LipsoundError(
            f"{folder} is left from a run with --launcher slurm, whose jobs may still run ({error}); delete it "
            "when they have ended"
        ) from error
    remove(folder)


def remove(folder: Path) -> None:
    """Remove the folder of an array, and its parent if that is empty."""
    shutil.rmtree(folder)
    with contextlib.suppress(OSError):  # another step's array lies there
        folder.parent.rmdir()
