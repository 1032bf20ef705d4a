"""GE2E's speaker encoder (Wan et al., 2018, arXiv 1710.10467): mel-spectrograms of a voice to one vector.

Names and sizes of the layers are those of Resemblyzer's published weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BANDS = 40
DIMS = 256


class SpeakerEncoder(nn.Module):
    """Three LSTM layers, of whose last state a linear layer makes the embedding. 1.4 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, DIMS, 3, batch_first=True)
        self.linear = nn.Linear(DIMS, DIMS)

    def forward(self, mels: Tensor) -> Tensor:
        """Power mels (B, S, 40) to embeddings (B, 256): no value is negative, and the length is 1."""
        _, (hidden, _) = self.lstm(mels)
        return F.normalize(torch.relu(self.linear(hidden[-1])), dim=1)
