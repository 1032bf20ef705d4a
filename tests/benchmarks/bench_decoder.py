"""LipSound2's decoder beside a plain loop over the steps, on the same weights: teacher-forced training and speaking.

    python tests/benchmarks/bench_decoder.py [--frames 300] [--batch 16] [--threads 2] [--device cuda]

The peer does what the Tacotron 2 decoders of NVIDIA and torchaudio do: the prenet over all steps, then step after step
two LSTM cells, the location convolution and its linear layer, the energies, the context, the projection, each result
put in a list. Both must give the same numbers; then both are timed, taking turns, and medians are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.models.tacotron.attention import LocationAttention, energy_bias
from lipsound2.models.tacotron.decoder import Decoder, Prenet


class PlainDecoder(nn.Module):
    """A decoder that goes step by step, over the parameters of one of ours."""

    def __init__(self, ours: Decoder) -> None:
        super().__init__()
        self.ours = ours
        states = ours.attention_lstm.input_size - ours.prenet.widths[-1]
        self.attention_cell = ours.attention_lstm
        self.decoder_cell = nn.LSTMCell(self.attention_cell.hidden_size + states, ours.decoder_lstm.hidden_size)
        for name, shared in zip(
            ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), ours.decoder_lstm.all_weights[0], strict=True
        ):
            setattr(self.decoder_cell, name, shared)

    def begin(self, states: Tensor) -> None:
        """Forget the last utterance."""
        B, P, _ = states.shape
        zeros = states.new_zeros
        self.states = states
        self.keys = self.ours.attention.memory(states)
        self.attention_state = (zeros(B, self.attention_cell.hidden_size),) * 2
        self.decoder_state = (zeros(B, self.decoder_cell.hidden_size),) * 2
        self.weights, self.sum, self.context = zeros(B, P), zeros(B, P), zeros(B, states.shape[2])

    def step(self, prenet: Tensor, bias: Tensor) -> Tensor:
        """One frame, (B, D * r)."""
        attention = self.ours.attention
        self.attention_state = self.attention_cell(torch.cat([prenet, self.context], dim=1), self.attention_state)
        past = torch.cat([self.weights.unsqueeze(1), self.sum.unsqueeze(1)], dim=1)
        location = attention.location(attention.location_conv(past).transpose(1, 2))
        query = attention.query(self.attention_state[0].unsqueeze(1))
        energies = attention.energy(torch.tanh(query + location + self.keys)).squeeze(2)
        self.weights = F.softmax(energies + bias, dim=1)
        self.sum = self.sum + self.weights
        self.context = torch.bmm(self.weights.unsqueeze(1), self.states).squeeze(1)
        heard = torch.cat([self.attention_state[0], self.context], dim=1)
        self.decoder_state = self.decoder_cell(self.ours.dropout(heard), self.decoder_state)
        return self.ours.projection(torch.cat([self.ours.dropout(self.decoder_state[0]), self.context], dim=1))

    def forward(self, states: Tensor, bias: Tensor, fed: Tensor) -> Tensor:
        """Teacher-forced: (B, T, D * r)."""
        keeps = None if self.training else self.ours.prenet.keeps(len(fed), fed)
        prenet = self.ours.prenet(fed, keeps)
        self.begin(states)
        return torch.stack([self.step(prenet[t], bias[t]) for t in range(len(fed))], dim=1)

    @torch.no_grad()
    def generate(self, states: Tensor, bias: Tensor) -> Tensor:
        """Free-running: (B, T, D * r)."""
        self.begin(states)
        keeps = self.ours.prenet.keeps(len(bias), states)
        frames = [states.new_zeros(len(states), self.ours.dims)]
        for t in range(len(bias)):
            prenet = self.ours.prenet(frames[-1][:, -self.ours.dims :], keeps and [keep[t] for keep in keeps])
            frames.append(self.step(prenet, bias[t]))
        return torch.stack(frames[1:], dim=1)


def timed(
    calls: dict[str, Callable[[], object]], repeats: int, device: torch.device, clock: Callable[[], float]
) -> dict[str, float]:
    """Median seconds of each call; they take turns, so that a busy machine is busy for all."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            begin = clock()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:  # the first warms up
                seconds[name].append(clock() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    """Compare and time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in {"batch": 16, "video_frames": 75, "frames": 188, "reduction": 1, "width": 1024}.items():
        parser.add_argument(f"--{option.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0: torch's choice")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: for a busy machine, one thread")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cuda-graph", action="store_true", help="record and replay the attention loop")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    clock = {"wall": time.perf_counter, "cpu": time.process_time}[options.clock]
    device, dims, E = torch.device(options.device), 80, 256
    B, P, r = options.batch, options.video_frames + 1, options.reduction
    T = -(-options.frames // r)
    decoder = Decoder(E, dims, r, LocationAttention(E, options.width), Prenet(dims), options.width, options.width)
    decoder.cuda_graph = options.cuda_graph
    decoder.to(device)
    plain = PlainDecoder(decoder)
    states = torch.randn(B, P, E, device=device, requires_grad=True)
    fed = torch.randn(T, B, dims, device=device)
    bias = energy_bias(torch.full((B,), P, device=device), P, T, options.video_frames / T).expand(T, B, P)
    weight = torch.randn(B, T, dims * r, device=device)

    def ours_trained() -> None:
        decoder.zero_grad()
        (decoder(states, bias, fed).features.unflatten(1, (T, r)).flatten(2) * weight).sum().backward()

    def plain_trained() -> None:
        decoder.zero_grad()
        (plain(states, bias, fed) * weight).sum().backward()

    def gradients(call: Callable[[], None]) -> list[Tensor]:
        call()
        return [p.grad.clone() for p in decoder.parameters() if p.grad is not None]

    plain.eval()
    pairs = list(zip(gradients(ours_trained), gradients(plain_trained), strict=True))
    worst = max(float((a - b).norm() / b.norm()) for a, b in pairs)
    with torch.no_grad():
        taught = decoder(states, bias, fed).features.flatten(1) - plain(states, bias, fed).flatten(1)
    difference = decoder.generate(states, bias)[0].features.flatten(1) - plain.generate(states, bias).flatten(1)
    print(f"batch {B}, {options.video_frames} video frames, {T} steps of {r}, LSTM {options.width}, {device}")
    print(f"largest difference: taught {float(taught.abs().max()):.1e}, spoken {float(difference.abs().max()):.1e}")
    print(f"largest relative difference of a gradient, over {len(pairs)} parameters: {worst:.1e}")
    plain.train()
    rows = {"forward + backward": timed({"ours": ours_trained, "plain": plain_trained}, options.repeats, device, clock)}
    plain.eval()
    calls = {"ours": lambda: decoder.generate(states, bias), "plain": lambda: plain.generate(states, bias)}
    rows["speaking"] = timed(calls, options.repeats, device, clock)
    for name, row in rows.items():
        print(
            f"{name:20s} ours {row['ours']:.3f} s, plain {row['plain']:.3f} s: {row['plain'] / row['ours']:.2f} times"
        )


if __name__ == "__main__":
    main()
