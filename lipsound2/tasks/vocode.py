"""Task *vocode*: mel-spectrogram -> audio, for a voice that does not audio like metal.

HiFi-GAN and Vocos learn against discriminators, WaveGlow from the likelihood of audio. Each is trained on the audio of
any data dir and may then be fine-tuned on the mels a lip-to-speech model speaks. Checkpoints are chosen by how near the
mel of what is spoken comes to that of the ground truth: losses of discriminators tell nothing about quality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lipsound2.audio.kind import audio_kind
from lipsound2.audio.mel import MelConfig, mel_config, mel_spectrogram
from lipsound2.config import from_mapping, to_mapping
from lipsound2.data.datadir import DataDir
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.datasets.audio_segments import AudioBatch, AudioSegments, Segment, SegmentConfig
from lipsound2.errors import LipsoundError
from lipsound2.metrics.speech import measure
from lipsound2.models.registry import find as find_model
from lipsound2.models.vocoders.discriminators import DiscriminatorConfig, DiscriminatorOutput, Discriminators
from lipsound2.models.vocoders.mel_vocoder import MelVocoder
from lipsound2.tasks.base import Adversarial, Evaluation, Loss, Prepared

MEL_FILE = "mel.yaml"
# Points, hop and window of each (Yamamoto, Song and Kim, 2020, Parallel WaveGAN, table 1).
_RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))


@dataclass(frozen=True)
class VocodeConfig:
    """Keys of this task in a config; the weights are HiFi-GAN's.

    Attributes:
        model: which network.
        mel: `fine` or `paper`: what it speaks.
        mel_weight: weight of the L1 distance of mels.
        feature_weight: weight of the L1 distance of the discriminators' features.
        stft_weight: weight of spectral convergence and of the L1 distance of log-magnitudes, at three resolutions;
            0: not used, as published. It brings the harmonics early that a mel does not tell.
        adversarial_start: share of training after which the discriminators come in. Before it, an update costs a
            fraction.
        valid_clips: validation clips that are spoken at each evaluation, evenly spread.
    """

    model: str = "hifigan"
    mel: str = "fine"
    mel_weight: float = 45.0
    feature_weight: float = 2.0
    stft_weight: float = 0.0
    adversarial_start: float = 0.0
    valid_clips: int = 20

    def __post_init__(self) -> None:
        """Refuse values that cannot work, by name."""
        mel_config(self.mel)
        if not 0 <= self.adversarial_start <= 1:
            raise LipsoundError(f"adversarial_start: expected a share of 0 to 1, found {self.adversarial_start:g}")
        if self.valid_clips < 1:
            raise LipsoundError(f"valid_clips: expected 1 or more, found {self.valid_clips}")


@dataclass(frozen=True)
class VocodeAssets:
    """What an experiment adds: the mel that is spoken, as it was when training began."""

    mel: MelConfig


@dataclass(frozen=True)
class Vocode(Adversarial[VocodeAssets, MelVocoder, AudioSegments, AudioBatch]):
    """Mels to audio: data, networks, losses and evaluation. See `tasks.base.Adversarial`."""

    name: ClassVar[str] = "vocode"
    free: ClassVar[frozenset[str]] = frozenset({"valid_clips", "speech_sigma"})
    files: ClassVar[tuple[str, ...]] = (MEL_FILE,)
    use: ClassVar[str] = "lipsound2 speak CLIP -o OUT.wav --vocoder {}"

    settings: VocodeConfig
    network: object
    segments: SegmentConfig

    def inputs(self, dump: Path) -> list[Path]:
        """The audio, and the generated mels."""
        return [dump / audio_kind(dump), *map(Path, self.segments.mels)]

    def prepare(self, train: DataDir, valid: DataDir, dump: Path) -> Prepared[AudioSegments, VocodeAssets]:
        """Training and validation audio."""
        mel = mel_config(self.settings.mel)
        training, validation = (AudioSegments(data, dump, mel, self.segments) for data in (train, valid))
        return Prepared(training, validation, VocodeAssets(mel))

    def save(self, assets: VocodeAssets, exp: Path) -> None:
        """Write the mel that is spoken."""
        write_yaml(exp / MEL_FILE, to_mapping(assets.mel))

    def restore(self, exp: Path) -> VocodeAssets:
        """Read it: a later version may mean something else by its name."""
        return VocodeAssets(from_mapping(MelConfig, read_yaml(exp / MEL_FILE), str(exp / MEL_FILE)))

    def describe(self, assets: VocodeAssets) -> dict[str, str]:
        """What goes in and what comes out."""
        return {"Input": f"`{assets.mel.name}` mel", "Output": f"audio, {assets.mel.sample_rate} Hz"}

    def collate(self, samples: list[Segment]) -> AudioBatch:
        """Stack segments, which are equally long."""
        return AudioBatch.of(samples)

    def build(self, assets: VocodeAssets) -> MelVocoder:
        """The network with fresh weights."""
        network: MelVocoder = find_model(self.name, self.settings.model).network_class()(self.network, assets.mel)
        return network

    def discriminator(self) -> Discriminators | None:
        """HiFi-GAN's discriminators; None for a network whose config has no size for them."""
        return (
            Discriminators(self.network.discriminator_width) if isinstance(self.network, DiscriminatorConfig) else None
        )

    def loss(self, model: MelVocoder, batch: AudioBatch, assets: VocodeAssets, progress: float) -> Loss:
        """The network's own."""
        with _full_precision(batch):
            total = model.loss(batch.waveform, batch.mel)
        weight = float(batch.waveform.numel())
        return Loss(total, weight, {"flow": float(total.detach()) / weight})

    def adversarial_loss(
        self, model: MelVocoder, discriminator: Discriminators, batch: AudioBatch, assets: VocodeAssets, progress: float
    ) -> Loss:
        """HiFi-GAN's two losses: means over a batch, times its samples."""
        settings, weight = self.settings, float(batch.waveform.numel())
        with _full_precision(batch):
            spoken = model(batch.mel)
        true_mel, mel = (mel_spectrogram(waveform, assets.mel) for waveform in (batch.waveform, spoken))
        parts = {"mel": settings.mel_weight * F.l1_loss(mel, true_mel)}
        if settings.stft_weight:
            parts["stft"] = settings.stft_weight * stft_loss(spoken, batch.waveform)
        against = None
        if progress >= settings.adversarial_start:
            # True and spoken audio in one pass: half the calls, and one step of the spectral norms for both.
            outputs = discriminator(torch.cat([batch.waveform, spoken]))
            fooled, features, against = _verdicts(outputs)
            parts |= {"fooled": fooled, "features": settings.feature_weight * features}
        total = torch.stack(list(parts.values())).sum()
        told = {name: float(part.detach()) for name, part in parts.items()}
        if against is None:
            return Loss(total * weight, weight, told)
        return Loss(
            total * weight, weight, told | {"discriminator": float(against.detach())}, discriminator=against * weight
        )

    def evaluate(
        self, model: MelVocoder, valid: AudioSegments, assets: VocodeAssets, device: torch.device | str
    ) -> Evaluation:
        """Speak validation clips: L1 of their mels, as the loss has it, and ESTOI; minus the L1 is the score."""
        chosen = np.linspace(0, len(valid) - 1, min(self.settings.valid_clips, len(valid))).round().astype(int)
        rows: list[tuple[float, float, float]] = []
        audio: dict[str, np.ndarray] = {}
        for index in chosen.tolist():
            clip = valid.get(index, None)
            spoken = model(torch.from_numpy(clip.mel)[None].to(device))[0].float().cpu()
            wanted = mel_spectrogram(torch.from_numpy(clip.waveform), assets.mel)
            scores = measure(clip.waveform, spoken.numpy(), ("estoi", "stoi")).values
            distance = float(F.l1_loss(mel_spectrogram(spoken, assets.mel), wanted))
            rows.append((distance, scores["estoi"], scores["stoi"]))
            if len(audio) < 2:
                audio[clip.id] = spoken.numpy()
        error, estoi, stoi = np.mean(rows, axis=0).tolist()
        return Evaluation(-error, {"mel_l1": error, "estoi": estoi, "stoi": stoi}, {}, audio, assets.mel.sample_rate)


