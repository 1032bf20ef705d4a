"""Task *vocode*: mel-spectrogram -> sound, for a voice that does not sound like metal.

HiFi-GAN and Vocos learn against critics, WaveGlow from the likelihood of sound. Each is trained on the sound of any
data dir and may then be fine-tuned on the mels a lip-to-speech model speaks. Checkpoints are chosen by how near the mel
of what is spoken comes to that of the true sound: losses of critics tell nothing about quality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.audio.mel import MelConfig, mel_config, mel_spectrogram
from lipsound2.config import build, from_mapping, to_mapping
from lipsound2.data.datadir import DataDir
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.datasets.audio_segments import Segment, SegmentConfig, SoundBatch, Sounds
from lipsound2.errors import LipsoundError
from lipsound2.metrics.speech import measure
from lipsound2.models.vocoders.discriminators import Critics, Opinion
from lipsound2.models.vocoders.hifigan import HifiGan, HifiGanConfig
from lipsound2.models.vocoders.vocos import Vocos, VocosConfig
from lipsound2.models.vocoders.waveglow import WaveGlow, WaveGlowConfig, flow_loss
from lipsound2.tasks.base import Evaluation, Loss

MEL_FILE = "mel.yaml"
_NETWORKS: dict[str, tuple[type[nn.Module], type[Any]]] = {
    "hifigan": (HifiGan, HifiGanConfig),
    "vocos": (Vocos, VocosConfig),
    "waveglow": (WaveGlow, WaveGlowConfig),
}
# Points, hop and window of each (Yamamoto, Song and Kim, 2020, Parallel WaveGAN, table 1).
_RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))


@dataclass(frozen=True)
class VocodeConfig:
    """Keys of this task in a config; the weights are HiFi-GAN's.

    Attributes:
        model: which network.
        mel: `fine` or `paper`: what it speaks.
        mel_weight: weight of the L1 distance of mels.
        feature_weight: weight of the L1 distance of the critics' features.
        stft_weight: weight of spectral convergence and of the L1 distance of log-magnitudes, at three resolutions;
            0: not used, as published. It brings the harmonics early that a mel does not tell.
        adversarial_start: share of training after which the critics come in. Before it, an update costs a fraction.
        valid_clips: validation clips that are spoken at each evaluation, evenly spread.
    """

    model: Literal["hifigan", "vocos", "waveglow"] = "hifigan"
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


class Vocode:
    """Mels to sound: data, networks, losses and evaluation. See `tasks.base.Adversarial`."""

    name: ClassVar[str] = "vocode"
    free: ClassVar[frozenset[str]] = frozenset({"valid_clips", "speech_sigma"})

    def __init__(self, settings: VocodeConfig, network: Any, segments: SegmentConfig) -> None:
        self.settings = settings
        self.network = network
        self.segments = segments
        self.mel = mel_config(settings.mel)

    @classmethod
    def options(cls, values: Mapping[str, Any], where: str) -> list[type[Any]]:
        """The dataclasses that own this task's keys; `model:` picks one of them."""
        chosen = build([VocodeConfig], {key: value for key, value in values.items() if key == "model"}, where)[0]
        return [VocodeConfig, _NETWORKS[chosen.model][1], SegmentConfig]

    def config(self) -> dict[str, Any]:
        """Every key of `options`, resolved."""
        return to_mapping(self.settings, self.network, self.segments)

    def inputs(self, dump: Path) -> list[Path]:
        """The sounds, and the generated mels."""
        return [dump / "sound", *map(Path, self.segments.mels)]

    @property
    def sample_rate(self) -> int:
        """Of the sounds in an `Evaluation`, in Hz."""
        return self.mel.sample_rate

    def datasets(self, train: DataDir, valid: DataDir, dump: Path) -> tuple[Sounds, Sounds]:
        """Training and validation sounds."""
        return Sounds(train, dump, self.mel, self.segments), Sounds(valid, dump, self.mel, self.segments)

    def save(self, exp: Path) -> None:
        """Write the mel that is spoken."""
        write_yaml(exp / MEL_FILE, to_mapping(self.mel))

    def restore(self, exp: Path) -> None:
        """Read it: a later version may mean something else by its name."""
        self.mel = from_mapping(MelConfig, read_yaml(exp / MEL_FILE), str(exp / MEL_FILE))

    def describe(self) -> dict[str, str]:
        """What goes in and what comes out."""
        return {"Input": f"`{self.mel.name}` mel", "Output": f"sound, {self.mel.sample_rate} Hz"}

    def collate(self, samples: list[Segment]) -> SoundBatch:
        """Stack segments, which are equally long."""
        return SoundBatch.of(samples)

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        return _NETWORKS[self.settings.model][0](self.network, self.mel)

    def critic(self) -> Critics | None:
        """HiFi-GAN's critics; WaveGlow has none."""
        return None if self.settings.model == "waveglow" else Critics(self.network.critic_width)

    def loss(self, model: WaveGlow, batch: SoundBatch, progress: float) -> Loss:
        """WaveGlow's: minus the logarithm of the sound's likelihood, in sum over samples."""
        with _full_precision(batch):
            noise, volume = model.analyse(batch.sound, batch.mel)
        total, weight = flow_loss(noise, volume, self.network.sigma), float(batch.sound.numel())
        return Loss(total, weight, {"flow": float(total.detach()) / weight})

    def duel(self, model: HifiGan | Vocos, critic: Critics, batch: SoundBatch, progress: float) -> Loss:
        """HiFi-GAN's two losses: means over a batch, times its samples."""
        settings, weight = self.settings, float(batch.sound.numel())
        with _full_precision(batch):
            spoken = model(batch.mel)
        true_mel, mel = (mel_spectrogram(sound, self.mel) for sound in (batch.sound, spoken))
        parts = {"mel": settings.mel_weight * F.l1_loss(mel, true_mel)}
        if settings.stft_weight:
            parts["stft"] = settings.stft_weight * stft_loss(spoken, batch.sound)
        against = None
        if progress >= settings.adversarial_start:
            # True and spoken sound in one pass: half the calls, and one step of the spectral norms for both.
            opinions = critic(torch.cat([batch.sound, spoken]))
            fooled, features, against = _verdicts(opinions)
            parts |= {"fooled": fooled, "features": settings.feature_weight * features}
        total = torch.stack(list(parts.values())).sum()
        told = {name: float(part.detach()) for name, part in parts.items()}
        if against is None:
            return Loss(total * weight, weight, told)
        return Loss(total * weight, weight, told | {"critic": float(against.detach())}, critic=against * weight)

    def evaluate(self, model: nn.Module, valid: Sounds, device: torch.device | str) -> Evaluation:
        """Speak validation clips: L1 of their mels, as the loss has it, and ESTOI; minus the L1 is the score."""
        chosen = np.linspace(0, len(valid) - 1, min(self.settings.valid_clips, len(valid))).round().astype(int)
        rows: list[tuple[float, float, float]] = []
        sounds: dict[str, np.ndarray] = {}
        for index in chosen.tolist():
            clip = valid.get(index, None)
            spoken = model(torch.from_numpy(clip.mel)[None].to(device))[0].float().cpu()
            wanted = mel_spectrogram(torch.from_numpy(clip.sound), self.mel)
            scores = measure(clip.sound, spoken.numpy(), ("estoi", "stoi")).values
            rows.append((float(F.l1_loss(mel_spectrogram(spoken, self.mel), wanted)), scores["estoi"], scores["stoi"]))
            if len(sounds) < 2:
                sounds[clip.id] = spoken.numpy()
        error, estoi, stoi = np.mean(rows, axis=0).tolist()
        return Evaluation(-error, {"mel_l1": error, "estoi": estoi, "stoi": stoi}, sounds=sounds)


