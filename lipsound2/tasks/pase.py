"""Task *pase*: an encoder of sound learnt without labels, PASE+'s, by workers that find known features in its own.

The published weights come from fifty hours of LibriSpeech; what is trained here on other sound is "PASE+ trained here
on" that corpus, and not the published one. Checkpoints are chosen by the mean of the workers' losses.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from lipsound2.audio.acoustics import FEATURES, acoustic
from lipsound2.audio.augment import DistortConfig, distort, scale
from lipsound2.audio.io import decode_flac
from lipsound2.audio.statistics import moments, sums
from lipsound2.config import to_mapping
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.batch import Movable
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.models.pase.pase import PaseEncoderConfig
from lipsound2.models.pase.workers import Pase, PaseWorkersConfig
from lipsound2.tasks.base import Evaluation, Loss
from lipsound2.timing import SAMPLE_RATE, SAMPLES_PER_FRAME

log = logging.getLogger(__name__)

_SURVEYED = 200  # stretches of sound that statistics are taken of: 40,000 frames of two seconds each
_EVALUATED = 16  # at once


@dataclass(frozen=True)
class PaseConfig:
    """Keys of this task in a config.

    Attributes:
        pictures: length of a stretch of sound, in pictures of 40 ms; PASE+ has 50.
    """

    pictures: int = 50

    def __post_init__(self) -> None:
        """Refuse stretches the longest window does not fit in."""
        if self.pictures < 4:
            raise LipsoundError(f"pictures: expected 4 (160 ms) or more, found {self.pictures}")


@dataclass
class Stretches(Movable):
    """Stretches of sound, all of one length.

    Attributes:
        ids: names, in batch order.
        sound: (B, L) float32, clean: what the workers are asked for.
        heard: (B, L) float32, distorted: what the encoder hears.
    """

    ids: list[str]
    sound: Tensor
    heard: Tensor

    @property
    def frames(self) -> int:
        """Pictures' worth of sound in the batch."""
        return self.sound.numel() // SAMPLES_PER_FRAME


class Sounds:
    """The clips of a data dir that have sound.

    Args:
        data: data dir.
        dump: folder of archives; `dump/sound` is read.
        pictures: length of a stretch.
        distortions: of training samples.

    Attributes:
        ids: clip ids.
        lengths: of the stretches, in pictures.

    Raises:
        LipsoundError: no clip has sound.
    """

    def __init__(self, data: DataDir, dump: Path, pictures: int, distortions: DistortConfig) -> None:
        self._sounds = Archive(dump / "sound")
        self.ids = [name for name in data.ids if name in self._sounds]
        if not self.ids:
            raise LipsoundError(
                f"{data.path}: none of its {len(data.ids)} clips has a sound in {dump / 'sound'}; "
                "run stage 2 on a data dir that holds them"
            )
        self.lengths = [pictures] * len(self.ids)
        self._samples = pictures * SAMPLES_PER_FRAME
        self._distortions = distortions

    def __len__(self) -> int:
        return len(self.ids)

    def get(self, index: int, rng: np.random.Generator | None) -> tuple[str, np.ndarray, np.ndarray]:
        """Id, a clean stretch of sound (L,), and how it is heard; without `rng` the middle one, heard as it is.

        A clip that is too short goes on reflected, as in the published code.

        Raises:
            LipsoundError: the clip has no sound that can be read.
        """
        name = self.ids[index]
        try:
            sound = decode_flac(self._sounds[name])
        except ClipFailure as failure:
            raise LipsoundError(f"{name}: {failure}; run stage 2 again") from failure
        if len(sound) < self._samples:
            sound = np.pad(sound, (0, self._samples - len(sound)), mode="reflect")
        room = len(sound) - self._samples
        start = room // 2 if rng is None else int(rng.integers(room + 1))
        sound = sound[start : start + self._samples]
        if self._distortions.scale:
            sound = scale(sound, rng)
        return name, sound, sound if rng is None else distort(sound, self._distortions, rng)


