"""Mean and standard deviation of features over any set of clips, out of the sums each clip left in the dump."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lipsound2.data.archive import Archive
from lipsound2.errors import LipsoundError

# A feature that never changes gets this spread instead of 0, so that dividing by it is safe.
_SMALLEST_SPREAD = 1e-5


def sums(features: np.ndarray) -> np.ndarray:
    """Sums and squared sums of one clip, in Kaldi's layout of CMVN statistics.

    Args:
        features: (S, D).

    Returns:
        (2, D + 1) float64: row 0 the sums and, last, the count of frames; row 1 the squared sums and a 0.
    """
    features = np.asarray(features, np.float64)
    table = np.zeros((2, features.shape[1] + 1))
    table[0, :-1], table[0, -1] = features.sum(axis=0), len(features)
    table[1, :-1] = np.square(features).sum(axis=0)
    return table


def statistics(kind: Path | str, ids: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over all frames of some clips of a kind.

    Args:
        kind: folder of the kind, such as `dump/mel-fine`; it holds `cmvn.scp`.
        ids: the clips, such as those of a training set.

    Returns:
        Mean and standard deviation, both (D,) float32.

    Raises:
        LipsoundError: no statistics there, an unknown clip, or no frame at all.
    """
    path = Path(kind) / "cmvn.scp"
    if not path.exists():
        raise LipsoundError(f"{path}: no statistics of this kind; run: lipsound2 mel, or features (stage 2)")
    archive = Archive(path)
    total: np.ndarray | None = None
    for name in ids:
        if name not in archive:
            raise LipsoundError(f"{path}: no statistics of the clip '{name}'; run stage 2 on a data dir that holds it")
        entry = np.asarray(archive[name], np.float64)
        total = entry if total is None else total + entry
    if total is None or total[0, -1] < 1:
        raise LipsoundError(f"{path}: no frames to take statistics of; the list of clips is empty")
    return moments(total)


def moments(total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, both (D,) float32, out of added-up `sums` (2, D + 1) of at least one frame."""
    count = total[0, -1]
    mean = total[0, :-1] / count
    variance = total[1, :-1] / count - mean**2
    return mean.astype(np.float32), np.sqrt(np.maximum(variance, _SMALLEST_SPREAD**2)).astype(np.float32)
