"""Words for the task *classify*: windows of video frames around a word, each with its class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.audio_to_text import padded
from lipsound2.datasets.augment import AugmentConfig, augment
from lipsound2.datasets.batch import TensorBatch
from lipsound2.datasets.crop_cache import Frames
from lipsound2.datasets.video_to_text import with_frames
from lipsound2.datasets.word_alignment import read_times
from lipsound2.errors import LipsoundError
from lipsound2.timing import FRAME_RATE


@dataclass
class Window:
    """One word: video frames (T, H, W) uint8 or states (T, D) float32, (T,) float32 with 1 where the word is said, and
    its class."""

    id: str
    frames: np.ndarray
    inside: np.ndarray
    label: int


@dataclass
class WindowBatch(TensorBatch):
    """Windows padded with zeros to the longest.

    Attributes:
        ids: names, in batch order.
        video: (B, T, H, W) uint8, or states (B, T, D) float32.
        video_lengths: (B,) int64 video frames of each.
        inside: (B, T) float32, 1 where the word is said.
        labels: (B,) int64.
    """

    ids: list[str]
    video: Tensor
    video_lengths: Tensor
    inside: Tensor
    labels: Tensor

    @classmethod
    def of(cls, samples: list[Window]) -> WindowBatch:
        """Pad windows to the longest."""
        video, video_lengths = padded([sample.frames for sample in samples])
        inside, _ = padded([sample.inside for sample in samples])
        labels = torch.tensor([sample.label for sample in samples])
        return cls([sample.id for sample in samples], video, video_lengths, inside, labels)

    @property
    def num_frames(self) -> int:
        """Video frames in the batch, padding not counted."""
        return int(self.video_lengths.sum())


class WordWindows:
    """The words of a data dir that have video frames.

    A clip is a recording of its own, as in LRW, or a segment of one (`segments`, which `lipsound2 words` writes). The
    window is centered on the word where its time is known, else on the clip. Beyond the ends of a recording its first
    or last video frame is repeated.

    Args:
        data: data dir whose `text` is one word a clip.
        crops: archive folder of crops, or of a trunk's states.
        classes: word -> its number.
        window: video frames.
        augmentation: of training samples.
        training: whether samples are augmented.
        cache_gb: gigabytes of decoded crops kept for the next epoch.

    Attributes:
        ids: clip ids.
        lengths: video frames of each window; in training, where it is slowed down, the most that it has.

    Raises:
        LipsoundError: none of the clips has video frames, a word is not among the classes, or a row of `word_times`
            cannot be read.
    """

    def __init__(
        self,
        data: DataDir,
        crops: Path,
        classes: Mapping[str, int],
        window: int,
        augmentation: AugmentConfig,
        training: bool,
        cache_gb: float = 0.0,
    ) -> None:
        archive = Archive(crops)
        num_frames = archive.num_frames()
        segments = data.table("segments")
        spans = {name: _segment(segments[name]) if segments else (name, 0.0, 0.0) for name in data.ids}
        named = {name: spans[name][0] for name in data.ids if name in data.text}  # a clip without a text has no label
        self.ids = with_frames(named, num_frames, data, crops)
        if not self.ids:
            raise LipsoundError(
                f"{data.path}: none of its {len(data)} clips has video frames in {crops}; run stage 1 on a data dir "
                "that holds their recordings"
            )
        unknown = sorted({data.text[name] for name in self.ids} - classes.keys())
        if unknown:
            raise LipsoundError(
                f"{data.path}/text: {len(unknown)} words are none of the {len(classes)} classes, '{unknown[0]}' first; "
                "take them out, or train on a set that has them"
            )
        times = {} if segments else read_times(data)
        self._spans = {}
        for name in self.ids:
            recording, start, end = spans[name]
            if not segments:
                said = times.get(name)
                start, end = (said[0][0], said[-1][1]) if said else (0.0, num_frames[name] / FRAME_RATE)
            self._spans[name] = recording, start * FRAME_RATE, end * FRAME_RATE
        frames = np.full(len(self.ids), window)
        self.lengths = augmentation.longest(frames) if training else frames
        self._labels = {name: classes[data.text[name]] for name in self.ids}
        self._frames, self._window, self._augmentation = Frames(archive, cache_gb), window, augmentation

    def __len__(self) -> int:
        return len(self.ids)

    def get(self, index: int, rng: np.random.Generator | None) -> Window:
        """One word; with `rng` augmented for training, without it as it is."""
        name = self.ids[index]
        recording, start, end = self._spans[name]
        frames = self._frames[recording]
        length = self._window
        first = round((start + end - length) / 2)
        places = first + np.arange(length)
        frames = frames[np.clip(places, 0, len(frames) - 1)]
        moments = places + 0.5
        if rng is not None:
            nothing = np.zeros((length, 1), np.float32)
            frames, _, within = augment(frames, nothing, 1.0, self._augmentation, rng)
            moments = first + within + 0.5
        inside = ((start <= moments) & (moments < end)).astype(np.float32)
        return Window(name, frames, inside, self._labels[name])


def _segment(row: str) -> tuple[str, float, float]:
    recording, start, end = row.split()
    return recording, float(start), float(end)
