"""Task *vocode*: mel-spectrogram to waveform, by a neural vocoder, which is less metallic than Griffin-Lim.

HiFi-GAN and Vocos are trained against discriminators, WaveGlow by maximum likelihood. Each is trained on the audio of
any data dir and may then be fine-tuned on the mels that a lip-to-speech model predicts. Checkpoints are chosen by the
L1 distance between the mels of generated audio and ground truth, since adversarial losses say nothing about quality.
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
# FFT size, hop and window of each resolution (Yamamoto, Song and Kim, 2020, Parallel WaveGAN, table 1).
_RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))


@dataclass(frozen=True)
class VocodeConfig:
    """Keys of this task in a config; the weights of the losses are HiFi-GAN's.

    Attributes:
        model: which network.
        mel: the input: `fine`, `paper` or `speecht5`.
        mel_weight: weight of the L1 distance of mels.
        feature_weight: weight of feature matching, the L1 distance of the discriminators' features.
        stft_weight: weight of the multi-resolution STFT loss: spectral convergence and the L1 distance of
            log-magnitudes, at three resolutions; 0: not used, as published. With it harmonics, which a mel does not
            show, are learned early.
        adversarial_start: share of training after which the adversarial losses begin. Before it an update costs a
            fraction.
        valid_clips: validation clips that are synthesized at each evaluation, evenly spread.
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
    """What an experiment adds to the task's options: the settings of the mel when training began."""

    mel: MelConfig


@dataclass(frozen=True)
class Vocode(Adversarial[VocodeAssets, MelVocoder, AudioSegments, AudioBatch]):
    """Mels to audio: data, networks, losses and evaluation. See `tasks.base.Adversarial`."""

    name: ClassVar[str] = "vocode"
    free: ClassVar[frozenset[str]] = frozenset({"valid_clips", "speech_sigma"})
    files: ClassVar[tuple[str, ...]] = (MEL_FILE,)

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
        """Write the settings of the mel."""
        write_yaml(exp / MEL_FILE, to_mapping(assets.mel))

    def restore(self, exp: Path) -> VocodeAssets:
        """Read the settings of the mel, which may change from version to version while its name stays."""
        return VocodeAssets(from_mapping(MelConfig, read_yaml(exp / MEL_FILE), str(exp / MEL_FILE)))

    def describe(self, assets: VocodeAssets) -> dict[str, str]:
        """Input and output, for the card of a pack."""
        return {"Input": f"`{assets.mel.name}` mel", "Output": f"audio, {assets.mel.sample_rate} Hz"}

    def collate(self, samples: list[Segment]) -> AudioBatch:
        """Stack segments, which are equally long."""
        return AudioBatch.of(samples)

    def build(self, assets: VocodeAssets) -> MelVocoder:
        """The network with fresh weights."""
        network: MelVocoder = find_model(self.name, self.settings.model).network_class()(self.network, assets.mel)
        return network

    def discriminator(self) -> Discriminators | None:
        """HiFi-GAN's discriminators; None for a network that is trained without, such as WaveGlow."""
        if isinstance(self.network, DiscriminatorConfig):
            return Discriminators(self.network.discriminator_width)
        return None

    def loss(self, model: MelVocoder, batch: AudioBatch, assets: VocodeAssets, progress: float) -> Loss:
        """The network's own loss."""
        with _full_precision(batch):
            total = model.loss(batch.waveform, batch.mel)
        weight = float(batch.waveform.numel())
        return Loss(total, weight, {"flow": float(total.detach()) / weight})

    def adversarial_loss(
        self, model: MelVocoder, discriminator: Discriminators, batch: AudioBatch, assets: VocodeAssets, progress: float
    ) -> Loss:
        """HiFi-GAN's losses of generator and discriminators: means over a batch, times its samples."""
        settings, weight = self.settings, float(batch.waveform.numel())
        with _full_precision(batch):
            generated = model(batch.mel)
        target_mel, mel = (mel_spectrogram(waveform, assets.mel) for waveform in (batch.waveform, generated))
        parts = {"mel": settings.mel_weight * F.l1_loss(mel, target_mel)}
        if settings.stft_weight:
            parts["stft"] = settings.stft_weight * stft_loss(generated, batch.waveform)
        discriminator_loss = None
        if progress >= settings.adversarial_start:
            # Ground truth and generated audio in one pass: half the calls, and one step of the spectral norms for both.
            outputs = discriminator(torch.cat([batch.waveform, generated]))
            adversarial, matching, discriminator_loss = gan_losses(outputs)
            parts |= {"adversarial": adversarial, "feature_matching": settings.feature_weight * matching}
        total = torch.stack(list(parts.values())).sum() * weight
        means = {name: float(part.detach()) for name, part in parts.items()}
        if discriminator_loss is None:
            return Loss(total, weight, means)
        means["discriminator"] = float(discriminator_loss.detach())
        return Loss(total, weight, means, discriminator=discriminator_loss * weight)

    def evaluate(
        self, model: MelVocoder, valid: AudioSegments, assets: VocodeAssets, device: torch.device | str
    ) -> Evaluation:
        """Synthesize validation clips: L1 distance of their mels, as in the loss, and ESTOI; the score is minus L1."""
        chosen = np.linspace(0, len(valid) - 1, min(self.settings.valid_clips, len(valid))).round().astype(int)
        rows: list[tuple[float, float, float]] = []
        audio: dict[str, np.ndarray] = {}
        for index in chosen.tolist():
            clip = valid.get(index, None)
            generated = model(torch.from_numpy(clip.mel)[None].to(device))[0].float().cpu()
            target_mel = mel_spectrogram(torch.from_numpy(clip.waveform), assets.mel)
            scores = measure(clip.waveform, generated.numpy(), ("estoi", "stoi")).values
            distance = float(F.l1_loss(mel_spectrogram(generated, assets.mel), target_mel))
            rows.append((distance, scores["estoi"], scores["stoi"]))
            if len(audio) < 2:
                audio[clip.id] = generated.numpy()
        error, estoi, stoi = np.mean(rows, axis=0).tolist()
        return Evaluation(-error, {"mel_l1": error, "estoi": estoi, "stoi": stoi}, {}, audio, assets.mel.sample_rate)


