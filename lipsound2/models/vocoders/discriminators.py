"""The discriminators of HiFi-GAN (Kong, Kim and Bae, 2020): multi-period and multi-scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from lipsound2.errors import LipsoundError

_SLOPE = 0.1  # of the leaky ReLUs


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Keys that every network trained against discriminators has in a config.

    Attributes:
        discriminator_width: channels of the discriminators, as a share of the published ones: 1, 0.5, 0.25 or 0.125.
            The discriminators are 70.7 M parameters against HiFi-GAN V2's 0.9, and cost accordingly.
    """

    discriminator_width: float = 1.0

    def __post_init__(self) -> None:
        """Refuse widths that cannot be built, by name."""
        if self.discriminator_width not in (1.0, 0.5, 0.25, 0.125):
            raise LipsoundError(
                f"discriminator_width: expected 1, 0.5, 0.25 or 0.125, found {self.discriminator_width:g}"
            )


# Output of a discriminator: a score for every position, and the features of every layer.
DiscriminatorOutput = tuple[Tensor, list[Tensor]]


class Discriminators(nn.Module):
    """The published eight: five of the multi-period and three of the multi-scale discriminator.

    Args:
        width: channels, as a share of the published ones.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.periods = nn.ModuleList(PeriodDiscriminator(period, width) for period in (2, 3, 5, 7, 11))
        # Spectral norm at the full rate, weight norm at the lower ones.
        self.scales = nn.ModuleList(
            ScaleDiscriminator(norm, width) for norm in (spectral_norm, weight_norm, weight_norm)
        )

    def forward(self, waveform: Tensor) -> list[DiscriminatorOutput]:
        """The output of each discriminator for waveforms (B, samples)."""
        outputs = [discriminator(waveform) for discriminator in self.periods]
        pooled = waveform[:, None]
        for level, discriminator in enumerate(self.scales):
            pooled = F.avg_pool1d(pooled, 4, 2, padding=2) if level else pooled
            outputs.append(discriminator(pooled))
        return outputs


class PeriodDiscriminator(nn.Module):
    """Sees every `period`-th sample: the waveform in rows of that length, convolved along the columns."""

    def __init__(self, period: int, width: float) -> None:
        super().__init__()
        self.period = period
        widths = [1, *(int(width * channels) for channels in (32, 128, 512, 1024, 1024))]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(wide, next_wide, (5, 1), (stride, 1), padding=(2, 0)))
            for wide, next_wide, stride in zip(widths, widths[1:], (3, 3, 3, 3, 1), strict=False)
        )
        self.output = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, waveform: Tensor) -> DiscriminatorOutput:
        """Scores and features of waveforms (B, samples)."""
        missing = -waveform.shape[1] % self.period
        padded = F.pad(waveform[:, None], (0, missing), mode="reflect")
        return _score(padded.unflatten(2, (-1, self.period)), self.layers, self.output)


class ScaleDiscriminator(nn.Module):
    """Sees the waveform at one rate, through long grouped convolutions."""

    def __init__(self, norm: Callable[[nn.Module], nn.Module], width: float) -> None:
        super().__init__()
        # channels, kernel, stride, groups
        sizes = (
            (128, 15, 1, 1),
            (128, 41, 2, 4),
            (256, 41, 2, 16),
            (512, 41, 4, 16),
            (1024, 41, 4, 16),
            (1024, 41, 1, 16),
            (1024, 5, 1, 1),
        )
        widths = [1, *(int(width * channels) for channels, *_ in sizes)]
        self.layers = nn.ModuleList(
            norm(nn.Conv1d(wide, next_wide, kernel, stride, padding=kernel // 2, groups=groups))
            for wide, next_wide, (_, kernel, stride, groups) in zip(widths, widths[1:], sizes, strict=False)
        )
        self.output = norm(nn.Conv1d(widths[-1], 1, 3, padding=1))

    def forward(self, waveform: Tensor) -> DiscriminatorOutput:
        """Scores and features of waveforms (B, 1, samples)."""
        return _score(waveform, self.layers, self.output)


def _score(hidden: Tensor, layers: nn.ModuleList, last: nn.Module) -> DiscriminatorOutput:
    features = []
    for layer in layers:
        hidden = F.leaky_relu(layer(hidden), _SLOPE)
        features.append(hidden)
    features.append(last(hidden))
    return features[-1], features
