"""Whose voice a model speaks in: a speaker embedding, projected and added to the states of its encoder."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class VoiceConditioning(nn.Module):
    """Adds a voice to states.

    It is added behind the encoder, so that trunk, Conformer and word head see the lips alone, and what they learned
    elsewhere keeps its place.

    Args:
        dims: of an embedding.
        states: width of the states.
    """

    mean: Tensor

    def __init__(self, dims: int, states: int) -> None:
        super().__init__()
        self.project = nn.Linear(dims, states)
        # The average voice of the training set, in which the model speaks where no other is given.
        self.register_buffer("mean", torch.zeros(dims))

    def forward(self, states: Tensor, voice: Tensor | None) -> Tensor:
        """States (B, T, width) and embeddings (B, dims) of length 1, None: the average voice, to (B, T, width)."""
        given = self.mean.expand(len(states), -1) if voice is None else voice
        # Scaled to a mean square of 1, as other inputs of networks have.
        return states + self.project(given.to(states.dtype) * math.sqrt(given.shape[1]))[:, None]
