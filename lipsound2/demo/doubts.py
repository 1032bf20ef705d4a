"""Reasons to doubt a reading, as the page tells them: what it sees itself, and others in the words of its choices."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from lipsound2.demo.reading import Answer
from lipsound2.errors import ClipFailure
from lipsound2.timing import FRAME_RATE
from lipsound2.video.brightness import DARK, brightness
from lipsound2.video.decode import Source
from lipsound2.video.frame import VideoFrame

_LOOKED_AT = 10 * FRAME_RATE  # frames from the start, one of each second
_BY_OPTION = re.compile(r"choose another with --face [a-z]+(?:, [a-z]+)*")
_ON_PAGE = 'choose another under "Which face"'
_ADVICE = "switch on a light before you"


def with_doubts(answer: Answer, clip: Path) -> Answer:
    """The same answer with all that is to be told about it."""
    boxes, seen = answer.video.boxes, answer.video.confidence > 0
    levels = [brightness(frame, boxes[n]) for n, frame in _some(clip) if n < len(boxes) and seen[n]]
    warnings = [_BY_OPTION.sub(_ON_PAGE, line) for line in answer.warnings]
    if levels and (light := float(np.median(levels))) < DARK:
        warnings.insert(0, f"too dark: brightness of the face {light:.0f} of 255; {_ADVICE}")
    return replace(answer, warnings=warnings)


def with_light(failure: ClipFailure, clip: Path) -> ClipFailure:
    """A clip in which no face was seen may be too dark: then it says so."""
    if failure.reason != "no-face":
        return failure
    light = float(np.median([brightness(frame) for _, frame in _some(clip)]))
    if light >= DARK:
        return failure
    return ClipFailure(failure.reason, f"{failure.detail}; too dark: brightness {light:.0f} of 255; {_ADVICE}")


def _some(clip: Path) -> Iterator[tuple[int, VideoFrame]]:
    """Some frames with their numbers."""
    for number, frame in itertools.islice(enumerate(Source(clip)), 0, _LOOKED_AT, FRAME_RATE):
        yield number, frame.copy(np.empty(frame.shape, np.uint8))
