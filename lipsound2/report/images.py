"""Small images for the report: spectrograms and attention as indexed PNG, a clip's crops as one JPEG sheet.

One pixel is one number; the page scales them. So an image is some ten kilobytes, and its edges are exact: images of
the same clip lie over one another in time.
"""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass

import numpy as np

_SHEET_COLUMNS = 10


@dataclass(frozen=True)
class Sheet:
    """All crops of a clip in one image, row by row.

    Attributes:
        jpeg: the image.
        columns: crops in a row.
        rows: rows.
        count: crops, T.
    """

    jpeg: bytes
    columns: int
    rows: int
    count: int

    def place(self, index: int) -> tuple[float, float]:
        """Where a crop lies in the image, in per cent across and down, as CSS has it."""
        row, column = divmod(index, self.columns)
        return 100 * column / max(1, self.columns - 1), 100 * row / max(1, self.rows - 1)


def mel_range(mel: np.ndarray) -> tuple[float, float]:
    """The range a mel is shown in: from what is quiet in it to its peak, natural log; use one for all of a clip."""
    return float(np.quantile(mel, 0.02)), float(mel.max())


def mel_image(mel: np.ndarray, low: float, high: float, frames: int) -> bytes:
    """PNG of a mel (S, bands), low bands at the bottom, cut or padded with the lowest color to (frames, bands)."""
    fitted = np.pad(mel[:frames], ((0, max(0, frames - len(mel))), (0, 0)), constant_values=low)
    return _indexed((fitted.T[::-1] - low) / max(1e-6, high - low))


def attention_image(weights: np.ndarray, scale: int = 1) -> bytes:
    """PNG of an alignment (steps, video frames): time of the speech to the right, video frames upwards.

    Each step is scaled to its own peak, so that a blurred step is seen as wide, not as dark.

    Args:
        weights: (steps, video frames) float, 0 to 1.
        scale: pixels a weight.
    """
    each = (weights / np.maximum(weights.max(axis=1, keepdims=True), 1e-9)).T[::-1]
    return _indexed(each.repeat(scale, 0).repeat(scale, 1))


def sheet(crops: np.ndarray, size: int = 96, quality: int = 78) -> Sheet:
    """All crops of a clip in one JPEG.

    Args:
        crops: (T, S, S) uint8.
        size: side of a crop in the sheet.
        quality: of the JPEG.
    """
    from PIL import Image  # comes with matplotlib

    count = len(crops)
    columns = min(_SHEET_COLUMNS, count)
    rows = -(-count // columns)
    canvas = np.zeros((rows * size, columns * size), np.uint8)
    for index, crop in enumerate(crops):
        row, column = divmod(index, columns)
        small = Image.fromarray(crop).resize((size, size), Image.Resampling.LANCZOS)
        canvas[row * size : (row + 1) * size, column * size : (column + 1) * size] = np.asarray(small)
    buffer = io.BytesIO()
    Image.fromarray(canvas).save(buffer, "JPEG", quality=quality, optimize=True)
    return Sheet(buffer.getvalue(), columns, rows, count)


def _indexed(values: np.ndarray) -> bytes:
    """PNG of (H, W) values, 0 to 1, in the colors of `magma`."""
    from PIL import Image  # comes with matplotlib

    image = Image.fromarray((np.clip(values, 0, 1) * 255).round().astype(np.uint8), mode="L")
    image.putpalette(_palette())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


@functools.cache
def _palette() -> bytes:
    """256 RGB colors, dark to bright, evenly so to the eye."""
    import matplotlib

    colors = matplotlib.colormaps["magma"](np.arange(256))[:, :3]
    return bytes((colors * 255).round().astype(np.uint8).tobytes())
