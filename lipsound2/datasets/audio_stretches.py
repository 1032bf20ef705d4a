"""Stretches of sound, as they are and distorted, for the task *pase*."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lipsound2.audio.augment import DistortConfig, distort, scale
from lipsound2.audio.io import decode_flac
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.batch import Movable
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.timing import SAMPLES_PER_FRAME

Stretch = tuple[str, np.ndarray, np.ndarray]  # id, a clean stretch of sound (L,) float32, and how it is heard


@dataclass
class Stretches(Movable):
    """Stretches of sound, all of one length.

    Attributes:
        ids: names, in batch order.
        sound: (B, L) float32, clean: what the workers are asked for.
        heard: (B, L) float32, distorted: what the encoder hears.
    """

    ids: list[str]
    sound: Tensor
    heard: Tensor

    @classmethod
    def of(cls, samples: list[Stretch]) -> Stretches:
        """Put stretches together; all have one length."""
        sounds, heard = (torch.from_numpy(np.stack([sample[part] for sample in samples])) for part in (1, 2))
        return cls([sample[0] for sample in samples], sounds, heard)

    @property
    def frames(self) -> int:
        """Pictures' worth of sound in the batch."""
        return self.sound.numel() // SAMPLES_PER_FRAME


class Sounds:
    """The clips of a data dir that have sound.

    Args:
        data: data dir.
        dump: folder of archives; `dump/sound` is read.
        pictures: length of a stretch.
        distortions: of training samples.

    Attributes:
        ids: clip ids.
        lengths: of the stretches, in pictures.

    Raises:
        LipsoundError: no clip has sound.
    """

    def __init__(self, data: DataDir, dump: Path, pictures: int, distortions: DistortConfig) -> None:
        self._sounds = Archive(dump / "sound")
        self.ids = [name for name in data.ids if name in self._sounds]
        if not self.ids:
            raise LipsoundError(
                f"{data.path}: none of its {len(data.ids)} clips has a sound in {dump / 'sound'}; "
                "run stage 2 on a data dir that holds them"
            )
        self.lengths = [pictures] * len(self.ids)
        self._samples = pictures * SAMPLES_PER_FRAME
        self._distortions = distortions

    def __len__(self) -> int:
        return len(self.ids)

    def get(self, index: int, rng: np.random.Generator | None) -> Stretch:
        """Id, a clean stretch of sound (L,), and how it is heard; without `rng` the middle one, heard as it is.

        A clip that is too short goes on reflected, as in the published code.

        Raises:
            LipsoundError: the clip has no sound that can be read.
        """
        name = self.ids[index]
        try:
            sound = decode_flac(self._sounds[name])
        except ClipFailure as failure:
            raise LipsoundError(f"{name}: {failure}; run stage 2 again") from failure
        if len(sound) < self._samples:
            sound = np.pad(sound, (0, self._samples - len(sound)), mode="reflect")
        room = len(sound) - self._samples
        start = room // 2 if rng is None else int(rng.integers(room + 1))
        sound = sound[start : start + self._samples]
        if self._distortions.scale:
            sound = scale(sound, rng)
        return name, sound, sound if rng is None else distort(sound, self._distortions, rng)
