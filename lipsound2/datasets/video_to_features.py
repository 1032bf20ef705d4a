"""Clips of the task *regress*: crops and features by id, augmented one by one, padded in batches."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lipsound2.audio.io import decode_flac
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.data.names import Names
from lipsound2.datasets.augment import AugmentConfig, augment
from lipsound2.datasets.av_offsets import offsets_of
from lipsound2.datasets.batch import TensorBatch
from lipsound2.datasets.crop_cache import Frames
from lipsound2.datasets.left_out import warn_short
from lipsound2.datasets.word_alignment import UNKNOWN, WordTimes
from lipsound2.errors import LipsoundError
from lipsound2.timing import FRAME_RATE

log = logging.getLogger(__name__)

STATISTICS = 10_000  # clips that the statistics of a training set are computed from; a million clips hold 280 GB


@dataclass
class Sample:
    """One clip.

    Attributes:
        id: name.
        frames: (T, H, W) uint8.
        target: (S, D) float32 features, natural units.
        words: (T,) int64 class of the word at each video frame.
        voice: (dims,) float32 speaker embedding of another clip of the speaker; None: no voices are used.
    """

    id: str
    frames: np.ndarray
    target: np.ndarray
    words: np.ndarray
    voice: np.ndarray | None = None


@dataclass
class Batch(TensorBatch):
    """Clips padded with zeros to the longest.

    Attributes:
        ids: names, in batch order.
        video: (B, T, H, W) uint8.
        video_lengths: (B,) int64 video frames of each clip.
        target: (B, S, D) float32, natural units.
        feature_lengths: (B,) int64 feature frames of each clip.
        words: (B, T) int64 class of the word at each video frame, as `datasets.word_alignment` numbers them;
            UNKNOWN where padded.
        voice: (B, dims) float32 speaker embeddings; None: no voices are used.
    """

    ids: list[str]
    video: Tensor
    video_lengths: Tensor
    target: Tensor
    feature_lengths: Tensor
    words: Tensor
    voice: Tensor | None = None

    @classmethod
    def of(cls, samples: list[Sample]) -> Batch:
        """Pad clips to the longest."""
        video_lengths = torch.tensor([len(sample.frames) for sample in samples])
        feature_lengths = torch.tensor([len(sample.target) for sample in samples])
        height, width = samples[0].frames.shape[1:]
        video = torch.zeros(len(samples), int(video_lengths.max()), height, width, dtype=torch.uint8)
        target = torch.zeros(len(samples), int(feature_lengths.max()), samples[0].target.shape[1])
        words = torch.full(video.shape[:2], UNKNOWN)
        for row, sample in enumerate(samples):
            words[row, : len(sample.words)] = torch.from_numpy(sample.words)
            video[row, : len(sample.frames)] = torch.from_numpy(np.ascontiguousarray(sample.frames))
            target[row, : len(sample.target)] = torch.from_numpy(np.ascontiguousarray(sample.target))
        voices = [sample.voice for sample in samples if sample.voice is not None]
        voice = torch.from_numpy(np.stack(voices)) if voices else None
        return cls([sample.id for sample in samples], video, video_lengths, target, feature_lengths, words, voice)

    @property
    def num_frames(self) -> int:
        """Video frames in the batch, padding not counted."""
        return int(self.video_lengths.sum())


class CropsAndFeatures:
    """The clips of a data dir that have both crops and features.

    Args:
        data: data dir whose ids are wanted.
        dump: folder of archives.
        kinds: of the crops and of the features.
        ratio: feature frames per video frame.
        augmentation: of training samples.
        training: whether samples are augmented, which `lengths` depend on.
        cache_gb: gigabytes of decoded crops kept for the next epoch.
        words: times of words, where they are known.
        min_frames: clips with fewer video frames are left out, with a warning.
        audio: archive folder of the clips' audio, for `waveform`.
        voices: archive folder of the clips' speaker embeddings; None: samples have no voice.
        correct_av_offset: whether the seconds by which the clips' audio lags their video are taken out of features and
            words.

    Attributes:
        offsets: (N,) float32, these seconds; (0,) where none are taken out.

    Raises:
        LipsoundError: a kind is missing, or no clip of `data` is in it, or offsets are missing or damaged.
    """

    def __init__(
        self,
        data: DataDir,
        dump: Path,
        kinds: tuple[str, str],
        ratio: float,
        augmentation: AugmentConfig,
        training: bool,
        cache_gb: float = 0.0,
        words: WordTimes | None = None,
        min_frames: int = 1,
        audio: Path | None = None,
        voices: Path | None = None,
        correct_av_offset: bool = False,
    ) -> None:
        crops, features = (dump / kind for kind in kinds)
        self.crops, self.features = Archive(crops), Archive(features)
        self.voices = Archive(voices) if voices else None
        archives = [self.crops, self.features, *([self.voices] if self.voices else [])]
        places = np.flatnonzero(np.all([archive.ids.places(data.ids) >= 0 for archive in archives], axis=0))
        self.ids = Names(data.ids.keys[places])
        self.offsets = np.zeros(0, np.float32)
        if correct_av_offset and self.ids:
            known, self.offsets = offsets_of(data, self.ids, dump)
            places = places[known]
            self.ids = Names(data.ids.keys[places])
        if self.ids and (lost := len(data.ids) - len(self.ids)):
            log.info("%s: %d of %d clips are not in %s: left out", data.path, lost, len(data.ids), dump)
        frames = self.crops.num_frames().of(self.ids)
        if (short := frames < min_frames).any():
            warn_short(data.path, [self.ids[int(place)] for place in np.flatnonzero(short)], len(short), min_frames)
            places, frames = places[~short], frames[~short]
            self.ids = Names(data.ids.keys[places])
            self.offsets = self.offsets[~short] if correct_av_offset else self.offsets
        if not self.ids:
            wanted = " and ".join(str(archive.path.parent) for archive in archives)
            raise LipsoundError(
                f"{data.path}: none of its {len(data.ids)} clips is in {wanted}; run stages 1 and 2 on the data dir "
                "that holds them"
            )
        self.lengths = augmentation.longest(frames) if training else frames
        self._ratio = ratio
        self._augmentation = augmentation
        self._words = words or WordTimes({}, [])
        self._speaker = data.utt2spk.classes()[places]
        # Clips by speaker, one speaker after the other: positions, and where each speaker's begin.
        self._by_speaker = np.argsort(self._speaker, kind="stable").astype(np.int32)
        self._first = np.append(0, np.cumsum(np.bincount(self._speaker)))
        self._frames = Frames(self.crops, cache_gb)
        self._audio = Archive(audio) if audio else None

    def waveform(self, name: str) -> np.ndarray:
        """The waveform (samples,) float32 of a clip; needs the argument `audio`."""
        assert self._audio is not None
        return decode_flac(self._audio[name])

    def __len__(self) -> int:
        return len(self.ids)

    def get(self, index: int, rng: np.random.Generator | None) -> Sample:
        """One clip; with `rng` augmented for training, without it as it is."""
        sample = self._sample(index, rng)
        if rng is not None and rng.random() < self._augmentation.augment_cutmix:
            other = self._other(index, rng)
            if other != index:
                sample = temporal_cutmix(sample, self._sample(other, rng), self._ratio, rng)
        if self.voices is not None:
            # The embedding of the clip itself would tell the model more than a voice.
            sample.voice = np.array(self.voices[self.ids[self._other(index, rng)]], np.float32)
        return sample

    def _other(self, index: int, rng: np.random.Generator | None) -> int:
        """Position of another clip of a clip's speaker, its own where there is none; the next one without `rng`."""
        speaker = int(self._speaker[index])
        mates = self._by_speaker[self._first[speaker] : self._first[speaker + 1]]
        steps = 1 if rng is None or len(mates) < 2 else int(rng.integers(1, len(mates)))
        return int(mates[(int(np.searchsorted(mates, index)) + steps) % len(mates)])

    def _sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        name = self.ids[index]
        frames = self._frames[name]
        target = np.array(self.features[name], dtype=np.float32)
        lag = float(self.offsets[index]) * FRAME_RATE if len(self.offsets) else 0.0  # in video frames
        if lag:
            rows = np.arange(len(target)) + round(lag * self._ratio)
            target = target[rows.clip(0, len(target) - 1)]
        places = np.arange(len(frames), dtype=np.float64)
        if rng is not None:
            frames, target, places = augment(frames, target, self._ratio, self._augmentation, rng)
        feature_frames = int(len(frames) * self._ratio)
        if len(target) < feature_frames:
            raise LipsoundError(
                f"{name}: {len(target)} feature frames for {len(frames)} video frames, wanted {feature_frames}; "
                "the archives come from different runs: run stages 1 and 2 again"
            )
        return Sample(name, frames, target[:feature_frames], self._words.at(name, places + lag))


