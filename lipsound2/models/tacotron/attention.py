"""Location-aware attention (Chorowski et al., 2015; LipSound2, Table I), and a prior on its alignment."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipsound2.models.modules.layers import xavier
from lipsound2.models.modules.regressor import mask
from lipsound2.models.tacotron.attention_loop import AttentionMemory, LoopWeights

HIDDEN = -1e9  # energy of a masked position; finite, so that the softmax of a fully masked row is no NaN


class LocationAttention(nn.Module):
    """Parameters of energy = w tanh(memory h + query x + location(last weights, sum of weights)).

    Args:
        states: encoder state size E.
        hidden: attention LSTM size H.
        width: attention size A.
        channels: of the location convolution.
        kernel: its taps, odd.
    """

    def __init__(self, states: int, hidden: int, width: int = 128, channels: int = 32, kernel: int = 31) -> None:
        super().__init__()
        self.memory = nn.Linear(states, width, bias=False)
        self.query = nn.Linear(hidden, width, bias=False)
        self.location_conv = nn.Conv1d(2, channels, kernel, padding=kernel // 2, bias=False)
        self.location = nn.Linear(channels, width, bias=False)
        self.energy = nn.Linear(width, 1, bias=False)
        self.apply(xavier)

    def remember(self, states: Tensor, bias: Tensor) -> AttentionMemory:
        """The loop's memory, from (B, P, E) states and the (T, B, P) bias of the energies."""
        return AttentionMemory(states, self.memory(states), bias)

    def weights(self, recurrent: Tensor) -> LoopWeights:
        """The loop's weights. Nothing lies between location convolution and layer, so they are joined into one."""
        filters = torch.einsum("ac,cik->aik", self.location.weight, self.location_conv.weight)
        return LoopWeights(recurrent, self.query.weight, filters, self.energy.weight[0])


def energy_bias(
    memory_lengths: Tensor,
    positions: int,
    steps: int,
    frames_per_step: float,
    sigma: float = 0.0,
    strength: float = 1.0,
    window: int = 0,
) -> Tensor:
    """Masks and prior of the attention at each decoder step.

    Unlike in text-to-speech, each mel frame's video frame is known exactly. A prior centered on it helps the attention
    to find the diagonal alignment, which it may otherwise fail to learn.

    Args:
        memory_lengths: (B,) encoder states that belong to each clip; the others are masked.
        positions: P, encoder states.
        steps: T, decoder steps.
        frames_per_step: reduction / ratio.
        sigma: spread of the prior in video frames; 0: none.
        strength: of the prior, 1 to 0; it shrinks the inverse variance.
        window: video frames to either side of the step's own that attention may reach; 0: all.

    Returns:
        (T, B, P), to be added to the energies.
    """
    step = torch.arange(steps, device=memory_lengths.device)
    center = (step + 0.5) * frames_per_step - 0.5
    distance = torch.arange(positions, device=memory_lengths.device) - center[:, None]
    bias = torch.zeros_like(distance)
    if sigma:
        bias = bias - strength * distance.square() / (2 * sigma**2)
    if window:
        bias = bias.masked_fill(distance.abs() > window, HIDDEN)
    return bias[:, None].masked_fill(~mask(memory_lengths, positions), HIDDEN)
