"""Whether audio can be used: one check for the stages and for verbs that read a single file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lipsound2.audio.io import audio_in_blocks
from lipsound2.audio.waveform_buffer import WaveformBuffer
from lipsound2.errors import ClipFailure

_LEAST_SECONDS = 0.01  # a period of the deepest voice; a mel may want more
# Ten steps of 16 bits. Dither, a converter's offset and what codecs make of silence stay below; no voice does.
_SILENCE = 10 / 32768
_BLOCK = 1 << 20  # samples that are looked at together


def check_audio(waveform: np.ndarray, rate: int) -> None:
    """Reject audio in which nothing can be heard.

    Args:
        waveform: (samples,) float, full scale 1.
        rate: samples per second.

    Raises:
        ClipFailure: `too-short`, `not-finite`, `silent` (a constant level is silence too).
    """
    _check([waveform], rate)


def load_checked(path: Path | str, rate: int) -> WaveformBuffer:
    """The whole audio of a file, checked.

    Raises:
        ClipFailure: it cannot be read, or see `check_audio`.
    """
    buffer = WaveformBuffer()
    for block in audio_in_blocks(path, rate):
        buffer.add(block)
    _check(buffer.blocks(_BLOCK), rate)
    return buffer


def _check(blocks: Iterable[np.ndarray], rate: int) -> None:
    """As `check_audio`, for audio that comes in blocks."""
    samples = bad = 0
    levels, lows, highs = [], [], []
    for block in filter(len, blocks):
        samples += len(block)
        bad += int(np.count_nonzero(~np.isfinite(block)))
        if bad:
            continue
        levels.append(np.median(block))
        lows.append(block.min())
        highs.append(block.max())
    seconds = samples / rate
    if seconds < _LEAST_SECONDS:
        raise ClipFailure("too-short", f"{samples} samples of audio, at least {round(_LEAST_SECONDS * rate)} wanted")
    if bad:
        raise ClipFailure("not-finite", f"{bad} of {samples} samples of audio")
    low, high = min(lows), max(highs)
    if low == high == 0:
        raise ClipFailure("silent", f"{seconds:.2f} s of zeros")
    level = np.median(levels)  # a converter's offset is the same throughout
    if max(high - level, level - low) < _SILENCE:
        raise ClipFailure("silent", f"{seconds:.2f} s of audio, nowhere louder than {_SILENCE:.4f} of full scale")
