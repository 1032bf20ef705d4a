"""The trunk of lips beside a plainly written conv3D + ResNet-18 of the same sizes; a training step of a lip reader.

    python tests/benchmarks/bench_trunk.py [--batch 16] [--frames 25] [--rounds 5] [--threads 1] [--config conf.yaml]
    python tests/benchmarks/bench_trunk.py --ngpu 1 --batch 64 --frames 75 [--peak 990]

Video frames a second of processor time, because other work on the machine does not count in it; on a GPU, of wall time,
in bfloat16. The two take turns, medians. The plain one is torchvision's ResNet-18 where torchvision imports, else the
same written out, behind a stem of the sizes of ours; it computes padded video frames like all others. Forward is in
evaluation mode, forward and backward in training mode; padded: every second clip is half as long, and only video frames
that belong to clips are counted. Operations are those of matrix products and convolutions; with --peak, the card's in
TFLOP/s, their share of it is told. With --config (one of task recognize or classify, of `mouth`) sizes are that
config's, and a training step of it is timed.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from lipsound2.datasets.audio_to_text import UtteranceBatch
from lipsound2.datasets.word_alignment import UNKNOWN
from lipsound2.datasets.word_windows import WindowBatch
from lipsound2.models.asr.recognizer import Recognizer
from lipsound2.models.modules.lip_encoder import LipEncoder
from lipsound2.models.modules.lip_trunk import LipTrunk, TrunkConfig
from lipsound2.tasks import load_config
from lipsound2.tasks.classify import Classify, ClassifyAssets
from lipsound2.tasks.recognize import Recognize
from lipsound2.training.distributed import World
from lipsound2.training.optimizer import make_optimizer
from lipsound2.training.precision import autocast, resolved

TOKENS = WORDS = 50


class PlainBlock(nn.Module):
    """ResNet-18's block, as everybody writes it."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, h', w')."""
        beside = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + beside)


