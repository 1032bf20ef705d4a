"""Whose voice a model speaks in: a speaker embedding, projected and added to the states of its encoder."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class VoiceConditioning(nn.Module):
    """Adds a voice to states.

    It is added behind the encoder, so that trunk, Conformer and word head see the lips alone, and what they learned
    elsewhere keeps its place.

    It begins as nothing: the projection is zero, so a model speaks at first as the one without voices whose weights it
    has. What is projected is how a voice differs from the average one. All embeddings have most of their length in
    common; left in, that part would shift all states by some 0.3 an update at a learning rate of 0.002, which drowns
    what the lips say.

    Args:
        dims: of an embedding.
        states: width of the states.

    Attributes:
        mean: (dims,) the average voice of the training set, in which the model speaks where no other is given.
        center: (dims,) the voice that adds nothing but the bias. Zero in weights of earlier versions.
    """

    mean: Tensor
    center: Tensor

    def __init__(self, dims: int, states: int) -> None:
        super().__init__()
        self.project = nn.Linear(dims, states)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        self.register_buffer("mean", torch.zeros(dims))
        self.register_buffer("center", torch.zeros(dims))

    def take_average(self, mean: Tensor) -> None:
        """Make an embedding (dims,) the average voice, from which all are told apart."""
        self.mean.copy_(mean)
        self.center.copy_(mean)

    def forward(self, states: Tensor, voice: Tensor | None) -> Tensor:
        """States (B, T, width) and embeddings (B, dims) of length 1, None: the average voice, to (B, T, width)."""
        given = self.mean.expand(len(states), -1) if voice is None else voice
        # A voice of mean square 1, as other inputs of networks have.
        apart = (given - self.center).to(states.dtype) * math.sqrt(given.shape[1])
        return states + self.project(apart)[:, None]
