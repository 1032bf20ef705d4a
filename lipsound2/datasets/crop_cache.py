"""Decoded crops of clips, cached up to a size: decoding is half the cost of a sample."""

from __future__ import annotations

import numpy as np

from lipsound2.data.archive import Archive
from lipsound2.video.encode import decode


class Frames:
    """Decoded crops by clip id, or the states that a trunk made of them.

    Args:
        archive: of crops, uint8 streams, or of states, float matrices.
        cache_gb: gigabytes kept for the next epoch.
    """

    def __init__(self, archive: Archive, cache_gb: float = 0.0) -> None:
        self._archive = archive
        self._cache: dict[str, np.ndarray] = {}
        self._bytes_left = int(cache_gb * 1e9)

    def __getitem__(self, name: str) -> np.ndarray:
        """(T, H, W) uint8, or (T, D) float32; not to be written to."""
        if name in self._cache:
            return self._cache[name]
        entry = self._archive[name]
        frames = decode(entry) if entry.dtype == np.uint8 else entry.astype(np.float32, copy=False)
        if frames.nbytes <= self._bytes_left:
            self._bytes_left -= frames.nbytes
            self._cache[name] = frames
        return frames
