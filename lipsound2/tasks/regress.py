"""Task *regress*: silent video to frame-aligned features.

Lip-to-speech is this task with a mel as target (4 or 2.5 feature frames per video frame). LiRA's pretext is the same
task with features at the rate of the video frames. Checkpoints are chosen by the ESTOI of **free-running** validation
speech: LipSound2's authors warn that a teacher-forced loss hardly shows overfitting. For features that are no mel they
are chosen by the distance, LiRA's own loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.arguments import AtLeast1, NotNegative, Share
from lipsound2.audio.griffin_lim import mel_to_waveform
from lipsound2.audio.kind import audio_kind
from lipsound2.audio.mel_settings import fit_frames
from lipsound2.audio.statistics import statistics
from lipsound2.data.archive import INDEX
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.augment import AugmentConfig
from lipsound2.datasets.av_offsets import AV_OFFSET
from lipsound2.datasets.video_to_features import (
    STATISTICS,
    Batch,
    CropsAndFeatures,
    Sample,
    mean_by_time,
    mean_voice,
)
from lipsound2.datasets.word_alignment import WordTimes, vocabulary, word_times
from lipsound2.errors import LipsoundError
from lipsound2.metrics.speech import measure
from lipsound2.model_names import WEIGHTS, check_task, find
from lipsound2.models.modules.lip_trunk import TrunkConfig
from lipsound2.models.modules.regressor import FeatureRegressor, Generated, Prediction, mask
from lipsound2.models.registry import MODELS
from lipsound2.models.registry import find as find_model
from lipsound2.models.speaker_encoder import DIMS
from lipsound2.tasks.base import Evaluation, Loss, Prepared, Task
from lipsound2.tasks.estoi_loss import estoi_loss
from lipsound2.tasks.images import gray, side_by_side
from lipsound2.tasks.recognize import Recognize
from lipsound2.tasks.recognizer_loss import RecognizerLoss
from lipsound2.tasks.regress_assets import ASSET_FILES, STATES, Features, RegressAssets, read_target

VOICES = "voice"  # kind of the speaker embeddings in a dump


@dataclass(frozen=True)
class RegressConfig:
    """Keys of this task in a config.

    Attributes:
        model: which network.
        input: kind of the crops that the network takes.
        target: kind of the features that it predicts.
        speaker: what tells the network whose voice to speak in: `embedding`, a speaker embedding of another clip of the
            speaker, from `lipsound2 voices`; none: nothing does.
        loss: distance on normalized features.
        delta_weight: weight of the same distance on differences of neighboring frames; keeps onsets sharp.
        estoi_weight: weight of the extended-STOI loss (`tasks.estoi_loss`), for mel targets; 0: not used.
        word_loss_weight: weight of the word loss, the cross entropy of the word at each video frame, for corpora with
            `word_times`; 0: not used.
        correct_av_offset: take the offset between audio and video, which `lipsound2 sync` estimates, out of the target
            and the words of each training clip.
        recognizer: experiment or pack of a recognizer of audio, or the name of one, for the recognizer's loss
            (`tasks.recognizer_loss`); empty: not used. It is needed in training alone.
        recognizer_weight: weight of that loss, for mel targets.
        scheduled_sampling: final share of decoder steps in training that are fed the decoder's own output; 0 is teacher
            forcing.
        scheduled_sampling_start: share of training after which scheduled sampling begins; it rises linearly to the end.
        cache_gb: gigabytes of decoded crops that each loading process keeps for the next epoch; decoding is half the
            cost of a sample. 800 GRID clips of mouths are 0.55, of faces 0.75; with `workers: 1` they are held once.
        valid_clips: validation clips that are synthesized and scored at each evaluation, evenly spread.
        valid_iterations: Griffin-Lim iterations of the evaluation; fewer than in synthesis rank models the same.
    """

    model: str = "parallel"
    input: str = "mouth"
    target: str = "mel-fine"
    speaker: Literal["none", "embedding"] = "none"
    loss: Literal["l1", "mse"] = "l1"
    delta_weight: NotNegative = 0.0
    estoi_weight: NotNegative = 0.0
    word_loss_weight: NotNegative = 0.0
    correct_av_offset: bool = False
    recognizer: str = ""
    recognizer_weight: NotNegative = 0.0
    scheduled_sampling: Share = 0.0
    scheduled_sampling_start: Share = 0.3
    cache_gb: NotNegative = 0.0
    valid_clips: int = 50
    valid_iterations: AtLeast1 = 16


@dataclass(frozen=True)
class Regress(Task[RegressAssets, FeatureRegressor, CropsAndFeatures, Batch]):
    """Video frames to features: data, network, loss and evaluation. See `tasks.base.Task`."""

    name: ClassVar[str] = "regress"
    free: ClassVar[frozenset[str]] = frozenset(
        {"postfilter_gain", "postfilter_sharpness", "prenet_always", "cache_gb", "valid_clips", "valid_iterations"}
    )
    files: ClassVar[tuple[str, ...]] = ASSET_FILES

    settings: RegressConfig
    network: object
    augmentation: AugmentConfig

    def inputs(self, dump: Path) -> list[Path]:
        """The archives that are read."""
        kinds = [self.settings.input, self.settings.target, *([VOICES] if self.voiced else [])]
        kinds += [AV_OFFSET] if self.settings.correct_av_offset else []
        for name in self.networks():
            check_task(name, Recognize.name)
        return [*(dump / kind for kind in kinds), *(find(name) / WEIGHTS for name in self.networks())]

    def networks(self) -> list[str]:
        """The recognizer of the recognizer's loss."""
        return [self.settings.recognizer] if self.settings.recognizer else []

    def equipped(self, assets: RegressAssets, networks: Sequence[nn.Module]) -> RegressAssets:
        """The assets with that recognizer."""
        return replace(assets, recognizer=RecognizerLoss(networks[0], assets.mel)) if networks else assets

    def check_training(self) -> None:
        """See `Task`."""
        self.augmentation.check()
        settings = self.settings
        if settings.valid_clips < 1:
            raise LipsoundError(f"valid_clips: expected 1 or more, found {settings.valid_clips}")
        if settings.scheduled_sampling and not find_model(self.name, settings.model).network_class().autoregressive:
            raise LipsoundError(
                f"scheduled_sampling: the model '{settings.model}' is not fed its own output; set it to 0, or use one "
                f"of: {', '.join(_able('autoregressive'))}"
            )

    def __post_init__(self) -> None:
        """Refuse states as input, a voice for a network that takes none, and half of the recognizer's loss."""
        if self.settings.input.startswith(STATES):
            raise LipsoundError(
                f"input: the task {self.name} takes crops such as 'mouth', found '{self.settings.input}', states of a "
                "trunk; give crops (a trunk with 'trunk_frozen: true' stays as it begins)"
            )
        if bool(self.settings.recognizer) != bool(self.settings.recognizer_weight):
            raise LipsoundError(
                f"recognizer: found '{self.settings.recognizer}' with recognizer_weight: "
                f"{self.settings.recognizer_weight:g}; the loss needs both keys, or neither"
            )
        if self.voiced and not find_model(self.name, self.settings.model).network_class().takes_voice:
            raise LipsoundError(
                f"speaker: the model '{self.settings.model}' takes no voice; leave the key out, or use one of: "
                f"{', '.join(_able('takes_voice'))}"
            )

    @property
    def voiced(self) -> bool:
        """Whether the network is conditioned on speaker embeddings."""
        return self.settings.speaker == "embedding"

    def prepare(self, train: DataDir, valid: DataDir, dump: Path) -> Prepared[CropsAndFeatures, RegressAssets]:
        """Training and validation clips; reads the training set's statistics."""
        assets = RegressAssets(read_target(dump / self.settings.target))
        if self.settings.estoi_weight:
            _ = assets.mel  # raises now, and not at the first update
        if self.voiced and not (dump / VOICES / INDEX).exists():
            raise LipsoundError(
                f"{dump / VOICES}: no speaker embeddings there, which 'speaker: embedding' needs; run: "
                f"lipsound2 voices DIR {dump}"
            )
        audio = None if isinstance(assets.target, Features) else dump / audio_kind(dump)
        times = [word_times(data, self.settings.word_loss_weight) for data in (train, valid)]
        assets = replace(assets, words=vocabulary(times[0]))
        training, validation = (
            CropsAndFeatures(
                data,
                dump,
                (self.settings.input, self.settings.target),
                assets.ratio,
                self.augmentation,
                training=training,
                cache_gb=self.settings.cache_gb if training else 0.0,
                words=WordTimes(rows, assets.words),
                min_frames=self.network.trunk_context if isinstance(self.network, TrunkConfig) else 1,
                audio=None if training else audio,
                voices=dump / VOICES if self.voiced else None,
                correct_av_offset=training and self.settings.correct_av_offset,
            )
            for data, rows, training in ((train, times[0], True), (valid, times[1], False))
        )
        assets = replace(assets, mean_voice=mean_voice(training))
        if isinstance(assets.target, Features) and not self.settings.target.startswith(STATES):
            return Prepared(training, validation, assets)  # acoustic targets are normalized in the dump
        mean, std = statistics(dump / self.settings.target, training.ids.spread(STATISTICS))
        assets = replace(assets, statistics=(mean, std))
        if not isinstance(assets.target, Features):
            assets = replace(assets, mean_by_time=mean_by_time(training, mean))
        return Prepared(training, validation, assets)

    def build(self, assets: RegressAssets) -> FeatureRegressor:
        """The network, with the statistics of the training set in its buffers."""
        words = len(assets.words) + 1 if assets.words else 0
        network_class = find_model(self.name, self.settings.model).network_class()
        voice = {"voice": DIMS} if self.voiced else {}
        network: FeatureRegressor = network_class(
            self.network, dims=assets.dims, ratio=assets.ratio, words=words, **voice
        )
        if network.voice is not None and assets.mean_voice is not None:
            network.voice.take_average(torch.from_numpy(assets.mean_voice))
        if assets.statistics is not None:
            mean, std = assets.statistics
            network.target_mean.copy_(torch.from_numpy(mean))
            network.target_std.copy_(torch.from_numpy(std))
        return network

    def save(self, assets: RegressAssets, exp: Path) -> None:
        """Write target, training mean at each time, vocabulary."""
        assets.save(exp)

    def restore(self, exp: Path) -> RegressAssets:
        """Read what `save` wrote."""
        return RegressAssets.load(exp)

    def describe(self, assets: RegressAssets) -> dict[str, str]:
        """Input and output, for the card of a pack."""
        target = assets.target
        return {
            "Input": f"`{self.settings.input}` crops, 25 frames a second"
            + ("; a GE2E speaker embedding of the voice" if self.voiced else ""),
            "Output": f"{target.dims} features '{target.name}' a video frame"
            if isinstance(target, Features)
            else f"`{target.name}` mel, {target.sample_rate} Hz",
        }

    def collate(self, samples: list[Sample]) -> Batch:
        """Pad clips to the longest."""
        return Batch.of(samples)

    def loss(self, model: FeatureRegressor, batch: Batch, assets: RegressAssets, progress: float) -> Loss:
        """Masked sum over the values of the batch.

        Args:
            model: the network.
            batch: clips, on the model's device.
            assets: of the training.
            progress: share of training that is done, 0 to 1.
        """
        target = model.normalize(batch.target)
        voice = {} if batch.voice is None else {"voice": batch.voice}
        prediction: Prediction = model(
            batch.video,
            batch.video_lengths,
            target,
            batch.feature_lengths,
            scheduled_sampling=self.scheduled_sampling(progress),
            progress=progress,
            **voice,
        )
        valid = mask(batch.feature_lengths, target.shape[1])
        weight = float(valid.sum()) * target.shape[2]
        parts: dict[str, Tensor] = {self.settings.loss: self.distance(prediction.features, target, valid)}
        if prediction.before_postnet is not None:
            parts["before"] = self.distance(prediction.before_postnet, target, valid)
        if self.settings.delta_weight:
            both = valid[:, 1:] & valid[:, :-1]
            deltas = self.distance(prediction.features.diff(dim=1), target.diff(dim=1), both)
            parts["delta"] = self.settings.delta_weight * deltas
        if self.settings.estoi_weight:
            generated = model.denormalize(prediction.features.float())
            each = estoi_loss(generated, batch.target, batch.feature_lengths, assets.mel)
            parts["estoi"] = self.settings.estoi_weight * (each * batch.feature_lengths).sum() * target.shape[2]
        if assets.recognizer is not None:
            generated = model.denormalize(prediction.features.float())
            each = assets.recognizer(generated, batch.target, batch.feature_lengths)
            parts["recognizer"] = (
                self.settings.recognizer_weight * (each * batch.feature_lengths).sum() * target.shape[2]
            )
        if prediction.word_scores is not None:
            scores = prediction.word_scores.flatten(0, 1).float()
            word = F.cross_entropy(scores, batch.words.flatten(), reduction="sum")
            # A video frame counts as many times as it has target values.
            parts["word"] = self.settings.word_loss_weight * word * model.ratio * target.shape[2]
        total = torch.stack(list(parts.values())).sum()
        return Loss(total, weight, {name: float(part.detach()) / weight for name, part in parts.items()})

    def scheduled_sampling(self, progress: float) -> float:
        """Share of decoder steps that are fed the decoder's own output at this point of training."""
        rise = (progress - self.settings.scheduled_sampling_start) / max(
            1e-9, 1 - self.settings.scheduled_sampling_start
        )
        return self.settings.scheduled_sampling * min(1.0, max(0.0, rise))

    def distance(self, prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """Sum of the configured distance over valid frames, in float32 whatever the autocast type."""
        loss = F.l1_loss if self.settings.loss == "l1" else F.mse_loss
        each = loss(prediction.float(), target.float(), reduction="none")
        return (each * valid[..., None]).sum()

    def evaluate(
        self, model: FeatureRegressor, valid: CropsAndFeatures, assets: RegressAssets, device: torch.device | str
    ) -> Evaluation:
        """Score synthesized validation clips against the ground truth; for features that are no mel, the distance."""
        if isinstance(assets.target, Features):
            return self._measure(model, valid, device)
        mel = assets.target
        chosen = np.linspace(0, len(valid) - 1, min(self.settings.valid_clips, len(valid))).round().astype(int)
        rows: list[tuple[float, float, float]] = []
        words = np.zeros(2)  # video frames with a word, and those of them that are classified right
        images: dict[str, np.ndarray] = {}
        waveforms: dict[str, np.ndarray] = {}
        for start in range(0, len(chosen), 16):
            batch = self.collate([valid.get(int(index), None) for index in chosen[start : start + 16]])
            generated = _generate(model, batch.to(device))
            features, lengths = generated.features.float().cpu(), generated.feature_lengths.cpu()
            waves = mel_to_waveform(features, mel, iterations=self.settings.valid_iterations, frames=lengths)
            if generated.word_scores is not None:
                labeled = batch.words > 0
                words += int(labeled.sum()), int((generated.word_scores.argmax(-1).cpu() == batch.words)[labeled].sum())
            for row, name in enumerate(batch.ids):
                wave = waves[row, : int(lengths[row]) * mel.hop].numpy()
                frames = int(batch.feature_lengths[row])
                target = batch.target[row, :frames].numpy()
                # A model may choose where its speech ends; `measure` fits the wave likewise.
                spoken = fit_frames(features[row, : int(lengths[row])].numpy(), frames, mel.silence)
                heard = measure(valid.waveform(name), wave, ("estoi", "stoi")).values
                rows.append((heard["estoi"], heard["stoi"], float(np.abs(spoken - target).mean())))
                if len(waveforms) < 2:
                    waveforms[name] = wave
                    images[name] = side_by_side(target, spoken)
                    attention = generated.attention(row)
                    if attention is not None:
                        images[f"{name} attention"] = gray(attention.float().cpu().numpy().T)
        scores = np.mean(rows, axis=0)
        numbers = {"estoi": float(scores[0]), "stoi": float(scores[1]), "mel_l1": float(scores[2])}
        if words[0]:
            numbers["word_accuracy"] = float(words[1] / words[0])
        return Evaluation(numbers["estoi"], numbers, images, waveforms, mel.sample_rate)

    def _measure(self, model: FeatureRegressor, valid: CropsAndFeatures, device: torch.device | str) -> Evaluation:
        """L1 of all validation clips' normalized features, and the share of their variance that is explained."""
        absolute = squared = variance = count = 0.0
        for start in range(0, len(valid), 16):
            batch = self.collate([valid.get(index, None) for index in range(start, min(start + 16, len(valid)))])
            generated = _generate(model, batch.to(device))
            features, targets = (
                model.normalize(each.float().to(device)).cpu().numpy() for each in (generated.features, batch.target)
            )
            for row, frames in enumerate(batch.feature_lengths.tolist()):
                target = targets[row, :frames]
                # Where a model ended early, the mean of the training set stands, which is 0.
                error = fit_frames(features[row, : int(generated.feature_lengths[row])], frames, 0.0) - target
                absolute, squared = absolute + float(np.abs(error).sum()), squared + float(np.square(error).sum())
                # For that mean, the squares of targets are their variance.
                variance, count = variance + float(np.square(target).sum()), count + error.size
        numbers = {"l1": absolute / count, "explained": 1 - squared / variance}
        return Evaluation(-numbers["l1"], numbers)


def _able(what: str) -> list[str]:
    """Names of the models whose class says that it can do something, such as `takes_voice`."""
    return [one.name for one in MODELS if one.task == Regress.name and getattr(one.network_class(), what)]


def _generate(model: FeatureRegressor, batch: Batch) -> Generated:
    """What a model makes of a batch, in the voices that come with it."""
    given = (batch.video, batch.video_lengths)
    return model.generate(*given) if batch.voice is None else model.generate(*given, batch.voice)