def _full_precision(batch: SoundBatch) -> torch.autocast:
    """A block in float32 whatever the training's precision: a waveform needs more than bfloat16's eight bits."""
    return torch.autocast(batch.mel.device.type, enabled=False)


def _verdicts(opinions: Sequence[Opinion]) -> tuple[Tensor, Tensor, Tensor]:
    """What critics found in a batch whose first half is true and whose second half is spoken.

    Returns:
        Least-squares loss of the generator, L1 distance of features, least-squares loss of the critics (HiFi-GAN, eq.
        1 to 4): sums over critics, and over layers, of means.
    """
    fooled, features, against = [], [], []
    for verdict, layers in opinions:
        true, spoken = verdict.float().chunk(2)
        fooled.append((spoken - 1).square().mean())
        against.append((true - 1).square().mean() + spoken.square().mean())
        for layer in layers:
            wanted, found = layer.float().chunk(2)
            features.append(F.l1_loss(found, wanted))
    return torch.stack(fooled).sum(), torch.stack(features).sum(), torch.stack(against).sum()


def stft_loss(spoken: Tensor, sound: Tensor) -> Tensor:
    """Spectral convergence plus the L1 distance of log-magnitudes, mean of three resolutions; (B, samples) each."""
    losses = []
    for points, hop, window in _RESOLUTIONS:
        shape = torch.hann_window(window, device=sound.device)
        found, wanted = (
            torch.stft(each, points, hop, window, shape, return_complex=True).abs().clamp_min(1e-4)
            for each in (spoken, sound)
        )
        losses.append((wanted - found).norm() / wanted.norm() + F.l1_loss(found.log(), wanted.log()))
    return torch.stack(losses).mean()
