"""Warnings of the clips that a data set does without."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger(__name__)


def warn_left_out(data: Path, left_out: Sequence[str], clips: int, why: str) -> None:
    """Warn of clips that are left out; nothing if none is.

    Args:
        data: their data dir.
        left_out: their ids.
        clips: how many there are in all.
        why: what they lack, as in "have no audio in dump/audio".
    """
    if left_out:
        log.warning(
            "%s: %d of %d clips %s, '%s' first; they are left out", data, len(left_out), clips, why, left_out[0]
        )


def warn_short(data: Path, left_out: Sequence[str], clips: int, min_frames: int) -> None:
    """The same of clips with fewer than `min_frames` video frames."""
    why = f"have fewer than the {min_frames} video frames that the first convolution sees"
    warn_left_out(data, left_out, clips, why)
