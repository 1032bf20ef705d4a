"""Mouths to states, one a picture: LiRA's conv3D + ResNet trunk, then a Conformer.

What LiRA passes on is `trunk` alone (Ma et al., Interspeech 2021, the authors' figure); whatever is built on it keeps
that name, so that weights find their place. Without pictures, from states of a frozen trunk that were dumped once, the
rest is trained by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from lipsound2.models.conformer import Conformer
from lipsound2.models.lip_trunk import LipTrunk
from lipsound2.models.regressor import mask


@dataclass
class LipEncoderConfig:
    """Sizes of the encoder. The defaults are the papers' trunk, and the Conformer of the same group's "End-to-end
    audio-visual speech recognition with Conformers" (ICASSP 2021).

    Attributes:
        crop: side of the central square of each picture that is looked at.
        size: side it is resized to.
        trunk_widths: channels of the residual stages.
        trunk_blocks: residual blocks a stage.
        trunk_pool: max-pool the stem's output.
        trunk_context: pictures the 3D convolution sees at once.
        trunk_grid: places a side of the last feature map that are kept apart.
        trunk_frozen: the trunk's weights and batch statistics stay as they begin.
        width: channels of the Conformer.
        layers: Conformer blocks.
        heads: attention heads.
        expansion: of its feed-forward modules.
        kernel: taps of its convolutions, in pictures.
        reach: largest distance told apart by attention, in pictures.
        dropout: everywhere behind the trunk.
        drop_path: share of skipped branches in the last Conformer block.
    """

    crop: int = 88
    size: int = 88
    trunk_widths: tuple[int, ...] = (64, 128, 256, 512)
    trunk_blocks: int = 2
    trunk_pool: bool = True
    trunk_context: int = 5
    trunk_grid: int = 1
    trunk_frozen: bool = False
    width: int = 256
    layers: int = 12
    heads: int = 4
    expansion: int = 8
    kernel: int = 31
    reach: int = 64
    dropout: float = 0.1
    drop_path: float = 0.0


def make_trunk(config: LipEncoderConfig) -> LipTrunk:
    """The trunk of these sizes."""
    return LipTrunk(
        config.trunk_widths,
        config.trunk_blocks,
        config.crop,
        config.size,
        config.trunk_pool,
        config.trunk_context,
        config.trunk_grid,
        config.trunk_frozen,
    )


class LipEncoder(nn.Module):
    """Pictures, or the states a trunk made of them, to states.

    Args:
        config: sizes.
        inputs: width of the trunk's states that come instead of pictures; 0: pictures come, and there is a trunk.

    Attributes:
        width: of the states.
    """

    def __init__(self, config: LipEncoderConfig, inputs: int = 0) -> None:
        super().__init__()
        self.width = config.width
        self.trunk = None if inputs else make_trunk(config)
        entering = inputs if self.trunk is None else self.trunk.outputs
        self.enter = nn.Sequential(
            nn.Linear(entering, config.width), nn.LayerNorm(config.width), nn.Dropout(config.dropout)
        )
        self.conformer = Conformer(
            config.width,
            config.layers,
            config.heads,
            config.expansion,
            config.kernel,
            config.reach,
            config.dropout,
            config.drop_path,
        )

    def forward(self, video: Tensor, frames: Tensor) -> Tensor:
        """Uint8 (B, T, H, W), or (B, T, inputs), and (B,) int64 pictures of each clip to (B, T, width)."""
        states = video if self.trunk is None else self.trunk(video, frames)
        encoded: Tensor = self.conformer(self.enter(states), mask(frames, video.shape[1]))
        return encoded
