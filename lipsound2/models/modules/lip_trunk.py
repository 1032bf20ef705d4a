"""The visual front-end of LiRA and its kin: one 3D convolution, then a residual network on every video frame.

The full setting (widths 64-128-256-512, two blocks a stage, 88 x 88 video frames, pooled stem) is the conv3D +
ResNet-18 of the papers. Narrower widths on smaller video frames make the same code trainable on two CPU cores. Padded
video frames are dropped before the first convolution. They cost nothing, and no batch statistic ever sees them, so a
clip's result does not depend on the others of its batch.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.arguments import AtLeast1
from lipsound2.errors import LipsoundError
from lipsound2.models.modules.layers import exporting
from lipsound2.models.modules.regressor import mask


def normed(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """A convolution without bias, then batch norm; in evaluation mode, with stored statistics, one convolution."""
    if norm.training or norm.running_mean is None or norm.running_var is None:
        normal: Tensor = norm(conv(x))
        return normal
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight, bias = conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
    return F.conv2d(x, weight, bias, conv.stride, conv.padding)


class Shortcut(nn.Sequential):
    """A 1x1 convolution and batch norm on every `stride`-th pixel.

    Pixels are dropped before the convolution. The result is that of a convolution with the stride, and faster. It also
    avoids a bug of torch 2.13: oneDNN's backward pass of 1x1 convolutions with a stride writes out of bounds on CPUs
    when the number of video frames changes from call to call (8 channels, two threads).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, h', w')."""
        conv, norm = typing.cast(tuple[nn.Conv2d, nn.BatchNorm2d], tuple(self))
        return normed(conv, norm, x[:, :, :: self.stride, :: self.stride])


Activation = Literal["relu", "prelu", "swish"]


def activation(name: Activation, channels: int) -> nn.Module:
    """An activation; that of PReLU has one slope for each channel."""
    return nn.PReLU(channels) if name == "prelu" else nn.SiLU() if name == "swish" else nn.ReLU()


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut, as in ResNet-18.

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: of the first convolution and of the shortcut.
        act: activation.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, act: Activation = "relu") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.act1, self.act2 = activation(act, outputs), activation(act, outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = Shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, h', w')."""
        branch = self.act1(normed(self.conv1, self.norm1, x))
        found: Tensor = self.act2(normed(self.conv2, self.norm2, branch) + self.shortcut(x))
        return found


@dataclass
class TrunkConfig:
    """Sizes of the trunk; the defaults are the papers'.

    Attributes:
        crop: side of the central square of each video frame that is looked at.
        size: side it is resized to.
        trunk_widths: channels of the residual stages; every stage after the first halves the video frame.
        trunk_blocks: residual blocks a stage.
        trunk_pool: max-pool the stem's output, as ResNet-18 does.
        trunk_context: video frames the stem's 3D convolution sees at once, odd.
        trunk_grid: the last feature map is averaged to grid x grid places, which are kept apart; 1: the papers' average
            pool.
        trunk_frozen: weights and batch statistics stay as they begin.
        trunk_activation: `relu`; `prelu`, as the group's word readers of 2021 have it; `swish`, as their later models.
    """

    crop: AtLeast1 = 88
    size: AtLeast1 = 88
    trunk_widths: tuple[AtLeast1, ...] = (64, 128, 256, 512)
    trunk_blocks: AtLeast1 = 2
    trunk_pool: bool = True
    trunk_context: AtLeast1 = 5
    trunk_grid: AtLeast1 = 1
    trunk_frozen: bool = False
    trunk_activation: Activation = "relu"


