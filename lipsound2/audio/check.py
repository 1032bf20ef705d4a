"""Whether audio can be used: one check for the stages and for verbs that read a single file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lipsound2.audio.io import audio_in_blocks
from lipsound2.audio.track import HIGHEST_RATE, LOWEST_RATE
from lipsound2.audio.waveform_buffer import WaveformBuffer
from lipsound2.errors import ClipFailure, LipsoundError

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


def as_waveform(samples: np.ndarray, rate: object) -> np.ndarray:
    """Samples that were given as an array, as (samples,) float, full scale 1.

    Args:
        samples: (samples,) float, or int16.
        rate: samples a second, as it was given.

    Raises:
        LipsoundError: another shape or type, no samples, or a rate that is none.
    """
    wanted = "wanted a waveform (samples,), float in [-1, 1] or int16"
    if not isinstance(samples, np.ndarray):
        raise LipsoundError(f"waveform: found an object of type {type(samples).__name__}, {wanted}, as a numpy array")
    if samples.ndim != 1:
        raise LipsoundError(f"waveform: found an array of shape {samples.shape}, {wanted}")
    if samples.dtype.kind != "f" and samples.dtype != np.int16:
        raise LipsoundError(f"waveform: found values of type {samples.dtype}, {wanted}")
    if not len(samples):
        raise LipsoundError(f"waveform: found no samples, {wanted}")
    if rate is None:
        raise LipsoundError("waveform: an array has no clock; give its rate, samples a second, as rate=16000")
    if isinstance(rate, bool) or not isinstance(rate, int | np.integer) or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise LipsoundError(f"rate: found {rate!r}, wanted samples a second, {LOWEST_RATE} to {HIGHEST_RATE}")
    return samples / np.float32(32768) if samples.dtype == np.int16 else samples


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