def _full_precision(batch: AudioBatch) -> torch.autocast:
    """A block in float32 whatever the training's precision: a waveform needs more than bfloat16's eight bits."""
    return torch.autocast(batch.mel.device.type, enabled=False)


def _verdicts(outputs: Sequence[DiscriminatorOutput]) -> tuple[Tensor, Tensor, Tensor]:
    """What discriminators found in a batch whose first half is true and whose second half is spoken.

    Returns:
        Least-squares loss of the generator, L1 distance of features, least-squares loss of the discriminators
        (HiFi-GAN, eq. 1 to 4): sums over discriminators, and over layers, of means.
    """
    fooled, features, against = [], [], []
    for verdict, layers in outputs:
        true, spoken = verdict.float().chunk(2)
        fooled.append((spoken - 1).square().mean())
        against.append((true - 1).square().mean() + spoken.square().mean())
        for layer in layers:
            wanted, found = layer.float().chunk(2)
            features.append(F.l1_loss(found, wanted))
    return torch.stack(fooled).sum(), torch.stack(features).sum(), torch.stack(against).sum()


def stft_loss(spoken: Tensor, waveform: Tensor) -> Tensor:
    """Spectral convergence plus the L1 distance of log-magnitudes, mean of three resolutions; (B, samples) each."""
    losses = []
    for points, hop, window in _RESOLUTIONS:
        shape = torch.hann_window(window, device=waveform.device)
        found, wanted = (
            torch.stft(each, points, hop, window, shape, return_complex=True).abs().clamp_min(1e-4)
            for each in (spoken, waveform)
        )
        losses.append((wanted - found).norm() / wanted.norm() + F.l1_loss(found.log(), wanted.log()))
    return torch.stack(losses).mean()
