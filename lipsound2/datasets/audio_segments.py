"""Audio and their mels for the task *vocode*: a random segment of each clip in training, the whole clip elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from lipsound2.audio.io import decode_flac
from lipsound2.audio.kind import audio_kind
from lipsound2.audio.mel import MelConfig, frames_of, mel_spectrogram, same_mel
from lipsound2.config import from_mapping
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.batch import TensorBatch
from lipsound2.errors import LipsoundError
from lipsound2.timing import SAMPLES_PER_FRAME

_SMALLEST_BLUR = 0.1  # frames and bands; a blur that changes nothing


@dataclass(frozen=True)
class SegmentConfig:
    """What a vocoder learns from.

    Attributes:
        segment: samples of each clip that are seen in an epoch, cut down to whole mel frames.
        peak: every audio is scaled to this peak, as HiFi-GAN's authors do, who then speak mels of any level; 0: audio
            are left as loud as they are.
        mels: folders of generated mels (`OUT/mels/generated` of `lipsound2 synthesize`) to learn from instead of true
            ones; clips that are in none of them are left out. This is fine-tuning: begin with --init.
        augment_blur: true mels are blurred along time and bands by a Gaussian of a random spread up to this many frames
            and bands, the cheap alternative to `mels`; 0: never. Choi, Kim and Ro (2023) take 1.
        augment_noise: standard deviation of white noise on the logarithms of mels; 0: none. They take 1.
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
    """A piece of a clip: mel (S, bands) and audio (S * hop,), both float32."""

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
        mels, audio = ([torch.from_numpy(each) for each in kind] for kind in zip(*map(_parts, samples), strict=True))
        return cls([sample.id for sample in samples], torch.stack(mels), torch.stack(audio))

    @property
    def num_frames(self) -> int:
        """Video frames' worth of audio in the batch."""
        return self.waveform.numel() // SAMPLES_PER_FRAME


def _parts(sample: Segment) -> tuple[np.ndarray, np.ndarray]:
    return sample.mel, sample.waveform


class AudioSegments:
    """The clips of a data dir that have audio and, when mels are given, a generated mel.

    Args:
        data: data dir whose ids are wanted.
        dump: folder of archives; `dump/waveform` is read.
        mel: what the vocoder speaks.
        config: what is made of the audio.

    Attributes:
        ids: clip ids.
        lengths: video frames' worth of audio in a segment, the same for all.

    Raises:
        LipsoundError: no clip can be used, generated mels are of another kind, or the segment is shorter than a mel
            needs.
    """

    def __init__(self, data: DataDir, dump: Path, mel: MelConfig, config: SegmentConfig) -> None:
        self._audio, self._mel, self._config = Archive(dump / audio_kind(dump)), mel, config
        self._segment = frames_of(config.segment, mel)
        if self._segment * mel.hop < mel.shortest:
            raise LipsoundError(
                f"segment: {config.segment} samples are too few for the mel '{mel.name}', which needs {mel.shortest}"
            )
        self._given = _generated(config.mels, mel)
        samples = self._audio.num_frames()
        self.ids = [
            name
            for name in data.ids
            if samples.get(name, 0) >= mel.shortest and (not self._given or any(name in kind for kind in self._given))
        ]
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
        """A random segment of one clip, its mel varied; without `rng` the whole clip as it is.

        Raises:
            LipsoundError: its generated mel is not as long as its audio.
        """
        name, hop = self.ids[index], self._mel.hop
        waveform = decode_flac(self._audio[name])
        if self._config.peak:
            waveform *= self._config.peak / max(float(np.abs(waveform).max()), 1e-9)
        given = self._given_mel(name, frames_of(len(waveform), self._mel))
        if rng is None:
            count = frames_of(len(waveform), self._mel)
            return Segment(
                name, _mel_of(waveform, 0, count, self._mel) if given is None else given, waveform[: count * hop]
            )
        count = self._segment
        waveform = np.pad(waveform, (0, max(0, count * hop - len(waveform))))
        first = int(rng.integers(frames_of(len(waveform), self._mel) - count + 1))
        mel = _mel_of(waveform, first, count, self._mel) if given is None else self._cut(given, first, count)
        return Segment(name, vary(mel, self._config, rng), waveform[first * hop : (first + count) * hop])

    def _given_mel(self, name: str, frames: int) -> np.ndarray | None:
        """The generated mel (frames, bands) float32; None when true mels are used."""
        if not self._given:
            return None
        mel = np.asarray(next(kind for kind in self._given if name in kind)[name], np.float32)
        # A rate that does not divide evenly may leave the end a video frame apart.
        if mel.shape[1] != self._mel.bands or abs(len(mel) - frames) * self._mel.hop > SAMPLES_PER_FRAME:
            raise LipsoundError(
                f"its generated mel is {mel.shape[0]} frames of {mel.shape[1]} bands, its audio has {frames} of "
                f"{self._mel.bands} in the mel '{self._mel.name}'; give 'mels' of a model that speaks this mel, as "
                "long as the video frame"
            )
        return self._cut(mel, 0, frames)

    def _cut(self, mel: np.ndarray, first: int, count: int) -> np.ndarray:
        """`count` frames of a mel from `first` on; silence where it has ended."""
        piece = mel[first : first + count]
        return np.pad(piece, ((0, count - len(piece)), (0, 0)), constant_values=np.log(self._mel.floor))


def _generated(folders: Sequence[str], mel: MelConfig) -> list[Archive]:
    """The archives of generated mels, compared with the mel that is to be spoken where they say what they are."""
    archives = [Archive(Path(folder)) for folder in folders]
    for folder, archive in zip(folders, archives, strict=True):
        if archive.meta:
            same_mel(from_mapping(MelConfig, archive.meta, f"{folder}/kind.yaml"), mel, f"the mels of {folder}")
    return archives


def _mel_of(waveform: np.ndarray, first: int, count: int, config: MelConfig) -> np.ndarray:
    """Frames (count, bands) of audio's mel from `first` on, computed from what they look at alone."""
    margin = -(-config.overhang // config.hop)
    begin, end = max(0, first - margin), first + count + margin
    # Where the piece ends with the audio, it must end exactly there: what is left of a hop is looked at too.
    stop = len(waveform) if end * config.hop >= len(waveform) else end * config.hop
    piece = torch.from_numpy(np.ascontiguousarray(waveform[begin * config.hop : stop]))
    mel: np.ndarray = mel_spectrogram(piece, config).numpy()
    return mel[first - begin : first - begin + count]


def vary(mel: np.ndarray, config: SegmentConfig, rng: np.random.Generator) -> np.ndarray:
    """A true mel (S, bands) made as blurred and noisy as generated ones are, each time another way."""
    if config.augment_blur:
        spread = rng.uniform(min(_SMALLEST_BLUR, config.augment_blur), config.augment_blur)
        mel = ndimage.gaussian_filter(mel, spread, mode="nearest")
    if config.augment_noise:
        mel = mel + config.augment_noise * rng.standard_normal(mel.shape, dtype=np.float32)
    return np.ascontiguousarray(mel, np.float32)
