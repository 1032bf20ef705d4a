"""Commands that are killed at any moment: the same command again ends with the files of a run that nobody disturbed.

    python tests/faults/kills.py --count 200 --seed 0
    python tests/faults/kills.py --given FOLDER --run "subset data/all data/some --share 0.5"  # any commands

A small generated corpus goes through every stage once, undisturbed. Then, `count` times: a stage is started from the
files that stood before it, gets SIGKILL, SIGTERM or SIGINT at a random moment, and the same command is run to its end.
Every file must then be as after the undisturbed run, but for what tells dates, hours and places of the run (`VARIES`).
Ends with its counts, and with status 1 where something differs.

Most of a small command's time is the import of torch. So one kill in `COLD` is of the command as a shell starts it; the
others are of a process forked from this one, which has imported everything, and hit the work itself.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path

from lipsound2 import cli
from lipsound2.data.yaml_files import write_yaml

COLD = 8
# Names of files that tell when, how long or by which process something was done.
VARIES = (
    "versions.yaml",
    "train.log",
    "*.lock",
    ".lock",
    "events.*",
    "report.html",
    "origin.yaml",
)
VARIES_TOO = (".sizes", ".stamp.json", "update-*.pt")  # of folders that hold such files: sizes and digests of them
CONFIG = {
    **{"task": "regress", "model": "parallel", "input": "mouth", "target": "mel-fine", "crop": 64, "size": 32},
    **{"trunk_widths": [8, 8, 8], "trunk_blocks": 1, "trunk_pool": False, "width": 16, "layers": 1, "heads": 2},
    **{"mel_width": 16, "mel_layers": 1, "max_epochs": 3, "batch_size": 2, "workers": 1, "valid_clips": 1},
    **{"keep_best": 2, "valid_every": 1, "checkpoint_minutes": 0.0002, "tensorboard": False, "precision": "fp32"},
}
SETS = "data/mini"
STAGES = {
    "generate": "generate corpus --clips 6 --nj 2",
    "prepare": "prepare mini corpus data --protocol mini",
    "crop": "crop data/all dump --nj 2 --shard-size 2",
    "mel": "mel data/all dump --nj 1 --shard-size 2",
    "targets": "targets data/all dump --target mfcc --nj 1 --shard-size 2",
    "train": f"train tiny.yaml --train {SETS}/train --valid {SETS}/test --dump dump --exp exp",
    "synthesize": f"synthesize exp {SETS}/test exp/wav/test --dump dump --vocoder griffin-lim:4",
    "score": "score dump/audio exp/wav/test --out exp/scores/test --resamples 50 --nj 2",
    "report": "report exp",
    "pack": "pack exp pack --knows nobody --corpus mini --license none",
}
START = 3.0  # seconds that a command takes to import torch, about
ALLOWED = {signal.SIGKILL: {-9}, signal.SIGTERM: {143, -15}, signal.SIGINT: {130, -2}}


class Command:
    """A stage's command that has been started, in a session of its own.

    Args:
        arguments: behind `lipsound2`.
        folder: it runs in.
        said: file of what it says.
        cold: whether it starts as from a shell, or forks from this process.
    """

    def __init__(self, arguments: list[str], folder: Path, said: Path, cold: bool) -> None:
        self.said = said
        self._process: subprocess.Popen[bytes] | None = None
        self._forked: ForkProcess | None = None
        if cold:
            with said.open("wb") as file:
                command = [sys.executable, "-m", "lipsound2.cli", *arguments]
                process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=file, start_new_session=True)
            self._process, self.pid = process, process.pid
            return
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe(duplex=False)
        self._forked = context.Process(target=_run, args=(arguments, folder, said, theirs))
        self._forked.start()
        ours.recv()  # its session is there
        self.pid = self._forked.pid or 0

    def wait(self, seconds: float | None = None) -> int | None:
        """Its status, None if it still runs after so many seconds."""
        if self._forked is not None:
            self._forked.join(seconds)
            return self._forked.exitcode
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def words(self) -> str:
        """What it said."""
        return self.said.read_text(errors="replace")


def _run(arguments: list[str], folder: Path, said: Path, begun: Connection) -> None:
    """What the command does, in a process that was forked for it."""
    os.setsid()
    with said.open("wb") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    os.chdir(folder)
    sys.argv = ["lipsound2", *arguments]
    begun.send(None)
    begun.close()
    sys.exit(cli.main(arguments))


class Trial:
    """A folder in which stages run, always the same place, and what it looked like before each of them.

    Args:
        place: an empty folder.
        stages: name -> what stands behind `lipsound2`.
        given: a folder whose content the first of them finds.
    """

    def __init__(self, place: Path, stages: Mapping[str, str], given: Path | None = None) -> None:
        self.place, self.work, self.stages = place, place / "work", stages
        self.took: dict[str, float] = {}
        if given:
            shutil.copytree(given, self.work)
        else:
            self.work.mkdir(parents=True)
            write_yaml(self.work / "tiny.yaml", CONFIG)

    def start(self, stage: str, cold: bool = False) -> Command:
        """The stage's command."""
        return Command(self.stages[stage].split(), self.work, self.place / "said", cold)

    def finish(self, stage: str) -> str:
        """Run a stage to its end; what it said when it failed, else empty."""
        command = self.start(stage)
        status = command.wait()
        return f"status {status}: {command.words()[-600:]}" if status else ""

    def undisturbed(self) -> None:
        """All stages, one after the other."""
        for stage in self.stages:
            shutil.copytree(self.work, self.place / "before" / stage, symlinks=True)
            begun = time.monotonic()
            if failure := self.finish(stage):
                sys.exit(f"{stage} failed without being disturbed: {failure}")
            self.took[stage] = time.monotonic() - begun
            shutil.copytree(self.work, self.place / "after" / stage, symlinks=True)
            print(f"{stage}: {self.took[stage]:.1f} s", flush=True)

    def disturbed(self, stage: str, number: signal.Signals, share: float, cold: bool) -> tuple[bool, list[str]]:
        """Kill a stage and run it again; whether it was still running, and what is wrong."""
        shutil.rmtree(self.work)
        shutil.copytree(self.place / "before" / stage, self.work, symlinks=True)
        command = self.start(stage, cold)
        hit = command.wait(share * (self.took[stage] + cold * START)) is None
        if hit and number == signal.SIGINT:
            os.killpg(command.pid, number)  # as the terminal does
        elif hit:
            os.kill(command.pid, number)
        status = command.wait(60)
        if status is None:
            os.kill(command.pid, signal.SIGKILL)
            command.wait()
            return hit, [f"{number.name} is not answered within a minute"]
        wrong = []
        if status not in ALLOWED[number] | {0} and not starting(number, status, command.words()):
            wrong.append(f"status {status} after {number.name}: {command.words()[-300:]}")
        if survivors := left(command.pid):
            wrong.append(f"processes {survivors} live on")
        if failure := self.finish(stage):
            wrong.append(f"the second run: {failure}")
        return hit, wrong + differences(self.work, self.place / "after" / stage)


