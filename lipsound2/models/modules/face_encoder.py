"""LipSound2's encoder: three 3D convolutions over the face, then two bidirectional LSTM layers (paper, Table I)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lipsound2.models.modules.layers import MaskedBatchNorm, run_lstm, xavier
from lipsound2.models.modules.regressor import mask

# Mean and spread of gray aligned faces of GRID, 0-1 scale, published with VCA-GAN; the paper does not say its own.
FACE_MEAN, FACE_STD = 0.4136, 0.1700
STRIDES = (2, 2, 1)


class FaceBlock(nn.Module):
    """Conv3D -> batch norm -> ReLU -> max-pool -> dropout. Looks two video frames back and two ahead.

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: of the convolution, in space.
        dropout: rate; the paper gives none.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, (5, 3, 3), (1, stride, stride), (2, 0, 0), bias=False)
        self.norm = MaskedBatchNorm(outputs)
        self.dropout = nn.Dropout(dropout)
        xavier(self.conv)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """(B, inputs, T, h, w) to (B, outputs, T, h', w'), zero where (B, T) `valid` is False; None: nowhere."""
        x = self.norm(self.conv(x), valid)
        # Pooled first: the maximum commutes with ReLU, which then has a quarter to do.
        x = self.dropout(F.relu(F.max_pool3d(x, (1, 2, 2))))
        return x if valid is None else x * valid[:, None, :, None, None]


class FaceEncoder(nn.Module):
    """Face video frames to one state each.

    Args:
        channels: of the three convolutions.
        width: BiLSTM units per direction.
        dropout: in the blocks and between the LSTM layers.
        size: side of the video frames.
        visual_period: append one white video frame after the last of each clip, by which the decoder can tell the end.
    """

    def __init__(
        self,
        channels: Sequence[int] = (32, 64, 128),
        width: int = 128,
        dropout: float = 0.2,
        size: int = 112,
        visual_period: bool = True,
    ) -> None:
        super().__init__()
        self.visual_period = visual_period
        self.outputs = 2 * width
        sides = (1, *channels)
        self.blocks = nn.ModuleList(
            FaceBlock(sides[i], sides[i + 1], stride, dropout) for i, stride in enumerate(STRIDES)
        )
        for stride in STRIDES:
            size = ((size - 3) // stride + 1) // 2
        self.lstm = nn.LSTM(
            channels[-1] * size * size, width, num_layers=2, dropout=dropout, bidirectional=True, batch_first=True
        )

    def forward(self, video: Tensor, video_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode.

        Args:
            video: uint8 (B, T, size, size).
            video_lengths: (B,) int64, valid video frames.

        Returns:
            States (B, P, 2 * width), zero where padded, and how many belong to each clip, (B,); with the visual
            period P = T + 1 and each clip has one more than video frames.
        """
        if self.visual_period:
            video, video_lengths = with_period(video, video_lengths)
        x = ((video.float() / 255 - FACE_MEAN) / FACE_STD)[:, None]
        if bool(torch.all(video_lengths == video.shape[1])):
            for block in self.blocks:
                x = block(x, None)
            return run_lstm(self.lstm, x.transpose(1, 2).flatten(2)), video_lengths
        # Beyond the end of each clip lie zeros, as they would if it were alone.
        valid = mask(video_lengths, video.shape[1])
        x = x * valid[:, None, :, None, None]
        for block in self.blocks:
            x = block(x, valid)
        x = x.transpose(1, 2).flatten(2)
        sequence = pack_padded_sequence(x, video_lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(run_lstm(self.lstm, sequence), batch_first=True, total_length=x.shape[1])
        return states, video_lengths


def with_period(video: Tensor, video_lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Append a video frame of 255 after the last valid one of each clip: (B, T, H, W) to (B, T + 1, H, W)."""
    video = torch.cat([video, torch.zeros_like(video[:, :1])], dim=1)
    video[torch.arange(len(video), device=video.device), video_lengths] = 255
    return video, video_lengths + 1
