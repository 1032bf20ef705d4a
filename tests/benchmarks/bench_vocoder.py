"""Vocoders: real-time factor beside Griffin-Lim, and what a training step costs.

    python tests/benchmarks/bench_vocoder.py [--seconds 3] [--repeats 5] [--threads 1]
    python tests/benchmarks/bench_vocoder.py egs/grid/conf/{hifigan,vocos}_*.yaml --train DATA/train --dump DUMP

With the extra onnx the networks run on onnxruntime too.

Real-time factor: processor time a second of speech, every vocoder in turn, medians; processor time, because other work
on the machine does not count in it (on a GPU: wall time, and Griffin-Lim stays on the CPU). How fast a network is does
not depend on what it has learned, so weights are fresh. A training step, discriminators included, runs in a process of
its own, so that the peak memory is its own; before `adversarial_start` it costs what "without discriminators" says.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lipsound2.audio.griffin_lim import mel_to_waveform
from lipsound2.audio.griffin_lim_numpy import mel_to_waveform as plain_mel_to_audio
from lipsound2.audio.mel import MELS, MelConfig, mel_filters
from lipsound2.config import to_mapping
from lipsound2.data.datadir import DataDir
from lipsound2.inference.export import Lengths, metadata, translate, write
from lipsound2.inference.onnx import VOCODER, Exported, Note
from lipsound2.inference.vocoders import network_vocoder
from lipsound2.inference.windows import ChunkedVocoder
from lipsound2.models.vocoders.hifigan import HifiGan, HifiGanConfig, fold_norms
from lipsound2.models.vocoders.vocos import Vocos, VocosConfig
from lipsound2.tasks import load_config
from lipsound2.tasks.vocode import Vocode
from lipsound2.training.distributed import World
from lipsound2.training.optimizer import OptimizedModel
from lipsound2.training.precision import autocast, resolved

Speak = Callable[[torch.Tensor], torch.Tensor]  # a mel (S, bands) to audio (S * hop,)
NETWORKS: dict[str, Callable[[MelConfig], nn.Module]] = {
    "HiFi-GAN V1": lambda mel: HifiGan(HifiGanConfig(), mel),
    "HiFi-GAN V2": lambda mel: HifiGan(HifiGanConfig(channels=128), mel),
    "HiFi-GAN V3": lambda mel: HifiGan(HifiGanConfig(channels=256, residual="single"), mel),
    "Vocos": lambda mel: Vocos(VocosConfig(), mel),
    "Vocos, small": lambda mel: Vocos(VocosConfig(width=256, layers=6), mel),
}


def librosa_griffin_lim(config: MelConfig) -> Speak:
    """librosa's Griffin-Lim of 60 rounds after its usual pseudo-inverse of the mel."""
    import librosa

    inverse = np.linalg.pinv(mel_filters(config)).astype(np.float32)
    sizes = {"n_fft": config.n_fft, "hop_length": config.hop, "win_length": config.window}

    def speak(mel: torch.Tensor) -> torch.Tensor:
        magnitude = np.maximum(mel.exp().numpy() @ inverse.T, 0).T
        return torch.from_numpy(librosa.griffinlim(magnitude, n_iter=60, random_state=0, **sizes))

    return speak


def exported(model: nn.Module, config: MelConfig, folder: Path, threads: int) -> Speak:
    """The network on onnxruntime, as `speak --onnx` runs it."""
    assert isinstance(model, HifiGan | Vocos)
    note = Note(VOCODER, "bench", "nothing", to_mapping(config), receptive_field=model.receptive_field)
    path = folder / "vocoder.onnx"
    example = torch.from_numpy(Lengths((config.bands,), frames=False)(30))[None]
    write(translate(model, {"given": example}, {"given": [1]}, ["said"]), path, metadata(note))
    return in_chunks(Exported(path, threads).chunked_vocoder)


def in_chunks(vocoder: ChunkedVocoder) -> Speak:
    """A network as every verb runs it."""
    return lambda mel: torch.from_numpy(vocoder.whole(mel.numpy()))


def vocoders(config: MelConfig, device: str, threads: int) -> dict[str, Speak]:
    """All of them, for one mel."""
    found: dict[str, Speak] = {"Griffin-Lim 60": lambda mel: mel_to_waveform(mel, config, iterations=60)}
    found["Griffin-Lim 60 without torch"] = lambda mel: torch.from_numpy(plain_mel_to_audio(mel.numpy(), config, 60))
    try:
        found["librosa, 60 rounds"] = librosa_griffin_lim(config)
    except ImportError:
        print("librosa is not installed: its row is left out")
    for name, build in NETWORKS.items():
        model = build(config).eval().to(device)
        fold_norms(model)
        found[name] = in_chunks(network_vocoder(model, config))
        if device == "cpu" and importlib.util.find_spec("onnxscript") and importlib.util.find_spec("onnxruntime"):
            with tempfile.TemporaryDirectory() as folder:
                found[f"{name}, onnxruntime"] = exported(model, config, Path(folder), threads)
    return found


