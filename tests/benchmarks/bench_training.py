"""A training step of each configuration: pictures/s, seconds, peak memory; and loading alone beside it.

    python tests/benchmarks/bench_training.py egs/grid/conf/*.yaml --train DATA/train --dump DUMP [--steps 7] [--ngpu 1]

Each configuration, of lips or of recognisers (conf/asr_*.yaml; 40 ms of sound count as a picture, with conf/lm.yaml a
token), runs in a process of its own, so that the peak memory is its own, and with its own optimiser. Medians over the
steps after a warm-up. Loading is timed in one process without augmentation's workers: "x step" says how many times the
pictures a second one loading process delivers exceed what the step takes (the goal: 10 on a CPU).
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from lipsound2.data.datadir import DataDir
from lipsound2.tasks import load_config
from lipsound2.training.optimiser import make_optimiser


def measure(config: Path, train: Path, dump: Path, steps: int, ngpu: int) -> str:
    """One row of the table."""
    device = torch.device("cuda" if ngpu else "cpu")
    run = load_config(config)
    data = DataDir(train)
    dataset, _ = run.task.datasets(data, data, dump)
    model = run.task.build().to(device).train()
    optimiser = make_optimiser(model, run.train)
    clips = max(1, run.train.batch_pictures // dataset.lengths[0])

    def batch(seed: int):
        rng = np.random.default_rng(seed)
        return run.task.collate([dataset.get(int(rng.integers(len(dataset.ids))), rng) for _ in range(clips)])

    loading, stepping, pictures = [], [], 0
    for step in range(steps + 2):
        started = time.perf_counter()
        prepared = batch(step)
        loaded = time.perf_counter()
        on_device = prepared.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=run.train.precision == "bf16"):
            loss = run.task.loss(model, on_device, 0.5)
        (loss.total / loss.weight).backward()
        optimiser.step()
        optimiser.zero_grad()
        if ngpu:
            torch.cuda.synchronize()
        if step >= 2:  # the first ones warm up
            loading.append((loaded - started) / prepared.frames)
            stepping.append((time.perf_counter() - loaded) / prepared.frames)
            pictures = prepared.frames
    step_time, load_time = statistics.median(stepping), statistics.median(loading)
    memory = torch.cuda.max_memory_allocated() if ngpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return (
        f"| {config.stem} | {parameters / 1e6:.1f} M | {clips} | {1 / step_time:.0f} | {step_time * pictures:.2f} | "
        f"{memory / 2**30:.2f} | {1 / load_time:.0f} | {step_time / load_time:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", type=Path)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--dump", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--ngpu", type=int, default=0)
    options = parser.parse_args()
    if len(options.configs) == 1:
        print(measure(options.configs[0], options.train, options.dump, options.steps, options.ngpu), flush=True)
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, ngpu {options.ngpu}")
    print("| config | parameters | clips | step pictures/s | step s | peak GiB | loading pictures/s | x step |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for config in options.configs:
        rest = ["--train", options.train, "--dump", options.dump, "--steps", options.steps, "--ngpu", options.ngpu]
        subprocess.run([sys.executable, __file__, str(config), *map(str, rest)], check=True)


if __name__ == "__main__":
    main()
