"""Task *regress*: silent pictures -> frame-aligned features.

Lip-to-speech is this task with a mel as target (ratio 4 or 2.5 feature frames a picture); LiRA's pretext is the same
task with picture-rate features. The number checkpoints are chosen by is the ESTOI of **free-running** validation
speech: LipSound2's authors warn that a teacher-forced loss hardly shows over-fitting. Features that are no mel cannot
be heard: theirs is the distance, LiRA's own loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lipsound2.audio.griffin_lim import mel_to_sound
from lipsound2.audio.io import decode_flac
from lipsound2.audio.mel import MelConfig
from lipsound2.audio.statistics import statistics
from lipsound2.config import build, from_mapping, to_mapping
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.data.npy import read_npy
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.datasets.augment import AugmentConfig
from lipsound2.datasets.video_to_features import STATISTICS, Batch, CropsAndFeatures, Sample, mean_by_time
from lipsound2.datasets.word_alignment import WordTimes, load_words, save_words, vocabulary, word_times
from lipsound2.errors import LipsoundError
from lipsound2.files import atomic_path
from lipsound2.metrics.speech import estoi, stoi
from lipsound2.models import regression_model
from lipsound2.models.modules.lip_trunk import TrunkConfig
from lipsound2.models.modules.regressor import FrameRegressor, Prediction, mask
from lipsound2.tasks.base import Evaluation, Loss
from lipsound2.tasks.estoi_loss import estoi_loss
from lipsound2.timing import FRAME_RATE


@dataclass(frozen=True)
class Features:
    """A target that is no mel: features at the rate of the pictures, dumped by the verb `targets`.

    Attributes:
        name: of the kind.
        dims: numbers a picture.
    """

    name: str
    dims: int


def read_target(kind: Path) -> MelConfig | Features:
    """What an archive folder's features are.

    Raises:
        LipsoundError: it has no index, or holds neither a mel nor matrices.
    """
    features = Archive(kind)
    if "hop" in features.meta:
        return from_mapping(MelConfig, features.meta, f"{kind}/kind.yaml")
    first = features[features.ids[0]]
    if first.ndim != 2 or first.dtype.kind != "f":
        raise LipsoundError(f"{kind}: expected matrices of features, found {first.dtype} of shape {first.shape}")
    return Features(kind.name, first.shape[1])


@dataclass(frozen=True)
class RegressConfig:
    """Keys of this task in a config.

    Attributes:
        model: which network.
        input: kind of the crops the network sees.
        target: kind of the features it predicts.
        loss: distance on normalised features.
        delta_weight: weight of the same distance on differences of neighbouring frames; keeps onsets sharp.
        estoi_weight: weight of the extended-STOI loss (`tasks.estoi_loss`), for mel targets; 0: not used.
        word_weight: weight of naming the word said at each picture, for corpora with `word_times`; 0: not used.
        feedback: final share of own output fed back in training (scheduled sampling); 0 is teacher forcing.
        feedback_start: share of training after which feedback starts to rise, linearly to its end.
        keep_decoded: gigabytes of decoded crops each process that loads keeps for the next epoch; decoding is half the
            cost of a sample. 800 GRID clips of mouths are 0.55, of faces 0.75; with `workers: 1` they are held once.
        valid_clips: validation clips that are spoken and scored at each evaluation, evenly spread.
        valid_iterations: Griffin-Lim iterations of that; fewer than in synthesis, the order of models is the same.
    """

    model: Literal["parallel", "lipsound2", "lira"] = "parallel"
    input: str = "mouth"
    target: str = "mel-fine"
    loss: Literal["l1", "mse"] = "l1"
    delta_weight: float = 0.0
    estoi_weight: float = 0.0
    word_weight: float = 0.0
    feedback: float = 0.0
    feedback_start: float = 0.3
    keep_decoded: float = 0.0
    valid_clips: int = 50
    valid_iterations: int = 16


class Regress:
    """Pictures to features: data, network, loss and evaluation. See `tasks.base.Task`."""

    name: ClassVar[str] = "regress"
    free: ClassVar[frozenset[str]] = frozenset(
        {"contrast", "peaks", "prenet_always", "keep_decoded", "valid_clips", "valid_iterations"}
    )

    def __init__(self, settings: RegressConfig, network: Any, augmentation: AugmentConfig) -> None:
        self.settings = settings
        self.network = network
        self.augmentation = augmentation
        self.target: MelConfig | Features | None = None
        self.words: list[str] = []
        self.mean = self.std = self.mean_by_time = np.zeros(0, np.float32)

    @classmethod
    def options(cls, values: Mapping[str, Any], where: str) -> list[type[Any]]:
        """The dataclasses that own this task's keys; `model:` picks one of them."""
        chosen = build([RegressConfig], {key: value for key, value in values.items() if key == "model"}, where)[0]
        return [RegressConfig, regression_model(chosen.model)[1], AugmentConfig]

    def config(self) -> dict[str, Any]:
        """Every key of `options`, resolved."""
        return to_mapping(self.settings, self.network, self.augmentation)

    def inputs(self, dump: Path) -> list[Path]:
        """The archives that are read."""
        return [dump / self.settings.input, dump / self.settings.target]

    @property
    def goal(self) -> MelConfig | Features:
        """What is predicted, known once data or an experiment was read."""
        if self.target is None:
            raise LipsoundError("the task has read neither data nor an experiment yet")
        return self.target

    @property
    def mel(self) -> MelConfig:
        """The target's mel.

        Raises:
            LipsoundError: it predicts other features, which nobody can make audible.
        """
        if isinstance(self.goal, Features):
            raise LipsoundError(
                f"the model predicts '{self.goal.name}', not a mel: it cannot speak; give one with 'target: mel-...'"
            )
        return self.goal

    @property
    def ratio(self) -> float:
        """Feature frames a picture."""
        return 1.0 if isinstance(self.goal, Features) else self.goal.sample_rate / self.goal.hop / FRAME_RATE

    @property
    def sample_rate(self) -> int:
        """Of the sounds in an `Evaluation`, in Hz."""
        return 0 if isinstance(self.goal, Features) else self.goal.sample_rate

    def datasets(self, train: DataDir, valid: DataDir, dump: Path) -> tuple[CropsAndFeatures, CropsAndFeatures]:
        """Training and validation clips; reads the training set's statistics."""
        self.target = read_target(dump / self.settings.target)
        if self.settings.estoi_weight:
            _ = self.mel  # told now, and not at the first update
        if not isinstance(self.target, Features):
            self.sounds = Archive(dump / "sound")
        kinds = (self.settings.input, self.settings.target)
        times = [word_times(data, self.settings.word_weight) for data in (train, valid)]
        self.words = vocabulary(times[0])
        least = self.network.trunk_context if isinstance(self.network, TrunkConfig) else 1
        training = CropsAndFeatures(
            train,
            dump,
            kinds,
            self.ratio,
            self.augmentation,
            training=True,
            keep=self.settings.keep_decoded,
            words=WordTimes(times[0], self.words),
            least=least,
        )
        validation = CropsAndFeatures(
            valid,
            dump,
            kinds,
            self.ratio,
            self.augmentation,
            training=False,
            words=WordTimes(times[1], self.words),
            least=least,
        )
        if not isinstance(self.target, Features):  # those are normalised already
            self.mean, self.std = statistics(dump / self.settings.target, training.ids.spread(STATISTICS))
            self.mean_by_time = mean_by_time(training, self.mean)
        return training, validation

    def build(self) -> FrameRegressor:
        """The network, with the statistics of the training set in its buffers."""
        words = len(self.words) + 1 if self.words else 0
        dims = self.goal.dims if isinstance(self.goal, Features) else self.goal.bands
        network = regression_model(self.settings.model)[0](self.network, dims=dims, ratio=self.ratio, words=words)
        if len(self.mean):
            network.target_mean.copy_(torch.from_numpy(self.mean))
            network.target_std.copy_(torch.from_numpy(self.std))
        return network

    def save(self, exp: Path) -> None:
        """Write what later verbs need beside config and weights: target, training mean at each time, vocabulary."""
        write_yaml(exp / "target.yaml", to_mapping(self.goal))
        if len(self.mean_by_time):
            with atomic_path(exp / "mean_by_time.npy") as temporary:
                np.save(temporary, self.mean_by_time)
        save_words(exp, self.words)

    def restore(self, exp: Path) -> None:
        """Read what `save` wrote."""
        path = exp / "target.yaml"
        content = read_yaml(path)
        if "hop" in content:
            self.target = from_mapping(MelConfig, content, str(path))
        else:
            self.target = from_mapping(Features, content, str(path))
        if (exp / "mean_by_time.npy").exists():
            self.mean_by_time = _read_mean(
                exp / "mean_by_time.npy", self.goal.bands if isinstance(self.goal, MelConfig) else self.goal.dims
            )
        self.words = load_words(exp)

    def describe(self) -> dict[str, str]:
        """What goes in and what comes out."""
        return {
            "Input": f"`{self.settings.input}` crops, 25 pictures a second",
            "Output": f"{self.goal.dims} features '{self.goal.name}' a picture"
            if isinstance(self.goal, Features)
            else f"`{self.goal.name}` mel, {self.goal.sample_rate} Hz",
        }

    def collate(self, samples: list[Sample]) -> Batch:
        """Pad clips to the longest."""
        return Batch.of(samples)

    def loss(self, model: FrameRegressor, batch: Batch, progress: float) -> Loss:
        """Masked sum over the values of the batch.

        Args:
            model: the network.
            batch: clips, on the model's device.
            progress: share of training that is done, 0 to 1.
        """
        target = model.normalise(batch.target)
        prediction: Prediction = model(
            batch.video,
            batch.lengths,
            target,
            batch.target_lengths,
            feedback=self.feedback(progress),
            progress=progress,
        )
        valid = mask(batch.target_lengths, target.shape[1])
        weight = float(valid.sum()) * target.shape[2]
        parts: dict[str, Tensor] = {self.settings.loss: self.distance(prediction.features, target, valid)}
        if prediction.before is not None:
            parts["before"] = self.distance(prediction.before, target, valid)
        if self.settings.delta_weight:
            both = valid[:, 1:] & valid[:, :-1]
            deltas = self.distance(prediction.features.diff(dim=1), target.diff(dim=1), both)
            parts["delta"] = self.settings.delta_weight * deltas
        if self.settings.estoi_weight:
            spoken = model.denormalise(prediction.features.float())
            unlike = estoi_loss(spoken, batch.target, batch.target_lengths, self.mel)
            parts["estoi"] = self.settings.estoi_weight * (unlike * batch.target_lengths).sum() * target.shape[2]
        if prediction.words is not None:
            wrong = F.cross_entropy(prediction.words.flatten(0, 1).float(), batch.words.flatten(), reduction="sum")
            # A picture stands for all values of its frames.
            parts["word"] = self.settings.word_weight * wrong * self.ratio * target.shape[2]
        total = torch.stack(list(parts.values())).sum()
        return Loss(total, weight, {name: float(part.detach()) / weight for name, part in parts.items()})

    def feedback(self, progress: float) -> float:
        """Share of own output fed back at this point of training."""
        rise = (progress - self.settings.feedback_start) / max(1e-9, 1 - self.settings.feedback_start)
        return self.settings.feedback * min(1.0, max(0.0, rise))

    def distance(self, prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """Sum of the configured distance over valid frames, in float32 whatever the autocast type."""
        measure = F.l1_loss if self.settings.loss == "l1" else F.mse_loss
        each = measure(prediction.float(), target.float(), reduction="none")
        return (each * valid[..., None]).sum()

    def evaluate(self, model: FrameRegressor, valid: CropsAndFeatures, device: torch.device | str) -> Evaluation:
        """Speak validation clips freely and score them against the real sound; measure features that are no sound."""
        if isinstance(self.goal, Features):
            return self._measure(model, valid, device)
        chosen = np.linspace(0, len(valid) - 1, min(self.settings.valid_clips, len(valid))).round().astype(int)
        rows: list[tuple[float, float, float]] = []
        named = np.zeros(2)  # pictures with a word, and those where it was named right
        pictures: dict[str, np.ndarray] = {}
        sounds: dict[str, np.ndarray] = {}
        for start in range(0, len(chosen), 16):
            batch = self.collate([valid.get(int(index), None) for index in chosen[start : start + 16]])
            spoken = model.generate(batch.video.to(device), batch.lengths.to(device))
            features, frames = spoken.features.float().cpu(), spoken.frames.cpu()
            waves = mel_to_sound(features, self.mel, iterations=self.settings.valid_iterations, frames=frames)
            if spoken.words is not None:
                said = batch.words > 0
                named += int(said.sum()), int((spoken.words.argmax(-1).cpu() == batch.words)[said].sum())
            inside = mask(batch.target_lengths, batch.target.shape[1])[..., None]
            for row, name in enumerate(batch.ids):
                wave = waves[row, : int(frames[row]) * self.mel.hop].numpy()
                real = decode_flac(self.sounds[name])
                error = (features[row, : batch.target.shape[1]] - batch.target[row]).abs()
                rows.append(
                    (estoi(real, wave), stoi(real, wave), float((error * inside[row]).sum() / inside[row].sum()))
                )
                if len(sounds) < 2:
                    sounds[name] = wave
                    mels = (batch.target[row, : int(frames[row])], features[row, : int(frames[row])])
                    pictures[name] = side_by_side(*(mel.numpy() for mel in mels))
                    if spoken.alignment is not None:
                        pictures[f"{name} attention"] = grey(spoken.alignment[row].float().cpu().numpy().T)
        scores = np.mean(rows, axis=0)
        numbers = {"estoi": float(scores[0]), "stoi": float(scores[1]), "mel_l1": float(scores[2]) / self.mel.bands}
        if named[0]:
            numbers["words_named"] = float(named[1] / named[0])
        return Evaluation(numbers["estoi"], numbers, pictures, sounds)

    def _measure(self, model: FrameRegressor, valid: CropsAndFeatures, device: torch.device | str) -> Evaluation:
        """L1 of all validation clips, and the share of the features' variance that is explained."""
        away = squared = varied = count = 0.0
        for start in range(0, len(valid), 16):
            batch = self.collate([valid.get(index, None) for index in range(start, min(start + 16, len(valid)))])
            features = model.generate(batch.video.to(device), batch.lengths.to(device)).features.float().cpu()
            inside = mask(batch.target_lengths, batch.target.shape[1])
            error, true = (features - batch.target)[inside], batch.target[inside]
            away, squared = away + float(error.abs().sum()), squared + float(error.square().sum())
            # Features are dumped with mean 0 over the training set, so their squares are their variance.
            varied, count = varied + float(true.square().sum()), count + error.numel()
        numbers = {"l1": away / count, "explained": 1 - squared / varied}
        return Evaluation(-numbers["l1"], numbers)


def grey(values: np.ndarray) -> np.ndarray:
    """(H, W) of any range as a picture (H, W, 3) uint8, the first row at the bottom."""
    low, high = float(values.min()), float(values.max())
    scaled = ((values[::-1] - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    return np.repeat(scaled[..., None], 3, axis=2)


def side_by_side(true: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """True mel above generated mel, both (S, D), on one scale, with a white line between."""
    length = min(len(true), len(generated))
    line = np.full((true.shape[1], 2), max(true.max(), generated.max()), true.dtype)
    return grey(np.concatenate([generated[:length].T, line[:, :1].repeat(length, 1)[:2], true[:length].T]))


def _read_mean(path: Path, bands: int) -> np.ndarray:
    """The training set's mean at each time, (S, bands) float32.

    Raises:
        LipsoundError: it is no such array.
    """
    again = "copy the experiment again or train again"
    mean = read_npy(path, again)
    if mean.dtype.kind != "f" or mean.ndim != 2 or mean.shape[1] != bands or not np.isfinite(mean).all():
        raise LipsoundError(
            f"{path}: expected numbers (times, {bands}) of a float type, found {mean.dtype} {mean.shape}; {again}"
        )
    return mean.astype(np.float32)
