"""The head between key frames: the frame itself says how far it is off the straight line.

Between two key frames the tracker puts landmarks on a straight line through time. Here a patch around eyes and nose is
compared with those of the two key frames. Lucas-Kanade steps (inverse compositional; Baker and Matthews 2004, section
3.2) move the landmarks with the head. A detector costs forty times as much, and is noisier.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lipsound2.video.align import fit
from lipsound2.video.frame import Frame
from lipsound2.video.scenes import Scene
from lipsound2.video.track import DETECTED, INTERPOLATED, Track

_WIDTH, _HEIGHT, _SCALE = 48, 32, 32.0  # of the patch, pixels; pixels a unit of the mean face
_MIDDLE = 0.05j  # of the patch, a little below the eyes
_STRIDE = 2  # frames; those between take the mean of their neighbors
_STEPS = 3  # at most
_SETTLED = 0.03  # units; a smaller step is the last
_FARTHEST = 0.3  # units; a longer way is no head's, or not this one's
_DISAGREE = 0.06  # units between what the two key frames say; something is in the way
_ALIKE = 0.8  # least correlation with one of the key frames
_STILL = (1 + 0j, 0j)

_u, _v = np.meshgrid(np.arange(_WIDTH) - (_WIDTH - 1) / 2, np.arange(_HEIGHT) - (_HEIGHT - 1) / 2)
_GRID = (_u + 1j * _v) / _SCALE + _MIDDLE  # the patch's pixels in the mean face


@dataclass(frozen=True)
class _Patch:
    """What a key frame looks like, and how to read a displacement off a difference to it.

    Attributes:
        pixels: (P,) float32.
        solve: (6, P) float32: difference -> turning and growing (2), shift (2), brightness, contrast.
        flat: (P,) float32, pixels less their mean.
        spread: the length of `flat`.
    """

    pixels: np.ndarray
    solve: np.ndarray
    flat: np.ndarray
    spread: float

    @staticmethod
    def of(luma: np.ndarray, turn: complex, shift: complex) -> _Patch:
        pixels = _cut(luma, turn, shift)
        down, right = (slope * _SCALE for slope in np.gradient(pixels))
        changes = np.stack(
            [
                right * _GRID.real + down * _GRID.imag,
                down * _GRID.real - right * _GRID.imag,
                right,
                down,
                np.ones_like(pixels),
                pixels,
            ]
        ).reshape(6, -1)
        # A patch without any structure says nothing: then the ridge keeps the answer at zero.
        normal = changes @ changes.T + np.diag([1.0, 1.0, 1.0, 1.0, 1e-3, 1e-3])
        pixels = pixels.reshape(-1)
        flat = pixels - pixels.mean()
        return _Patch(pixels, np.linalg.solve(normal, changes).astype(np.float32), flat, float(np.sqrt(flat @ flat)))

    def displacement(self, pixels: np.ndarray) -> tuple[complex, complex]:
        """Where a patch cut elsewhere comes from: z is seen where turned * z + moved + z was expected."""
        found = self.solve @ (pixels - self.pixels)
        return complex(found[0], found[1]), complex(found[2], found[3])

    def likeness(self, pixels: np.ndarray) -> float:
        """Correlation with another patch, -1 to 1."""
        other = pixels - pixels.mean()
        spread = float(np.sqrt(other @ other)) * self.spread
        return float(self.flat @ other) / spread if spread else 1.0


def stabilize(frames: Sequence[Frame], tracked: Track, scenes: Sequence[Scene]) -> list[int]:
    """Move the interpolated landmarks of a track with the head, in place.

    Args:
        frames: those the track was made on.
        tracked: its points between key frames are moved by a similarity each.
        scenes: runs of frames without a cut.

    Returns:
        Frames that look like neither key frame around them: something is in the way, or the head turned far. Their
        landmarks stay on the straight line.
    """
    doubtful: list[int] = []
    turn, shift = fit(tracked.points)
    for first, end in scenes:
        keys = first + np.flatnonzero(tracked.flags[first:end] == DETECTED)
        patches: dict[int, _Patch] = {}
        for a, b in itertools.pairwise(map(int, keys)):
            between = slice(a + 1, b)
            if b - a < 2 or (tracked.flags[between] != INTERPOLATED).any():
                continue
            for key in {a, b} - patches.keys():
                patches[key] = _Patch.of(frames[key].luma(), turn[key], shift[key])
            seen: dict[int, tuple[complex, complex]] = {a: _STILL, b: _STILL}
            for i in range(a + _STRIDE, b, _STRIDE):
                way = _way(frames[i].luma(), turn[i], shift[i], patches[a], patches[b], (i - a) / (b - a))
                if way is None:
                    doubtful.append(i)
                else:
                    seen[i] = way
            at = sorted(seen)
            grown, moved = np.array([seen[i] for i in at]).T
            _move(tracked.points[between], turn[between], shift[between], *_lines(a + 1, b, at, grown, moved))
    return doubtful


def _way(
    luma: np.ndarray, turn: complex, shift: complex, left: _Patch, right: _Patch, share: float
) -> tuple[complex, complex] | None:
    """How the head lies relative to where it was expected, in the mean face: z -> grown * z + moved."""
    grown, moved = _STILL
    for _ in range(_STEPS):
        pixels = _cut(luma, turn * grown, shift + turn * moved).reshape(-1)
        (turned_l, moved_l), (turned_r, moved_r) = left.displacement(pixels), right.displacement(pixels)
        if abs(moved_l - moved_r) > _DISAGREE:
            return None
        turned, step = (1 - share) * turned_l + share * turned_r, (1 - share) * moved_l + share * moved_r
        grown = grown / (1 + turned)
        moved = moved - grown * step
        if abs(moved) > _FARTHEST or abs(grown - 1) > _FARTHEST:
            return None
        if abs(step) + abs(turned) < _SETTLED:
            break
    return (grown, moved) if max(left.likeness(pixels), right.likeness(pixels)) > _ALIKE else None


def _lines(first: int, end: int, at: Sequence[int], *values: np.ndarray) -> list[np.ndarray]:
    """Complex values known at some frames, for every frame in first..end."""
    every = np.arange(first, end)
    return [np.interp(every, at, value.real) + 1j * np.interp(every, at, value.imag) for value in values]


def _move(points: np.ndarray, turn: np.ndarray, shift: np.ndarray, grown: np.ndarray, moved: np.ndarray) -> None:
    """Apply z -> grown * z + moved to landmarks (T, 68, 2), z being their place in the mean face."""
    placed = points[..., 0] + 1j * points[..., 1].astype(np.complex128)
    face = (placed - shift[:, None]) / turn[:, None]
    placed = turn[:, None] * (grown[:, None] * face + moved[:, None]) + shift[:, None]
    points[..., 0], points[..., 1] = placed.real, placed.imag


def _cut(luma: np.ndarray, turn: complex, shift: complex) -> np.ndarray:
    """The patch of a frame in which the mean face lies at turn * z + shift: (_HEIGHT, _WIDTH) float32."""
    # Large faces are sampled more densely and averaged, so that fine texture does not alias.
    dense = int(np.clip(round(abs(turn) / _SCALE / 1.5), 1, 6))
    step = turn / (_SCALE * dense)
    corner = shift + turn * (_GRID[0, 0] - (dense - 1) / 2 * (1 + 1j) / (_SCALE * dense))
    matrix = np.array([[step.real, -step.imag, corner.real], [step.imag, step.real, corner.imag]])
    patch = cv2.warpAffine(
        luma,
        matrix,
        (_WIDTH * dense, _HEIGHT * dense),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if dense > 1:
        patch = cv2.resize(patch, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(patch, (5, 5), 1.0).astype(np.float32)