def compare_speed(seconds: float, repeats: int, device: str, threads: int) -> None:
    clock: Callable[[], float] = time.perf_counter if device == "cuda" else time.process_time
    print("| mel | vocoder | real-time factor | times Griffin-Lim 60 |\n|---|---|---|---|")
    for config in MELS.values():
        torch.manual_seed(0)
        mel = torch.randn(int(seconds * config.sample_rate / config.hop), config.bands) - 4
        methods = vocoders(config, device, threads)
        spent: dict[str, list[float]] = {name: [] for name in methods}
        for turn in range(repeats + 1):
            for name, speak in methods.items():
                begun = clock()
                speak(mel)
                if turn:  # the first one warms up
                    spent[name].append((clock() - begun) / seconds)
        medians = {name: statistics.median(values) for name, values in spent.items()}
        for name, value in medians.items():
            print(f"| {config.name} | {name} | {value:.4f} | {medians['Griffin-Lim 60'] / value:.2f} |", flush=True)


def measure_step(config: Path, train: Path, dump: Path, steps: int, device: str) -> str:
    """One row: a step with discriminators, one without, and the memory."""
    run = resolved(load_config(config), World(0, 1, torch.device(device)))
    data, task = DataDir(train), run.task
    assert isinstance(task, Vocode)
    clips, _, assets = task.prepare(data, data, dump)
    generator = OptimizedModel(task.build(assets).to(device), run.train)
    network = task.discriminator()
    discriminator = OptimizedModel(network.to(device), run.train) if network else None
    optimized = [each for each in (generator, discriminator) if each]
    world, scaler = World(0, 1, torch.device(device)), torch.amp.GradScaler(device, enabled=False)
    clock: Callable[[], float] = time.perf_counter if device == "cuda" else time.process_time

    def step(progress: float) -> float:
        rng = np.random.default_rng(0)
        batch = task.collate([clips.get(index % len(clips), rng) for index in range(run.train.batch_size)])
        batch = batch.to(device)
        begun = clock()
        for one in optimized:
            one.begin(run.train.lr)
        with autocast(run.train.precision, torch.device(device)):
            if discriminator:
                loss = task.adversarial_loss(generator.model, discriminator.model, batch, assets, progress)
            else:
                loss = task.loss(generator.model, batch, assets, progress)
        if discriminator and loss.discriminator is not None:
            loss.discriminator.backward(inputs=discriminator.parameters, retain_graph=True)
        loss.total.backward(inputs=generator.parameters)
        for one in optimized:
            one.step(loss.weight, world, scaler)
        if device == "cuda":
            torch.cuda.synchronize()
        return clock() - begun

    alone = "-"
    if task.settings.adversarial_start > 0:
        alone = f"{statistics.median([step(0.0) for _ in range(steps + 1)][1:]):.2f}"
    whole = statistics.median([step(1.0) for _ in range(steps + 1)][1:])
    own = (
        torch.cuda.max_memory_allocated()
        if device == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    sizes = " + ".join(f"{sum(p.numel() for p in one.parameters) / 1e6:.2f}" for one in optimized)
    return f"| {config.stem} | {sizes} M | {run.train.batch_size} | {whole:.2f} | {alone} | {own / 2**30:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", type=Path, help="training configurations to time a step of")
    parser.add_argument("--train", type=Path, help="data dir of the audio to train on")
    parser.add_argument("--dump", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0, help="of speech")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ngpu", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = "cuda" if options.ngpu else "cpu"
    if not options.configs:
        print(f"torch {torch.__version__}, {options.threads} thread(s), {options.seconds:g} s of speech, {device}")
        compare_speed(options.seconds, options.repeats, device, options.threads)
        return
    if options.train is None or options.dump is None:
        parser.error("--train and --dump are wanted with configurations")
    if len(options.configs) == 1:
        print(measure_step(options.configs[0], options.train, options.dump, options.repeats, device), flush=True)
        return
    print(
        "| config | parameters | segments | seconds a step | without discriminators | peak GiB |\n"
        "|---|---|---|---|---|---|",
        flush=True,
    )
    rest = ["--train", options.train, "--dump", options.dump, "--repeats", options.repeats]
    rest += ["--threads", options.threads, "--ngpu", options.ngpu]
    for config in options.configs:
        subprocess.run([sys.executable, __file__, str(config), *map(str, rest)], check=True)


if __name__ == "__main__":
    main()
