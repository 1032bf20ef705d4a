"""Clips of any length through networks that see a stretch at a time: which stretches, and how they are joined."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

WINDOW = 100  # pictures a lip model sees at once: training clips are shorter, memory stays bounded
OVERLAP = 25  # pictures two windows share; their mels are cross-faded there
# Mel frames a vocoder speaks at once, besides what it looks at beyond them: memory stays bounded at any length.
CHUNK = 800


def over_windows(
    pictures: np.ndarray, ratio: float, bands: int, speak: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Natural mel (S, bands) float32 of crops (T, H, W) of any length.

    Clips longer than a window are cut into overlapping windows, whose mels are cross-faded; the sound is then made in
    one pass, so that no seam can be heard in the phase.

    Args:
        pictures: uint8.
        ratio: mel frames a picture.
        bands: of the mel.
        speak: crops of a window -> its mel (frames, bands).
    """
    total = len(pictures)
    frames = int(total * ratio)
    mel = np.zeros((frames, bands), np.float32)
    weight = np.zeros((frames, 1), np.float32)
    for start in window_starts(total):
        first = round(start * ratio)
        part = speak(pictures[start : start + WINDOW])[: frames - first]
        fade = _fade(len(part), round(OVERLAP * ratio), start > 0, start + WINDOW < total)
        mel[first : first + len(part)] += part * fade
        weight[first : first + len(part)] += fade
    return mel / np.maximum(weight, 1e-6)


def window_starts(total: int) -> list[int]:
    """First pictures of the windows that cover `total` pictures; the last one ends with the clip."""
    if total <= WINDOW:
        return [0]
    return [*range(0, total - WINDOW, WINDOW - OVERLAP), total - WINDOW]


def _fade(length: int, overlap: int, left: bool, right: bool) -> np.ndarray:
    """(length, 1) weights that rise over `overlap` frames where a neighbour is, and never reach 0."""
    fade = np.ones(length, np.float32)
    ramp = (np.arange(overlap, dtype=np.float32) + 1) / (overlap + 1)
    if left:
        fade[:overlap] *= ramp[:length]
    if right:
        fade[-overlap:] *= ramp[::-1][-length:]
    return fade[:, None]


def chunks(frames: int, reach: int, chunk: int = 0) -> Iterator[tuple[slice, slice, slice]]:
    """The pieces in which a vocoder speaks a mel, each seeing all that its own samples depend on.

    Args:
        frames: of the mel.
        reach: frames a sample depends on, to either side.
        chunk: frames of a piece; 0: `CHUNK`.

    Yields:
        Frames that are spoken, frames that are looked at, and the former as counted within the latter.
    """
    chunk = chunk or CHUNK
    for begin in range(0, frames, chunk):
        end = min(begin + chunk, frames)
        first = max(0, begin - reach)
        yield slice(begin, end), slice(first, min(end + reach, frames)), slice(begin - first, end - first)
