"""Griffin-Lim: exact framing, convergence, the same audio alone and in a batch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lipsound2.audio import griffin_lim as module
from lipsound2.audio.griffin_lim import griffin_lim, mel_to_waveform
from lipsound2.audio.io import load_audio
from lipsound2.audio.mel import MELS, MelConfig, frame, hann, magnitude_spectrogram, mel_spectrogram
from lipsound2.errors import LipsoundError

EVERY = pytest.mark.parametrize("config", MELS.values(), ids=MELS)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def voice(samples: int, pitch: float = 120.0) -> Tensor:
    """Something like a vowel with vibrato and a little breath."""
    time = torch.arange(samples, dtype=torch.float64) / 16000
    turns = pitch * (time + 0.02 * torch.sin(2 * torch.pi * 3 * time))
    waveform = sum(torch.sin(2 * torch.pi * k * turns) / k for k in range(1, 40)) * 0.15
    noise = 0.01 * torch.randn(samples, generator=torch.Generator().manual_seed(1))
    return waveform.float() * (0.6 + 0.4 * torch.sin(2 * torch.pi * 2 * time).float()) + noise


def convergence(made: Tensor, target: Tensor, config: MelConfig) -> float:
    return float((magnitude_spectrogram(made, config) - target).norm() / target.norm())


@pytest.mark.parametrize(
    "config", [*MELS.values(), dataclasses.replace(MELS["fine"], window=600), MelConfig("wide", window=320, hop=160)]
)
def test_synthesis_undoes_analysis(config: MelConfig) -> None:
    waveform = voice(20 * config.hop)[None]
    framing = module._Framing(config, torch.empty(1, 20, config.bins), None)
    torch.testing.assert_close(framing.synthesize(framing.analyze(waveform)), waveform, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        framing.analyze(waveform).abs(), magnitude_spectrogram(waveform, config), atol=1e-4, rtol=1e-4
    )


@EVERY
def test_it_converges_and_momentum_helps(config: MelConfig) -> None:
    target = magnitude_spectrogram(voice(60 * config.hop), config)
    made = {n: convergence(griffin_lim(target, config, iterations=n), target, config) for n in (1, 8, 40)}
    assert made[1] > made[8] > made[40]
    assert made[40] < 0.12
    without = convergence(griffin_lim(target, config, iterations=40, momentum=0.0), target, config)
    assert made[40] < without


def test_waveforms_mix_as_spectra_do() -> None:
    """The momentum on audio is the published one on spectra."""
    config, rounds, momentum = MELS["fine"], 6, 0.99
    target = magnitude_spectrogram(voice(40 * config.hop), config)[None].double()
    framing = module._Framing(config, target, None)
    framing.window = hann(config, target.device, torch.float64)
    spectrum = torch.polar(target, module._random_phases(target, 0).double())
    previous: Tensor | None = None
    for _ in range(rounds):
        rebuilt = framing.analyze(framing.synthesize(spectrum))
        mixed = rebuilt if previous is None else rebuilt - momentum / (1 + momentum) * previous
        spectrum, previous = target * mixed / mixed.abs().clamp_min(1e-12), rebuilt
    wanted = framing.synthesize(spectrum)[0].float()
    made = griffin_lim(target[0].float(), config, iterations=rounds, momentum=momentum, seed=0)
    assert (made - wanted).norm() / wanted.norm() < 1e-3


@EVERY
def test_the_first_phases_are_worth_rounds(config: MelConfig) -> None:
    target = magnitude_spectrogram(voice(60 * config.hop), config)
    made = convergence(griffin_lim(target, config, iterations=4), target, config)
    assert made < convergence(griffin_lim(target, config, iterations=4, seed=0), target, config)


@EVERY
def test_estimating_magnitudes_too_comes_nearer_to_the_mel(config: MelConfig) -> None:
    mel = mel_spectrogram(voice(60 * config.hop), config)

    def distance(refine: bool) -> float:
        made = mel_to_waveform(mel, config, iterations=32, refine=refine)
        return float((mel_spectrogram(made, config) - mel).abs().mean())

    assert distance(True) < 0.8 * distance(False)


@EVERY
def test_a_clip_does_not_depend_on_its_batch(config: MelConfig) -> None:
    mels = [mel_spectrogram(voice(n * config.hop, pitch), config) for n, pitch in ((30, 100.0), (50, 140.0))]
    batch = torch.full((2, 50, config.bands), 3.0)  # loud rubbish behind the end
    batch[0, :30], batch[1] = mels[0], mels[1]
    together = mel_to_waveform(batch, config, iterations=8, frames=torch.tensor([30, 50]))
    assert together.shape == (2, 50 * config.hop)
    assert torch.equal(together[0, : 30 * config.hop], mel_to_waveform(mels[0], config, iterations=8))
    assert torch.equal(together[1], mel_to_waveform(mels[1], config, iterations=8))
    assert not together[0, 30 * config.hop :].any()


@EVERY
@pytest.mark.parametrize("seed", [None, 3])
def test_masked_batches_as_a_gpu_runs_them_equal_clips_alone(config: MelConfig, seed: int | None) -> None:
    first, second = (magnitude_spectrogram(voice(n * config.hop), config) for n in (30, 50))
    batch = torch.ones(2, 50, config.bins)
    batch[0, :30], batch[1] = first, second
    made = module._rounds(batch, config, torch.tensor([30, 50]), 8, 0.99, seed, None)
    alone = griffin_lim(first, config, iterations=8, seed=seed)
    torch.testing.assert_close(made[0, : 30 * config.hop], alone, atol=1e-4, rtol=0)
    torch.testing.assert_close(made[1], griffin_lim(second, config, iterations=8, seed=seed), atol=1e-4, rtol=0)
    assert not made[0, 30 * config.hop :].any()


def test_reflection_at_each_clips_own_end() -> None:
    config = MELS["fine"]
    waveform = voice(50 * config.hop)[None].repeat(2, 1)
    waveform[0, 30 * config.hop :] = 0
    framing = module._Framing(config, torch.empty(2, 50, config.bins), torch.tensor([30, 50]))
    framing.analyze(waveform)
    frames = framing.buffer[0, :30, : config.window]
    torch.testing.assert_close(frames, frame(waveform[0, : 30 * config.hop], config) * hann(config, waveform.device))


def test_silence_stays_silent_and_shapes_hold() -> None:
    config = MELS["fine"]
    quiet = torch.full((2, 20, 80), float(np.log(config.floor)))
    made = mel_to_waveform(quiet, config, iterations=12)
    assert made.shape == (2, 3200)
    assert made.abs().max() < 1e-4
    assert not griffin_lim(torch.zeros(3, 1, 12, config.bins), config, iterations=3).any()


def test_wrong_sizes_are_refused() -> None:
    config = MELS["paper"]
    with pytest.raises(LipsoundError, match="expected 513 bins for the mel 'paper', found 80"):
        griffin_lim(torch.ones(20, 80), config)
    with pytest.raises(LipsoundError, match="expected 80 bands"):
        mel_to_waveform(torch.ones(20, 40), config)
    with pytest.raises(LipsoundError, match="a clip of 1 frames is too short for the mel 'paper', which needs 2"):
        mel_to_waveform(torch.ones(2, 20, 80), config, frames=torch.tensor([20, 1]))


@pytest.mark.real
@pytest.mark.parametrize(("name", "floor"), [("fine", 0.89), ("paper", 0.78)])
def test_real_mels_speak(grid: Path, name: str, floor: float) -> None:
    pystoi = pytest.importorskip("pystoi", reason="pystoi is not installed (extra: metrics)")
    config, scores = MELS[name], []
    for path in sorted((grid / "s1").glob("*.mp4"))[:60:12]:
        waveform = load_audio(path, start=0.0, seconds=3.0)
        made = mel_to_waveform(mel_spectrogram(torch.from_numpy(waveform), config), config, iterations=16).numpy()
        scores.append(pystoi.stoi(waveform[: len(made)], made, 16000, extended=True))
    assert np.mean(scores) > floor


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@EVERY
def test_cuda_equals_cpu(config: MelConfig) -> None:
    mels = torch.stack([mel_spectrogram(voice(40 * config.hop, pitch), config) for pitch in (100.0, 140.0)])
    frames = torch.tensor([25, 40])
    there = mel_to_waveform(mels.cuda(), config, iterations=4, frames=frames.cuda()).cpu()
    here = mel_to_waveform(mels, config, iterations=4, frames=frames)
    assert (there - here).norm() / here.norm() < 1e-2