class PaseTask:
    """Sound to features: data, network, loss and evaluation. See `tasks.base.Task`."""

    name: ClassVar[str] = "pase"
    free: ClassVar[frozenset[str]] = frozenset()
    sample_rate = SAMPLE_RATE

    def __init__(
        self,
        settings: PaseConfig,
        encoder: PaseEncoderConfig,
        workers: PaseWorkersConfig,
        distortions: DistortConfig,
    ) -> None:
        self.settings = settings
        self.encoder = encoder
        self.workers = workers
        self.distortions = distortions
        self.statistics: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    @classmethod
    def options(cls, values: Mapping[str, Any], where: str) -> list[type[Any]]:
        """The dataclasses that own this task's keys."""
        return [PaseConfig, PaseEncoderConfig, PaseWorkersConfig, DistortConfig]

    def config(self) -> dict[str, Any]:
        """Every key of `options`, resolved."""
        return to_mapping(self.settings, self.encoder, self.workers, self.distortions)

    def inputs(self, dump: Path) -> list[Path]:
        """The archive that is read."""
        return [dump / "sound"]

    def datasets(self, train: DataDir, valid: DataDir, dump: Path) -> tuple[Sounds, Sounds]:
        """Training and validation sounds; takes the statistics of what the workers are to find."""
        if not self.workers.predict:
            raise LipsoundError("predict: names no worker, so there is nothing to learn from")
        training, validation = (Sounds(data, dump, self.settings.pictures, self.distortions) for data in (train, valid))
        self.statistics = self._survey(training)
        return training, validation

    def _survey(self, sounds: Sounds) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Mean and standard deviation of each feature, over stretches spread evenly over the training set."""
        total: dict[str, Any] = dict.fromkeys((name for name in self.workers.predict if name in FEATURES), 0.0)
        rng = np.random.default_rng(0)
        for index in np.linspace(0, len(sounds) - 1, min(_SURVEYED, len(sounds))).round().astype(int):
            _, sound, _ = sounds.get(int(index), rng)
            for name in total:
                total[name] = total[name] + sums(acoustic(name, torch.from_numpy(sound)[None])[0].numpy())
        return {name: moments(each) for name, each in total.items()}

    def build(self) -> Pase:
        """The network, with the statistics of the training set in its buffers."""
        network = Pase(self.encoder, self.workers)
        for name, (mean, std) in self.statistics.items():
            worker: Any = network.workers[name]
            worker.mean.copy_(torch.from_numpy(mean))
            worker.std.copy_(torch.from_numpy(std))
        return network

    def save(self, exp: Path) -> None:
        """Nothing is needed besides config and weights."""

    def restore(self, exp: Path) -> None:
        """Nothing is needed besides config and weights."""

    def describe(self) -> dict[str, str]:
        """What goes in and what comes out."""
        return {"Input": "sound, 16 kHz", "Output": f"{self.encoder.dims} features, 100 a second"}

    def collate(self, samples: list[tuple[str, np.ndarray, np.ndarray]]) -> Stretches:
        """Put stretches together; all have one length."""
        sounds, heard = (torch.from_numpy(np.stack([sample[part] for sample in samples])) for part in (1, 2))
        return Stretches([sample[0] for sample in samples], sounds, heard)

    def loss(self, model: Pase, batch: Stretches, progress: float) -> Loss:
        """The mean of the workers' losses, as many times as there are pictures; every worker counts the same."""
        losses = model(batch.heard, batch.sound)
        weight = float(batch.frames)
        total = torch.stack(list(losses.values())).mean() * weight
        return Loss(total, weight, {name: float(loss.detach()) for name, loss in losses.items()})

    def evaluate(self, model: Pase, valid: Sounds, device: torch.device | str) -> Evaluation:
        """Every worker's mean loss on undistorted sound; the score is minus their mean."""
        totals: dict[str, float] = {}
        for start in range(0, len(valid), _EVALUATED):
            indices = range(start, min(start + _EVALUATED, len(valid)))
            batch = self.collate([valid.get(index, None) for index in indices]).to(device)
            for name, loss in model(batch.heard, batch.sound).items():
                totals[name] = totals.get(name, 0.0) + float(loss) * len(indices) / len(valid)
        return Evaluation(-float(np.mean(list(totals.values()))), totals)
