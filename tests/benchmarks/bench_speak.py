"""`speak` on one clip: cold start to file, ten clips in one call and in ten, and warm real-time factor by part.

    python tests/benchmarks/bench_speak.py CLIP [--model NAME] [--vocoder NAME] [--runs 5] [--clock cpu] [--threads 1]

Warm is a model that `lipsound2.load` loaded, called again and again. On a loaded machine take processor time. The limit
is what crops alone take: decoding and the detector have to run whatever the model is.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

import lipsound2
from lipsound2 import experiment
from lipsound2.inference.lip_to_speech import windows_of
from lipsound2.inference.speak import DEFAULT_MODEL
from lipsound2.inference.vocoders import vocoder
from lipsound2.tasks.regress import Regress
from lipsound2.timing import FRAME_RATE
from lipsound2.video.crop import Cropper


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--vocoder", default="griffin-lim")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="of the warm calls")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: as many as it takes")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
    named = ["--model", options.model, "--vocoder", options.vocoder]
    with tempfile.TemporaryDirectory() as folder:
        cold = [call([str(options.clip), "-o", f"{folder}/out.wav", *named]) for _ in range(options.runs)]
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        copies = [str(shutil.copy(options.clip, f"{folder}/{i}{options.clip.suffix}")) for i in range(10)]
        together = call([*copies, "--output-dir", f"{folder}/out", *named])
        apart = [call([copy, "-o", f"{folder}/out.wav", *named]) for copy in copies]
    print(f"{options.clip.name}, {options.runs} runs, medians, {torch.get_num_threads()} threads")
    print(f"cold start to file     {spread(cold)}, {peak:.0f} MB at most")
    print(f"ten clips in one call  {shown(*together)}")
    print(f"... in ten calls       {shown(*(sum(each) for each in zip(*apart, strict=True)))}")
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    model = lipsound2.load(options.model, vocoder=options.vocoder)
    warm = []
    for run in range(options.runs + 1):
        started = clock()
        speech = model(options.clip)
        if run:  # the first one warms up
            warm.append((clock() - started) / speech.seconds)
    parts = ", ".join(f"{part} {value:.3f}" for part, value in by_part(options, clock).items())
    least, median = min(warm), statistics.median(warm)
    print(f"warm real-time factor  {median:.3f}, at best {least:.3f}, {options.clock} time (by itself: {parts})")


def call(arguments: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of a call of the command."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "lipsound2", "speak", *arguments]
    subprocess.run(command, check=True, capture_output=True)
    wall, now = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, now.ru_utime + now.ru_stime - before.ru_utime - before.ru_stime


def spread(runs: list[tuple[float, float]]) -> str:
    """Median and best of several runs."""
    median, best = (tuple(map(take, zip(*runs, strict=True))) for take in (statistics.median, min))
    return f"{shown(*median)}; at best {shown(*best)}"


def shown(wall: float, processor: float) -> str:
    return f"{wall:.2f} s, {processor:.2f} s of processor"


def by_part(options: argparse.Namespace, clock: Callable[[], float]) -> dict[str, float]:
    """Seconds a second of clip of each part, run by itself."""
    loaded = experiment.load(options.model, task=Regress)
    say = vocoder(options.vocoder, loaded.assets.mel)
    region = loaded.task.settings.input
    cropper = Cropper((region,))
    parts: dict[str, list[float]] = {"crops": [], "model": [], "vocoder": []}
    for run in range(options.runs + 1):
        moments = [clock()]
        frames = cropper(options.clip).regions[region]
        moments.append(clock())
        mel = windows_of(loaded, len(frames)).whole(frames)
        moments.append(clock())
        say.whole(mel)
        moments.append(clock())
        if run:
            for part, first, last in zip(parts, moments, moments[1:], strict=False):
                parts[part].append((last - first) / len(frames) * FRAME_RATE)
    return {part: statistics.median(values) for part, values in parts.items()}


if __name__ == "__main__":
    main()
