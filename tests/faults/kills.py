"""Commands that are killed at any moment: the same command again ends with the files of a run that nobody disturbed.

    python tests/faults/kills.py --count 200 --seed 0

A small generated corpus goes through every stage once, undisturbed. Then, `count` times: a stage is started from the
files that stood before it, gets SIGKILL, SIGTERM or SIGINT at a random moment, and the same command is run to its end.
Every file must then be as after the undisturbed run, but for what tells dates, hours and places of the run (`VARIES`).
Ends with its counts, and with status 1 where something differs.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from lipsound2.config import write_yaml

# Names of files that tell when, how long or by which process something was done.
VARIES = (
    "versions.yaml",
    "train.log",
    "*.lock",
    ".lock",
    "failures.tsv.lock",
    "events.*",
    "report.html",
    "origin.yaml",
)
VARIES_TOO = (".sizes", ".stamp.json", "*.pt")  # of folders that hold such files: sizes and digests of them
CONFIG = {
    **{"task": "regress", "model": "parallel", "input": "mouth", "target": "mel-fine", "crop": 64, "size": 32},
    **{"trunk_widths": [8, 8, 8], "trunk_blocks": 1, "trunk_pool": False, "width": 16, "layers": 1, "heads": 2},
    **{"frame_width": 16, "frame_layers": 1, "max_epochs": 3, "batch_size": 2, "workers": 1, "valid_clips": 1},
    **{"keep_best": 2, "valid_every": 1, "checkpoint_minutes": 0.0002, "tensorboard": False, "precision": "fp32"},
}
SETS = "data/mini"
STAGES = {
    "generate": "generate corpus --clips 10 --nj 2",
    "prepare": "prepare mini corpus data --protocol mini",
    "crop": "crop data/all dump --nj 2 --shard-size 2",
    "mel": "mel data/all dump --nj 2 --shard-size 2",
    "targets": "targets data/all dump --target mfcc --nj 2 --shard-size 2",
    "train": f"train tiny.yaml --train {SETS}/train --valid {SETS}/test --dump dump --exp exp",
    "synthesize": f"synthesize exp {SETS}/test exp/wav/test --dump dump --vocoder griffin-lim:4",
    "score": "score dump/sound exp/wav/test --out exp/scores/test --resamples 50 --nj 2",
    "report": "report exp",
    "pack": "pack exp pack --knows nobody --corpus mini --licence none",
}
ALLOWED = {signal.SIGKILL: {-9}, signal.SIGTERM: {143, -15}, signal.SIGINT: {130, -2}}


class Trial:
    """A folder in which stages run, always the same place, and what it looked like before each of them."""

    def __init__(self, place: Path) -> None:
        self.place, self.work = place, place / "work"
        self.took: dict[str, float] = {}
        self.work.mkdir(parents=True)
        write_yaml(self.work / "tiny.yaml", CONFIG)

    def start(self, stage: str) -> subprocess.Popen[bytes]:
        """The stage's command, in a session of its own."""
        with (self.place / "said").open("wb") as said:
            command = [sys.executable, "-m", "lipsound2.cli", *STAGES[stage].split()]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            return subprocess.Popen(
                command, cwd=self.work, stdout=said, stderr=said, start_new_session=True, env=environment
            )

    def finish(self, stage: str) -> str:
        """Run a stage to its end; what it said when it failed, else empty."""
        status = self.start(stage).wait()
        said = (self.place / "said").read_text(errors="replace")
        return f"status {status}: {said[-600:]}" if status else ""

    def undisturbed(self) -> None:
        """All stages, one after the other."""
        for stage in STAGES:
            shutil.copytree(self.work, self.place / "before" / stage, symlinks=True)
            begun = time.monotonic()
            if failure := self.finish(stage):
                sys.exit(f"{stage} failed without being disturbed: {failure}")
            self.took[stage] = time.monotonic() - begun
            shutil.copytree(self.work, self.place / "after" / stage, symlinks=True)
            print(f"{stage}: {self.took[stage]:.1f} s", flush=True)

    def disturbed(self, stage: str, number: signal.Signals, share: float) -> tuple[bool, list[str]]:
        """Kill a stage and run it again; whether it was still running, and what is wrong."""
        shutil.rmtree(self.work)
        shutil.copytree(self.place / "before" / stage, self.work, symlinks=True)
        process = self.start(stage)
        time.sleep(share * self.took[stage])
        hit = process.poll() is None
        if number == signal.SIGINT and hit:
            os.killpg(process.pid, number)  # as the terminal does
        else:
            process.send_signal(number)
        try:
            status = process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return hit, [f"{number.name} is not answered within a minute"]
        wrong = []
        if status not in ALLOWED[number] | {0}:
            wrong.append(f"status {status} after {number.name}: {(self.place / 'said').read_text()[-300:]}")
        if survivors := left(process.pid):
            wrong.append(f"processes {survivors} live on")
        if failure := self.finish(stage):
            wrong.append(f"the second run: {failure}")
        return hit, wrong + differences(self.work, self.place / "after" / stage)


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


def main() -> int:
    """Run the trials; 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stages", default=",".join([*STAGES][1:]), help="which are killed, separated by commas")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    counts: Counter[str] = Counter()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="kills-") as place:
        trial = Trial(Path(place))
        trial.undisturbed()
        for number in range(options.count):
            stage = chance.choice(options.stages.split(","))
            sign = chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
            share = chance.random()
            hit, wrong = trial.disturbed(stage, sign, share)
            counts[f"{stage} {sign.name if hit else 'ended before'}"] += 1
            if wrong:
                bad += 1
                shown = "; ".join(wrong[:5])
                print(
                    f"{number}: {stage}, {sign.name} at {share:.3f} of {trial.took[stage]:.1f} s: {shown}", flush=True
                )
    for what, count in sorted(counts.items()):
        print(f"{count:4d} {what}")
    print(f"{options.count} kills, seed {options.seed}: {bad} with differences")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
