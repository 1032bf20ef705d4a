"""Full, read-only, foreign and failing disks: real commands meet them, and must end with status 1 and one plain line.

    python tests/faults/disks.py --count 120 --seed 0

Each case is a command, a fault and what stood at the output's place before. The command must fail in one line that is
not the one for bugs, leave what stood there as it was, leave nothing half written, and succeed when the disk is well
again. A fault that the command does not meet (it was done before) is counted as such. Ends with its counts, and with
status 1 where a case went wrong. As root it mounts small file systems; else it does what it can without.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from disk_commands import COMMANDS, FILES, HEAVY, Place, execute, furnish, make_material
from disk_faults import ANYWHERE, MINE, MOUNTED, Maker, foreign, little_memory

from lipsound2 import cli

ROOT = os.geteuid() == 0
ROOM = 16  # MiB of the small file system


@dataclass
class Verdicts:
    """What the cases came to."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def fault_of(said: str, verb: str) -> str:
    """Why a failed command did not say it well; empty where it did."""
    lines = [line for line in said.replace("\r", "\n").split("\n") if line.strip()]
    told = [line for line in lines if line.startswith(f"lipsound2 {verb}: ")]
    if "--debug for the traceback" in said:
        return "the line for bugs"
    if "Traceback" in said or "Exception ignored" in said:
        return "a traceback"
    if len(told) != 1 or lines[-1] != told[0]:
        return f"{len(told)} lines, or not the last"
    return "" if len(told[0]) > len(f"lipsound2 {verb}: ") + 10 else "no words"


@contextlib.contextmanager
def disk(root: Path, mounted: bool) -> Iterator[Path]:
    """A folder to write in, on a small file system of its own or not."""
    top = root / "disk"
    top.mkdir()
    if mounted:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}m,nr_inodes=600,mode=755", "disk", top], check=True)
    try:
        (top / "folder").mkdir()
        yield top / "folder"
    finally:
        if mounted:
            subprocess.run(["umount", "-l", top], check=True)
        shutil.rmtree(top)


def names(folder: Path) -> set[str]:
    """The files below a folder, locks left out."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.endswith(".lock") and "/.locks/" not in f"/{name}"}


def run_case(verb: str, make: Maker, draw: random.Random, at: Place) -> tuple[str, str]:
    """One case: a word to count it by, and what went wrong."""
    furnish(at, verb)
    (at.folder / "mine").write_text(MINE)
    stood = at.out.with_suffix(FILES[verb]) if verb in FILES and draw.random() < 0.5 else None
    if stood:
        stood.write_text(MINE)
    before = names(at.folder)
    fault = make(at, draw)
    arguments = [verb, *map(str, COMMANDS[verb](at))]
    fault.before()
    try:
        status, said = execute(arguments, fault.inside)
    finally:
        fault.after()
    case = f"{verb}, {fault.name} ({fault.about})" if fault.about else f"{verb}, {fault.name}"
    if status not in (0, 1):
        return "wrong", f"{case}: status {status}: {said[-300:]}"
    if status == 1:
        if why := fault_of(said, verb):
            return "wrong", f"{case}: {why}: {said[-400:]}"
        if stood and stood.read_text() != MINE:
            return "wrong", f"{case}: what stood there is lost"
        if left := [name for name in names(at.folder) - before if ".tmp" in name or name.endswith(".turn")]:
            return "wrong", f"{case}: left {left}"
    if (at.folder / "mine").read_text() != MINE:
        return "wrong", f"{case}: a file beside it was changed"
    again, said_again = execute(arguments, lambda: None)
    if again:
        return "wrong", f"{case}: status {again} on the well disk: {said_again[-300:]} (before: {said[-200:]})"
    return ("told", "") if status else ("not met", "")


def rounds(count: int, draw: random.Random, share: float) -> Iterator[tuple[str, Maker, bool]]:
    """Verb, fault and whether a file system is mounted for it, in a mixed order; such a share of heavy verbs."""
    faults = [(make, False) for make in ANYWHERE] + ([(make, True) for make in MOUNTED] if ROOT else [])
    light = [verb for verb in COMMANDS if verb not in HEAVY]
    for _ in range(count):
        make, mounted = draw.choice(faults)
        # Somebody else may not read our Python, and compiled libraries take an end of memory in their own ways.
        heavy = make not in (foreign, little_memory) and draw.random() < share
        yield draw.choice(sorted(HEAVY) if heavy else light), make, mounted


def run_cases(count: int, seed: int, work: Path, share: float) -> Verdicts:
    """Run so many cases, drawn by a seed, with such a share of verbs that take seconds."""
    import torch

    torch.set_num_threads(1)  # threads of this process are not there in the commands, which would wait for them
    work.chmod(0o755)
    for verb in COMMANDS if share else set(COMMANDS) - HEAVY:
        cli.load(verb)  # once, so that a command is a fork
    material = make_material(work / "material", heavy=share > 0)
    draw, verdicts = random.Random(seed), Verdicts()
    for number, (verb, make, mounted) in enumerate(rounds(count, draw, share), start=1):
        with disk(work, mounted) as folder:
            began = time.monotonic()
            word, what = run_case(verb, make, draw, Place(material, folder))
        verdicts.counts[word] += 1
        if what:
            verdicts.wrong.append(what)
        print(f"{number:4} {time.monotonic() - began:5.1f} s {verb:9} {make.__name__:12} {word} {what}")
    return verdicts


def main() -> int:
    """Run the command; 1 where a case went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=120, help="cases")
    parser.add_argument("--seed", type=int, default=0, help="which")
    parser.add_argument("--quick", action="store_true", help="only commands that take less than a second")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="disks-") as folder:
        verdicts = run_cases(options.count, options.seed, Path(folder), 0 if options.quick else 0.15)
    told = ", ".join(f"{verdicts.counts[word]} {word}" for word in ("told", "not met", "wrong"))
    print(f"{options.count} cases in {time.monotonic() - began:.0f} s: {told}")
    return 1 if verdicts.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
