"""Audio and its mel for the task *vocode*: a random segment of each clip in training, the whole clip elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lipsound2.audio.io import decode_flac
from lipsound2.audio.kind import audio_kind
from lipsound2.audio.mel import MelConfig, frames_of, mel_spectrogram, same_mel
from lipsound2.audio.mel_settings import fit_frames
from lipsound2.config import from_mapping
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.batch import TensorBatch
from lipsound2.datasets.left_out import warn_left_out
from lipsound2.errors import LipsoundError
from lipsound2.timing import SAMPLES_PER_FRAME

_SMALLEST_BLUR = 0.1  # mel frames and bands; a blur that changes nothing


@dataclass(frozen=True)
class SegmentConfig:
    """What a vocoder learns from.

    Attributes:
        segment: samples of each clip in an epoch, cut down to whole mel frames.
        peak: every waveform is scaled to this peak, as in HiFi-GAN's own training, whose vocoder then takes mels of any
            level; 0: the level is not changed. With `mels` it never is, as in HiFi-GAN's own fine-tuning: generated
            mels have the level of the audio as it is.
        mels: folders of generated mels (`OUT/mels/generated` of `lipsound2 synthesize`) to learn from instead of
            ground-truth mels; clips that are in none of them are left out. This is fine-tuning: begin with --init.
        augment_blur: largest standard deviation, in mel frames and bands, of a Gaussian that blurs mels along both
            axes; it is drawn anew each time. On ground-truth mels it is the cheap alternative to `mels`; generated mels
            are blurred as well. 0: never. Choi, Kim and Ro (2023) take 1.
        augment_noise: standard deviation of white noise on log-mels, ground-truth and generated ones; 0: none. Choi,
            Kim and Ro (2023) take 1.
    """

    segment: int = 8192
    peak: float = 0.0
    mels: tuple[str, ...] = ()
    augment_blur: float = 0.0
    augment_noise: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values that cannot work, by name."""
        if not 0 <= self.peak <= 1:
            raise LipsoundError(f"peak: expected 0 to 1, found {self.peak:g}")
        if min(self.augment_blur, self.augment_noise) < 0:
            raise LipsoundError("augment_blur, augment_noise: expected 0 or more")


@dataclass
class Segment:
    """A piece of a clip: mel (S, bands) and waveform (S * hop,), both float32."""

    id: str
    mel: np.ndarray
    waveform: np.ndarray


@dataclass
class AudioBatch(TensorBatch):
    """Segments of one length.

    Attributes:
        ids: names, in batch order.
        mel: (B, S, bands) float32, natural logarithm.
        waveform: (B, S * hop) float32.
    """

    ids: list[str]
    mel: Tensor
    waveform: Tensor

    @classmethod
    def of(cls, samples: list[Segment]) -> AudioBatch:
        """Stack segments."""
        mels = torch.stack([torch.from_numpy(sample.mel) for sample in samples])
        waveforms = torch.stack([torch.from_numpy(sample.waveform) for sample in samples])
        return cls([sample.id for sample in samples], mels, waveforms)

    @property
    def num_frames(self) -> int:
        """Length of the audio in the batch, in video frames of 40 ms."""
        return self.waveform.numel() // SAMPLES_PER_FRAME