def starting(number: signal.Signals, status: int, words: str) -> bool:
    """Whether Ctrl-C came before the command's own first line, when Python answers it."""
    return number == signal.SIGINT and status == 1 and words.rstrip().endswith("KeyboardInterrupt")


def left(session: int) -> list[int]:
    """Processes of a session that still run after 20 seconds."""
    limit = time.monotonic() + 20
    while True:
        living = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                living.append(int(path.parent.name))
        if not living or time.monotonic() > limit:
            return living
        time.sleep(0.1)


def differences(found: Path, wanted: Path) -> list[str]:
    """Names of files that are missing, too many or of other content."""
    here, there = content(found), content(wanted)
    names = sorted({*here, *there})
    return [f"{name} differs" for name in names if here.get(name) != there.get(name)]


def content(folder: Path) -> dict[str, bytes]:
    """Every file but those that vary; an experiment's sizes and checkpoints hold what varies."""
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        varies = any(path.match(pattern) for pattern in VARIES)
        of_run = name.startswith("exp/") and any(path.match(pattern) for pattern in VARIES_TOO)
        if path.is_file() and not varies and not of_run:
            found[name] = path.read_bytes()
    return found


def needed(killed: Sequence[str]) -> dict[str, str]:
    """The stages up to the last of those that are killed."""
    names = [*STAGES]
    return {name: STAGES[name] for name in names[: 1 + max(map(names.index, killed))]}


def main() -> int:
    """Run the trials; 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=60, help="no kill begins later than that")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stages", default=",".join([*STAGES][1:]), help="which are killed, separated by commas")
    parser.add_argument("--run", action="append", help="a command to kill instead of the stages; may be given again")
    parser.add_argument("--given", type=Path, help="folder that the first command finds")
    options = parser.parse_args()
    killed = [line.split()[0] for line in options.run] if options.run else options.stages.split(",")
    stages = dict(zip(killed, options.run, strict=True)) if options.run else needed(killed)
    # What runs in the background ignores Ctrl-C, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for stage in killed:
        cli.load(stages[stage].split()[0])
    chance = random.Random(options.seed)
    counts: Counter[str] = Counter()
    bad, begun = 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills-") as place:
        trial = Trial(Path(place), stages, options.given)
        trial.undisturbed()
        for number in range(options.count):
            if time.monotonic() - begun > 60 * options.minutes:
                break
            stage = chance.choice(killed)
            sign = chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
            share, cold = chance.random(), chance.randrange(COLD) == 0
            hit, wrong = trial.disturbed(stage, sign, share, cold)
            counts[f"{stage} {sign.name if hit else 'ended before'}"] += 1
            if wrong:
                bad += 1
                what = f"{number}: {stage}{' (cold)' * cold}, {sign.name} at {share:.3f} of {trial.took[stage]:.1f} s"
                print(f"{what}: {'; '.join(wrong[:5])}", flush=True)
    for what, count in sorted(counts.items()):
        print(f"{count:4d} {what}")
    print(f"{counts.total()} kills, seed {options.seed}, {time.monotonic() - begun:.0f} s: {bad} with differences")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
