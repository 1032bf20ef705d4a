"""LiRA's pretext model: mouths -> encoder -> MLP head -> the features of the sound at each picture.

Trained with L1 on what a frozen network (PASE+) hears, without a label (Ma et al., "LiRA", Interspeech 2021). Depth,
width and head are not published: the Conformer is the group's of that year, the head two layers with one activation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lipsound2.errors import LipsoundError
from lipsound2.models.modules.lip_encoder import LipEncoder, LipEncoderConfig
from lipsound2.models.modules.regressor import FrameRegressor, Generated, Prediction, mask


@dataclass
class LiraConfig(LipEncoderConfig):
    """Sizes of the pretext model.

    Attributes:
        head: channels between the two layers of the head.
    """

    head: int = 256


class Lira(FrameRegressor):
    """One feature vector a picture.

    Args:
        config: sizes.
        dims: feature dimensions D.
        ratio: feature frames a picture; 1 alone.
        words: classes of words named at each picture, silence included; 0: none.
    """

    def __init__(self, config: LiraConfig, dims: int, ratio: float = 1.0, words: int = 0) -> None:
        super().__init__(dims, ratio)
        if ratio != 1:
            raise LipsoundError(
                f"model: lira makes one feature frame a picture, the target has {ratio:g}; take 'parallel'"
            )
        self.encoder = LipEncoder(config)
        self.head = nn.Sequential(
            nn.Linear(config.width, config.head), nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(config.head, dims)
        )
        self.name_word = nn.Linear(config.width, words) if words else None

    def forward(
        self,
        video: Tensor,
        frames: Tensor,
        target: Tensor | None = None,
        target_frames: Tensor | None = None,
        **_: object,
    ) -> Prediction:
        """Predict the features of all pictures; the target is not looked at.

        Args:
            video: uint8 (B, T, H, W) mouth crops.
            frames: (B,) int64, valid pictures.
            target: accepted as every regressor does, not looked at.
            target_frames: likewise.

        Returns:
            Normalised features (B, T, D), zero where padded.
        """
        encoded, _ = self.encoder(video, frames)
        features = self.head(encoded).float() * mask(frames, video.shape[1])[:, :, None]
        return Prediction(features, words=self.name_word(encoded) if self.name_word else None)

    @torch.no_grad()
    def generate(self, video: Tensor, frames: Tensor) -> Generated:
        """(B, T, H, W) uint8 and (B,) to natural features (B, T, D)."""
        prediction = self(video, frames)
        return Generated(self.denormalise(prediction.features), frames, words=prediction.words)
