"""First result from the wheel: a fresh venv, `pip install`, `lipsound2 speak` of a clip, each timed.

    python tests/benchmarks/bench_first_result.py CLIP [--runs 3]

The wheel is built before, and pip's cache is warm from the second run on; the median is of those. Versions are those of
tools/constraints.txt. Seconds of the processors stand in brackets: on a busy machine they change less.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from helpers.wheels import build  # noqa: E402 - found by the line above


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()

    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        (wheel,) = build(Path(folder)).glob("*.whl")
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.0f} MB; load {os.getloadavg()[0]:.1f}")
        for _ in range(options.runs + 1):
            rows.append(one_run(wheel, options.clip, Path(folder) / "venv"))
            print(shown(rows[-1]), flush=True)
    cached = rows[1:] or rows
    medians = {step: statistics.median(row[step] for row in cached) for step in cached[0]}
    print(f"median of the cached: {shown(medians)}")


def shown(row: dict[str, float]) -> str:
    """Seconds of each step, those of the processors in brackets."""
    return ", ".join(
        f"{step} {seconds:.1f} s" + (f" ({row[f'({step})']:.1f})" if f"({step})" in row else "")
        for step, seconds in row.items()
        if not step.startswith("(")
    )


def one_run(wheel: Path, clip: Path, venv: Path) -> dict[str, float]:
    """Seconds of each step, and from `pip install` to the audio file."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LIPSOUND2_"))}
    row: dict[str, float] = {}

    @contextmanager
    def timed(step: str) -> Iterator[None]:
        started, used = time.perf_counter(), os.times()
        yield
        row[step] = time.perf_counter() - started
        now = os.times()
        row[f"({step})"] = now.children_user + now.children_system - used.children_user - used.children_system

    def run(*command: str) -> None:
        subprocess.run(command, cwd=venv.parent, env=environment, check=True, stdout=subprocess.DEVNULL)

    with timed("venv"):
        run(sys.executable, "-m", "venv", str(venv))
    pip = [str(venv / "bin/pip"), "--disable-pip-version-check", "--no-input", "--quiet"]
    with timed("pip install"):
        run(*pip, "install", "--constraint", str(ROOT / "tools/constraints.txt"), f"{wheel}[face]")
    shutil.copy(clip, venv.parent / "clip.mp4")
    for step in ("first speak", "second speak"):
        with timed(step):
            run(str(venv / "bin/lipsound2"), "speak", "clip.mp4")
        (venv.parent / "clip.wav").unlink()
    row["install to clip.wav"] = row["pip install"] + row["first speak"]
    shutil.rmtree(venv)
    return row


if __name__ == "__main__":
    main()
