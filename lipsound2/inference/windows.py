"""Clips of any length through networks that take a stretch at a time: how they are cut and joined."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lipsound2.audio.mel_settings import MelConfig, check_spoken

WINDOW = 100  # video frames a lip model takes at once: training clips are shorter, memory stays bounded
OVERLAP = 25  # video frames that two windows share; their mels are cross-faded there
# Video frames a lip reader takes at once: 40 s, more than its training clips and than `pauses.LONGEST`.
READER_WINDOW = 1000
READER_OVERLAP = 200  # video frames that two of its windows share; each keeps the half that lies inside
TRUNK_CHUNK = 100  # video frames that a reader's trunk takes at once in a clip longer than a window
# Mel frames a vocoder takes at once, without the context to either side: memory stays bounded at any length.
CHUNK = 800
# Mel frames Griffin-Lim takes at once (20 s of the finer mel), and its context to either side (half a second).
GRIFFIN_LIM_CHUNK, GRIFFIN_LIM_REACH = 2000, 50


class Windows:
    """The mel of a clip of any length, made as its crops come.

    Clips longer than a window are cut into overlapping windows, whose mels are cross-faded. Memory holds the crops of
    one window and the mel of those that overlap.

    Args:
        total: number of video frames that will come.
        ratio: mel frames per video frame.
        bands: of the mel.
        speak: function from the crops of a window (T, H, W) uint8 to its mel (mel frames, bands).
    """

    def __init__(self, total: int, ratio: float, bands: int, speak: Callable[[np.ndarray], np.ndarray]) -> None:
        self._total, self._ratio, self._speak = total, ratio, speak
        self._starts = window_starts(total)
        self._frames: deque[np.ndarray] = deque(maxlen=WINDOW)
        self._come = self._given = 0
        self._mel = np.zeros((0, bands), np.float32)  # from the first mel frame that was not returned yet
        self._weight = np.zeros((0, 1), np.float32)

    def add(self, frame: np.ndarray) -> np.ndarray:
        """Add the next crop (H, W). Returns the natural mel (S, bands) float32 that is ready by now, often none."""
        self._frames.append(frame)
        self._come += 1
        start = self._starts[0]
        if self._come < min(start + WINDOW, self._total):
            return self._mel[:0]
        self._starts.pop(0)
        following = round(self._starts[0] * self._ratio) if self._starts else self.num_frames
        self._place(start, self._speak(np.stack(self._frames)), following)
        ready = following - self._given
        mel = self._mel[:ready] / np.maximum(self._weight[:ready], 1e-6)
        self._mel, self._weight = self._mel[ready:], self._weight[ready:]
        self._given = following
        return mel

    def whole(self, frames: Iterable[np.ndarray]) -> np.ndarray:
        """Natural mel (S, bands) of all crops, each (H, W); a decoder may give them one by one."""
        mel, come = np.empty((self.num_frames, self._mel.shape[1]), np.float32), 0
        for frame in frames:
            part = self.add(frame)
            mel[come : come + len(part)] = part
            come += len(part)
        return mel[:come]

    @property
    def num_frames(self) -> int:
        """Mel frames of the whole clip."""
        return int(self._total * self._ratio)

    def _place(self, start: int, part: np.ndarray, following: int) -> None:
        """Add the mel of the window that begins at video frame `start`; mel frames before `following` must be there."""
        first = round(start * self._ratio)
        part = part[: self.num_frames - first]
        fade = _fade(len(part), round(OVERLAP * self._ratio), start > 0, start + WINDOW < self._total)
        at = slice(first - self._given, first - self._given + len(part))
        missing = max(0, at.stop - len(self._mel), following - self._given - len(self._mel))
        self._mel = np.pad(self._mel, ((0, missing), (0, 0)))
        self._weight = np.pad(self._weight, ((0, missing), (0, 0)))
        self._mel[at] += part * fade
        self._weight[at] += fade


def window_starts(total: int, window: int = WINDOW, overlap: int = OVERLAP) -> list[int]:
    """First video frames of the windows that cover `total` video frames; the last one ends with the clip."""
    if total <= window:
        return [0]
    return [*range(0, total - window, window - overlap), total - window]


def reader_windows(total: int) -> Iterator[tuple[slice, slice]]:
    """The windows in which a lip reader takes a clip; what they keep joins to the whole clip.

    Args:
        total: number of video frames.

    Yields:
        The video frames of a window, and those of them whose states are kept, as counted within it: up to the middle
        of what it shares with its neighbors.
    """
    starts = window_starts(total, READER_WINDOW, READER_OVERLAP)
    cuts = [0, *((first + READER_WINDOW + following) // 2 for first, following in pairwise(starts)), total]
    for start, (begin, end) in zip(starts, pairwise(cuts), strict=True):
        yield slice(start, min(start + READER_WINDOW, total)), slice(begin - start, end - start)


def _fade(length: int, overlap: int, left: bool, right: bool) -> np.ndarray:
    """(length, 1) weights that rise over `overlap` frames where a neighbor is, and never reach 0."""
    fade = np.ones(length, np.float32)
    ramp = (np.arange(overlap, dtype=np.float32) + 1) / (overlap + 1)
    if left:
        fade[:overlap] *= ramp[:length]
    if right:
        fade[-overlap:] *= ramp[::-1][-length:]
    return fade[:, None]


Chunk = tuple[slice, slice, slice]


def chunks(num_frames: int, receptive_field: int, chunk: int = 0) -> Iterator[Chunk]:
    """The chunks in which a vocoder takes a mel, each with all mel frames that its samples depend on.

    Args:
        num_frames: length of the mel.
        receptive_field: mel frames a sample depends on, to either side.
        chunk: mel frames of a chunk; 0: `CHUNK`.

    Yields:
        The mel frames whose audio is made, those the vocoder takes, and the former as counted within the latter.
    """
    chunk = chunk or CHUNK
    for begin in range(0, num_frames, chunk):
        end = min(begin + chunk, num_frames)
        first = max(0, begin - receptive_field)
        yield slice(begin, end), slice(first, min(end + receptive_field, num_frames)), slice(begin - first, end - first)


@dataclass(frozen=True)
class ChunkedVocoder:
    """A vocoder that takes a mel in chunks.

    Attributes:
        mel: settings of its mel.
        speak: function from a mel (S, bands), the index of its first mel frame in the clip, the samples that the chunk
            before made of its beginning, and how many of these must stay, to audio (S * hop,) float32. A network needs
            no such samples: its audio does not depend on them.
        receptive_field: mel frames a sample depends on, to either side.
        chunk: mel frames of a chunk; 0: `CHUNK`.
    """

    mel: MelConfig
    speak: Callable[[np.ndarray, int, np.ndarray, int], np.ndarray]
    receptive_field: int
    chunk: int = 0

    def whole(self, mel: np.ndarray) -> np.ndarray:
        """(S * hop,) float32 of a whole mel (S, bands)."""
        return np.concatenate([*self.in_chunks(mel)])

    def in_chunks(self, mel: np.ndarray) -> Iterator[np.ndarray]:
        """The same as `whole`, (samples,) at a time."""
        check_spoken(mel.shape, int((~np.isfinite(mel)).sum()), self.mel)
        stream = VocoderStream(self, len(mel))
        for first in range(0, len(mel), CHUNK):
            yield stream.add(mel[first : first + CHUNK])


class VocoderStream:
    """The audio of a mel of any length that comes in parts. Memory holds the mel of one chunk.

    Args:
        vocoder: the vocoder.
        num_frames: number of mel frames that will come.
    """

    def __init__(self, vocoder: ChunkedVocoder, num_frames: int) -> None:
        self._vocoder = vocoder
        self._todo = deque(chunks(num_frames, vocoder.receptive_field, vocoder.chunk))
        self._mel = np.zeros((0, vocoder.mel.bands), np.float32)
        self._first = 0  # index of the first mel frame of `_mel`
        self._overlap = np.zeros(0, np.float32)  # samples of `_mel` that were made already
        self._kept = 0  # how many of these samples were returned

    def add(self, mel: np.ndarray) -> np.ndarray:
        """Add the next mel frames (n, bands). Returns the audio (samples,) float32 that is ready by now, often none.

        Raises:
            LipsoundError: values that are not finite, or another number of bands.
        """
        check_spoken(mel.shape, int((~np.isfinite(mel)).sum()), self._vocoder.mel)
        self._mel = np.concatenate([self._mel, np.asarray(mel, np.float32)])
        audio = [self._overlap[:0]]
        while self._todo and self._todo[0][1].stop <= self._first + len(self._mel):
            audio.append(self._generate(*self._todo.popleft()))
        return np.concatenate(audio)

    def _generate(self, spoken: slice, seen: slice, own: slice) -> np.ndarray:
        hop = self._vocoder.mel.hop
        mel = self._mel[: seen.stop - self._first]
        waveform = self._vocoder.speak(mel, seen.start, self._overlap, self._kept)
        if self._todo:
            following = self._todo[0][1].start
            self._overlap = waveform[(following - seen.start) * hop :]
            self._kept = (spoken.stop - following) * hop
            self._mel, self._first = self._mel[following - self._first :], following
        return waveform[own.start * hop : own.stop * hop]
