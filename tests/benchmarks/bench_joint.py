"""Joint CTC/attention search alone: processor seconds a token and memory, by the number of tokens to choose from.

    python tests/benchmarks/bench_joint.py [--classes 41 5049] [--beam 40] [--frames 75] [--device cpu]

The decoder is a table that looks one token back and never ends, so the search takes as many steps as there are frames,
and nothing but the search is timed. Memory is the process's peak beyond what it held before, in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time

import torch

from lipsound2.decoding.joint import joint_search


def measure(classes: int, beam: int, frames: int, device: str) -> tuple[float, float]:
    """Processor seconds a token, and MB."""
    torch.set_num_threads(1)
    made = torch.Generator().manual_seed(0)
    table = torch.randn(64, classes + 1, generator=made).to(device)
    table[:, classes] = -50
    table = table.log_softmax(-1)
    log_probs = torch.randn(frames, classes, generator=made).log_softmax(-1).to(device)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    steps = 0

    def decode_step(last: torch.Tensor, rows: torch.Tensor, memory: None) -> tuple[torch.Tensor, None]:
        nonlocal steps
        steps += 1
        return table[last % 64], None

    begin = time.process_time()
    joint_search(decode_step, log_probs, beam=beam)
    seconds = time.process_time() - begin
    return seconds / steps, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[41, 1000, 5049])
    parser.add_argument("--beam", type=int, default=40)
    parser.add_argument("--frames", type=int, default=75)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    print("| classes | processor seconds a token | MB |")
    print("|---|---|---|")
    for classes in options.classes:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, memory = pool.apply(measure, (classes, options.beam, options.frames, options.device))
        print(f"| {classes} | {seconds:.4f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
