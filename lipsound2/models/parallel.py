"""The parallel lip-to-speech model: mouth crops to all mel frames at once.

Nothing is fed back and there is no attention to align: a fixed number of feature frames belongs to every picture, so
training cannot fail to lock on (the common ground of VCA-GAN, Lip-to-Speech in the Wild and Intelligible
Lip-to-Speech; Kim et al., 2021 and 2023, Choi et al., 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.models.modules.lip_encoder import LipEncoder, LipEncoderConfig
from lipsound2.models.modules.regressor import FrameRegressor, Generated, Prediction, mask, sharpen


@dataclass
class ParallelConfig(LipEncoderConfig):
    """Sizes of the parallel model; the defaults train on two CPU cores.

    Attributes:
        frame_width: channels at the rate of the features.
        frame_layers: residual convolutions at that rate.
        contrast: see `regressor.sharpen`; for speaking alone.
        peaks: likewise.
    """

    size: int = 64
    trunk_widths: tuple[int, ...] = (32, 64, 128, 256)
    trunk_blocks: int = 1
    layers: int = 4
    expansion: int = 4
    kernel: int = 15
    reach: int = 32
    dropout: float = 0.15
    drop_path: float = 0.1
    frame_width: int = 160
    frame_layers: int = 3
    contrast: float = 1.0
    peaks: float = 0.0


class FrameBlock(nn.Module):
    """A residual convolution over feature frames."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, 2 * width, 5, padding=2)
        self.join = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, S, width) and (B, S) bool to (B, S, width)."""
        branch = self.norm(x) * valid[:, :, None]
        branch = F.glu(self.conv(branch.transpose(1, 2)), dim=1).transpose(1, 2)
        return x + self.dropout(self.join(branch))


class Parallel(FrameRegressor):
    """Conv3D + ResNet on mouths, Conformer over pictures, convolutions over feature frames.

    Args:
        config: sizes.
        dims: feature dimensions D.
        ratio: feature frames a picture, a fraction with a small denominator (4, 2.5, 1).
        words: classes of words named at each picture, silence included; 0: none.
    """

    def __init__(self, config: ParallelConfig, dims: int = 80, ratio: float = 4.0, words: int = 0) -> None:
        super().__init__(dims, ratio)
        self.config = config
        share = Fraction(ratio).limit_denominator(16)
        self.phases, self.pictures = share.numerator, share.denominator
        self.encoder = LipEncoder(config)
        self.name_word = nn.Linear(config.width, words) if words else None
        self.grow = nn.Linear(config.width, self.phases * config.frame_width)
        self.frame_blocks = nn.ModuleList(
            FrameBlock(config.frame_width, config.dropout) for _ in range(config.frame_layers)
        )
        self.leave = nn.Sequential(nn.LayerNorm(config.frame_width), nn.Linear(config.frame_width, dims))

    def forward(
        self,
        video: Tensor,
        frames: Tensor,
        target: Tensor | None = None,
        target_frames: Tensor | None = None,
        **_: object,
    ) -> Prediction:
        """Predict all feature frames; the target is not looked at.

        Args:
            video: uint8 (B, T, H, W) mouth or face crops.
            frames: (B,) int64, valid pictures.
            target: accepted as every regressor does; only its length S is used.
            target_frames: unused.

        Returns:
            Normalised features (B, S, D) with S = floor(T x ratio), or the target's length; zero where padded.
        """
        T = video.shape[1]
        encoded, _ = self.encoder(video, frames)
        size = T * self.phases // self.pictures if target is None else target.shape[1]
        place = torch.arange(size, device=video.device)
        # Feature frame s lies in picture floor(s / ratio) and is the (s mod phases)-th of a repeating pattern.
        grown = self.grow(encoded).view(len(video), T, self.phases, -1)
        picture = (place * self.pictures // self.phases).clamp(max=T - 1)
        x = grown[:, picture, place % self.phases]
        valid = mask(self.target_frames(frames), size)
        for block in self.frame_blocks:
            x = block(x, valid)
        features = self.leave(x).float() * valid[:, :, None]
        return Prediction(features, words=self.name_word(encoded) if self.name_word else None)

    @torch.no_grad()
    def generate(self, video: Tensor, frames: Tensor) -> Generated:
        """Speak: (B, T, H, W) uint8 and (B,) to natural features (B, S, D)."""
        prediction = self(video, frames)
        features = sharpen(prediction.features, self.config.contrast, self.config.peaks)
        return Generated(self.denormalise(features), self.target_frames(frames), words=prediction.words)
