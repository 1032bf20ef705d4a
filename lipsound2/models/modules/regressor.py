"""What every model of the task *regress* is: silent pictures in, frame-aligned features out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass
class Prediction:
    """A training forward pass, in normalised features.

    Attributes:
        features: (B, S, D) final prediction.
        before: (B, S, D) prediction before the postnet, when the model has one.
        alignment: (B, steps, T_enc) attention weights, when the model has attention.
        words: (B, T, words) scores of the word said at each picture, when the model was asked to name it.
    """

    features: Tensor
    before: Tensor | None = None
    alignment: Tensor | None = None
    words: Tensor | None = None


@dataclass
class Generated:
    """Free-running output, in natural units.

    Attributes:
        features: (B, S, D), for *regress* on mels the natural log-mel.
        frames: (B,) int64, valid frames of each clip; what lies beyond is padding.
        alignment: (B, steps, T_enc) attention weights, when the model has attention.
        words: (B, T, words) scores of the word said at each picture, when the model was asked to name it.
    """

    features: Tensor
    frames: Tensor
    alignment: Tensor | None = None
    words: Tensor | None = None


class FrameRegressor(nn.Module, ABC):
    """Base of models from pictures to features at a fixed ratio.

    Args:
        dims: feature dimensions D (80 mel bands).
        ratio: feature frames a picture: 4 for the `fine` mel, 2.5 for `paper`, 1 for picture-rate features.
    """

    target_mean: Tensor
    target_std: Tensor

    def __init__(self, dims: int, ratio: float) -> None:
        super().__init__()
        self.dims = dims
        self.ratio = ratio
        # Statistics of the training set travel with the weights.
        self.register_buffer("target_mean", torch.zeros(dims))
        self.register_buffer("target_std", torch.ones(dims))

    @abstractmethod
    def generate(self, video: Tensor, frames: Tensor) -> Generated:
        """Free-running output of clips, in natural units.

        Args:
            video: (B, T, H, W) uint8 crops, 25 a second, padded.
            frames: (B,) int64, pictures of each clip.
        """

    def target_frames(self, frames: Tensor) -> Tensor:
        """Feature frames of clips with `frames` (B,) pictures: floor(frames x ratio), int64 (B,)."""
        return torch.floor(frames.double() * self.ratio).long()

    def normalise(self, features: Tensor) -> Tensor:
        """Natural features (..., D) to zero mean and unit variance on the training set."""
        return (features - self.target_mean) / self.target_std

    def denormalise(self, features: Tensor) -> Tensor:
        """The inverse of `normalise`."""
        return features * self.target_std + self.target_mean


def sharpen(features: Tensor, contrast: float, peaks: float) -> Tensor:
    """Undo some of the smoothing that comes with every distance: what is uncertain is predicted in the middle.

    Args:
        features: (B, S, D) normalised.
        contrast: factor of what differs from the training mean; 1: as predicted.
        peaks: how much of what stands out from its neighbours in frequency is added once more; 0: none.

    Returns:
        (B, S, D).
    """
    if contrast == 1 and peaks == 0:
        return features
    weights = torch.tensor([0.25, 0.75, 1.0, 0.75, 0.25], device=features.device, dtype=features.dtype) / 3
    padded = F.pad(features, (2, 2), mode="replicate")
    around = F.conv1d(padded.flatten(0, 1)[:, None], weights[None, None])[:, 0].view_as(features)
    return contrast * features + peaks * (features - around)


def mask(frames: Tensor, length: int) -> Tensor:
    """(B, length) bool, True where a position belongs to the clip."""
    return torch.arange(length, device=frames.device)[None, :] < frames[:, None]
