"""The workers of PASE+: small networks that predict known acoustic features from the encoder's (Pascual et al., 2019).

They are small on purpose, so that the encoder has to learn most. Sizes are those of the published
`cfg/workers/workers+.cfg`, except where `PaseWorkersConfig` says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.audio.acoustics import FEATURES, acoustic, dimensions
from lipsound2.errors import LipsoundError
from lipsound2.models.pase.pase import PaseEncoder, PaseEncoderConfig

_DECODER_STRIDES = (4, 4, 10)
_DECODER_KERNEL = 30
COMPARING = ("local", "global")  # workers that tell clips of a batch apart
WORKERS = (*FEATURES, "waveform", *COMPARING)


@dataclass
class PaseWorkersConfig:
    """Which workers there are, and their sizes.

    Attributes:
        predict: the workers: features of `audio.acoustics`, `waveform` (the audio itself), `local` and `global`
            (whether two frames, two means over time, are of the same audio). None: an encoder that is only used.
        context: frames of the target that a worker predicts at each frame, which is in their middle; odd.
        worker_width: hidden units of a worker.
        decoder_channels: of the three layers from features to waveform.
    """

    predict: tuple[str, ...] = WORKERS
    context: int = 7
    worker_width: int = 256
    decoder_channels: tuple[int, ...] = (512, 256, 128)

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name."""
        for name in self.predict:
            if name not in WORKERS:
                raise LipsoundError(f"predict: no worker '{name}'; there are {', '.join(WORKERS)}")
        if self.context < 1 or self.context % 2 == 0:
            raise LipsoundError(f"context: expected an odd number of frames, found {self.context}")
        if len(self.decoder_channels) != len(_DECODER_STRIDES):
            raise LipsoundError(f"decoder_channels: expected 3 numbers, found {list(self.decoder_channels)}")


class Regressor(nn.Module):
    """Predicts features of the audio, and those of the frames around; mean squared error on normalized features.

    Args:
        dims: of the encoder's features.
        outputs: of the audio's.
        config: sizes.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, dims: int, outputs: int, config: PaseWorkersConfig) -> None:
        super().__init__()
        self.context = config.context
        # Of the training set; they travel with the weights.
        self.register_buffer("mean", torch.zeros(outputs))
        self.register_buffer("std", torch.ones(outputs))
        self.layers = nn.Sequential(
            nn.Linear(dims, config.worker_width),
            nn.PReLU(config.worker_width, init=0.0),
            nn.Linear(config.worker_width, outputs * config.context),
        )

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        """Mean squared error () of encoder features (B, T, dims) against features (B, T, outputs) of the audio."""
        normal = ((target - self.mean) / self.std).transpose(1, 2)
        around = F.pad(normal, (self.context // 2,) * 2, mode="replicate").unfold(2, self.context, 1)
        found = self.layers(features.flatten(0, 1)).float().view(*target.shape, self.context)
        return F.mse_loss(found, around.transpose(1, 2))


class Decoder(nn.Module):
    """Predicts the audio itself; mean absolute error.

    Args:
        dims: of the encoder's features.
        channels: of its three layers.
    """

    def __init__(self, dims: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, stride in zip(channels, _DECODER_STRIDES, strict=True):
            padding = (_DECODER_KERNEL - stride) // 2  # as many samples as strides ask for
            layers += [nn.ConvTranspose1d(dims, width, _DECODER_KERNEL, stride, padding), nn.PReLU(width, init=0.0)]
            dims = width
        self.layers = nn.Sequential(*layers, nn.Conv1d(dims, 64, 1), nn.PReLU(64, init=0.0), nn.Conv1d(64, 1, 1))

    def forward(self, features: Tensor, waveform: Tensor) -> Tensor:
        """Mean absolute error () of encoder features (B, T, dims) against audio (B, L), L = 160 T."""
        return F.l1_loss(self.layers(features.transpose(1, 2))[:, 0].float(), waveform)


class Discriminator(nn.Module):
    """Tells whether two vectors are of the same audio (Ravanelli and Bengio, 2019); binary cross entropy.

    Args:
        dims: of the vectors.
        width: hidden units.
    """

    def __init__(self, dims: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * dims, width), nn.PReLU(width, init=0.0), nn.Linear(width, 1))

    def forward(self, anchors: Tensor, same: Tensor, other: Tensor) -> Tensor:
        """Cross entropy () of pairs (N, dims) that belong together and pairs that do not, half and half."""
        yes = self.layers(torch.cat([anchors, same], dim=-1)).float()
        no = self.layers(torch.cat([anchors, other], dim=-1)).float()
        return 0.5 * (F.softplus(-yes).mean() + F.softplus(no).mean())


class Pase(nn.Module):
    """An encoder and its workers.

    Args:
        encoder: sizes of the encoder.
        config: its workers.
    """

    def __init__(self, encoder: PaseEncoderConfig, config: PaseWorkersConfig) -> None:
        super().__init__()
        self.encoder = PaseEncoder(encoder)
        self.workers = nn.ModuleDict()
        for name in config.predict:
            if name in FEATURES:
                self.workers[name] = Regressor(encoder.dims, dimensions(name), config)
            elif name == "waveform":
                self.workers[name] = Decoder(encoder.dims, config.decoder_channels)
            else:
                self.workers[name] = Discriminator(encoder.dims, config.worker_width)

    def forward(self, distorted: Tensor, waveform: Tensor) -> dict[str, Tensor]:
        """The loss of each worker.

        The frames that the discriminators compare are drawn from torch's global generator. Their negative examples come
        from the next clip of the batch, where the published code reads and encodes a third chunk of audio. A batch of
        one clip has no other audio, so they have no loss there.

        Args:
            distorted: (B, L) the encoder's input.
            waveform: (B, L) the same audio, clean.

        Returns:
            Name of the worker -> (). In a batch of one clip `local` and `global` are left out.
        """
        features = self.encoder(distorted[:, None]).transpose(1, 2)
        losses = {}
        for name, worker in self.workers.items():
            if name in COMPARING and len(waveform) == 1:
                continue  # the clip would be its own negative example
            if name in FEATURES:
                with torch.autocast(waveform.device.type, enabled=False):  # half precision is no measure of a target
                    target = acoustic(name, waveform)
                losses[name] = worker(features, target)
            elif name == "waveform":
                losses[name] = worker(features, waveform)
            elif name == "local":
                orders = torch.randperm(features.shape[1]), torch.randperm(features.shape[1])
                same, other = (features[:, order.to(features.device)] for order in orders)
                losses[name] = worker(*(each.flatten(0, 1) for each in (features, same, other.roll(1, 0))))
            else:
                first, second = (half.mean(1) for half in features.chunk(2, dim=1))
                losses[name] = worker(first, second, second.roll(1, 0))
        return losses