def _full_precision(batch: AudioBatch) -> torch.autocast:
    """A block without autocast: a waveform needs more than bfloat16's eight bits."""
    return torch.autocast(batch.mel.device.type, enabled=False)


def gan_losses(outputs: Sequence[DiscriminatorOutput]) -> tuple[Tensor, Tensor, Tensor]:
    """Losses from the discriminators' outputs for a batch: its first half is ground truth, its second half generated.

    Returns:
        Adversarial loss of the generator, feature matching, and loss of the discriminators, all least squares but the
        L1 distance of features (HiFi-GAN, eq. 1 to 4): sums over discriminators, and over layers, of means.
    """
    adversarial, matching, discriminator = [], [], []
    for scores, layers in outputs:
        real, generated = scores.float().chunk(2)
        adversarial.append((generated - 1).square().mean())
        discriminator.append((real - 1).square().mean() + generated.square().mean())
        for layer in layers:
            target, feature = layer.float().chunk(2)
            matching.append(F.l1_loss(feature, target))
    return torch.stack(adversarial).sum(), torch.stack(matching).sum(), torch.stack(discriminator).sum()


def stft_loss(generated: Tensor, waveform: Tensor) -> Tensor:
    """Spectral convergence plus the L1 distance of log-magnitudes, mean of three resolutions; (B, samples) each."""
    losses = []
    for n_fft, hop, window in _RESOLUTIONS:
        shape = torch.hann_window(window, device=waveform.device)
        magnitudes, target = (
            torch.stft(each, n_fft, hop, window, shape, return_complex=True).abs().clamp_min(1e-4)
            for each in (generated, waveform)
        )
        losses.append((target - magnitudes).norm() / target.norm() + F.l1_loss(magnitudes.log(), target.log()))
    return torch.stack(losses).mean()
