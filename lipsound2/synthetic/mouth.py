"""The moving parts of a face: lips, jaw, and what shows between the lips.

A part is a backward map: for every pixel of a small window, where in the still portrait its color comes from. Both
lips follow curves that open and close, jaw and chin go down with the lower lip, and what shows between is drawn.
Lengths are in units of half the mouth's width, from its middle, x to the right (u) and y down (v).
"""

from __future__ import annotations

import cv2
import numpy as np

_GAP = 0.78  # between the lips, wide open
_SPREAD, _ROUND = 0.12, 0.32  # change of the mouth's width
_UPPER = 0.25  # share of the gap the upper lip takes
_JAW = 0.62  # how far the chin goes down, of the gap
_UNSMILE = 0.13
_DARK, _TONGUE, _TEETH = np.array([38.0, 10.0, 12.0]), np.array([158.0, 74.0, 72.0]), np.array([226.0, 219.0, 205.0])


def _smooth(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


class Mouth:
    """Lips, jaw and inside of the mouth in one window of the person layer.

    Args:
        points: named points in pixels of the layer (see `appearance.Layers`).
        light: factors of red, green and blue for what is drawn.
    """

    def __init__(self, points: dict[str, np.ndarray], light: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> None:
        upper, lower = points["inner_upper"], points["inner_lower"]
        corners = np.array([upper[0], upper[-1]])
        self._unit = float(np.ptp(corners[:, 0]) / 2)
        self._middle = corners.mean(0)
        self._light = np.array(light)
        x0, y0 = np.floor(self._middle - self._unit * np.array([2.7, 0.8])).astype(int)
        x1, y1 = np.ceil(self._middle + self._unit * np.array([2.7, 3.2])).astype(int)
        self.window = (slice(y0, y1), slice(x0, x1))
        columns, rows = np.meshgrid(np.arange(x0, x1), np.arange(y0, y1))
        self._columns, self._rows = columns.astype(np.float32), rows.astype(np.float32)
        self._u = ((columns - self._middle[0]) / self._unit).astype(np.float32)
        self._v = ((rows - self._middle[1]) / self._unit).astype(np.float32)
        self._grid = np.linspace(-3.2, 3.2, 513).astype(np.float32)
        self._upper, self._lower = self._curve(upper), self._curve(lower)
        self._nose = float((points["nose_base"][0, 1] - self._middle[1]) / self._unit)
        self._chin = float((points["chin"][0, 1] - self._middle[1]) / self._unit)
        # The portrait smiles: its corners are let down a little once and for all.
        self._v -= _UNSMILE * np.exp(-(((np.abs(self._u) - 1.05) / 0.5) ** 2) - (self._v / 0.45) ** 2)
        # Lips alone get narrower and wider: nose and chin stay as they are.
        self._jaw = _JAW * np.exp(-((self._u / 1.7) ** 4))
        tall = np.where(self._v < 0.15, 0.55, 1.0)
        self._near = np.exp(-((self._u / 1.35) ** 4) - ((self._v - 0.15) / tall) ** 4)

    def _curve(self, points: np.ndarray) -> np.ndarray:
        """A lip's edge as a table over the grid of u; beyond the corners it stays level."""
        u, v = ((points - self._middle) / self._unit).T
        inside = np.polyval(np.polyfit(u, v, 4), self._grid)
        ends = np.interp(self._grid, u[[0, -1]], v[[0, -1]])
        # A polynomial does not end exactly in the corners; there both lips must meet.
        return np.where(np.abs(self._grid) < 1, ends + (inside - ends) * _smooth((1 - np.abs(self._grid)) * 6), ends)

    def apply(
        self, layer: np.ndarray, still: np.ndarray, opening: float, width: float, teeth: float, tongue: float
    ) -> None:
        """Paint the mouth into `layer` (H, W, 4) uint8, colors taken from `still`. Arguments as in `Articulation`."""
        gap = _GAP * opening + 0.1 * teeth
        stretch = 1 + (_SPREAD if width > 0 else _ROUND) * width
        u = self._u * (1 + (1 / stretch - 1) * self._near)
        upper, lower = self._look_up(self._upper, u), self._look_up(self._lower, u)
        closed = upper + 0.35 * (lower - upper)
        bow = np.sqrt(np.clip(1 - u * u, 0, 1))
        top, bottom = closed - _UPPER * gap * bow, closed + (1 - _UPPER) * gap * bow
        down = (upper - top) * _smooth((self._v - self._nose) / (top - self._nose))
        jaw = gap * self._jaw
        far = _smooth((self._v - bottom) / 0.9)
        drop = ((1 - far) * (bottom - lower) + far * jaw) * (1 - _smooth((self._v - self._chin - jaw) / 0.9))
        v = self._v + np.where(self._v < (top + bottom) / 2, down, -drop)
        x = self._middle[0] + self._unit * u
        y = self._middle[1] + self._unit * v
        warped = cv2.remap(still, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
        inside = self._coverage(self._v - top) * self._coverage(bottom - self._v) * (np.abs(u) < 1)
        rows, columns = np.nonzero(inside > 0)
        here = (rows, columns)
        if len(rows):
            drawn = self._inside(
                u[here], self._v[here], top[here], bottom[here], upper[here], gap, width, teeth, tongue
            )
            cover = inside[here][:, None]
            warped[rows, columns, :3] = warped[rows, columns, :3] * (1 - cover) + drawn * cover + 0.5
        layer[self.window] = warped

    def _look_up(self, table: np.ndarray, u: np.ndarray) -> np.ndarray:
        return np.interp(u, self._grid, table).astype(np.float32)

    def _coverage(self, distance: np.ndarray) -> np.ndarray:
        """How much of a pixel lies beyond an edge, from the signed distance in units."""
        return np.clip(distance * self._unit + 0.5, 0, 1)

    def _inside(
        self,
        u: np.ndarray,
        v: np.ndarray,
        top: np.ndarray,
        bottom: np.ndarray,
        lip: np.ndarray,
        gap: float,
        width: float,
        teeth: float,
        tongue: float,
    ) -> np.ndarray:
        """Colors (n, 3) of n pixels between the lips: dark, then tongue, then both rows of teeth."""
        shade = (1 - 0.55 * u * u)[:, None]
        color = _DARK * (0.6 + 0.4 * shade)
        hump = bottom - (0.14 + 0.45 * tongue) * gap * np.sqrt(np.clip(1 - (u / 0.85) ** 2, 0, 1))
        color = color + (_TONGUE * shade - color) * (self._coverage(v - hump) * 0.9)[:, None]
        # Upper teeth hang from the skull, below the resting lip; rounded lips stand in front of them.
        edge = lip + (0.25 + 0.17 * min(width, 0.0)) * np.sqrt(np.clip(1 - (u / 1.15) ** 2, 0, 1))
        edge = edge + teeth * (np.minimum(edge, (top + bottom) / 2) - edge)
        second = edge + 0.03 + 0.6 * gap * (1 - teeth)
        grooves = 0.95 + 0.05 * np.cos(2 * np.pi * u / 0.23)
        white = _TEETH * (shade * (grooves * (0.8 + 0.2 * _smooth((v - top) / 0.1)))[:, None])
        color = color + (white - color) * self._coverage(edge - v)[:, None]
        color = color + (white * 0.85 - color) * self._coverage(v - second)[:, None]
        return np.clip(color * self._light, 0, 255)
