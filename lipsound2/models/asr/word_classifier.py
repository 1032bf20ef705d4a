"""LiRA's word classifier: the trunk, then a multi-scale temporal convolutional network (MS-TCN) and one classifier.

MS-TCN: Martinez, Ma, Petridis, Pantic, "Lipreading using temporal convolutional networks", ICASSP 2020. A block looks
at three lengths at once, and blocks at distances that double; the mean of what they find is classified.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.arguments import AtLeast1, Dropout
from lipsound2.models.modules.lip_trunk import LipTrunk, TrunkConfig
from lipsound2.models.modules.regressor import mask


@dataclass
class WordClassifierConfig(TrunkConfig):
    """Sizes of the word classifier; the defaults are the papers'.

    Attributes:
        kernels: taps of the branches, odd.
        branch: channels of each branch.
        layers: blocks; the distance between taps doubles from one to the next.
        dropout: behind each convolution.
        boundaries: a further input tells at which video frames the word is said.
        all_shortcuts: a 1x1 convolution in the shortcut of every block, as the published code has it; without: only
            where the number of channels changes.
    """

    kernels: tuple[AtLeast1, ...] = (3, 5, 7)
    branch: AtLeast1 = 256
    layers: AtLeast1 = 4
    dropout: Dropout = 0.2
    boundaries: bool = False
    all_shortcuts: bool = False


class Branches(nn.Module):
    """Convolutions of several lengths over the same video frames, side by side."""

    def __init__(self, inputs: int, config: WordClassifierConfig, dilation: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv1d(inputs, config.branch, taps, padding=taps // 2 * dilation, dilation=dilation)
            for taps in config.kernels
        )
        self.norm = nn.BatchNorm1d(config.branch * len(config.kernels))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, inputs, T) and (B, T) bool to (B, branches x channels, T); zero where padded."""
        x = torch.cat([conv(x) for conv in self.convs], dim=1)
        # Statistics of what belongs to clips alone; a scatter puts it back between the padding.
        inside = F.silu(self.norm(x.transpose(1, 2)[valid]))
        spread = x.new_zeros(x.shape[0], x.shape[2], x.shape[1]).masked_scatter(valid[:, :, None], inside.to(x.dtype))
        return self.dropout(spread.transpose(1, 2))


class Block(nn.Module):
    """Twice all branches, and a shortcut."""

    def __init__(self, inputs: int, config: WordClassifierConfig, dilation: int) -> None:
        super().__init__()
        width = config.branch * len(config.kernels)
        self.first = Branches(inputs, config, dilation)
        self.second = Branches(width, config, dilation)
        plain = inputs == width and not config.all_shortcuts
        self.shortcut = nn.Identity() if plain else nn.Conv1d(inputs, width, 1)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, inputs, T) to (B, width, T)."""
        branch = self.second(self.first(x, valid), valid)
        return F.silu(branch + self.shortcut(x)) * valid[:, None]


class WordClassifier(nn.Module):
    """Video frames to scores of words.

    Args:
        config: sizes.
        classes: number of words.
        inputs: width of a trunk's states that come instead of video frames; 0: video frames come, and there is a trunk.
    """

    def __init__(self, config: WordClassifierConfig, classes: int, inputs: int = 0) -> None:
        super().__init__()
        self.config = config
        self.trunk = None if inputs else LipTrunk(config)
        entering = (inputs if self.trunk is None else self.trunk.outputs) + int(config.boundaries)
        width = config.branch * len(config.kernels)
        self.blocks = nn.ModuleList(
            Block(width if layer else entering, config, 2**layer) for layer in range(config.layers)
        )
        self.leave = nn.Linear(width, classes)

    def forward(self, video: Tensor, video_lengths: Tensor, inside: Tensor) -> Tensor:
        """Score each word.

        Args:
            video: (B, T, H, W) video frames, uint8 or (mixed) float32 of the same range, or states (B, T, inputs).
            video_lengths: (B,) int64, valid video frames.
            inside: (B, T) float32, 1 where the word is said; looked at when the config says `boundaries`.

        Returns:
            (B, classes), before the softmax.
        """
        valid = mask(video_lengths, video.shape[1])
        x = video if self.trunk is None else self.trunk(video, video_lengths)
        if self.config.boundaries:
            x = torch.cat([x, inside[:, :, None].to(x.dtype)], dim=2)
        x = (x * valid[:, :, None]).transpose(1, 2)
        for block in self.blocks:
            x = block(x, valid)
        scores: Tensor = self.leave(x.sum(2) / video_lengths[:, None])
        return scores
