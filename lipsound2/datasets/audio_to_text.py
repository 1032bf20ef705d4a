"""Audio with its text for the task *recognize*: speed perturbation, SpecAugment, padded batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lipsound2.arguments import AtLeast0, Share
from lipsound2.audio.io import decode_flac
from lipsound2.audio.mel import mel_spectrogram
from lipsound2.audio.mel_settings import SPEECH
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.batch import TensorBatch
from lipsound2.datasets.left_out import warn_left_out
from lipsound2.datasets.word_alignment import UNKNOWN, WordTimes
from lipsound2.errors import LipsoundError
from lipsound2.timing import SAMPLES_PER_FRAME


@dataclass
class SpeechConfig:
    """Augmentation of audio in training; zeros and a single speed of 1 mean "never".

    Attributes:
        speeds: speed perturbation: audio is played at one of these speeds, its pitch changing too (Ko et al., 2015).
        freq_masks: frequency masks (SpecAugment, Park et al., 2019).
        freq_size: bands in such a mask at most.
        time_masks: time masks (SpecAugment).
        time_size: feature frames in such a mask at most.
        time_share: share of the utterance that one time mask may cover at most.
    """

    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)
    freq_masks: AtLeast0 = 2
    freq_size: AtLeast0 = 15
    time_masks: AtLeast0 = 2
    time_size: AtLeast0 = 25
    time_share: Share = 0.15

    def __post_init__(self) -> None:
        """Refuse what cannot be done, by name."""
        if not self.speeds or any(not 0.5 <= speed <= 2 for speed in self.speeds):
            raise LipsoundError(f"speeds: expected factors of 0.5 to 2, found {list(self.speeds)}")


@dataclass
class Utterance:
    """One clip: features, tokens, text, and (S,) int64 the class of the word at each frame.

    Features of audio are normalized log-mels (S, bands) float32. Those of a lip reader are video frames (S, H, W)
    uint8, or the states (S, D) float32 that a trunk made of them.
    """

    id: str
    features: np.ndarray
    tokens: list[int]
    text: str
    words: np.ndarray


@dataclass
class UtteranceBatch(TensorBatch):
    """Utterances padded with zeros to the longest.

    Attributes:
        ids: names, in batch order.
        features: (B, S, ...), of the samples' type.
        feature_lengths: (B,) int64 frames of each clip: video frames of a lip reader, else feature frames.
        tokens: (B, L) int64.
        token_lengths: (B,) int64.
        texts: normalized transcripts.
        words: (B, S) int64 class of the word at each frame, as `datasets.word_alignment` numbers them;
            UNKNOWN where padded.
        rate: feature frames per video frame (25 frames a second).
    """

    ids: list[str]
    features: Tensor
    feature_lengths: Tensor
    tokens: Tensor
    token_lengths: Tensor
    texts: list[str]
    words: Tensor
    rate: int

    @classmethod
    def of(cls, samples: list[Utterance], rate: int) -> UtteranceBatch:
        """Pad utterances to the longest."""
        features, lengths = padded([sample.features for sample in samples])
        token_lengths = torch.tensor([len(sample.tokens) for sample in samples])
        tokens = torch.zeros(len(samples), int(token_lengths.max()), dtype=torch.int64)
        words = torch.full(features.shape[:2], UNKNOWN)
        for row, sample in enumerate(samples):
            words[row, : len(sample.words)] = torch.from_numpy(sample.words)
            tokens[row, : len(sample.tokens)] = torch.tensor(sample.tokens, dtype=torch.int64)
        ids, texts = [sample.id for sample in samples], [sample.text for sample in samples]
        return cls(ids, features, lengths, tokens, token_lengths, texts, words, rate)

    @property
    def num_frames(self) -> int:
        """Length of the batch in video frames of 40 ms, padding not counted."""
        return int(self.feature_lengths.sum()) // self.rate


class Utterances:
    """The clips of a data dir that have both audio and text.

    Args:
        data: data dir with `text`.
        audio: archive folder of audio.
        encode: text to tokens.
        config: augmentation.
        texts: id -> normalized text.
        training: whether samples are augmented.
        words: times of words, where they are known.

    Attributes:
        ids: clip ids.
        lengths: of each clip at the slowest speed, in video frames of 40 ms.

    Raises:
        LipsoundError: no clip has both.
    """

    def __init__(
        self,
        data: DataDir,
        audio: Path,
        encode: Callable[[str], list[int]],
        config: SpeechConfig,
        texts: dict[str, str],
        training: bool,
        words: WordTimes,
    ) -> None:
        self._audio = Archive(audio)
        samples = self._audio.num_frames()
        labeled = [name for name in data.ids if texts.get(name)]
        self.ids = [name for name in labeled if name in samples]
        silent = [name for name in labeled if name not in samples]
        warn_left_out(data.path, silent, len(labeled), f"have a text and no audio in {audio}")
        if not self.ids:
            raise LipsoundError(
                f"{data.path}: none of its {len(data.ids)} clips has both a text and audio in {audio}; "
                "run stage 2 on a data dir that holds them"
            )
        slowest = min(config.speeds) if training else 1.0
        self.lengths = [max(1, round(samples[name] / slowest / SAMPLES_PER_FRAME)) for name in self.ids]
        self._texts, self._encode, self._config, self._words = texts, encode, config, words

    def __len__(self) -> int:
        return len(self.ids)

    def get(self, index: int, rng: np.random.Generator | None) -> Utterance:
        """One utterance; with `rng` augmented for training, without it as it is."""
        name = self.ids[index]
        waveform, speed = decode_flac(self._audio[name]), 1.0
        if rng is not None:
            speed = self._config.speeds[int(rng.integers(len(self._config.speeds)))]
            waveform = speed_perturb(waveform, speed)
        features = features_of(waveform, name)
        words = self._words.during(name, (np.arange(len(features)) + 0.5) * SPEECH.hop / SPEECH.sample_rate * speed)
        if rng is not None:
            spec_augment(features, self._config, rng)
        text = self._texts[name]
        return Utterance(name, features, self._encode(text), text, words)


def padded(features: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Features (S, ...) of some clips as a batch (B, S, ...), zero where padded, and their (B,) lengths."""
    lengths = torch.tensor([len(each) for each in features])
    kind = torch.from_numpy(features[0][:0]).dtype
    batch = torch.zeros(len(features), int(lengths.max()), *features[0].shape[1:], dtype=kind)
    for row, each in enumerate(features):
        batch[row, : len(each)] = torch.from_numpy(np.ascontiguousarray(each))
    return batch, lengths


