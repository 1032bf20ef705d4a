"""Whether a sound holds anything: one verdict for the stages and for what listens to a single file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lipsound2.audio.sound import read_sound
from lipsound2.errors import ClipFailure

_LEAST_SECONDS = 0.01  # a period of the deepest voice; a mel may want more
# Ten steps of 16 bits. Dither, a converter's offset and what codecs make of silence stay below; no voice does.
_SILENCE = 10 / 32768


def check_sound(sound: np.ndarray, rate: int) -> None:
    """Refuse a sound that nothing can be heard in.

    Args:
        sound: (samples,) float, full scale 1.
        rate: samples per second.

    Raises:
        ClipFailure: `too-short`, `not-finite`, `silent` (a constant level is silence too).
    """
    seconds = len(sound) / rate
    if seconds < _LEAST_SECONDS:
        raise ClipFailure("too-short", f"{len(sound)} samples of sound, at least {round(_LEAST_SECONDS * rate)} wanted")
    if not np.isfinite(sound).all():
        raise ClipFailure("not-finite", f"{np.count_nonzero(~np.isfinite(sound))} of {len(sound)} samples of sound")
    if not np.any(sound):
        raise ClipFailure("silent", f"{seconds:.2f} s of zeros")
    loudest = float(np.abs(sound - np.median(sound)).max())
    if loudest < _SILENCE:
        raise ClipFailure("silent", f"{seconds:.2f} s of sound, nowhere louder than {_SILENCE:.4f} of full scale")


def hearable(path: Path | str, rate: int) -> np.ndarray:
    """The whole sound of a file (samples,) float32, for what listens to it.

    Raises:
        ClipFailure: it cannot be read, or nothing can be heard in it.
    """
    sound = read_sound(path, rate=rate)
    check_sound(sound, rate)
    return sound
