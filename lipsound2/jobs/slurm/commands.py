"""Slurm's commands, as plain calls: submit a script, see what became of it, cancel it."""

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
# A job in any other state is still to end, or to be run again by Slurm itself.
ENDED = frozenset({"COMPLETED", "FAILED", "OUT_OF_MEMORY", "CANCELLED", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL"})
ENDED |= {"TIMEOUT", "DEADLINE", "REVOKED"}
_PATIENCE = 600.0  # seconds Slurm's controller may be away, as while it is restarted
# What the commands say when it is not the request that is wrong: nobody answers, or not in time.
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
    """A job, or an element of an array, as `squeue` tells it.

    Attributes:
        id: of the job, or of the whole array.
        index: in the array; 0 for a job that is none.
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
    """Refuse to begin where Slurm's commands are not at hand, or Slurm does not answer.

    Raises:
        LipsoundError: what is missing.
    """
    _call("sbatch", ["--version"])
    _call("squeue", ["--noheader", f"--user={os.geteuid()}"])


def job_name(folder: Path, step: str) -> str:
    """The name by which this step's jobs are found again; another folder's have another."""
    place = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]
    return f"lipsound2-{step}-{place}"


def submit(script: Path, name: str, wanted: Sequence[str]) -> int:
    """Submit a job script that runs in this working directory; returns the job's id.

    Raises:
        LipsoundError: Slurm refuses it, in Slurm's words.
    """
    where = ["--parsable", f"--job-name={name}", f"--chdir={Path.cwd()}"]
    return int(_call("sbatch", [*where, *wanted, str(script)]).split(";")[0])


def jobs(name: str) -> list[Job]:
    """All jobs of this name and user that Slurm still remembers: it forgets ended ones after a while."""
    whose = [f"--user={os.geteuid()}", f"--name={name}"]
    rows = _call("squeue", ["--noheader", "--array", "--states=all", "--format=%F|%K|%T|%r", *whose])
    found = []
    for row in rows.splitlines():
        number, index, state, reason = row.strip().split("|", 3)
        found.append(Job(int(number), int(index) if index.isdigit() else 0, state, reason))
    return found


def cancel(numbers: Sequence[int]) -> None:
    """Cancel jobs, or whole arrays; one that has ended is no mistake."""
    if numbers:
        _call("scancel", ["--quiet", *map(str, numbers)])


def cancel_all(name: str) -> None:
    """Cancel every job of this name, and wait until none of them runs any more."""
    told = False
    while live := sorted({job.id for job in jobs(name) if not job.ended}):
        if not told:
            log.info("%s: cancelling job %s", name, ", ".join(map(str, live)))
            told = True
            cancel(live)
        time.sleep(1)


@contextlib.contextmanager
def no_survivors(name: str) -> Iterator[None]:
    """Cancel the jobs of this name when the block is left by an error, Ctrl-C or SIGTERM."""
    main = threading.current_thread() is threading.main_thread()
    # The command line answers SIGTERM itself; a program that does not would die of it, and the jobs live on.
    unheard = main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if unheard:
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
        if unheard:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _call(program: str, arguments: Sequence[str]) -> str:
    """What a command of Slurm's prints; asked again while Slurm's controller is away.

    Raises:
        LipsoundError: there is no Slurm here, it stays away, or it refuses.
    """
    if not shutil.which(program):
        raise LipsoundError(f"there is no '{program}' on this machine: it is no place to submit jobs to Slurm from")
    end = time.monotonic() + _PATIENCE
    told = False
    while True:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            if told:
                log.info("Slurm answers again")
            return done.stdout
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        # The last line is the verdict, those before it say more.
        line = "; ".join(dict.fromkeys(text.removeprefix(f"{program}: ").removeprefix("error: ") for text in said))
        if not any(sign in line.lower() for sign in _AWAY):
            advice = f"; options come from {OPTIONS} and {OPTIONS}_<STEP> (egs/site.sh)" if program == "sbatch" else ""
            raise LipsoundError(f"{program}: {line}{advice}")
        if time.monotonic() > end:
            raise LipsoundError(f"{program}: {line}; asked for {_PATIENCE:g} s")
        if not told:
            log.warning("%s: %s; asking again for %g s", program, line, _PATIENCE)
            told = True
        time.sleep(5)