class AudioSegments:
    """The clips of a data dir that have audio and, when mels are given, a generated mel.

    Args:
        data: data dir whose ids are wanted.
        dump: folder of archives; its audio is read.
        mel: input of the vocoder.
        config: segments and augmentation.

    Attributes:
        ids: clip ids.
        lengths: of a segment in video frames of 40 ms, the same for all.

    Raises:
        LipsoundError: no clip can be used, generated mels have other settings, or the segment is too short for the
            mel's window.
    """

    def __init__(self, data: DataDir, dump: Path, mel: MelConfig, config: SegmentConfig) -> None:
        self._audio, self._mel, self._config = Archive(dump / audio_kind(dump)), mel, config
        self._segment = frames_of(config.segment, mel)
        if self._segment * mel.hop < mel.shortest:
            raise LipsoundError(
                f"segment: {config.segment} samples are too few for the mel '{mel.name}', which needs {mel.shortest}"
            )
        self._generated = _open_mels(config.mels, mel)
        samples = self._audio.num_frames()
        wanted = [
            name for name in data.ids if not self._generated or any(name in archive for archive in self._generated)
        ]
        self.ids = [name for name in wanted if samples.get(name, 0) >= mel.shortest]
        silent = [name for name in wanted if samples.get(name, 0) < mel.shortest]
        few = f"have no audio of {mel.shortest} samples or more in {dump / audio_kind(dump)}"
        warn_left_out(data.path, silent, len(wanted), few)
        if not self.ids:
            places = " and ".join([str(dump / audio_kind(dump)), *config.mels])
            raise LipsoundError(
                f"{data.path}: none of its {len(data.ids)} clips is in {places}; run stage 2 (and, for 'mels', "
                "lipsound2 synthesize) on the data dir that holds them"
            )
        self.lengths = [max(1, self._segment * mel.hop // SAMPLES_PER_FRAME)] * len(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def get(self, index: int, rng: np.random.Generator | None) -> Segment:
        """A random segment of one clip, its mel augmented; without `rng` the whole clip as it is.

        Raises:
            LipsoundError: its generated mel is not as long as its audio.
        """
        name, hop = self.ids[index], self._mel.hop
        waveform = decode_flac(self._audio[name])
        if self._config.peak and not self._generated:
            waveform *= self._config.peak / max(float(np.abs(waveform).max()), 1e-9)
        generated = self._generated_mel(name, frames_of(len(waveform), self._mel))
        if rng is None:
            count = frames_of(len(waveform), self._mel)
            mel = _mel_of(waveform, 0, count, self._mel) if generated is None else generated
            return Segment(name, mel, waveform[: count * hop])
        count = self._segment
        waveform = np.pad(waveform, (0, max(0, count * hop - len(waveform))))
        first = int(rng.integers(frames_of(len(waveform), self._mel) - count + 1))
        mel = _mel_of(waveform, first, count, self._mel) if generated is None else self._cut(generated, first, count)
        return Segment(name, vary(mel, self._config, rng), waveform[first * hop : (first + count) * hop])

    def _generated_mel(self, name: str, frames: int) -> np.ndarray | None:
        """The generated mel (frames, bands) float32; None when ground-truth mels are used."""
        if not self._generated:
            return None
        mel = np.asarray(next(archive for archive in self._generated if name in archive)[name], np.float32)
        # Where the rates do not divide evenly, the two may end up to a video frame apart.
        if mel.shape[1] != self._mel.bands or abs(len(mel) - frames) * self._mel.hop > SAMPLES_PER_FRAME:
            raise LipsoundError(
                f"its generated mel is {mel.shape[0]} frames of {mel.shape[1]} bands, its audio has {frames} of "
                f"{self._mel.bands} in the mel '{self._mel.name}'; give 'mels' of a model that predicts this mel, as "
                "long as the video"
            )
        return self._cut(mel, 0, frames)

    def _cut(self, mel: np.ndarray, first: int, count: int) -> np.ndarray:
        """`count` frames of a mel from `first` on, padded with silence behind its end."""
        return fit_frames(mel[first:], count, self._mel.silence)


def _open_mels(folders: Sequence[str], mel: MelConfig) -> list[Archive]:
    """The archives of generated mels; where they say their settings, these are compared with the vocoder's."""
    archives = [Archive(Path(folder)) for folder in folders]
    for folder, archive in zip(folders, archives, strict=True):
        if archive.meta:
            same_mel(from_mapping(MelConfig, archive.meta, f"{folder}/kind.yaml"), mel, f"the mels of {folder}")
    return archives


def _mel_of(waveform: np.ndarray, first: int, count: int, config: MelConfig) -> np.ndarray:
    """Frames (count, bands) of the waveform's mel from `first` on, computed from the samples they depend on alone."""
    margin = -(-config.overhang // config.hop)
    begin, end = max(0, first - margin), first + count + margin
    # Where the piece reaches the end of the audio it must end exactly there: the last frames see the rest of a hop too.
    stop = len(waveform) if end * config.hop >= len(waveform) else end * config.hop
    piece = torch.from_numpy(np.ascontiguousarray(waveform[begin * config.hop : stop]))
    mel: np.ndarray = mel_spectrogram(piece, config).numpy()
    return mel[first - begin : first - begin + count]


def vary(mel: np.ndarray, config: SegmentConfig, rng: np.random.Generator) -> np.ndarray:
    """A mel (S, bands) with random blur and noise, such as generated mels have."""
    if config.augment_blur:
        spread = rng.uniform(min(_SMALLEST_BLUR, config.augment_blur), config.augment_blur)
        from scipy import ndimage  # here: speech of a trained vocoder needs none of it

        mel = ndimage.gaussian_filter(mel, spread, mode="nearest")
    if config.augment_noise:
        mel = mel + config.augment_noise * rng.standard_normal(mel.shape, dtype=np.float32)
    return np.ascontiguousarray(mel, np.float32)
