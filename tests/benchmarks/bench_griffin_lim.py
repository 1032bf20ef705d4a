"""Griffin-Lim beside librosa's and beside the same algorithm in plain torch; speed, convergence, and ESTOI from mels.

    python tests/benchmarks/bench_griffin_lim.py [--clips FOLDER] [--count 5] [--threads 1]

Speed is milliseconds of processor time a round on one clip, the peers in turn, medians; processor time, because
other work on the machine does not count in it. "Equal convergence": the rounds ours needs to come as near to the
magnitudes of real speech as the peer does in its 32 or 60, and the time of both. Spectral convergence is
|| |STFT(y)| - M || / || M ||, in each one's own framing of the same clip.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lipsound2.audio.griffin_lim import griffin_lim, mel_to_waveform
from lipsound2.audio.io import load_audio
from lipsound2.audio.mel import MELS, MelConfig, magnitude_spectrogram, mel_filters, mel_spectrogram

ROOT = Path(__file__).resolve().parents[2]


class PlainTorch:
    """Fast Griffin-Lim as it is usually written with torch.stft and torch.istft: random phases, complex momentum."""

    name = "plain torch"

    def __init__(self, config: MelConfig) -> None:
        self.sizes = {"n_fft": config.n_fft, "hop_length": config.hop, "win_length": config.window}
        self.window = torch.hann_window(config.window)

    def analyze(self, waveform: Tensor) -> Tensor:
        return torch.stft(waveform, window=self.window, return_complex=True, pad_mode="reflect", **self.sizes)

    def magnitude(self, waveform: Tensor) -> Tensor:
        return self.analyze(waveform).abs()

    def __call__(self, magnitude: Tensor, rounds: int, samples: int) -> Tensor:
        mix = 0.99 / 1.99
        angles = torch.polar(torch.ones_like(magnitude), torch.rand_like(magnitude) * 2 * torch.pi)
        before: Tensor | float = 0.0
        for _ in range(rounds):
            waveform = torch.istft(magnitude * angles, window=self.window, length=samples, **self.sizes)
            rebuilt = self.analyze(waveform)
            angles = rebuilt - mix * before
            angles = angles / (angles.abs() + 1e-16)
            before = rebuilt
        return torch.istft(magnitude * angles, window=self.window, length=samples, **self.sizes)


class Librosa(PlainTorch):
    """librosa.griffinlim, with its momentum of 0.99 and random phases."""

    name = "librosa"

    def __init__(self, config: MelConfig) -> None:
        super().__init__(config)
        import librosa

        self.griffinlim = librosa.griffinlim

    def __call__(self, magnitude: Tensor, rounds: int, samples: int) -> Tensor:
        sizes = dict(self.sizes)
        waveform = self.griffinlim(magnitude.numpy(), n_iter=rounds, length=samples, random_state=0, **sizes)
        return torch.from_numpy(waveform)


class Ours:
    """griffin_lim of this toolkit."""

    name = "lipsound2"

    def __init__(self, config: MelConfig) -> None:
        self.config = config

    def magnitude(self, waveform: Tensor) -> Tensor:
        return magnitude_spectrogram(waveform, self.config)

    def __call__(self, magnitude: Tensor, rounds: int, samples: int) -> Tensor:
        return griffin_lim(magnitude, self.config, iterations=rounds)


def seconds_of(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def convergence(method: PlainTorch | Ours, waveform: Tensor, rounds: int) -> float:
    target = method.magnitude(waveform)
    made = method(target, rounds, waveform.shape[-1])
    return float((method.magnitude(made) - target).norm() / target.norm())


def compare_speed(methods: list[PlainTorch | Ours], waveform: Tensor, repeats: int = 9) -> dict[str, float]:
    """Milliseconds a round: the slope between 4 and 20 rounds, so that what happens once does not count."""
    targets = [method.magnitude(waveform) for method in methods]
    samples = waveform.shape[-1]
    slopes: dict[str, list[float]] = {method.name: [] for method in methods}
    for _ in range(repeats):
        for method, target in zip(methods, targets, strict=True):
            few = seconds_of(lambda m=method, t=target: m(t, 4, samples))
            many = seconds_of(lambda m=method, t=target: m(t, 20, samples))
            slopes[method.name].append((many - few) / 16 * 1e3)
    return {name: statistics.median(values) for name, values in slopes.items()}


def compare_convergence(ours: Ours, peers: list[PlainTorch], audio: list[Tensor]) -> None:
    print("equal convergence on real magnitudes (mean of the clips; time of one clip, all of it, medians)")
    curve = {n: np.mean([convergence(ours, s, n) for s in audio]) for n in (*range(2, 33, 2), 40, 48, 60)}
    for peer in peers:
        for rounds in (32, 60):
            reached = np.mean([convergence(peer, s, rounds) for s in audio])
            enough = next((n for n, value in curve.items() if value <= reached), 0)
            if not enough:
                print(f"  {peer.name} {rounds} rounds: {reached:.4f}; ours stays above it (60 rounds: {curve[60]:.4f})")
                continue
            times: dict[str, list[float]] = {"peer": [], "ours": []}
            for waveform in audio:
                samples, mine, theirs = waveform.shape[-1], ours.magnitude(waveform), peer.magnitude(waveform)
                times["peer"].append(seconds_of(lambda p=peer, t=theirs, r=rounds, s=samples: p(t, r, s)))
                times["ours"].append(seconds_of(lambda t=mine, r=enough, s=samples: ours(t, r, s)))
            one, other = (statistics.median(times[key]) * 1e3 for key in ("peer", "ours"))
            print(
                f"  {peer.name} {rounds} rounds: {reached:.4f} in {one:.0f} ms; "
                f"ours {enough} rounds: {curve[enough]:.4f} in {other:.0f} ms: {one / other:.1f} times"
            )


def compare_speech(config: MelConfig, audio: list[Tensor]) -> None:
    from pystoi import stoi

    def scores(made: list[Tensor]) -> tuple[float, float]:
        pairs = [(s[: len(m)].numpy(), m.numpy()) for s, m in zip(audio, made, strict=True)]
        return tuple(float(np.mean([stoi(s, m, 16000, extended=e) for s, m in pairs])) for e in (False, True))

    peer, inverse = PlainTorch(config), torch.from_numpy(np.linalg.pinv(mel_filters(config))).float()
    mels = [mel_spectrogram(waveform, config) for waveform in audio]
    print(f"speech from real mels, '{config.name}': STOI / ESTOI, milliseconds a clip")
    for rounds in (8, 16, 32, 60):
        made, spent = [], []
        for mel in mels:
            magnitude = (mel.exp() @ inverse.T).clamp_min(0)
            # The peer's frames lie around multiples of the hop, ours half a hop later.
            start = time.process_time()
            whole = peer(magnitude.T.contiguous(), rounds, (len(mel) - 1) * config.hop)
            spent.append(time.process_time() - start)
            made.append(torch.nn.functional.pad(whole, (config.hop // 2, config.hop // 2)))
        line = "  {:2d} rounds: plain torch, pseudo-inverse {:.3f} / {:.3f} {:4.0f} ms".format(
            rounds, *scores(made), 1e3 * statistics.median(spent)
        )
        for refine in (False, True):
            made, spent = [], []
            for mel in mels:
                start = time.process_time()
                made.append(mel_to_waveform(mel, config, iterations=rounds, refine=refine))
                spent.append(time.process_time() - start)
            label = "ours" if refine else "ours, fixed magnitudes"
            line += "; {} {:.3f} / {:.3f} {:4.0f} ms".format(label, *scores(made), 1e3 * statistics.median(spent))
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    grid = os.environ.get("LIPSOUND2_GRID", ROOT.parent / "shared" / "grid")
    parser.add_argument("--clips", type=Path, default=Path(grid) / "s1", help="folder of clips with speech")
    parser.add_argument("--count", type=int, default=5, help="clips used")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    files = sorted(path for path in options.clips.iterdir() if path.is_file())
    audio = [torch.from_numpy(load_audio(path)) for path in files[:: max(1, len(files) // options.count)]]
    audio = [waveform[: len(waveform) // 1280 * 1280] for waveform in audio[: options.count]]
    print(f"{len(audio)} clips of {len(audio[0]) / 16000:.1f} s, {options.threads} thread(s)")
    for config in MELS.values():
        ours, peers = Ours(config), [PlainTorch(config)]
        try:
            peers.append(Librosa(config))
        except ImportError:
            print("librosa is not installed: its rows are left out")
        speed = compare_speed([ours, *peers], audio[0])
        print(f"{config.name}: milliseconds a round, one clip: " + ", ".join(f"{k} {v:.2f}" for k, v in speed.items()))
        for peer in peers:
            print(f"  {speed[peer.name] / speed[ours.name]:.2f} times {peer.name}")
        compare_convergence(ours, peers, audio)
        compare_speech(config, audio)


if __name__ == "__main__":
    main()
