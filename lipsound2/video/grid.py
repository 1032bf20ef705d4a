"""The 25 fps grid: one rule for files and for frames that were decoded elsewhere.

Frame i of the grid is the source frame nearest to t0 + i / 25, t0 being the time stamp of the first frame. Of a
source of more than 40 frames a second it is the one nearest to the middle of these 40 ms, t0 + (i + 1/2) / 25.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from lipsound2.timing import FRAME_RATE

_FAST = 40.0  # frames a second; faster sources give the frame in the middle of each 1/25 s
FrameT = TypeVar("FrameT")


@dataclass(frozen=True)
class Timeline:
    """The 25 fps grid a clip was decoded on.

    Attributes:
        start: time stamp of the first frame, seconds.
        num_frames: T, frames on the grid: round(duration x 25).
        fps: mean rate of the source, frames a second.
        width: of the upright frame with square pixels.
        height: likewise.
    """

    start: float
    num_frames: int
    fps: float
    width: int
    height: int


class Grid(NamedTuple, Generic[FrameT]):
    """What a source became on the grid.

    Attributes:
        last: its last frame.
        start: time of its first frame, seconds.
        seconds: its length.
        num_frames: points of the grid.
    """

    last: FrameT
    start: float
    seconds: float
    num_frames: int


def on_grid(
    timed: Iterable[tuple[float, float, FrameT]], fps: Callable[[], float], rate: float = FRAME_RATE
) -> Generator[FrameT, None, Grid[FrameT]]:
    """One source frame for each point of the grid.

    Args:
        timed: source frames, one or more, with time stamp and length in seconds, times increasing.
        fps: gives the source's rate, frames a second; called once the first frame is there.
        rate: of the grid, frames a second.
    """
    start = end = before = middle = 0.0
    emitted = 0
    held: FrameT | None = None
    for time, length, frame in timed:
        if held is None:
            start = time
            middle = 0.5 / rate if fps() > _FAST / FRAME_RATE * rate else 0.0
        else:
            # Every point of the grid that is nearer to the held frame than to this one.
            aim = start + (middle if time - before < 1.2 / _FAST else 0.0)
            while aim + emitted / rate <= (before + time) / 2 + 1e-9:
                yield held
                emitted += 1
        held, before, end = frame, time, time + length
    assert held is not None
    while emitted < max(1, round((end - start) * rate)):
        yield held
        emitted += 1
    return Grid(held, start, end - start, emitted)
