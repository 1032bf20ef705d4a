"""LiRA's pretext model: mouth crops, encoder, MLP head, acoustic features at each video frame.

Trained with L1 on the features of a frozen network (PASE+), without labels (Ma et al., "LiRA", Interspeech 2021).
Depth, width and head are not published: the Conformer is the group's of that year, the head two layers with one
activation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipsound2.arguments import AtLeast1
from lipsound2.errors import LipsoundError
from lipsound2.models.modules.lip_encoder import LipEncoder, LipEncoderConfig
from lipsound2.models.modules.regressor import FeatureRegressor, Generated, Prediction, mask


@dataclass
class LiraConfig(LipEncoderConfig):
    """Sizes of the pretext model.

    Attributes:
        head: channels between the two layers of the head.
    """

    head: AtLeast1 = 256


class Lira(FeatureRegressor):
    """One feature vector a video frame.

    Args:
        config: sizes.
        dims: feature dimensions D.
        ratio: feature frames per video frame; must be 1.
        words: classes of the word head, silence included; 0: no word head.
    """

    def __init__(self, config: LiraConfig, dims: int, ratio: float = 1.0, words: int = 0) -> None:
        super().__init__(dims, ratio)
        if ratio != 1:
            raise LipsoundError(
                f"model: lira predicts one feature frame a video frame, the target has {ratio:g}; take 'parallel'"
            )
        self.encoder = LipEncoder(config)
        self.head = nn.Sequential(
            nn.Linear(config.width, config.head), nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(config.head, dims)
        )
        self.word_head = nn.Linear(config.width, words) if words else None

    def forward(
        self,
        video: Tensor,
        video_lengths: Tensor,
        target: Tensor | None = None,
        feature_lengths: Tensor | None = None,
        **_: object,
    ) -> Prediction:
        """Predict the features of all video frames.

        Args:
            video: uint8 (B, T, H, W) mouth crops.
            video_lengths: (B,) int64, valid video frames.
            target: unused, in the signature of every regressor.
            feature_lengths: likewise.

        Returns:
            Normalized features (B, T, D), zero where padded.
        """
        encoded, _ = self.encoder(video, video_lengths)
        features = self.head(encoded).float() * mask(video_lengths, video.shape[1])[:, :, None]
        return Prediction(features, word_scores=self.word_head(encoded) if self.word_head else None)

    @torch.no_grad()
    def generate(self, video: Tensor, video_lengths: Tensor, voice: Tensor | None = None) -> Generated:
        """(B, T, H, W) uint8 and (B,) to natural features (B, T, D); a voice is not taken."""
        prediction = self(video, video_lengths)
        return Generated(self.denormalize(prediction.features), video_lengths, word_scores=prediction.word_scores)
