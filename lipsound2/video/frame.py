"""One frame of a clip: planes as the decoder left them, converted only where it is needed."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from lipsound2.video.upright import UPRIGHT, Orientation

_TO_FULL_RANGE = np.clip(np.round((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
_TO_LIMITED = np.round(16 + np.arange(256) * (219 / 255)).astype(np.uint8)
_TO_LIMITED_COLOR = np.round(128 + (np.arange(256) - 128) * (224 / 255)).astype(np.uint8)


class Frame(Protocol):
    """What the cropper asks of a frame."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright."""

    @property
    def full_range(self) -> bool:
        """Whether black is 0 and white 255 in `luma`; else they are 16 and 235."""

    def luma(self) -> np.ndarray:
        """The luma plane, upright: (H, W) uint8."""

    def rgb(self, longest: int) -> np.ndarray:
        """In color, upright, reduced by a whole factor until no side is longer than `longest`: (h, w, 3) uint8."""


@dataclass(frozen=True)
class VideoFrame:
    """A decoded frame.

    Attributes:
        planes: (H * 3 / 2, W) uint8, the planes Y, U, V one below the other (I420).
        full_range: see `Frame`.
        orientation: what makes it upright.
    """

    planes: np.ndarray
    full_range: bool
    orientation: Orientation = UPRIGHT

    @property
    def size(self) -> tuple[int, int]:
        """See `Frame`."""
        height, width = self.planes.shape[0] * 2 // 3, self.planes.shape[1]
        return (height, width) if self.orientation.lying else (width, height)

    def luma(self) -> np.ndarray:
        """See `Frame`."""
        return self.orientation.apply(self.planes[: self.planes.shape[0] * 2 // 3])

    def limited_range(self) -> list[np.ndarray]:
        """Y (H, W), U and V (H / 2, W / 2), upright, black at 16 and white at 235."""
        rows, width = self.planes.shape
        height = rows * 2 // 3
        area = height * width
        flat = self.planes.reshape(-1)
        planes = [
            flat[:area].reshape(height, width),
            flat[area : area * 5 // 4].reshape(height // 2, width // 2),
            flat[area * 5 // 4 :].reshape(height // 2, width // 2),
        ]
        if self.full_range:
            tables = (_TO_LIMITED, _TO_LIMITED_COLOR, _TO_LIMITED_COLOR)
            planes = [cv2.LUT(plane, table) for plane, table in zip(planes, tables, strict=True)]
        return [self.orientation.apply(plane) for plane in planes]

    def rgb(self, longest: int) -> np.ndarray:
        """See `Frame`."""
        rows, width = self.planes.shape
        height = rows * 2 // 3
        factor = _factor(max(width, height), longest)
        planes = self.planes
        if factor > 1:
            # Reduced before it is converted: a fifth of the time.
            w, h = width // factor & ~1, height // factor & ~1
            flat, area = planes.reshape(-1), width * height
            parts = [
                cv2.resize(flat[:area].reshape(height, width), (w, h), interpolation=cv2.INTER_AREA),
                *(
                    cv2.resize(color.reshape(height // 2, width // 2), (w // 2, h // 2), interpolation=cv2.INTER_AREA)
                    for color in (flat[area : area * 5 // 4], flat[area * 5 // 4 :])
                ),
            ]
            planes = np.concatenate([part.reshape(-1) for part in parts]).reshape(h * 3 // 2, w)
        if self.full_range:
            planes = planes.copy()
            planes[: len(planes) * 2 // 3] = cv2.LUT(planes[: len(planes) * 2 // 3], _TO_LIMITED)
        return self.orientation.apply(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420))


@dataclass(frozen=True)
class ArrayFrame:
    """A frame that was decoded elsewhere.

    Attributes:
        pixels: (H, W, 3) RGB or (H, W) gray, uint8; they may not change once `luma` was asked for.
    """

    pixels: np.ndarray
    full_range: bool = True

    @property
    def size(self) -> tuple[int, int]:
        """See `Frame`."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def luma(self) -> np.ndarray:
        """See `Frame`."""
        return self._gray

    @functools.cached_property
    def _gray(self) -> np.ndarray:
        # Asked for two or three times a frame; converted once, the crop of a large clip takes about a fifth less time.
        return self.pixels if self.pixels.ndim == 2 else cv2.cvtColor(self.pixels, cv2.COLOR_RGB2GRAY)

    def rgb(self, longest: int) -> np.ndarray:
        """See `Frame`."""
        pixels = self.pixels if self.pixels.ndim == 3 else cv2.cvtColor(self.pixels, cv2.COLOR_GRAY2RGB)
        factor = _factor(max(self.size), longest)
        small = (self.size[0] // factor, self.size[1] // factor)
        return cv2.resize(pixels, small, interpolation=cv2.INTER_AREA) if factor > 1 else pixels


def to_full_range(luma: np.ndarray, full_range: bool) -> np.ndarray:
    """Stretch limited-range levels (16-235) to 0-255; a full-range frame is returned as it is."""
    return luma if full_range else cv2.LUT(np.ascontiguousarray(luma), _TO_FULL_RANGE)


def _factor(side: int, longest: int) -> int:
    return max(1, -(-side // longest))
