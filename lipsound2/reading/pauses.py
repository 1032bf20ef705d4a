"""Where long speech is cut before it is read or heard: in pauses, and where the scene changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

LONGEST = 30.0  # seconds a recogniser is given at once
SHORTEST = 5.0  # seconds between two cuts, at least
LEVELS = 100  # levels of sound a second
_PAUSE = 0.12  # seconds that are a pause
_SMOOTH = 0.06  # seconds of the mean over levels
_QUIET = 0.25  # of the way from the quietest tenth of levels to the loudest


def levels_of(blocks: Iterable[np.ndarray], rate: int) -> np.ndarray:
    """How loud sound is, in dB, `LEVELS` times a second.

    Args:
        blocks: of it, (n,) float, one behind the other.
        rate: samples a second.
    """
    size = rate // LEVELS
    found, rest = [], np.zeros(0, np.float32)
    for block in blocks:
        sound = np.concatenate([rest, block])
        whole = len(sound) // size
        frames = sound[: whole * size].reshape(whole, size).astype(np.float64)
        found.append(np.sqrt(frames.var(1)))
        rest = sound[whole * size :]
    strength = np.concatenate(found) if found else np.zeros(0)
    return 20 * np.log10(strength + 1e-5)


def stretches(levels: np.ndarray, rate: float, scenes: Sequence[int] = ()) -> list[tuple[int, int]]:
    """Cut something long so that no stretch is longer than `LONGEST`.

    Args:
        levels: (n,) how much goes on, `rate` times a second: loudness, or how far lips move.
        rate: of them.
        scenes: places where another scene begins, which are cut at before any pause.

    Returns:
        First level and end of every stretch; what is no longer than `LONGEST` is one.
    """
    begin, found = 0, []
    while len(levels) - begin > LONGEST * rate:
        cut = begin + first_cut(levels[begin : begin + int(LONGEST * rate)], rate, [each - begin for each in scenes])
        found.append((begin, cut))
        begin = cut
    return [*found, (begin, len(levels))]


def first_cut(levels: np.ndarray, rate: float, scenes: Sequence[int] = ()) -> int:
    """Where to cut off the first stretch of something that goes on behind `levels`; see `stretches`."""
    least = int(SHORTEST * rate)
    inside = [each for each in scenes if least <= each < len(levels)]
    if inside:
        return inside[-1]
    width = max(1, round(_SMOOTH * rate)) | 1
    smooth = np.convolve(np.pad(levels, width // 2, mode="edge"), np.ones(width) / width, "valid")
    low, high = np.percentile(smooth, (10, 90))
    quiet = smooth <= low + _QUIET * (high - low)
    quiet[:least] = False
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(np.int8)))
    begins, ends = edges[::2], edges[1::2]
    if len(begins) and (ends - begins).max() >= _PAUSE * rate:
        longest = int(np.argmax(ends - begins))
        return int(begins[longest] + ends[longest]) // 2
    return least + int(np.argmin(smooth[least:]))
