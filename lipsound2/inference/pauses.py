"""Where long clips are cut before recognition: in pauses, and where the scene changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

LONGEST = 30.0  # seconds a recognizer gets at once
FAMILIAR = 10.0  # seconds a recognizer trained on sentences can take
SHORTEST = 2.0  # seconds between two cuts, at least
LEVELS = 100  # levels of audio a second
_PAUSE = 0.12  # seconds that are a pause
_END = 0.5  # seconds of a pause between two sentences
_SMOOTH = 0.06  # seconds of the mean over levels
_QUIET = 0.25  # of the way from the quietest tenth of levels to the loudest


def levels_of(blocks: Iterable[np.ndarray], rate: int) -> np.ndarray:
    """Loudness of audio in dB, `LEVELS` times a second.

    Args:
        blocks: of the audio, (n,) float, in order.
        rate: samples a second.
    """
    size = rate // LEVELS
    found, rest = [], np.zeros(0, np.float32)
    for block in blocks:
        waveform = np.concatenate([rest, block])
        whole = len(waveform) // size
        frames = waveform[: whole * size].reshape(whole, size).astype(np.float64)
        found.append(np.sqrt(frames.var(1)))
        rest = waveform[whole * size :]
    strength = np.concatenate(found) if found else np.zeros(0)
    return 20 * np.log10(strength + 1e-5)


def stretches(
    levels: np.ndarray, rate: float, scenes: Sequence[int] = (), *, sentences: bool = False
) -> list[tuple[int, int]]:
    """Cut a long clip so that no stretch is longer than `LONGEST`.

    Args:
        levels: (n,) activity: loudness, or movement of the lips.
        rate: levels a second.
        scenes: levels at which another scene begins; cuts there take precedence over pauses.
        sentences: cut clips longer than `FAMILIAR` wherever a sentence seems to end.

    Returns:
        First level and end (exclusive) of every stretch.
    """
    sentences = sentences and len(levels) > FAMILIAR * rate
    begin, found = 0, []
    while cut := first_cut(levels[begin:], rate, [each - begin for each in scenes], sentences=sentences):
        found.append((begin, begin + cut))
        begin += cut
    return [*found, (begin, len(levels))]


def first_cut(levels: np.ndarray, rate: float, scenes: Sequence[int] = (), *, sentences: bool = False) -> int:
    """Where the first stretch ends, at the first end of a sentence if `sentences`; 0: no cut."""
    longest, least = int(LONGEST * rate), int(SHORTEST * rate)
    if len(levels) <= (2 * least if sentences else longest):
        return 0
    levels, more = levels[:longest], len(levels) > longest
    pauses = [(a, b) for a, b in _pauses(levels, rate) if a + b >= 2 * least and b < len(levels)]
    ends = [(a + b) // 2 for a, b in pauses if b - a >= _END * rate]
    inside = [each for each in scenes if least <= each < len(levels)]
    if sentences and (ends or inside):
        return min([*ends, *inside])
    if not more:
        return 0
    if inside:
        return inside[-1]
    if pauses:
        # Of the longest pauses the last, so that there are few cuts.
        a, b = max(pauses, key=lambda pause: (round((pause[1] - pause[0]) / rate, 1), pause))
        return (a + b) // 2
    # No pause: cut where it is quietest.
    return least + int(np.argmin(_smooth(levels, rate)[least:]))


def _pauses(levels: np.ndarray, rate: float) -> list[tuple[int, int]]:
    """First level and end of every pause."""
    smooth = _smooth(levels, rate)
    low, high = np.percentile(smooth, (10, 90))
    quiet = np.concatenate([[False], smooth <= low + _QUIET * (high - low), [False]])
    edges = np.flatnonzero(np.diff(quiet.astype(np.int8))).tolist()
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= _PAUSE * rate]


def _smooth(levels: np.ndarray, rate: float) -> np.ndarray:
    """Mean of the levels around each."""
    width = max(1, round(_SMOOTH * rate)) | 1
    return np.convolve(np.pad(levels, width // 2, mode="edge"), np.ones(width) / width, "valid")
