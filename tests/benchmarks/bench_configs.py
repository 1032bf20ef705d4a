"""Three updates of every configuration at full size, in its own precision, on clips that are made here.

    python tests/benchmarks/bench_configs.py [egs/*/conf/*.yaml] [--ngpu 1] [--updates 3] [--batch 0] [--frames 75]

A row each, from a process of its own, forked where torch is loaded already: precision, parameters, clips an update,
frames/s and peak memory, the places of an update where the processor waits for a number from the device (`.item()`,
`nonzero`, ...), the share of an update in which the GPU had nothing to do, and the loss. Every update sees one batch.
A configuration that fails is told, with what was said below the table; the status is then 1. --batch N takes N clips an
update instead, of --frames N video frames: a trial on a machine without a GPU.

Waiting places are counted as operations on tensors of the device: each is a synchronization on a GPU. There torch's
own counter (`set_sync_debug_mode`) is asked too; its number stands behind the sign +. Without a GPU they are no
measure: the optimizer's step numbers, which lie on the CPU everywhere, count too.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import re
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lipsound2.audio.io import encode_flac
from lipsound2.audio.mel import MELS, mel_spectrogram
from lipsound2.audio.statistics import sums
from lipsound2.config import to_mapping
from lipsound2.data.archive import ArchiveWriter
from lipsound2.data.datadir import DataDir, write_table
from lipsound2.data.yaml_files import write_yaml
from lipsound2.tasks import load_config
from lipsound2.tasks.base import Adversarial
from lipsound2.timing import FRAME_RATE
from lipsound2.training import precision
from lipsound2.training.distributed import World
from lipsound2.training.optimizer import OptimizedModel
from lipsound2.video.encode import encode

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ("precision", "parameters", "clips", "frames/s", "peak GiB", "waits", "GPU idle", "loss")
CLIPS = 12
WAITS = re.compile(r"aten::(_local_scalar_dense|nonzero|is_nonzero|masked_select|equal|unique\w*)$")


def make_dump(folder: Path, frames: int) -> None:
    """A data dir and a dump of noisy clips of so many video frames, with every kind that a configuration names."""
    rng = np.random.default_rng(0)
    lengths = {f"s{1 + n % 2}-{n:02}": frames for n in range(CLIPS)}
    audio = {name: (0.1 * rng.standard_normal(640 * count)).astype(np.float32) for name, count in lengths.items()}

    def kind(name: str, entries: Mapping[str, np.ndarray], counts: Mapping[str, int], meta: dict[str, Any]) -> None:
        with ArchiveWriter(folder / name / "feats.ark", folder / name / "feats.scp") as archive:
            for id in sorted(entries):
                archive.write(id, entries[id])
        write_table(folder / name / "utt2num_frames", {id: str(count) for id, count in counts.items()})
        write_yaml(folder / name / "kind.yaml", meta)

    for name, size in (("mouth", 96), ("face", 112)):
        clips = {id: encode(rng.integers(0, 256, (count, size, size), np.uint8)) for id, count in lengths.items()}
        kind(name, clips, lengths, {"size": size})
    samples = {id: len(waveform) for id, waveform in audio.items()}
    kind("audio", {id: encode_flac(waveform) for id, waveform in audio.items()}, samples, {"coding": "flac"})
    for config in MELS.values():
        mels = {id: mel_spectrogram(torch.from_numpy(waveform), config).numpy() for id, waveform in audio.items()}
        kind(f"mel-{config.name}", mels, {id: len(mel) for id, mel in mels.items()}, to_mapping(config))
        with ArchiveWriter(folder / f"mel-{config.name}/cmvn.ark", folder / f"mel-{config.name}/cmvn.scp") as archive:
            for id in sorted(mels):
                archive.write(id, sums(mels[id]))
    for name, width, meta in (
        ("targets-pase", 256, {"kind": "targets"}),
        ("targets-pase_grid", 256, {"kind": "targets"}),
        ("features-lira", 512, {"kind": "features"}),
    ):
        states = {id: rng.standard_normal((count, width)).astype(np.float32) for id, count in lengths.items()}
        kind(name, states, lengths, meta)
    words = ["bin", "blue", "at", "f", "two", "now"]
    text = {id: " ".join(words[n % 6 :] + words[: n % 6]) for n, id in enumerate(sorted(lengths))}
    long = frames / FRAME_RATE / (len(words) + 1)  # seconds of a word; half of it is silent before and after them
    times = {
        id: " ".join(f"{(n + 0.5) * long:.2f} {(n + 1.5) * long:.2f} {word}" for n, word in enumerate(said.split()))
        for id, said in text.items()
    }
    DataDir.write(folder / "data", utt2spk={id: id[:2] for id in lengths}, text=text, word_times=times)
    single = {id: said.split()[0] for id, said in text.items()}
    one = {id: f"{3 * long:.2f} {4 * long:.2f} {word}" for id, word in single.items()}
    DataDir.write(folder / "words", utt2spk={id: id[:2] for id in lengths}, text=single, word_times=one)


class Waits(TorchDispatchMode):
    """Counts the operations whose result the processor waits for, on tensors of a device."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        if WAITS.match(name) and args[0].device.type == self.device:
            self.found[name.removeprefix("aten::")] += 1
        return func(*args, **(kwargs or {}))


