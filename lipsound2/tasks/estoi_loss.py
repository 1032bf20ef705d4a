"""Extended STOI (Jensen and Taal, 2016) as a loss on log-mels.

A distance between log-mels is smallest for the mean of all mels that fit the lips: right on average, blurred in time
and across bands. Blurred speech is hard to recognize, and extended STOI measures that. It correlates the pattern of
third-octave envelopes with that of the ground truth, over a third of a second, each moment weighing the same. The loss
computes the measure from the energies of the mel bands; no waveform is needed.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from lipsound2.audio.mel import MelConfig, mel_filters
from lipsound2.models.modules.regressor import mask

_BANDS = 15
_LOWEST = 150.0  # Hz, center of the first third-octave band
_SEGMENT = 0.384  # seconds
_STEP = 0.04  # seconds between the segments that are compared
_DYNAMIC = 40.0  # dB below the loudest frame count as silence
_SPEECH = 0.05  # a segment counts when so much of it is speech: onsets and ends weigh as much as the middle


def estoi_loss(prediction: Tensor, target: Tensor, feature_lengths: Tensor, config: MelConfig) -> Tensor:
    """One minus the correlation of spectro-temporal envelopes.

    Args:
        prediction: (B, S, bands) natural log-mel.
        target: (B, S, bands) the ground truth.
        feature_lengths: (B,) int64, valid mel frames; segments that hold padding do not count.
        config: the mel.

    Returns:
        (B,) float32 in [0, 2], the mean over the speech of each clip; 0 for a clip without any.
    """
    length = round(_SEGMENT * config.sample_rate / config.hop)
    step = max(1, round(_STEP * config.sample_rate / config.hop))
    if target.shape[1] < length:
        return prediction.new_zeros(len(prediction))
    weights = _bands(config, target.device)
    # Energies span ten decades, which autocast types do not hold.
    with torch.autocast(target.device.type, enabled=False):
        # The small constant keeps the root's slope finite in silence.
        predicted, true = ((2 * mel.float()).exp() @ weights + 1e-8 for mel in (prediction, target))
    # Padding is 0, which is loud as a log-mel.
    level = (10 * true.sum(-1).log10()).masked_fill(~mask(feature_lengths, target.shape[1]), -torch.inf)
    speech = level > level.amax(1, keepdim=True) - _DYNAMIC
    counts = (speech.float().unfold(1, length, step).mean(-1) > _SPEECH).float()
    ends = torch.arange(counts.shape[1], device=feature_lengths.device) * step + length
    counts = counts * (ends[None, :] <= feature_lengths[:, None])
    products = _normalize(predicted.sqrt(), length, step) * _normalize(true.sqrt(), length, step)
    correlation = products.sum((-2, -1)) / length
    return ((1 - correlation) * counts).sum(1) / counts.sum(1).clamp_min(1)


def _normalize(envelopes: Tensor, length: int, step: int) -> Tensor:
    """(B, S, 15) to segments (B, K, 15, length): each band, then each frame, with mean 0 and norm 1."""
    x = envelopes.unfold(1, length, step)
    for axis in (-1, -2):
        x = x - x.mean(axis, keepdim=True)
        x = x / (x.square().sum(axis, keepdim=True) + 1e-7).sqrt()
    return x


@functools.lru_cache(maxsize=8)
def _bands(config: MelConfig, device: torch.device) -> Tensor:
    """(bands, 15): the share of each mel filter in each third-octave band; each of the 15 columns sums to 1."""
    centers = _LOWEST * 2.0 ** (np.arange(_BANDS) / 3)
    hertz = np.linspace(0, config.sample_rate / 2, config.bins)
    inside = (hertz >= centers[:, None] * 2 ** (-1 / 6)) & (hertz < centers[:, None] * 2 ** (1 / 6))
    filters = mel_filters(config)
    shares = (filters / filters.sum(1, keepdims=True)) @ inside.T
    return torch.from_numpy(shares / shares.sum(0)).float().to(device)
