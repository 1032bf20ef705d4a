"""Slurm's commands as functions: submit a script, list jobs, cancel them."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from lipsound2.errors import LipsoundError
from lipsound2.old_names import SBATCH_STEPS

log = logging.getLogger(__name__)

OPTIONS = "LIPSOUND2_SBATCH"
# A job in any other state has not ended, or Slurm will run it again.
ENDED = frozenset({"COMPLETED", "FAILED", "OUT_OF_MEMORY", "CANCELLED", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL"})
ENDED |= {"TIMEOUT", "DEADLINE", "REVOKED"}
_PATIENCE = 600.0  # seconds Slurm's controller may be away, such as for a restart
# Messages of the commands when the controller does not answer, or not in time.
_AWAY = (
    "unable to contact slurm controller",
    "socket timed out",
    "connection refused",
    "connection timed out",
    "zero bytes were transmitted",
    "controller is in standby mode",
    "communication connection failure",
    "communication shutdown failure",
    "slurm temporarily unable to accept job",
    "resource temporarily unavailable",
    "unexpected message received",
)


@dataclass(frozen=True)
class Job:
    """A job, or a task of an array, as `squeue` lists it.

    Attributes:
        id: of the job, or of the whole array.
        index: of the task in the array; 0 for other jobs.
        state: such as `RUNNING`.
        reason: why it waits.
    """

    id: int
    index: int
    state: str
    reason: str

    @property
    def ended(self) -> bool:
        """Whether it is over, well or not."""
        return self.state in ENDED


def options(step: str) -> list[str]:
    """The user's options of sbatch for a step: those for all, then its own, which win.

    Args:
        step: `crop`, `audio`, `mel-fine`, `train`, ...: `LIPSOUND2_SBATCH_MEL` serves every step `mel-...`.
    """
    found: list[str] = []
    own = step.partition("-")[0].upper()
    former = f"{OPTIONS}_{SBATCH_STEPS[own]}" if own in SBATCH_STEPS else ""
    if os.environ.get(former):
        log.info("%s is read: today it is %s_%s", former, OPTIONS, own)
    for name in filter(None, (OPTIONS, former, f"{OPTIONS}_{own}")):
        try:
            found += shlex.split(os.environ.get(name, ""))
        except ValueError as error:
            raise LipsoundError(f"{name}: {error} in {os.environ[name]!r}; it holds options of sbatch") from error
    return found


def check() -> None:
    """Check that Slurm's commands exist and Slurm answers.

    Raises:
        LipsoundError: they do not.
    """
    _call("sbatch", ["--version"])
    _call("squeue", ["--noheader", f"--user={os.geteuid()}"])


def job_name(folder: Path, step: str) -> str:
    """The name by which this step's jobs are found again; it depends on the folder."""
    place = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]
    return f"lipsound2-{step}-{place}"


def submit(script: Path, name: str, wanted: Sequence[str]) -> int:
    """Submit a job script that runs in this working directory; returns the job's id.

    Raises:
        LipsoundError: Slurm refuses it; the message is Slurm's.
    """
    where = ["--parsable", f"--job-name={name}", f"--chdir={Path.cwd()}"]
    return int(_call("sbatch", [*where, *wanted, str(script)]).split(";")[0])


def jobs(name: str) -> list[Job]:
    """All jobs of this name and user that Slurm still knows: it forgets ended jobs after a while."""
    whose = [f"--user={os.geteuid()}", f"--name={name}"]
    rows = _call("squeue", ["--noheader", "--array", "--states=all", "--format=%F|%K|%T|%r", *whose])
    found = []
    for row in rows.splitlines():
        number, index, state, reason = row.strip().split("|", 3)
        found.append(Job(int(number), int(index) if index.isdigit() else 0, state, reason))
    return found


def cancel(numbers: Sequence[int]) -> None:
    """Cancel jobs or whole arrays; ended ones are ignored."""
    if numbers:
        _call("scancel", ["--quiet", *map(str, numbers)])


def cancel_all(name: str) -> None:
    """Cancel every job of this name, and wait until none of them runs."""
    logged = False
    while live := sorted({job.id for job in jobs(name) if not job.ended}):
        if not logged:
            log.info("%s: cancelling job %s", name, ", ".join(map(str, live)))
            logged = True
            cancel(live)
        time.sleep(1)


@contextlib.contextmanager
def no_survivors(name: str) -> Iterator[None]:
    """Cancel the jobs of this name when the block is left by an error, Ctrl-C or SIGTERM."""
    main = threading.current_thread() is threading.main_thread()
    # The command line handles SIGTERM itself; another program would die of it, and its jobs would live on.
    unhandled = main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if unhandled:
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except BaseException:
        try:
            cancel_all(name)
        except LipsoundError as error:
            log.error("%s: its jobs may be left: %s", name, error)
        raise
    finally:
        if unhandled:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _call(program: str, arguments: Sequence[str]) -> str:
    """Output of a command of Slurm's; it is called again while Slurm's controller is away.

    Raises:
        LipsoundError: there is no Slurm here, its controller does not answer, or it refuses.
    """
    if not shutil.which(program):
        raise LipsoundError(
            f"there is no '{program}' on this machine; jobs cannot be submitted to Slurm from here; log in "
            "to a node of the cluster, or compute on this machine: --launcher local"
        )
    end = time.monotonic() + _PATIENCE
    logged = False
    while True:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            if logged:
                log.info("Slurm answers again")
            return done.stdout
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        # The last line names the error, lines before it tell more.
        line = "; ".join(dict.fromkeys(text.removeprefix(f"{program}: ").removeprefix("error: ") for text in lines))
        if not any(sign in line.lower() for sign in _AWAY):
            advice = f"; options come from {OPTIONS} and {OPTIONS}_<STEP> (egs/site.sh)" if program == "sbatch" else ""
            raise LipsoundError(f"{program}: {line}{advice}")
        if time.monotonic() > end:
            raise LipsoundError(f"{program}: {line}; asked for {_PATIENCE:g} s")
        if not logged:
            log.warning("%s: %s; asking again for %g s", program, line, _PATIENCE)
            logged = True
        time.sleep(5)
