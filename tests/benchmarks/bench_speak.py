"""`speak` on one clip: cold start to file and memory, one call for ten clips, and warm real-time factor by part.

    python tests/benchmarks/bench_speak.py CLIP [--model NAME] [--runs 5]

The limit is what crops alone take: decoding and the detector have to run whatever the model is.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from lipsound2 import experiment
from lipsound2.inference.lip_to_speech import generate_long
from lipsound2.inference.speak import DEFAULT_MODEL
from lipsound2.inference.vocoders import vocoder
from lipsound2.tasks.regress import Regress
from lipsound2.video.crop import Cropper


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()

    cold = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.runs):
            started = time.perf_counter()
            command = ["speak", str(options.clip), "-o", f"{folder}/out.wav", "--model", options.model]
            subprocess.run([sys.executable, "-m", "lipsound2.cli", *command], check=True, stdout=subprocess.DEVNULL)
            cold.append(time.perf_counter() - started)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        copies = [Path(folder) / f"{number}{options.clip.suffix}" for number in range(10)]
        for copy in copies:
            shutil.copy(options.clip, copy)
        started = time.perf_counter()
        command = ["speak", *map(str, copies), "--output-dir", f"{folder}/out", "--model", options.model]
        subprocess.run(
            [sys.executable, "-m", "lipsound2.cli", *command],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ten = time.perf_counter() - started

    loaded = experiment.load(options.model, task=Regress)
    say = vocoder("griffin-lim", loaded.assets.mel)
    region = loaded.task.settings.input
    cropper = Cropper((region,))
    parts: dict[str, list[float]] = {"crops": [], "model": [], "vocoder": []}
    seconds = 0.0
    for run in range(options.runs + 1):
        moments = [time.perf_counter()]
        frames = cropper(options.clip).regions[region]
        moments.append(time.perf_counter())
        mel = generate_long(loaded, frames)
        moments.append(time.perf_counter())
        say(torch.from_numpy(mel))
        moments.append(time.perf_counter())
        seconds = len(frames) / 25
        if run:  # the first one warms up
            for part, first, last in zip(parts, moments, moments[1:], strict=False):
                parts[part].append((last - first) / seconds)
    medians = {part: statistics.median(values) for part, values in parts.items()}
    print(f"clip of {seconds:.2f} s, {options.runs} runs, {torch.get_num_threads()} threads, medians")
    print(f"cold start to file: {statistics.median(cold):.2f} s, {peak:.0f} MB at most")
    print(f"ten clips in one call: {ten / 10:.2f} s a clip")
    print(f"warm real-time factor: {sum(medians.values()):.3f} " + str({k: round(v, 3) for k, v in medians.items()}))


if __name__ == "__main__":
    main()
