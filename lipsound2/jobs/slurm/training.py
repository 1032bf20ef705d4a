"""A training as one job on the nodes that sbatch's options request, followed on the console until it ends.

The job outlives this process. After preemption, a failed node or its time limit, Slurm runs it again, and the trainer
resumes from its newest checkpoint. The same command follows the job again; Ctrl-C cancels it.
"""

from __future__ import annotations

import logging
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lipsound2.errors import LipsoundError
from lipsound2.files import folder_lock, write_text
from lipsound2.jobs.slurm import commands
from lipsound2.jobs.slurm.ipc import FOLDER

log = logging.getLogger(__name__)

STEP = "train"
TRIES = 3  # jobs in a row that may end without an error and without a new checkpoint
_PAUSE = 2.0  # seconds between two looks
# Seconds before its time limit at which a job gets the signal to write a checkpoint.
_WARNING = 120
# A stopped job goes back into the queue with its id, so that this process keeps following it; a cancelled one is
# refused there.
_SCRIPT = """#!/bin/bash
export SRUN_CPUS_PER_TASK=${{SLURM_CPUS_PER_TASK:-1}}
rm -f {mark}
srun --ntasks-per-node=1 --kill-on-bad-exit=1 {command}
status=$?
[ ! -e {mark} ] || scontrol requeue "$SLURM_JOB_ID"
exit $status
"""


def follow(exp: Path, arguments: Sequence[str], ngpu: int, done: Callable[[], bool], mark: Callable[[], object]) -> int:
    """Run `lipsound2 ARGUMENTS` on a cluster until it is done; returns the exit status.

    Args:
        exp: folder of the experiment, on a file system of all nodes.
        arguments: verb and options.
        ngpu: GPUs, and processes, on each node; 0: one process on CPUs.
        done: whether the training has ended, by its files.
        mark: a value that changes as the training proceeds.

    Raises:
        LipsoundError: Slurm refuses the job, the training fails, or its job ends again and again.
    """
    commands.check()
    folder = exp / FOLDER / STEP
    name = commands.job_name(folder, STEP)
    with folder_lock(folder, "train --launcher slurm"), commands.no_survivors(name):
        console = _Console(folder / "log.txt")
        live = [job.id for job in commands.jobs(name) if not job.ended]
        if live:
            log.info("following job %d, which an earlier run submitted", live[0])
            console.skip()
        number = live[0] if live else _submit(folder, name, arguments, ngpu)
        tries, before = 0, mark()
        while True:
            state = _wait(number, name, console)
            if done():
                break
            if state in ("FAILED", "OUT_OF_MEMORY", "CANCELLED"):
                raise LipsoundError(f"job {number} ended as {state}; its log is {console.path}, see its end above")
            tries = tries + 1 if mark() == before else 0
            if tries >= TRIES:
                raise LipsoundError(f"job {number} ended as {state}, after {TRIES} jobs without a new checkpoint")
            before = mark()
            log.warning("job %d ended as %s; submitted again, it resumes from the newest checkpoint", number, state)
            number = _submit(folder, name, arguments, ngpu)
    shutil.rmtree(exp / FOLDER)
    return 0


def _submit(folder: Path, name: str, arguments: Sequence[str], ngpu: int) -> int:
    """Submit the job; returns its id."""
    mark = str(folder.absolute() / "stopped")
    command = [sys.executable, "-m", "lipsound2.jobs.slurm.node", mark, str(ngpu), *arguments]
    write_text(folder / "script.sh", _SCRIPT.format(command=shlex.join(command), mark=shlex.quote(mark)))
    wanted = [f"--gres=gpu:{ngpu}"] if ngpu else []
    wanted += [f"--signal=TERM@{_WARNING}", "--requeue", *commands.options(STEP)]
    wanted += [f"--output={(folder / 'log.txt').absolute()}", "--open-mode=append", "--export=ALL"]
    number = commands.submit(folder / "script.sh", name, wanted)
    log.info("job %d is submitted; Ctrl-C cancels it", number)
    return number


def _wait(number: int, name: str, console: _Console) -> str:
    """Wait until a job has ended, with its log on the console; returns its last state, `gone` if Slurm forgot it."""
    shown = ""
    while True:
        job = next((each for each in commands.jobs(name) if each.id == number), None)
        console.show()
        if job is None or job.ended:
            return job.state if job else "gone"
        state = f"{job.state} ({job.reason})" if job.state == "PENDING" else job.state
        if state != shown:
            log.info("job %d: %s", number, state)
            shown = state
        time.sleep(_PAUSE)


class _Console:
    """Copies a growing file to standard output."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = 0

    def skip(self) -> None:
        """Skip the present content."""
        self._place = self.path.stat().st_size if self.path.exists() else 0

    def show(self) -> None:
        """Print what was added since the last time."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._place)
                text = file.read()
            self._place += len(text)
            sys.stdout.write(text.decode("utf-8", errors="replace"))
            sys.stdout.flush()
