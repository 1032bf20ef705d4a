"""How bright a face is in a frame, and what is too dark to be read."""

from __future__ import annotations

from collections.abc import Sequence

from lipsound2.video.frame import Frame, to_full_range

DARK = 45.0  # gray levels, mean, of a face or of a frame without one
_PIXELS = 64  # that are looked at along a side, at most some


def brightness(frame: Frame, box: Sequence[float] | None = None) -> float:
    """Mean gray level, 0 to 255, of a frame or of a box (x0, y0, x1, y1) in it."""
    luma = frame.luma()
    if box is not None:
        x0, y0, x1, y1 = (max(0, round(edge)) for edge in box)
        luma = luma[y0:y1, x0:x1]
    if not luma.size:
        return 255.0  # the box lies outside: that is told elsewhere
    step = max(1, min(luma.shape) // _PIXELS)
    return float(to_full_range(luma[::step, ::step], frame.full_range).mean())