def temporal_cutmix(first: Sample, second: Sample, ratio: float, rng: np.random.Generator) -> Sample:
    """The first sample up to a random video frame, the second from there on; the first alone when the second is too
    short.

    It keeps the network from overfitting to whole clips, whose beginning would tell their end.
    """
    length = len(first.frames)
    cuts = [cut for cut in range(1, length) if (cut * ratio).is_integer()]  # a feature frame begins there too
    if len(second.frames) < length or not cuts:
        return first
    cut = cuts[int(rng.integers(len(cuts)))]
    row = int(cut * ratio)
    both = [
        np.concatenate([one[:place], other[place : len(one)]])
        for one, other, place in (
            (first.frames, second.frames, cut),
            (first.target, second.target, row),
            (first.words, second.words, cut),
        )
    ]
    return Sample(first.id, *both)


def mean_voice(data: CropsAndFeatures) -> np.ndarray | None:
    """Average speaker embedding (dims,) float32 of the clips, of length 1; None: they have no voices."""
    if data.voices is None:
        return None
    mean = np.stack([data.voices[name] for name in data.ids.spread(STATISTICS)]).mean(axis=0, dtype=np.float64)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


def mean_by_time(data: CropsAndFeatures, mean: np.ndarray) -> np.ndarray:
    """Mean feature (S_max, D) of the training clips at each feature frame: the best prediction without the video."""
    names = data.ids.spread(STATISTICS)
    longest = int(data.features.num_frames().of(names).max())
    total, count = np.zeros((longest, len(mean))), np.zeros((longest, 1))
    for name in names:
        features = data.features[name]
        total[: len(features)] += features
        count[: len(features)] += 1
    return (total / np.maximum(count, 1)).astype(np.float32)
