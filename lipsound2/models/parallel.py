"""The parallel lip-to-speech model: mouth crops to all mel frames at once.

It is not autoregressive and has no attention that must learn an alignment: a fixed number of feature frames belongs to
every video frame. VCA-GAN, Lip-to-Speech in the Wild and Intelligible Lip-to-Speech have this in common (Kim et al.,
2021 and 2023, Choi et al., 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.arguments import AtLeast0, AtLeast1, Dropout, NotNegative
from lipsound2.models.modules.lip_encoder import LipEncoder, LipEncoderConfig
from lipsound2.models.modules.regressor import FeatureRegressor, Generated, Prediction, mask, postfilter
from lipsound2.models.modules.voice import VoiceConditioning


@dataclass
class ParallelConfig(LipEncoderConfig):
    """Sizes of the parallel model; the defaults train on two CPU cores.

    Attributes:
        mel_width: channels at the rate of the features.
        mel_layers: residual convolutions at that rate.
        postfilter_gain: see `regressor.postfilter`; at inference alone.
        postfilter_sharpness: likewise.
    """

    size: AtLeast1 = 64
    trunk_widths: tuple[AtLeast1, ...] = (32, 64, 128, 256)
    trunk_blocks: AtLeast1 = 1
    layers: AtLeast0 = 4
    expansion: AtLeast1 = 4
    kernel: AtLeast1 = 15
    max_relative_position: AtLeast0 = 32
    dropout: Dropout = 0.15
    drop_path: Dropout = 0.1
    mel_width: AtLeast1 = 160
    mel_layers: AtLeast0 = 3
    postfilter_gain: NotNegative = 1.0
    postfilter_sharpness: NotNegative = 0.0


class MelBlock(nn.Module):
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


class Parallel(FeatureRegressor):
    """Conv3D + ResNet on mouths, Conformer over video frames, convolutions over feature frames.

    Args:
        config: sizes.
        dims: feature dimensions D.
        ratio: feature frames per video frame, a fraction with a small denominator (4, 2.5, 1).
        words: classes of the word head, silence included; 0: no word head.
        voice: dimensions of speaker embeddings; 0: the model is not conditioned on a voice.
    """

    takes_voice: ClassVar[bool] = True

    def __init__(
        self, config: ParallelConfig, dims: int = 80, ratio: float = 4.0, words: int = 0, voice: int = 0
    ) -> None:
        super().__init__(dims, ratio)
        self.config = config
        share = Fraction(ratio).limit_denominator(16)
        self.phases, self.frames = share.numerator, share.denominator
        self.encoder = LipEncoder(config)
        self.word_head = nn.Linear(config.width, words) if words else None
        self.voice = VoiceConditioning(voice, config.width) if voice else None
        self.grow = nn.Linear(config.width, self.phases * config.mel_width)
        self.frame_blocks = nn.ModuleList(MelBlock(config.mel_width, config.dropout) for _ in range(config.mel_layers))
        self.leave = nn.Sequential(nn.LayerNorm(config.mel_width), nn.Linear(config.mel_width, dims))

    def forward(
        self,
        video: Tensor,
        video_lengths: Tensor,
        target: Tensor | None = None,
        feature_lengths: Tensor | None = None,
        voice: Tensor | None = None,
        **_: object,
    ) -> Prediction:
        """Predict all feature frames.

        Args:
            video: uint8 (B, T, H, W) mouth or face crops.
            video_lengths: (B,) int64, valid video frames.
            target: in the signature of every regressor; only its length S is used.
            feature_lengths: unused.
            voice: (B, dims) speaker embeddings, of a model that is conditioned on them; None: the average voice.

        Returns:
            Normalized features (B, S, D) with S = floor(T x ratio), or the target's length; zero where padded.
        """
        encoded, _ = self.encoder(video, video_lengths)
        return self.behind_encoder(encoded, video_lengths, None if target is None else target.shape[1], voice)

    def behind_encoder(
        self, encoded: Tensor, video_lengths: Tensor, size: int | None = None, voice: Tensor | None = None
    ) -> Prediction:
        """States (B, T, width) of the encoder to normalized features (B, S, D); S is `size`, or floor(T x ratio)."""
        B, T = encoded.shape[:2]
        if size is None:
            size = T * self.phases // self.frames
        place = torch.arange(size, device=encoded.device)
        # Feature frame s lies in video frame floor(s / ratio) and is the (s mod phases)-th of a repeating pattern.
        spoken = self.voice(encoded, voice) if self.voice else encoded
        grown = self.grow(spoken).view(B, T, self.phases, -1)
        frame = (place * self.frames // self.phases).clamp(max=T - 1)
        x = grown[:, frame, place % self.phases]
        valid = mask(self.feature_lengths_of(video_lengths), size)
        for block in self.frame_blocks:
            x = block(x, valid)
        features = self.leave(x).float() * valid[:, :, None]
        return Prediction(features, word_scores=self.word_head(encoded) if self.word_head else None)

    @torch.no_grad()
    def generate(self, video: Tensor, video_lengths: Tensor, voice: Tensor | None = None) -> Generated:
        """Speak: (B, T, H, W) uint8, (B,) and perhaps embeddings (B, dims) to natural features (B, S, D)."""
        prediction = self(video, video_lengths, voice=voice)
        lengths = self.feature_lengths_of(video_lengths)
        return Generated(self.natural(prediction.features), lengths, word_scores=prediction.word_scores)

    def natural(self, features: Tensor) -> Tensor:
        """Predicted features (B, S, D) through the post-filter, in natural units."""
        return self.denormalize(postfilter(features, self.config.postfilter_gain, self.config.postfilter_sharpness))
