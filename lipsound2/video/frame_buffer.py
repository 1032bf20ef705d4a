"""The frames of a clip within a budget of memory, for random access.

A clip that fits is decoded once. A longer one comes in parts, each with random access, and is
decoded a second time when its crops are cut. The memory is kept from clip to clip: fresh pages cost as much as decoding
into them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lipsound2.video.decode import DecodedFrame, Source
from lipsound2.video.frame import VideoFrame

BUDGET = 1 << 30  # bytes: 69 seconds of 720x576, 14 seconds of 1920x1080


class FrameBuffer:
    """Holds frames.

    Args:
        budget: bytes.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self._budget = budget
        self._memory = np.empty(0, np.uint8)

    def parts(self, source: Source) -> Iterator[list[VideoFrame]]:
        """The clip in runs of frames; a run is overwritten by the next one.

        Raises:
            ClipFailure: the file cannot be read, or its frames change their size.
        """
        frames: list[VideoFrame] = []
        room = 0
        shape = (0, 0)
        last: DecodedFrame | None = None
        for decoded in source:
            if not shape[0]:
                shape = decoded.shape
                room = max(64, self._budget // (shape[0] * shape[1]))
            if decoded.shape != shape:
                raise source.failure("size-changes", f"frames change from {shape[::-1]} to {decoded.shape[::-1]}")
            if len(frames) == room:
                yield frames
                frames, last = [], None
            frames.append(frames[-1] if decoded is last else decoded.copy(self._slots(shape, room)[len(frames)]))
            last = decoded
        yield frames

    def decode_again(self, source: Source) -> Iterator[VideoFrame]:
        """Decode once more, one frame at a time. The buffer of a long clip is freed first."""
        self._memory = np.empty(0, np.uint8)
        memory = np.empty((0, 0), np.uint8)
        for decoded in source:
            if memory.shape != decoded.shape:
                memory = np.empty(decoded.shape, np.uint8)
            yield decoded.copy(memory)

    def _slots(self, shape: tuple[int, int], room: int) -> np.ndarray:
        """Memory for the `room` frames of a part. What no frame was put into costs nothing."""
        size = room * shape[0] * shape[1]
        if len(self._memory) < size:
            self._memory = np.empty(size, np.uint8)
        return self._memory[:size].reshape(room, *shape)
