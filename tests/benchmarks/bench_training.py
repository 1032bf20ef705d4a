"""A training step of each configuration: processor seconds in each precision, pictures/s, peak memory; and loading.

    python tests/benchmarks/bench_training.py egs/grid/conf/*.yaml --train DATA/train --dump DUMP [--steps 7] [--ngpu 1]

Each configuration, of lips or of recognizers (conf/asr_*.yaml; 40 ms of audio count as a video frame, with conf/lm.yaml
a token), runs in a process of its own, so that the peak memory is its own, and with its own optimizer. bf16 and fp32
take turns on the same batches; `auto` names the one that `precision: auto` settles on here. Medians over the steps
after a warm-up; pictures/s and loading are of what `auto` chose. Loading is timed in one process without augmentation's
workers: "x step" says how many times the frames a second one loading process delivers exceed what the step takes.

A processor without avx512 is emulated by ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 in the environment.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from lipsound2.data.datadir import DataDir
from lipsound2.models import processor
from lipsound2.tasks import RunConfig, load_config
from lipsound2.tasks.base import Batch
from lipsound2.training import precision
from lipsound2.training.distributed import World
from lipsound2.training.optimizer import OptimizedModel

WARM_UP = 2
COLUMNS = ("parameters", "clips", "auto", "auto s", "bf16 s", "fp32 s", "pictures/s", "peak GiB", "loading/s", "x step")


@dataclass
class Contender:
    """One precision, with a network of its own, and what its steps took."""

    name: precision.Precision
    optimized: OptimizedModel
    processor: list[float] = field(default_factory=list)  # seconds a step
    wall: list[float] = field(default_factory=list)  # seconds a video frame

    def step(self, run: RunConfig, batch: Batch, assets: object, world: World) -> None:
        """One update, timed from moving the batch to the new weights."""
        processor, wall = time.process_time(), time.perf_counter()
        self.optimized.begin(run.train.lr)
        with precision.autocast(self.name, world.device):
            loss = run.task.loss(self.optimized.model, batch.to(world.device), assets, 0.5)
        loss.total.backward()
        self.optimized.step(loss.weight, world, torch.amp.GradScaler(world.device.type, enabled=False))
        if world.device.type == "cuda":
            torch.cuda.synchronize()
        self.processor.append(time.process_time() - processor)
        self.wall.append((time.perf_counter() - wall) / batch.num_frames)


def measure(config: Path, train: Path, dump: Path, steps: int, ngpu: int) -> str:
    """One row of the table."""
    world = World(0, 1, torch.device("cuda" if ngpu else "cpu"))
    run = load_config(config)
    data = DataDir(train)
    dataset, _, assets = run.task.prepare(data, data, dump)
    batches = _batches(run, dataset)

    def contender(name: precision.Precision) -> Contender:
        model = run.task.build(assets).to(world.device)
        return Contender(name, OptimizedModel(model, replace(run.train, precision=name)))

    contenders = {name: contender(name) for name in ("bf16", "fp32")}
    loading: list[float] = []
    for seed in range(steps + WARM_UP):
        begun = time.perf_counter()
        batch = batches(seed)
        loading.append((time.perf_counter() - begun) / batch.num_frames)
        for each in contenders.values():
            each.step(run, batch, assets, world)
    auto = contenders[processor.best(world.device)]
    seconds = {name: statistics.median(each.processor[WARM_UP:]) for name, each in contenders.items()}
    step, load = statistics.median(auto.wall[WARM_UP:]), statistics.median(loading[WARM_UP:])
    memory = torch.cuda.max_memory_allocated() if ngpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    parameters = sum(parameter.numel() for parameter in auto.optimized.parameters)
    cells = [f"{parameters / 1e6:.1f} M", str(len(batch.ids)), auto.name, f"{seconds[auto.name]:.2f}"]
    cells += [f"{seconds['bf16']:.2f}", f"{seconds['fp32']:.2f}", f"{1 / step:.0f}"]
    cells += [f"{memory / 2**30:.2f}", f"{1 / load:.0f}", f"{step / load:.1f}"]
    return f"| {config.stem} | {' | '.join(cells)} |"


def _batches(run: RunConfig, dataset) -> Callable[[int], Batch]:
    """seed -> a batch of the configured size of clips drawn by chance."""
    clips = run.train.batch_size or max(1, run.train.batch_frames // dataset.lengths[0])

    def draw(seed: int) -> Batch:
        rng = np.random.default_rng(seed)
        return run.task.collate([dataset.get(int(rng.integers(len(dataset.ids))), rng) for _ in range(clips)])

    return draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", type=Path)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--dump", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=7, help="timed steps (default: 7)")
    parser.add_argument("--ngpu", type=int, default=0, help="GPUs: 0 or 1 (default: 0)")
    parser.add_argument("--row", action="store_true", help="one configuration, without the table's head")
    options = parser.parse_args()
    if options.row:
        print(measure(options.configs[0], options.train, options.dump, options.steps, options.ngpu), flush=True)
        return
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "none")
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, ngpu {options.ngpu}, oneDNN limited to: {limit}"
    )
    print(f"bf16 is {processor.bf16_speed():.2f} times as fast as fp32 in a product of this processor's")
    print(f"| config | {' | '.join(COLUMNS)} |")
    print("|---" * (len(COLUMNS) + 1) + "|", flush=True)
    for config in options.configs:
        rest = ["--train", options.train, "--dump", options.dump, "--steps", options.steps, "--ngpu", options.ngpu]
        subprocess.run([sys.executable, __file__, str(config), "--row", *map(str, rest)], check=True)


if __name__ == "__main__":
    main()