def features_of(waveform: np.ndarray, name: str = "the audio") -> np.ndarray:
    """Log-mels (S, bands) float32, every band with mean 0 and variance 1 over the utterance.

    Normalizing each utterance by itself removes level and channel, in which generated speech differs most from
    recordings.

    Raises:
        LipsoundError: the audio is shorter than one window.
    """
    if len(waveform) < SPEECH.shortest:
        raise LipsoundError(f"{name}: {len(waveform)} samples of audio, at least {SPEECH.shortest} wanted")
    mel = mel_spectrogram(torch.from_numpy(np.ascontiguousarray(waveform, np.float32)), SPEECH)
    return ((mel - mel.mean(0)) / (mel.std(0, correction=0) + 1e-3)).numpy()


def speed_perturb(waveform: np.ndarray, speed: float) -> np.ndarray:
    """Speed perturbation: the waveform played faster (above 1) or slower, its pitch changing too."""
    if speed == 1:
        return waveform
    from scipy import signal  # here: it takes half as long to import as torch

    return np.asarray(signal.resample_poly(waveform, 100, round(100 * speed)), np.float32)


def spec_augment(features: np.ndarray, config: SpeechConfig, rng: np.random.Generator) -> None:
    """Frequency and time masks, in place (SpecAugment, Park et al., 2019); zero is the mean of every band."""
    frames, bands = features.shape
    for _ in range(config.freq_masks):
        size = int(rng.integers(min(config.freq_size, bands) + 1))
        first = int(rng.integers(bands - size + 1))
        features[:, first : first + size] = 0
    for _ in range(config.time_masks):
        size = int(rng.integers(min(config.time_size, int(config.time_share * frames)) + 1))
        first = int(rng.integers(frames - size + 1))
        features[first : first + size] = 0
