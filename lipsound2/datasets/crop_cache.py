"""Crops of clips, decoded when asked for and kept while there is room: decoding is half the cost of a sample."""

from __future__ import annotations

import numpy as np

from lipsound2.data.archive import Archive
from lipsound2.video.encode import decode


class Frames:
    """Decoded crops by clip id, or the states that a trunk made of them.

    Args:
        archive: of crops, uint8 streams, or of states, float matrices.
        keep: gigabytes that are kept for the next epoch.
    """

    def __init__(self, archive: Archive, keep: float = 0.0) -> None:
        self._archive = archive
        self._kept: dict[str, np.ndarray] = {}
        self._room = int(keep * 1e9)

    def __getitem__(self, name: str) -> np.ndarray:
        """(T, H, W) uint8, or (T, D) float32; not to be written to."""
        if name in self._kept:
            return self._kept[name]
        entry = self._archive[name]
        frames = decode(entry) if entry.dtype == np.uint8 else entry.astype(np.float32, copy=False)
        if frames.nbytes <= self._room:
            self._room -= frames.nbytes
            self._kept[name] = frames
        return frames
