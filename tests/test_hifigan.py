"""HiFi-GAN: published sizes, exact lengths, what a sample depends on, folded norms, discriminators."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from lipsound2.audio.mel import MELS
from lipsound2.errors import LipsoundError
from lipsound2.models.vocoders.discriminators import Discriminators
from lipsound2.models.vocoders.hifigan import HifiGan, HifiGanConfig, fold_norms

SIZES = {
    "v1": HifiGanConfig(),
    "v2": HifiGanConfig(channels=128),
    "v3": HifiGanConfig(channels=256, residual="single"),
}
TINY = [HifiGanConfig(channels=16), HifiGanConfig(channels=16, residual="single")]


def million(model: torch.nn.Module) -> float:
    return round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2)


def lively(config: HifiGanConfig, mel: str) -> HifiGan:
    """A network whose layers all matter: weights a hundred times the first ones, which are near 0."""
    torch.manual_seed(0)
    model = HifiGan(config, MELS[mel]).eval()
    fold_norms(model)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, 0.0, parameter[0].numel() ** -0.5)
    return model


@pytest.mark.parametrize(("size", "published"), [("v1", 13.93), ("v2", 0.93), ("v3", 1.46)])
def test_sizes_are_the_published_ones(size: str, published: float) -> None:
    model = HifiGan(SIZES[size], MELS["paper"])
    fold_norms(model)
    assert million(model) == published


def test_critics_are_the_published_ones() -> None:
    discriminators = Discriminators()
    assert million(discriminators) == 70.72  # with the lengths of weight norm
    outputs = discriminators(torch.randn(2, 1000))
    assert len(outputs) == 8
    assert [len(features) for _, features in outputs] == [6] * 5 + [8] * 3
    # (1000 + padding to the period) / period rows, a third of them after each of four layers.
    assert [tuple(scores.shape) for scores, _ in outputs[:2]] == [(2, 1, 7, 2), (2, 1, 5, 3)]


@pytest.mark.parametrize("width", [0.125, 0.5])
def test_critics_may_be_narrower(width: float) -> None:
    narrow = Discriminators(width)
    outputs = narrow(torch.randn(2, 800))
    assert million(narrow) < 70.72 * width
    torch.stack([scores.mean() for scores, _ in outputs]).sum().backward()
    assert all(parameter.grad is not None for parameter in narrow.parameters())


@pytest.mark.parametrize("mel", MELS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("frames", [1, 7, 32])
def test_lengths_are_exact(mel: str, size: str, frames: int) -> None:
    config = dataclasses.replace(SIZES[size], channels=16)
    waveform = HifiGan(config, MELS[mel])(torch.randn(2, frames, 80))
    assert waveform.shape == (2, frames * MELS[mel].hop)
    assert waveform.abs().max() <= 1


@pytest.mark.parametrize("mel", MELS)
@pytest.mark.parametrize("config", TINY, ids=["pairs", "single"])
def test_a_sample_depends_on_what_the_reach_says(mel: str, config: HifiGanConfig) -> None:
    model, frames = lively(config, mel), 101
    spectrum = torch.randn(1, frames, 80, dtype=torch.float64)
    model.double()
    changed = spectrum.clone()
    changed[:, 50] += 1
    differ = (model(spectrum) != model(changed))[0].nonzero().flatten() // MELS[mel].hop
    first, last = int(differ.min()), int(differ.max())
    assert 50 - model.receptive_field <= first <= 50 - 0.6 * model.receptive_field
    assert 50 + 0.6 * model.receptive_field <= last <= 50 + model.receptive_field


def test_folded_norms_are_the_same_function() -> None:
    torch.manual_seed(0)
    model = HifiGan(HifiGanConfig(channels=32), MELS["fine"]).eval()
    spectrum = torch.randn(1, 20, 80)
    before = model(spectrum)
    fold_norms(model)
    assert torch.allclose(model(spectrum), before, atol=1e-6)
    assert not any("parametrizations" in name for name in model.state_dict())


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(
        LipsoundError, match="HiFi-GAN speaks mels with hops of 256, 160 samples; the mel 'odd' has 200"
    ):
        HifiGan(HifiGanConfig(), dataclasses.replace(MELS["fine"], name="odd", hop=200))
    with pytest.raises(LipsoundError, match="channels: expected a multiple of 16, found 100"):
        HifiGanConfig(channels=100)
    with pytest.raises(LipsoundError, match=r"discriminator_width: expected 1, 0.5, 0.25 or 0.125, found 0.3"):
        HifiGanConfig(discriminator_width=0.3)