class LipTrunk(nn.Module):
    """Gray video frames to one vector each.

    Args:
        config: sizes.

    Attributes:
        outputs: width of the vectors.

    Raises:
        LipsoundError: there is no stage, or the stem has no middle video frame.
    """

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.config = config
        widths, context = config.trunk_widths, config.trunk_context
        if not widths or context % 2 == 0:
            raise LipsoundError(
                f"trunk_widths, trunk_context: found {list(widths)} and {context}, wanted a stage or more, and an odd "
                "number of video frames, such as 5"
            )
        self.outputs = widths[-1] * config.trunk_grid**2
        self.stem = nn.Conv3d(1, widths[0], (context, 7, 7), (1, 2, 2), (context // 2, 3, 3), bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        self.act = activation(config.trunk_activation, widths[0])
        stages: list[nn.Module] = []
        inputs = widths[0]
        for stage, width in enumerate(widths):
            for block in range(config.trunk_blocks):
                stages.append(
                    ResidualBlock(inputs, width, 2 if stage > 0 and block == 0 else 1, config.trunk_activation)
                )
                inputs = width
        self.stages = nn.Sequential(*stages)
        # Twice as fast on CPUs; a layout of the same weights.
        self.stages.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.requires_grad_(not config.trunk_frozen)

    def train(self, mode: bool = True) -> LipTrunk:
        """A frozen trunk is always in evaluation mode: its batch statistics are not those of the new data."""
        return super().train(mode and not self.config.trunk_frozen)

    def pixels(self, video: Tensor) -> Tensor:
        """Uint8 (B, T, H, W) to float32 (B, T, size, size), about zero mean and unit variance.

        Raises:
            LipsoundError: the frames are smaller than `crop`.
        """
        crop, size = self.config.crop, self.config.size
        if min(video.shape[2:]) < crop:
            raise LipsoundError(
                f"crop: {crop} pixels are cut out of each video frame, found frames of {tuple(video.shape[2:])}; "
                "wanted a 'crop' no larger than they are"
            )
        top, left = (video.shape[2] - crop) // 2, (video.shape[3] - crop) // 2
        x = video[:, :, top : top + crop, left : left + crop].float()
        if size != crop:
            x = F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        # Mean and spread of gray mouths, 0-1 scale: LRW's, used by all who work this way.
        return (x / 255 - 0.421) / 0.165

    def _stem(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        """The 3D convolution: (B, T, size, size) to (N, widths[0], h, w), of the valid video frames, channels last.

        There is one input channel, so a video frame and its neighbors can be the channels of a 2D convolution. That is
        up to twice as fast on CPUs, and is computed for valid video frames alone.
        """
        context = self.config.trunk_context
        seen = F.pad(pixels, (0, 0, 0, 0, context // 2, context // 2)).unfold(1, context, 1)
        seen = (seen.flatten(0, 1) if valid is None else seen[valid]).contiguous().permute(0, 3, 1, 2)
        weight = self.stem.weight[:, 0].contiguous(memory_format=torch.channels_last)
        return F.conv2d(seen, weight, None, self.stem.stride[1:], self.stem.padding[1:])

    def forward(self, video: Tensor, video_lengths: Tensor) -> Tensor:
        """Encode each video frame with its neighbors.

        Args:
            video: uint8 (B, T, H, W), H and W at least `crop`.
            video_lengths: (B,) int64, valid video frames of each clip.

        Returns:
            (B, T, outputs); zero where padded.
        """
        B, T = video.shape[:2]
        valid = mask(video_lengths, T)
        # An exported graph is always shown one whole clip, and has no place for a choice that depends on values.
        padded = not exporting() and not bool(valid.all())
        x = self.pixels(video)
        if padded:
            # The stem looks over the end of a clip: what it sees there must not depend on the padding.
            x = x * valid[:, :, None, None]
        x = self.act(self.norm(self._stem(x, valid if padded else None)))
        if self.config.trunk_pool:
            x = F.max_pool2d(x, 3, 2, 1)
        x = F.adaptive_avg_pool2d(self.stages(x), self.config.trunk_grid).flatten(1)
        if not padded:
            return x.view(B, T, -1)
        return x.new_zeros(B, T, x.shape[1]).masked_scatter(valid[:, :, None], x)
