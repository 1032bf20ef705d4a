"""The PASE+ encoder beside the published forward pass on the same weights, and an update of its training.

    python tests/benchmarks/bench_pase.py [--seconds 3] [--rounds 7] [--threads 1]

Milliseconds of processor time, because other work on the machine does not count in it; the two take turns, medians. The
real-time factor is processor time over the length of the audio. The sinc layer and the recurrence are timed alone too,
beside the plain convolution and beside blocks of time; an update is that of egs/grid/conf/pase.yaml on noise.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional as F

from lipsound2.datasets.audio_chunks import Chunks
from lipsound2.models.pase.pase import PaseEncoder, PaseEncoderConfig
from lipsound2.models.pase.qrnn import recurrence
from lipsound2.published.pase import translate
from lipsound2.tasks import load_config
from lipsound2.tasks.pase import PaseAssets, PaseTask
from lipsound2.training.distributed import World
from lipsound2.training.precision import autocast, resolved

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from helpers.plain_pase import plain, published_weights  # noqa: E402


def taking_turns(rounds: int, **functions: Callable[[], object]) -> dict[str, float]:
    """Median milliseconds of processor time of each function, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            begun = time.process_time()
            function()
            if number:
                times[name].append(1e3 * (time.process_time() - begun))
    return {name: statistics.median(each) for name, each in times.items()}


def encoder(seconds: float, rounds: int) -> None:
    """The whole encoder, and its two unusual parts."""
    weights = published_weights()
    ours = PaseEncoder(PaseEncoderConfig()).eval()
    ours.load_state_dict(translate(weights, Path("random weights")))
    sinc = ours.blocks[0].conv
    waveform = 0.1 * torch.randn(1, 1, int(100 * seconds) * 160)
    keep, new = torch.rand(1, int(100 * seconds), 512), torch.randn(1, int(100 * seconds), 512)
    with torch.inference_mode():
        apart = (ours(waveform) - plain(weights, waveform)).abs().max()
        whole = taking_turns(rounds, ours=lambda: ours(waveform), published=lambda: plain(weights, waveform))
        kernels = sinc.kernels()[:, None]
        parts = taking_turns(
            rounds,
            fourier=lambda: sinc(waveform[:, 0]),
            convolution=lambda: F.conv1d(F.pad(waveform, (125, 125), mode="reflect"), kernels),
            loop=lambda: recurrence(keep, new, 1),
            blocks=lambda: recurrence(keep, new, 17),
        )
    print(f"encoder, {seconds:g} s of audio, largest difference {apart:.1e}")
    for name, milliseconds in whole.items():
        print(f"  {name:<12} {milliseconds:8.1f} ms   real-time factor {milliseconds / 1e3 / seconds:.3f}")
    for name, milliseconds in parts.items():
        print(f"    {name:<12} {milliseconds:6.2f} ms")


def update(rounds: int) -> None:
    """An update of the recipe, forward and backward and AdamW."""
    run = resolved(load_config(ROOT / "egs/grid/conf/pase.yaml"), World(0, 1, torch.device("cpu")))
    assert isinstance(run.task, PaseTask)
    assets = PaseAssets()
    model = run.task.build(assets).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    frames = run.task.settings.chunk_frames
    count = run.train.batch_frames // frames
    waveform = 0.1 * torch.randn(count, frames * 640)
    batch = Chunks([str(n) for n in range(count)], waveform, waveform)

    def once() -> None:
        with autocast(run.train.precision, torch.device("cpu")):
            loss = run.task.loss(model, batch, assets, 0.0)
        (loss.total / loss.weight).backward()
        optimizer.step()
        optimizer.zero_grad()

    milliseconds = taking_turns(rounds, update=once)["update"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"update, {count} x {frames / 25:g} s: {milliseconds:.0f} ms; at most {peak:.2f} GiB resident")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    encoder(arguments.seconds, arguments.rounds)
    update(arguments.rounds)


if __name__ == "__main__":
    main()
