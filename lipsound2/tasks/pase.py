"""Task *pase*: PASE+, a self-supervised encoder of audio, trained with workers that predict known acoustic features.

The published weights were trained on fifty hours of LibriSpeech. A model trained here on another corpus is named as
such, "PASE+ trained here on" that corpus. Checkpoints are chosen by the mean of the workers' losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from lipsound2.audio.acoustics import FEATURES, acoustic
from lipsound2.audio.augment import AudioAugmentConfig
from lipsound2.audio.kind import audio_kind
from lipsound2.audio.statistics import moments, sums
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.audio_chunks import AudioChunks, Chunk, Chunks
from lipsound2.errors import LipsoundError
from lipsound2.models.pase.pase import PaseEncoderConfig
from lipsound2.models.pase.workers import COMPARING, Pase, PaseWorkersConfig
from lipsound2.tasks.base import Evaluation, Loss, Prepared, Task

_SURVEYED = 200  # chunks of audio for the statistics: of two seconds each, 40,000 feature frames
_EVALUATED = 16  # chunks in a batch of the evaluation


@dataclass(frozen=True)
class PaseConfig:
    """Keys of this task in a config.

    Attributes:
        chunk_frames: length of a chunk of audio, in video frames of 40 ms; PASE+ has 50.
    """

    chunk_frames: int = 50

    def __post_init__(self) -> None:
        """Refuse chunks shorter than the longest window."""
        if self.chunk_frames < 4:
            raise LipsoundError(f"chunk_frames: expected 4 (160 ms) or more, found {self.chunk_frames}")


Statistics = Mapping[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class PaseAssets:
    """What the training set adds to the task's options.

    Attributes:
        statistics: mean and standard deviation of each worker's target, by its name; empty for an experiment, whose
            weights hold them.
    """

    statistics: Statistics = field(default_factory=dict)


@dataclass(frozen=True)
class PaseTask(Task[PaseAssets, Pase, AudioChunks, Chunks]):
    """Audio to features: data, network, loss and evaluation. See `tasks.base.Task`."""

    name: ClassVar[str] = "pase"

    settings: PaseConfig
    encoder: PaseEncoderConfig
    workers: PaseWorkersConfig
    distortions: AudioAugmentConfig

    def inputs(self, dump: Path) -> list[Path]:
        """The archive that is read."""
        return [dump / audio_kind(dump)]

    def prepare(self, train: DataDir, valid: DataDir, dump: Path) -> Prepared[AudioChunks, PaseAssets]:
        """Training and validation audio, and the statistics of the workers' targets."""
        if not self.workers.predict:
            raise LipsoundError("predict: names no worker, so there is no loss to train with")
        if set(self.workers.predict) <= set(COMPARING):
            raise LipsoundError("predict: 'local' and 'global' have no loss in a batch of one clip; add another worker")
        training, validation = (
            AudioChunks(data, dump, self.settings.chunk_frames, self.distortions) for data in (train, valid)
        )
        return Prepared(training, validation, PaseAssets(self._survey(training)))

    def _survey(self, audio: AudioChunks) -> Statistics:
        """Mean and standard deviation of each feature, from chunks spread evenly over the training set."""
        total: dict[str, Any] = dict.fromkeys((name for name in self.workers.predict if name in FEATURES), 0.0)
        rng = np.random.default_rng(0)
        for index in np.linspace(0, len(audio) - 1, min(_SURVEYED, len(audio))).round().astype(int):
            _, waveform, _ = audio.get(int(index), rng)
            for name in total:
                total[name] = total[name] + sums(acoustic(name, torch.from_numpy(waveform)[None])[0].numpy())
        return {name: moments(each) for name, each in total.items()}

    def build(self, assets: PaseAssets) -> Pase:
        """The network, with the statistics of the training set in its buffers."""
        network = Pase(self.encoder, self.workers)
        for name, (mean, std) in assets.statistics.items():
            worker: Any = network.workers[name]
            worker.mean.copy_(torch.from_numpy(mean))
            worker.std.copy_(torch.from_numpy(std))
        return network

    def restore(self, exp: Path) -> PaseAssets:
        """Nothing is needed besides config and weights."""
        return PaseAssets()

    def describe(self, assets: PaseAssets) -> dict[str, str]:
        """Input and output, for the card of a pack."""
        return {"Input": "audio, 16 kHz", "Output": f"{self.encoder.dims} features, 100 a second"}

    def collate(self, samples: list[Chunk]) -> Chunks:
        """Stack chunks, which are equally long."""
        return Chunks.of(samples)

    def loss(self, model: Pase, batch: Chunks, assets: PaseAssets, progress: float) -> Loss:
        """The unweighted mean of the losses of the workers that have one, times the number of video frames."""
        losses = model(batch.distorted, batch.waveform)
        weight = float(batch.num_frames)
        total = torch.stack(list(losses.values())).mean() * weight
        return Loss(total, weight, {name: float(loss.detach()) for name, loss in losses.items()})

    def evaluate(self, model: Pase, valid: AudioChunks, assets: PaseAssets, device: torch.device | str) -> Evaluation:
        """The mean loss of each worker on undistorted audio; the score is minus their mean."""
        totals: dict[str, float] = {}
        counts: dict[str, int] = {}  # chunks a worker had a loss for, which a last batch of one does not give to all
        for start in range(0, len(valid), _EVALUATED):
            indices = range(start, min(start + _EVALUATED, len(valid)))
            batch = self.collate([valid.get(index, None) for index in indices]).to(device)
            for name, loss in model(batch.distorted, batch.waveform).items():
                totals[name] = totals.get(name, 0.0) + float(loss) * len(indices)
                counts[name] = counts.get(name, 0) + len(indices)
        numbers = {name: total / counts[name] for name, total in totals.items()}
        return Evaluation(-float(np.mean(list(numbers.values()))), numbers)
