"""Base of the models of the task *regress*: silent video in, frame-aligned features out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.models.modules.voice import VoiceConditioning


@dataclass
class Prediction:
    """Output of a forward pass in training, in normalized features.

    Attributes:
        features: (B, S, D) final prediction.
        before_postnet: (B, S, D) prediction before the postnet, when the model has one.
        alignment: (B, steps, P) attention weights over encoder states, when the model has attention.
        word_scores: (B, T, words) logits of the word head at each video frame, when the model has one.
    """

    features: Tensor
    before_postnet: Tensor | None = None
    alignment: Tensor | None = None
    word_scores: Tensor | None = None


@dataclass
class Generated:
    """Free-running output, in natural units.

    Attributes:
        features: (B, S, D); of a mel, natural logarithms.
        feature_lengths: (B,) int64, valid feature frames of each clip; the rest is padding.
        alignment: (B, steps, P) attention weights over encoder states, when the model has attention.
        alignment_lengths: (B,) int64, valid decoder steps of each clip; None: all of them.
        word_scores: (B, T, words) logits of the word head at each video frame, when the model has one.
    """

    features: Tensor
    feature_lengths: Tensor
    alignment: Tensor | None = None
    alignment_lengths: Tensor | None = None
    word_scores: Tensor | None = None

    def attention(self, clip: int) -> Tensor | None:
        """Attention weights (steps, P) of one clip of the batch, up to its end; None: the model has no attention."""
        if self.alignment is None:
            return None
        return self.alignment[clip, : None if self.alignment_lengths is None else int(self.alignment_lengths[clip])]


class FeatureRegressor(nn.Module, ABC):
    """Base of models from video frames to features at a fixed ratio.

    Args:
        dims: feature dimensions D (80 mel bands).
        ratio: feature frames per video frame: 4 for the `fine` mel, 2.5 for `paper`, 1 for LiRA's features.

    Attributes:
        takes_voice: whether the class can be conditioned on speaker embeddings. It is then made with their dimensions
            as `voice`, and `forward` and `generate` take embeddings (B, dims) by that name.
        autoregressive: whether the class predicts a feature frame from those before it. Its `forward` then takes
            `scheduled_sampling`, the share of frames in training that are predicted from its own output.
        voice: adds them to the states; None: the model is not conditioned on a voice.
    """

    takes_voice: ClassVar[bool] = False
    autoregressive: ClassVar[bool] = False

    target_mean: Tensor
    target_std: Tensor

    def __init__(self, dims: int, ratio: float) -> None:
        super().__init__()
        self.dims = dims
        self.ratio = ratio
        self.voice: VoiceConditioning | None = None
        # Statistics of the training set are stored with the weights.
        self.register_buffer("target_mean", torch.zeros(dims))
        self.register_buffer("target_std", torch.ones(dims))

    @abstractmethod
    def generate(self, video: Tensor, video_lengths: Tensor, voice: Tensor | None = None) -> Generated:
        """Free-running output of clips, in natural units.

        Args:
            video: (B, T, H, W) uint8 crops, 25 a second, padded.
            video_lengths: (B,) int64, video frames of each clip.
            voice: (B, dims) float32 speaker embeddings, of a model that is conditioned on them; None: the average voice
                of its training set.
        """

    def feature_lengths_of(self, video_lengths: Tensor) -> Tensor:
        """Feature frames of clips with `video_lengths` (B,) video frames: floor(video_lengths x ratio), int64 (B,)."""
        return torch.floor(video_lengths.double() * self.ratio).long()

    def normalize(self, features: Tensor) -> Tensor:
        """Natural features (..., D) to zero mean and unit variance on the training set."""
        return (features - self.target_mean) / self.target_std

    def denormalize(self, features: Tensor) -> Tensor:
        """The inverse of `normalize`."""
        return features * self.target_std + self.target_mean


def postfilter(features: Tensor, postfilter_gain: float, postfilter_sharpness: float) -> Tensor:
    """Post-filter against over-smoothing: with L1 or MSE as loss, uncertain values are predicted near their mean.

    Args:
        features: (B, S, D) normalized.
        postfilter_gain: factor of the deviation from the training mean; 1: as predicted.
        postfilter_sharpness: share of the difference from the neighboring bands that is added once more; 0: none.

    Returns:
        (B, S, D).
    """
    if postfilter_gain == 1 and postfilter_sharpness == 0:
        return features
    weights = torch.tensor([0.25, 0.75, 1.0, 0.75, 0.25], device=features.device, dtype=features.dtype) / 3
    padded = F.pad(features, (2, 2), mode="replicate")
    around = F.conv1d(padded.flatten(0, 1)[:, None], weights[None, None])[:, 0].view_as(features)
    return postfilter_gain * features + postfilter_sharpness * (features - around)


def mask(lengths: Tensor, size: int) -> Tensor:
    """(B, length) bool, True where a position belongs to the clip."""
    return torch.arange(size, device=lengths.device)[None, :] < lengths[:, None]