def measure(path: Path, folder: Path, updates: int, batch: int, ngpu: int) -> str:
    """One row of the table."""
    device = torch.device("cuda" if ngpu else "cpu")
    world = World(0, 1, device)
    run = precision.resolved(load_config(path), world)
    data = DataDir(folder / ("words" if run.task.name == "classify" else "data"))
    dataset, _, assets = run.task.prepare(data, data, folder)
    clips = batch or run.train.batch_size or max(1, run.train.batch_frames // dataset.lengths[0])
    torch.manual_seed(0)
    model = run.task.build(assets).to(device)
    rival = run.task.discriminator() if isinstance(run.task, Adversarial) else None
    discriminator = OptimizedModel(rival.to(device), run.train) if rival is not None else None
    optimized = OptimizedModel(model, run.train)
    networks = [optimized, *([discriminator] if discriminator else [])]
    scaler = torch.amp.GradScaler(device.type, enabled=run.train.precision == "fp16")
    rng = np.random.default_rng(0)
    drawn = [dataset.get(int(rng.integers(len(dataset.ids))), rng) for _ in range(clips)]
    here = run.task.collate(drawn).to(device)

    def update() -> float:
        begun = time.perf_counter()
        for each in networks:
            each.begin(run.train.lr)
        with precision.autocast(run.train.precision, device):
            if discriminator and isinstance(run.task, Adversarial):
                loss = run.task.adversarial_loss(optimized.model, discriminator.model, here, assets, 0.5)
            else:
                loss = run.task.loss(optimized.model, here, assets, 0.5)
        if discriminator and loss.discriminator is not None:
            scaler.scale(loss.discriminator).backward(inputs=discriminator.parameters, retain_graph=True)
        scaler.scale(loss.total).backward(inputs=optimized.parameters if discriminator else None)
        for each in networks:
            each.step(loss.weight, world, scaler)
        scaler.update()
        if ngpu:
            torch.cuda.synchronize()
        losses.append(float(loss.total.detach()) / (loss.weight or 1.0))
        return time.perf_counter() - begun

    losses: list[float] = []
    for _ in range(updates - 1):
        update()
    seconds = update()
    waits, counted = _waits(update, ngpu)
    idle = _idle(update) if ngpu else None
    memory = torch.cuda.max_memory_allocated() if ngpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if not all(math.isfinite(value) for value in losses):
        raise ArithmeticError(f"losses {losses}")
    parameters = sum(parameter.numel() for parameter in optimized.parameters)
    told = f"{sum(waits.values())}{f'+{counted}' if ngpu else ''} " + " ".join(f"{n}x{c}" for n, c in waits.items())
    cells = [run.train.precision, f"{parameters / 1e6:.1f} M", str(clips), f"{here.num_frames / seconds:.0f}"]
    cells += [f"{memory / 2**30:.2f}", told, "-" if idle is None else f"{100 * idle:.0f} %", f"{losses[-1]:.3f}"]
    return f"| {path.parents[1].name}/{path.stem} | {' | '.join(cells)} |"


def _waits(update: Callable[[], object], ngpu: int) -> tuple[Counter[str], int]:
    """Operations of an update that wait, by name; and how often torch itself says that it waited."""
    with Waits("cuda" if ngpu else "cpu") as seen:
        update()
    told: list[warnings.WarningMessage] = []
    if ngpu:
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            update()
        torch.cuda.set_sync_debug_mode("default")
    return seen.found, sum("synchroniz" in str(each.message) for each in told)


def _idle(update: Callable[[], float]) -> float:
    """Share of an update in which no kernel ran."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        seconds = update()
    spans = sorted((e.time_range.start, e.time_range.end) for e in profiler.events() if e.device_type.name == "CUDA")
    busy, reached = 0.0, -math.inf
    for start, end in spans:
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return max(0.0, 1 - busy / 1e6 / seconds)


def one_process(ngpu: int) -> None:
    """Gradients added up and weights shared over NCCL (gloo on a CPU), by one process alone."""
    import torch.distributed as dist

    device = torch.device("cuda" if ngpu else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        backend = "nccl" if ngpu else "gloo"
        dist.init_process_group(backend, init_method=f"file://{folder}/meet", rank=0, world_size=1)
        values = torch.arange(8.0, device=device)
        dist.all_reduce(values)
        dist.broadcast(values, 0)
        gathered = [torch.empty_like(values)]
        dist.all_gather(gathered, values)
        assert torch.equal(gathered[0].cpu(), torch.arange(8.0))
        dist.destroy_process_group()
    print(f"{backend}, one process: reduced, shared and gathered")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", type=Path, help="default: all of egs/")
    parser.add_argument("--ngpu", type=int, default=0, help="GPUs: 0 or 1 (default: 0)")
    parser.add_argument("--updates", type=int, default=3, help="before anything is counted (default: 3)")
    parser.add_argument("--batch", type=int, default=0, help="clips an update; 0: as configured (default: 0)")
    parser.add_argument("--frames", type=int, default=75, help="video frames of the clips made here (default: 75)")
    parser.add_argument("--dump", type=Path, help="where the clips lie, or are put; default: a temporary folder")
    options = parser.parse_args()
    failed: list[BaseException] = []
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["lipsound2.tasks.regress", "lipsound2.tasks.recognize", "lipsound2.training.optimizer"]
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.dump or Path(temporary)
        if not (folder / "data").exists():
            make_dump(folder, options.frames)
        one_process(options.ngpu)
        print(f"torch {torch.__version__}, {torch.cuda.get_device_name() if options.ngpu else 'CPU'}")
        print(f"| config | {' | '.join(COLUMNS)} |\n{'|---' * (len(COLUMNS) + 1)}|", flush=True)
        for config in options.configs or sorted(ROOT.glob("egs/*/conf/*.yaml")):
            given = (config, folder, options.updates, options.batch, options.ngpu)
            with ProcessPoolExecutor(1, context) as process:
                row = process.submit(measure, *given)
                error = row.exception()  # whatever it is, the others are tried and this one is told
            if error is None:
                print(row.result(), flush=True)
            else:
                failed.append(error)
                print(f"| {config.parents[1].name}/{config.stem} | FAILED: {type(error).__name__} |", flush=True)
    for error in failed:
        traceback.print_exception(error, file=sys.stdout)
    print(f"{len(failed)} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
