"""Mouths to states, one a video frame: LiRA's conv3D + ResNet trunk, then a Conformer.

LiRA transfers `trunk` alone (Ma et al., Interspeech 2021, the authors' figure). Models built on it keep that name, so
that weights find their place. Where states of a frozen trunk were dumped once, the rest is trained on them.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from lipsound2.arguments import AtLeast0, AtLeast1, Dropout
from lipsound2.models.modules.conformer import Conformer, ConformerConfig
from lipsound2.models.modules.lip_trunk import LipTrunk, TrunkConfig
from lipsound2.models.modules.regressor import mask


@dataclass
class LipEncoderConfig(ConformerConfig, TrunkConfig):
    """Sizes of the encoder. The defaults are the papers' trunk, and the Conformer of the same group's "End-to-end
    audio-visual speech recognition with Conformers" (ICASSP 2021).

    Attributes:
        width: channels of the Conformer.
        layers: Conformer blocks.
        heads: attention heads.
        expansion: of its feed-forward modules.
        kernel: taps of its convolutions, in video frames.
        max_relative_position: largest distance told apart by attention, in video frames.
        dropout: everywhere behind the trunk.
        drop_path: share of skipped branches in the last Conformer block, at most 0.9.
    """

    width: AtLeast1 = 256
    layers: AtLeast0 = 12
    heads: AtLeast1 = 4
    expansion: AtLeast1 = 8
    kernel: AtLeast1 = 31
    max_relative_position: AtLeast0 = 64
    dropout: Dropout = 0.1
    drop_path: Dropout = 0.0


class LipEncoder(nn.Module):
    """Video frames, or the states a trunk made of them, to states.

    Args:
        config: sizes.
        inputs: width of the trunk's states that come instead of video frames; 0: video frames come, and there is a
            trunk.

    Attributes:
        width: of the states.
        stride: video frames a state.
    """

    stride = 1

    def __init__(self, config: LipEncoderConfig, inputs: int = 0) -> None:
        super().__init__()
        self.width = config.width
        self.trunk = None if inputs else LipTrunk(config)
        entering = inputs if self.trunk is None else self.trunk.outputs
        self.enter = nn.Sequential(nn.Linear(entering, config.width))
        if not config.input_scale:
            self.enter.append(nn.LayerNorm(config.width, config.norm_eps))
        self.enter.append(nn.Dropout(config.dropout))
        self.conformer = Conformer(
            config.width,
            config.layers,
            config.heads,
            config.expansion,
            config.kernel,
            config.max_relative_position,
            config.dropout,
            config.drop_path,
            config,
        )

    def forward(self, video: Tensor, video_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Uint8 (B, T, H, W), or (B, T, inputs), and (B,) int64 video frames to states (B, T, width) and their
        numbers."""
        seen = video if self.trunk is None else self.trunk(video, video_lengths)
        return self.behind_trunk(seen, video_lengths), video_lengths

    def behind_trunk(self, seen: Tensor, video_lengths: Tensor) -> Tensor:
        """States (B, T, inputs) of a trunk and (B,) int64 video frames to states (B, T, width)."""
        states: Tensor = self.conformer(self.enter(seen), mask(video_lengths, seen.shape[1]))
        return states
