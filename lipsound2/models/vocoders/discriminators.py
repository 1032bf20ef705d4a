"""The critics of HiFi-GAN (Kong, Kim and Bae, 2020): networks that learn to tell true sound from spoken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from lipsound2.errors import LipsoundError

_SLOPE = 0.1  # of the leaky ReLUs


@dataclass(frozen=True)
class CriticConfig:
    """Keys that every network trained against critics has in a config.

    Attributes:
        critic_width: channels of the critics, as a share of the published ones: 1, 0.5, 0.25 or 0.125. The critics are
            70.7 M parameters against HiFi-GAN V2's 0.9, and cost accordingly.
    """

    critic_width: float = 1.0

    def __post_init__(self) -> None:
        """Refuse widths that cannot be built, by name."""
        if self.critic_width not in (1.0, 0.5, 0.25, 0.125):
            raise LipsoundError(f"critic_width: expected 1, 0.5, 0.25 or 0.125, found {self.critic_width:g}")


# What a critic finds: its verdict for every place, and behind it the features of every layer.
Opinion = tuple[Tensor, list[Tensor]]


class Critics(nn.Module):
    """The published eight: five that fold the sound by a period, three that hear it at a rate each.

    Args:
        width: channels, as a share of the published ones.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.periods = nn.ModuleList(PeriodCritic(period, width) for period in (2, 3, 5, 7, 11))
        # Spectral norm for the sound as it is, weight norm for the smoothed ones.
        self.scales = nn.ModuleList(ScaleCritic(norm, width) for norm in (spectral_norm, weight_norm, weight_norm))

    def forward(self, sound: Tensor) -> list[Opinion]:
        """What each critic finds in sound (B, samples)."""
        found = [critic(sound) for critic in self.periods]
        heard = sound[:, None]
        for level, critic in enumerate(self.scales):
            heard = F.avg_pool1d(heard, 4, 2, padding=2) if level else heard
            found.append(critic(heard))
        return found


class PeriodCritic(nn.Module):
    """Looks at every `period`-th sample: sound in rows of that length, convolved along the columns."""

    def __init__(self, period: int, width: float) -> None:
        super().__init__()
        self.period = period
        widths = [1, *(int(width * channels) for channels in (32, 128, 512, 1024, 1024))]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(wide, next_wide, (5, 1), (stride, 1), padding=(2, 0)))
            for wide, next_wide, stride in zip(widths, widths[1:], (3, 3, 3, 3, 1), strict=False)
        )
        self.verdict = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, sound: Tensor) -> Opinion:
        """Verdicts and features of sound (B, samples)."""
        missing = -sound.shape[1] % self.period
        padded = F.pad(sound[:, None], (0, missing), mode="reflect")
        return _judge(padded.unflatten(2, (-1, self.period)), self.layers, self.verdict)


class ScaleCritic(nn.Module):
    """Hears the sound at one rate, through long grouped convolutions."""

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
        self.verdict = norm(nn.Conv1d(widths[-1], 1, 3, padding=1))

    def forward(self, heard: Tensor) -> Opinion:
        """Verdicts and features of sound (B, 1, samples)."""
        return _judge(heard, self.layers, self.verdict)


def _judge(hidden: Tensor, layers: nn.ModuleList, verdict: nn.Module) -> Opinion:
    features = []
    for layer in layers:
        hidden = F.leaky_relu(layer(hidden), _SLOPE)
        features.append(hidden)
    features.append(verdict(hidden))
    return features[-1], features
