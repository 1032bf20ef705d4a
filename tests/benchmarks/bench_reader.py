"""A lip reader of auto_avsr's size beside the arithmetic of the published code written plainly, in one run.

    python tests/benchmarks/bench_reader.py [--ways fp32 bf16 int8 plain] [--frames 75] [--threads 2] [--packs DIR]

Weights are made by a rule, so the text is noise that never ends: the search takes as many steps as there are video
frames, the most it can. All numbers are multiples of the clip's length: wall time, and processor time in brackets.
Greedy is encoder, CTC, and its best path. The search is joint, beam 10, CTC's weight 0.1, the language model's 0.3. The
numbers are medians of `--repeat` rounds; the search, which takes longest, is run once. Memory is the largest of a
process that does nothing else. `plain` has the encoder's positions gathered and its softmax written out, a clip
at a time; in the search every text of the beam alone, from its beginning, in every step, as is the language model.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from helpers.published_weights import FULL, FULL_LM, language_state, reader_state

import lipsound2
from lipsound2.decoding.joint import joint_search
from lipsound2.inference.lm_fusion import NetworkModel
from lipsound2.inference.neural_fusion import Ahead
from lipsound2.models.asr.text_decoder import TextDecoder
from lipsound2.models.modules.conformer import RelativeAttention
from lipsound2.models.modules.layers import sinusoids
from lipsound2.published.avsr import convert_avsr
from lipsound2.timing import FRAME_RATE

_BEAM, _CTC, _LM = 10, 0.1, 0.3
_PLAIN = "plain"


def make(folder: Path) -> None:
    """Convert rule-made weights of full size, unless they are there."""
    units = folder / "units.txt"
    units.write_text("".join(f"\N{LOWER ONE EIGHTH BLOCK}{number} {number}\n" for number in range(1, FULL.classes - 1)))
    for name, state in (("reader", lambda: reader_state(FULL)), ("lm", lambda: language_state(FULL_LM))):
        if not (folder / name / "model.safetensors").exists():
            torch.save(state(), folder / f"{name}.pth")
            convert_avsr(folder / f"{name}.pth", folder / name, tokens=units)
            (folder / f"{name}.pth").unlink()


def plain_attention(self: RelativeAttention, x: Tensor, valid: Tensor) -> Tensor:
    """Transformer-XL's attention as the paper has it, place by place."""
    B, T, width = x.shape
    assert self.positions is not None
    query, key, value = self.project(self.norm(x)).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
    table = sinusoids(torch.arange(T - 1, -T, -1), width, interleaved=True)
    places = self.positions.project(table).unflatten(1, (self.heads, -1)).permute(1, 2, 0)
    content = (query + self.positions.content[:, None]) @ key.transpose(-1, -2)
    place = (query + self.positions.place[:, None]) @ places
    index = T - 1 - torch.arange(T)[:, None] + torch.arange(T)
    scores = (content + place.gather(3, index.expand(B, self.heads, T, T))) / math.sqrt(width // self.heads)
    weights = scores.masked_fill(~valid[:, None, None, :], -torch.inf).softmax(-1)
    joined: Tensor = self.join((weights @ value).transpose(1, 2).reshape(B, T, width))
    return joined


def plain_decoder(decoder: TextDecoder, states: Tensor) -> Callable[[Tensor, Tensor, Any], tuple[Tensor, Any]]:
    """Every text alone and from its beginning."""
    places = torch.tensor([len(states)])

    def step(last: Tensor, rows: Tensor, past: list[list[int]] | None) -> tuple[Tensor, list[list[int]]]:
        texts = [[*(past[row] if past else []), token] for row, token in zip(rows.tolist(), last.tolist(), strict=True)]
        scores = [
            decoder(torch.tensor([text]), torch.tensor([len(text)]), states[None], places)[0, -1].log_softmax(-1)
            for text in texts
        ]
        return torch.stack(scores), texts

    return step


class PlainModel(NetworkModel):
    """A language model that reads every text from its beginning; its memory is the tokens."""

    @torch.no_grad()
    def compute(self, states: Sequence[Ahead]) -> None:
        """See `NeuralFusion`."""
        for state in states:
            before = state.past if isinstance(state.past, list) else []
            state.past = [*before, state.token]
            state.follows = self.network(torch.tensor([state.past]))[0, -1].log_softmax(-1).numpy()


@torch.no_grad()
def measure(way: str, packs: Path, frames: int, threads: int, repeat: int) -> dict[str, Any]:
    """One way: seconds of wall and processor of each part, MB, and what was found."""
    torch.set_num_threads(threads)
    precision: Any = "fp32" if way == _PLAIN else way
    search = lipsound2.SearchOptions(lm=packs / "lm")
    found: dict[str, Any] = {}

    def timed(name: str, times: int, run: Callable[[], Any]) -> Any:
        spent = []
        for _ in range(times):
            begun = time.perf_counter(), time.process_time()
            made = run()
            spent.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
        found[name] = tuple(statistics.median(column) for column in zip(*spent, strict=True))
        return made

    reader = timed("load", 1, lambda: lipsound2.load(packs / "reader", search=search, precision=precision))
    clip = np.random.default_rng(7).integers(0, 256, (frames, 96, 96), np.uint8)
    if way == _PLAIN:
        RelativeAttention.forward = plain_attention
    reader.encode(clip)  # what comes first is slower: memory is mapped, kernels are chosen
    states = timed("encoder", repeat, lambda: reader.encode(clip))
    timed("greedy", repeat, lambda: reader.ctc_log_probs(reader.encode(clip)).argmax(-1))

    def joint() -> tuple[list[int], float]:
        if way != _PLAIN:
            tokens, score = reader.search(states, beam=_BEAM, ctc_weight=_CTC, lm_weight=_LM)
            return tokens, score
        trained = reader._trained
        log_probs = reader.ctc_log_probs(states)[:, : trained.network.tokens]
        model = PlainModel(trained.fusion.network, _LM, 0.0)
        step = plain_decoder(trained.network.decoder, states)
        return joint_search(step, log_probs, beam=_BEAM, ctc_weight=_CTC, model=model)

    found["text"] = timed("search", 1, joint)
    found["states"] = states.numpy()
    found["MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", default=["fp32", "bf16", "int8", _PLAIN])
    parser.add_argument("--frames", type=int, default=75, help="video frames of the clip")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--packs", type=Path, help="folder to keep the converted weights in (1.3 GB)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        packs = options.packs or Path(temporary)
        packs.mkdir(parents=True, exist_ok=True)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            pool.apply(make, (packs,))
        seconds = options.frames / FRAME_RATE
        print(f"{seconds:g} s of video, {options.threads} threads; {dataclasses.asdict(FULL)}")
        heads = ("way", "load, s", "encoder", "greedy", "search", "encoder and search", "MB", "states off by", "tokens")
        print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
        first: dict[str, Any] = {}
        for way in options.ways:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found = pool.apply(measure, (way, packs, options.frames, options.threads, options.repeat))
            first = first or found
            parts = {name: np.array(found[name]) / seconds for name in ("encoder", "greedy", "search")}
            parts["both"] = parts["encoder"] + parts["search"]
            cells = [way, f"{found['load'][0]:.1f}"]
            cells += [f"{wall:.2f} ({processor:.2f})" for wall, processor in parts.values()]
            apart = float(np.abs(found["states"] - first["states"]).max())
            same = sum(a == b for a, b in zip(found["text"][0], first["text"][0], strict=False))
            cells += [f"{found['MB']:.0f}", f"{apart:.1e}", f"{same} of {len(first['text'][0])}"]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
