"""Chunks of audio, clean and distorted, for the task *pase*."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lipsound2.audio.augment import AudioAugmentConfig, augment, scale
from lipsound2.audio.io import decode_flac
from lipsound2.audio.kind import audio_kind
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.batch import TensorBatch
from lipsound2.datasets.left_out import warn_left_out
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.timing import SAMPLES_PER_FRAME

Chunk = tuple[str, np.ndarray, np.ndarray]  # id, a clean waveform (L,) float32, and the same distorted


@dataclass
class Chunks(TensorBatch):
    """Chunks of audio, all of one length.

    Attributes:
        ids: names, in batch order.
        waveform: (B, L) float32, clean: the workers' targets are computed from it.
        distorted: (B, L) float32: the encoder's input.
    """

    ids: list[str]
    waveform: Tensor
    distorted: Tensor

    @classmethod
    def of(cls, samples: list[Chunk]) -> Chunks:
        """Stack chunks, which are equally long."""
        clean, distorted = (torch.from_numpy(np.stack([sample[part] for sample in samples])) for part in (1, 2))
        return cls([sample[0] for sample in samples], clean, distorted)

    @property
    def num_frames(self) -> int:
        """Length of the audio in the batch, in video frames of 40 ms."""
        return self.waveform.numel() // SAMPLES_PER_FRAME


class AudioChunks:
    """The clips of a data dir that have audio.

    Args:
        data: data dir.
        dump: folder of archives; its audio is read.
        frames: length of a chunk, in video frames of 40 ms.
        distortions: of training samples.

    Attributes:
        ids: clip ids.
        lengths: of the chunks, in video frames of 40 ms.

    Raises:
        LipsoundError: no clip has audio.
    """

    def __init__(self, data: DataDir, dump: Path, frames: int, distortions: AudioAugmentConfig) -> None:
        self._audio = Archive(dump / audio_kind(dump))
        self.ids = [name for name in data.ids if name in self._audio]
        silent = [name for name in data.ids if name not in self._audio]
        warn_left_out(data.path, silent, len(data.ids), f"have no audio in {dump / audio_kind(dump)}")
        if not self.ids:
            raise LipsoundError(
                f"{data.path}: none of its {len(data.ids)} clips has audio in {dump / audio_kind(dump)}; "
                "run stage 2 on a data dir that holds them"
            )
        self.lengths = [frames] * len(self.ids)
        self._samples = frames * SAMPLES_PER_FRAME
        self._distortions = distortions

    def __len__(self) -> int:
        return len(self.ids)

    def get(self, index: int, rng: np.random.Generator | None) -> Chunk:
        """Id, a random chunk of clean audio (L,), and the same distorted; without `rng` the middle one, undistorted.

        A clip that is too short is padded by reflection, as in the published code.

        Raises:
            LipsoundError: the clip has no audio that can be read.
        """
        name = self.ids[index]
        try:
            waveform = decode_flac(self._audio[name])
        except ClipFailure as failure:
            raise LipsoundError(f"{name}: {failure}; run stage 2 again") from failure
        if len(waveform) < self._samples:
            waveform = np.pad(waveform, (0, self._samples - len(waveform)), mode="reflect")
        latest = len(waveform) - self._samples
        start = latest // 2 if rng is None else int(rng.integers(latest + 1))
        waveform = waveform[start : start + self._samples]
        if self._distortions.scale:
            waveform = scale(waveform, rng)
        return name, waveform, waveform if rng is None else augment(waveform, self._distortions, rng)
