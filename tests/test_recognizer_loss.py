"""The loss of what a recognizer hears: its ends, padding, gradients, and what it refuses."""

from __future__ import annotations

import functools

import pytest
import torch
from helpers.experiments import synthetic_clips
from torch import Tensor
from torch.nn import functional as F

from lipsound2.audio.mel import MELS, mel_spectrogram
from lipsound2.errors import LipsoundError
from lipsound2.experiment import load
from lipsound2.models.asr.jasper import Jasper, JasperConfig
from lipsound2.models.asr.recognizer import Recognizer
from lipsound2.tasks.recognizer_loss import RecognizerLoss

FINE = MELS["fine"]


@functools.cache
def loss() -> RecognizerLoss:
    """By the recognizer that ships."""
    return RecognizerLoss(load("grid-s1-asr").model, FINE)


@functools.cache
def mels() -> tuple[Tensor, Tensor]:
    """(1, S, 80) natural log-mels of two generated clips, 1.6 s of each."""
    clips = synthetic_clips(2).values()
    first, second = (mel_spectrogram(torch.from_numpy(clip.waveform), FINE)[None, 60:220] for clip in clips)
    return first, second


def of(prediction: Tensor, target: Tensor, length: int | None = None) -> float:
    return loss()(prediction, target, torch.tensor([length or target.shape[1]])).item()


def test_the_ends():
    mel, other = mels()
    assert of(mel, mel) == 0
    assert of(mel + 0.1 * torch.randn(mel.shape, generator=torch.Generator().manual_seed(0)), mel) < 0.25
    assert 0.5 < of(other, mel) < 2
    assert of(mel - 3, mel) > 0.2, "a wrong level costs"


def test_blur_costs():
    mel, _ = mels()
    blurred = [F.avg_pool1d(mel.transpose(1, 2), k, 1, k // 2).transpose(1, 2) for k in (3, 9, 21)]
    found = [of(each, mel) for each in blurred]
    assert found == sorted(found)
    assert found[0] < 0.5 * found[2]


def test_padding_does_not_count():
    mel, other = mels()
    alone = of(other[:, :120], mel[:, :120])
    rest = torch.full_like(mel, 7.0)
    padded = [torch.cat([each[:, :120], rest[:, 120:]], 1) for each in (other, mel)]
    both = loss()(torch.cat([padded[0], mel]), torch.cat([padded[1], mel]), torch.tensor([120, 160]))
    assert both.tolist() == pytest.approx([alone, 0], abs=1e-4)


def test_the_prediction_learns_and_the_recognizer_does_not():
    recognizer = load("grid-s1-asr").model
    made = RecognizerLoss(recognizer, FINE)
    mel, other = mels()
    prediction = other.clone().requires_grad_()
    for _ in range(60):
        cost = made(prediction, mel, torch.tensor([160])).sum()
        (gradient,) = torch.autograd.grad(cost, prediction)
        prediction = (prediction - 0.05 * gradient.sign()).detach().requires_grad_()
    assert of(prediction, mel) < 0.7 * of(other, mel)
    assert all(parameter.grad is None for parameter in recognizer.encoder.parameters())
    assert not any(parameter.requires_grad for parameter in recognizer.encoder.parameters())


def test_silence_has_finite_slopes():
    silent = torch.full((1, 160, 80), -11.5, requires_grad=True)
    loss()(silent, torch.full((1, 160, 80), -11.5), torch.tensor([160])).sum().backward()
    assert silent.grad is not None
    assert torch.isfinite(silent.grad).all()


def test_other_mels_and_other_networks_are_refused():
    with pytest.raises(LipsoundError, match="hears mels with hop 160, the target 'paper' has 256; predict mel-fine"):
        RecognizerLoss(load("grid-s1-asr").model, MELS["paper"])
    config = JasperConfig(
        widths=(8,), kernels=(3,), dropouts=(0.0,), repeat=1, stem=8, stem_kernel=3, last=(8, 8), last_dropout=0.0
    )
    with pytest.raises(LipsoundError, match=r"wanted a Conformer of audio .* found Jasper"):
        RecognizerLoss(Recognizer(Jasper(config, 80), config, 5), FINE)