class PlainTrunk(nn.Module):
    """Conv3D, batch norm, ReLU, 3D pool, then the residual stages on every video frame of the batch, padded or not."""

    def __init__(self, config: TrunkConfig, stages: nn.Module) -> None:
        super().__init__()
        self.pool = config.trunk_pool
        width, context = config.trunk_widths[0], config.trunk_context
        self.conv = nn.Conv3d(1, width, (context, 7, 7), (1, 2, 2), (context // 2, 3, 3), bias=False)
        self.norm = nn.BatchNorm3d(width)
        self.stages = stages

    def forward(self, pixels: Tensor) -> Tensor:
        """Float32 (B, T, H, W), already normalized, to (B, T, outputs)."""
        x = F.relu(self.norm(self.conv(pixels[:, None])))
        if self.pool:
            x = F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
        x = x.transpose(1, 2)
        batch, frames = x.shape[:2]
        return self.stages(x.reshape(-1, *x.shape[2:])).mean((2, 3)).view(batch, frames, -1)


def plain_stages(config: TrunkConfig) -> tuple[nn.Module, str]:
    """The residual stages, and who wrote them."""
    full = tuple(config.trunk_widths) == (64, 128, 256, 512) and config.trunk_blocks == 2
    if full and importlib.util.find_spec("torchvision"):
        from torchvision.models import resnet18

        network = resnet18()
        return nn.Sequential(network.layer1, network.layer2, network.layer3, network.layer4), "torchvision"
    stages, inputs = [], config.trunk_widths[0]
    for stage, width in enumerate(config.trunk_widths):
        for block in range(config.trunk_blocks):
            stages.append(PlainBlock(inputs, width, 2 if stage and not block else 1))
            inputs = width
    return nn.Sequential(*stages), "written out"


def clock(device: str) -> float:
    """Seconds: of processor time; on a GPU of wall time, when all that was asked of it is done."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def taking_turns(rounds: int, device: str, **functions: Callable[[], object]) -> dict[str, float]:
    """Median seconds of each function, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            begun = clock(device)
            function()
            if number:
                times[name].append(clock(device) - begun)
    return {name: statistics.median(each) for name, each in times.items()}


def operations(function: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products and convolutions of a function; a product and a sum are two."""
    with FlopCounterMode(display=False) as counter:
        function()
    return int(counter.get_total_flops())


def trunks(config: TrunkConfig, batch: int, frames: int, rounds: int, device: str, peak: float) -> None:
    """The table of both trunks."""
    ours = LipTrunk(config).to(device)
    stages, author = plain_stages(config)
    plain = PlainTrunk(config, stages).to(device)
    video = torch.randint(0, 256, (batch, frames, 96, 96), dtype=torch.uint8, device=device)
    same = torch.full((batch,), frames, device=device)
    halved = same.clone()
    halved[1::2] = frames // 2

    def passes(run: Callable[[], Tensor], network: nn.Module, learning: bool) -> Callable[[], None]:
        def once() -> None:
            network.train(learning)
            with torch.set_grad_enabled(learning), torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
                states = run()
            if learning:
                states.sum().backward()
                network.zero_grad()

        return once

    print(f"{batch} clips of {frames} video frames; frames a second; beside ResNet-18 {author}")
    print("| | ours | plain | times | ours, padded | plain, padded | times |\n|---|---|---|---|---|---|---|")
    rates = []
    for learning, title in ((False, "forward"), (True, "forward and backward")):
        # The plain one takes pixels as ours makes them: they are no part of the network, but both must pay for them.
        whole_pass = passes(lambda: ours(video, same), ours, learning)
        each = taking_turns(
            rounds,
            device,
            ours=whole_pass,
            padded=passes(lambda: ours(video, halved), ours, learning),
            plain=passes(lambda: plain(ours.pixels(video)), plain, learning),
        )
        whole, part = int(same.sum()), int(halved.sum())
        cells = [
            *(f"{whole / each['ours']:.0f}", f"{whole / each['plain']:.0f}", f"{each['plain'] / each['ours']:.2f}"),
            *(f"{part / each['padded']:.0f}", f"{part / each['plain']:.0f}", f"{each['plain'] / each['padded']:.2f}"),
        ]
        print(f"| {title} | {' | '.join(cells)} |", flush=True)
        rate = operations(whole_pass) / each["ours"] / 1e12
        rates.append(f"{title} {rate:.3f}{f' ({rate / peak:.0%} of the peak)' if peak else ''}")
    print(f"ours, TFLOP/s: {', '.join(rates)}")


def step(path: Path, batch: int, frames: int, rounds: int, device: str) -> None:
    """A training step of a lip reader's config on noise: frames a second, seconds, peak memory."""
    run = resolved(load_config(path), World(0, 1, torch.device(device)))
    task, assets = run.task, None
    ids = [str(number) for number in range(batch)]
    video = torch.randint(0, 256, (batch, frames, 96, 96), dtype=torch.uint8)
    lengths = torch.full((batch,), frames)
    clips: WindowBatch | UtteranceBatch
    if isinstance(task, Classify):
        assets = ClassifyAssets(tuple(map(str, range(WORDS))), 0)
        clips = WindowBatch(ids, video, lengths, torch.ones(batch, frames), torch.randint(0, WORDS, (batch,)))
        model = task.build(assets)
    else:
        said = max(1, frames // 12)
        tokens, counts = torch.randint(2, TOKENS, (batch, said)), torch.full((batch,), said)
        words = torch.full((batch, frames), UNKNOWN)
        assert isinstance(task, Recognize)
        clips = UtteranceBatch(ids, video, lengths, tokens, counts, ids, words, 1)
        model = Recognizer(LipEncoder(task.network), task.network, TOKENS)
    model.to(device).train()
    clips = clips.to(device)
    optimizer = make_optimizer(model, run.train)

    def once() -> None:
        with autocast(run.train.precision, torch.device(device)):
            loss = task.loss(model, clips, assets, 0.5)
        (loss.total / loss.weight).backward()
        optimizer.step()
        optimizer.zero_grad()

    seconds = taking_turns(rounds, device, step=once)["step"]
    if device == "cpu":
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    else:
        most = torch.cuda.max_memory_allocated() / 2**30
    print(
        f"{path.stem}: a step takes {seconds:.2f} s, {batch * frames / seconds:.0f} frames a second; "
        f"at most {most:.2f} GiB, the trunks above included"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--ngpu", type=int, default=0, choices=(0, 1))
    parser.add_argument("--peak", type=float, default=0.0, help="of the card, TFLOP/s in bfloat16")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    task = load_config(arguments.config).task if arguments.config else None
    config = task.network if isinstance(task, Classify | Recognize) else TrunkConfig()
    device = "cuda" if arguments.ngpu else "cpu"
    trunks(config, arguments.batch, arguments.frames, arguments.rounds, device, arguments.peak)
    if arguments.config:
        step(arguments.config, arguments.batch, arguments.frames, arguments.rounds, device)


if __name__ == "__main__":
    main()
