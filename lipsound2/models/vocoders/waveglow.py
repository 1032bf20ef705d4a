"""WaveGlow (Prenger, Valle and Catanzaro, 2019): the flow-based vocoder of LipSound2.

Invertible steps, conditioned on a mel-spectrogram, turn groups of eight samples into noise. Their inverse turns noise
into audio. Sizes are those of the authors' released configuration: 12 flows, two channels leave after every fourth, 8
layers of 256 channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from lipsound2.audio.mel import MelConfig
from lipsound2.errors import LipsoundError
from lipsound2.models.vocoders.mel_vocoder import MelVocoder

_KERNEL = 3
_UPSAMPLED_OVER = 4  # hops that one frame's kernel covers: 1024 samples in the released configuration
_NOISE_FRAMES = 256  # of noise that are drawn together


@dataclass(frozen=True)
class WaveGlowConfig:
    """Keys of the network in a config.

    Attributes:
        flows: steps between audio and noise.
        group: samples that make one column.
        early_every: after so many flows, `early_size` channels are noise enough and leave.
        early_size: see above.
        layers: of each step's network; each looks twice as far as the one before.
        channels: of these layers.
        sigma: standard deviation of the noise in training.
        speech_sigma: standard deviation of the noise at inference; below `sigma`, as rare noise gives the worst audio.
    """

    flows: int = 12
    group: int = 8
    early_every: int = 4
    early_size: int = 2
    layers: int = 8
    channels: int = 256
    sigma: float = 1.0
    speech_sigma: float = 0.6

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be built, by name."""
        left = self.group - self.early_size * ((self.flows - 1) // max(self.early_every, 1))
        if min(self.flows, self.group, self.early_every, self.early_size, self.layers, self.channels) < 1:
            raise LipsoundError("flows, group, early_every, early_size, layers, channels: expected 1 or more each")
        if self.group % 2 or self.early_size % 2 or left < 2:
            raise LipsoundError(
                f"group, early_size: expected even numbers that leave 2 channels to the last flow; {self.group} less "
                f"{self.early_size} after every {self.early_every} of {self.flows} flows leaves {left}"
            )


class WaveGlow(MelVocoder):
    """The flow.

    Args:
        config: its size.
        mel: what it speaks.

    Attributes:
        receptive_field: mel frames that a sample depends on, to either side.

    Raises:
        LipsoundError: the mel's hop is no multiple of a group.
    """

    def __init__(self, config: WaveGlowConfig, mel: MelConfig) -> None:
        super().__init__()
        if mel.hop % config.group:
            raise LipsoundError(f"group: the hop of the mel '{mel.name}', {mel.hop}, is no multiple of {config.group}")
        self.config, self.hop = config, mel.hop
        self.upsample = nn.ConvTranspose1d(mel.bands, mel.bands, _UPSAMPLED_OVER * mel.hop, mel.hop)
        widths = [config.group - config.early_size * (flow // config.early_every) for flow in range(config.flows)]
        self.mixers = nn.ModuleList(Mixer(width) for width in widths)
        self.couplings = nn.ModuleList(Coupling(width, mel.bands * config.group, config) for width in widths)
        columns = config.flows * (_KERNEL // 2) * (2**config.layers - 1)
        self.receptive_field = math.ceil(columns * config.group / mel.hop) + _UPSAMPLED_OVER

    def forward(self, mel: Tensor) -> Tensor:
        """Audio of mels, out of the same noise every time.

        Args:
            mel: (B, S, bands) natural logarithm.

        Returns:
            (B, S * hop).
        """
        return self.piece(mel, 0)

    def piece(self, mel: Tensor, first: int) -> Tensor:
        """See `MelVocoder`; the noise of a frame is the same in every piece that it is part of."""
        noise = noise_of(first, mel.shape[1], self.hop) * self.config.speech_sigma
        columns = noise.to(mel).unflatten(0, (-1, self.config.group)).T
        return self.synthesize(columns.expand(len(mel), -1, -1), mel)

    def loss(self, waveform: Tensor, mel: Tensor) -> Tensor:
        """See `MelVocoder`; minus the logarithm of the waveform's likelihood."""
        noise, volume = self.analyze(waveform, mel)
        return flow_loss(noise, volume, self.config.sigma)

    def analyze(self, audio: Tensor, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Audio to noise.

        Args:
            audio: (B, S * hop).
            mel: (B, S, bands) natural logarithm.

        Returns:
            Noise (B, group, S * hop / group), and () the logarithm of the determinant of the whole change, summed over
            the batch.
        """
        columns, condition = audio.unflatten(1, (-1, self.config.group)).transpose(1, 2), self._condition(mel)
        leaving: list[Tensor] = []
        volume = audio.new_zeros(())
        for flow, (mixer, coupling) in enumerate(zip(self.mixers, self.couplings, strict=True)):
            if self._leaves(flow):
                leaving.append(columns[:, : self.config.early_size])
                columns = columns[:, self.config.early_size :]
            columns = mixer.weight @ columns
            kept, changed = columns.chunk(2, dim=1)
            log_scale, shift = coupling(kept, condition)
            columns = torch.cat([kept, changed * log_scale.exp() + shift], dim=1)
            volume = (
                volume + log_scale.sum() + torch.linalg.slogdet(mixer.weight)[1] * columns.shape[0] * columns.shape[2]
            )
        return torch.cat([*leaving, columns], dim=1), volume

    def synthesize(self, noise: Tensor, mel: Tensor) -> Tensor:
        """The inverse of `analyze`: noise (B, group, S * hop / group) and mel (B, S, bands) to audio (B, S * hop)."""
        condition, rest = self._condition(mel), noise
        count = sum(map(self._leaves, range(self.config.flows)))
        *leaving, columns = rest.split(
            [self.config.early_size] * count + [self.config.group - self.config.early_size * count], dim=1
        )
        for flow in reversed(range(self.config.flows)):
            kept, changed = columns.chunk(2, dim=1)
            log_scale, shift = self.couplings[flow](kept, condition)
            columns = torch.cat([kept, (changed - shift) * (-log_scale).exp()], dim=1)
            columns = torch.linalg.inv(self.mixers[flow].weight) @ columns
            if self._leaves(flow):
                columns = torch.cat([leaving.pop(), columns], dim=1)
        return columns.transpose(1, 2).flatten(1)

    def _leaves(self, flow: int) -> bool:
        """Whether channels leave before this flow."""
        return flow > 0 and flow % self.config.early_every == 0

    def _condition(self, mel: Tensor) -> Tensor:
        """Mel (B, S, bands) at the rate of the groups: (B, bands * group, S * hop / group)."""
        raised = self.upsample(mel.transpose(1, 2))[..., : mel.shape[1] * self.hop]
        return raised.unflatten(2, (-1, self.config.group)).transpose(2, 3).flatten(1, 2)


class Mixer(nn.Module):
    """An invertible 1 x 1 convolution (Kingma and Dhariwal, 2018), at first a rotation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(width, width))[0]
        rotation[:, 0] *= torch.linalg.det(rotation).sign()
        self.weight = nn.Parameter(rotation)


class Coupling(nn.Module):
    """Scale and shift of one half of the channels, computed from the mel and the other half."""

    def __init__(self, width: int, conditions: int, config: WaveGlowConfig) -> None:
        super().__init__()
        channels, layers = config.channels, config.layers
        self.first = weight_norm(nn.Conv1d(width // 2, channels, 1))
        self.condition = weight_norm(nn.Conv1d(conditions, 2 * channels * layers, 1))
        self.dilated = nn.ModuleList(
            weight_norm(nn.Conv1d(channels, 2 * channels, _KERNEL, padding="same", dilation=2**layer))
            for layer in range(layers)
        )
        # What goes on and what comes out; of the last layer, nothing goes on.
        self.out = nn.ModuleList(
            weight_norm(nn.Conv1d(channels, channels if layer == layers - 1 else 2 * channels, 1))
            for layer in range(layers)
        )
        self.last = nn.Conv1d(channels, width, 1)
        nn.init.zeros_(self.last.weight)  # at first a flow changes nothing
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, kept: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithm of the scale and shift, (B, width / 2, columns) each."""
        hidden = self.first(kept)
        total = torch.zeros_like(hidden)
        biases = self.condition(condition).chunk(len(self.out), dim=1)
        for dilated, out, bias in zip(self.dilated, self.out, biases, strict=True):
            content, gate = (dilated(hidden) + bias).chunk(2, dim=1)
            left = out(content.tanh() * gate.sigmoid())
            if left.shape[1] > hidden.shape[1]:
                onward, left = left.chunk(2, dim=1)
                hidden = hidden + onward
            total = total + left
        shift, log_scale = self.last(total).chunk(2, dim=1)
        return log_scale, shift


def flow_loss(noise: Tensor, volume: Tensor, sigma: float) -> Tensor:
    """() negative logarithm of the likelihood of audio, but for a constant: summed over all samples (paper, eq. 3)."""
    return noise.square().sum() / (2 * sigma**2) - volume


def noise_of(first: int, frames: int, hop: int) -> Tensor:
    """Noise (frames * hop,) for frames from `first` on, each frame's own wherever the piece begins."""
    blocks = range(first // _NOISE_FRAMES, -(-(first + frames) // _NOISE_FRAMES))
    drawn = [torch.randn(_NOISE_FRAMES * hop, generator=torch.Generator().manual_seed(block)) for block in blocks]
    begin = (first - blocks.start * _NOISE_FRAMES) * hop
    return torch.cat(drawn)[begin : begin + frames * hop]
