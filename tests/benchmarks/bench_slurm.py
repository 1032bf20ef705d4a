"""Crops in parallel: two worker processes against one, and a Slurm array over two nodes against one job.

    python tests/benchmarks/bench_slurm.py [--clips 80] [--shard-size 5] [--runs 3]

Clips are real GRID clips. The two nodes are two `slurmd` on this machine (`tests/helpers/slurm_site.py`), so both
comparisons share its cores: on a machine that is busy, or has fewer than two, neither can come near 2. Seconds are
those of the whole verb, from an empty dump to whole archives, waiting for Slurm included. The figure is the median of
the ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from helpers import slurm_site  # noqa: E402 - lies beside the tests

from lipsound2.data.datadir import DataDir  # noqa: E402
from lipsound2.video.crop import crop  # noqa: E402

SHARED = TESTS.parents[1] / "shared" / "grid"


def seconds(data: Path, launcher: str, nj: int, shard_size: int) -> float:
    """Of one whole `crop`."""
    with tempfile.TemporaryDirectory() as dump:
        started = time.perf_counter()
        crop(data, Path(dump), nj=nj, launcher=launcher, shard_size=shard_size)
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=80)
    parser.add_argument("--shard-size", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    videos = sorted((SHARED / "s1").glob("*.mp4"))[: options.clips]
    launchers = ["local"] if slurm_site.lacking() else ["local", "slurm"]
    if slurm_site.lacking():
        print(f"no Slurm: {slurm_site.lacking()}")
    with tempfile.TemporaryDirectory(prefix="slurm") as folder:
        data = Path(folder) / "data"
        clips = {f"s1-{path.stem}": str(path) for path in videos}
        DataDir.write(data, utt2spk=dict.fromkeys(clips, "s1"), video=clips)
        (Path(folder) / "site").mkdir()
        site = slurm_site.Site(Path(folder) / "site")
        if "slurm" in launchers:
            site.start()
        try:
            for launcher in launchers:
                ratios = []
                for run in range(options.runs):
                    one, two = (seconds(data, launcher, nj, options.shard_size) for nj in (1, 2))
                    ratios.append(one / two)
                    load = os.getloadavg()[0]
                    print(f"{launcher} {run}: {one:.1f} s, {two:.1f} s, ratio {one / two:.2f}; load average {load:.1f}")
                print(f"{launcher}: {len(videos)} clips, {statistics.median(ratios):.2f} times one")
        finally:
            site.stop()


if __name__ == "__main__":
    main()
