"""From landmarks to crops: a similarity transform per frame, smoothed over time, and the pixels under it.

A frame's transform is fitted to points that speaking does not move (eye corners and nose) and smoothed over time. So
the crop follows the head and not the jaw: what moves inside the crop is the mouth.

`mouth`: aligned to the mean face, rotation and scale removed, as in the front-end of LiRA's group (arXiv 2102.06657).
The outer eye corners are 90 pixels apart, the speaker's own mouth in the middle. `face`: an upright square around the
face (LipSound2, section III), neither rotated with the head nor zoomed by the opening of the mouth. `mouth-published`:
as published lip readers want it, by a rule of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from lipsound2.video.mean_face import MEAN_FACE
from lipsound2.video.published_mouth import PublishedMouth
from lipsound2.video.scenes import Scene

STABLE = np.array([36, 39, 42, 45, 27, 28, 29, 30, 33])  # eye corners, bridge and base of the nose
MOUTH = np.arange(48, 68)
_LEANING = np.radians(60)  # a head leans less; more, and the frame is turned, or somebody lies down
_UPPER_LIP = np.arange(49, 54)  # of the mouth, what the jaw moves least
POSE_WINDOW = 9  # frames of the Hann window over the stable points: 0.36 s in all, 0.18 s at half height
_BLOCK = 4096  # frames of which all landmarks are looked at together
REST_WINDOW = 51  # of that over what is a person's build: size of the face, place of the mouth below the nose


class Region(Protocol):
    """A kind of crop.

    Attributes:
        size: S, side of the crop in pixels.
    """

    @property
    def size(self) -> int: ...

    def transforms(self, points: np.ndarray, scenes: Sequence[Scene]) -> np.ndarray:
        """Affine maps from crop pixels to frame pixels.

        Args:
            points: (T, 68, 2) landmarks.
            scenes: runs of frames without a cut.

        Returns:
            (T, 2, 3) float64: frame = matrix @ (u, v, 1).
        """


def fit(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Similarity from the mean face to the stable points, least squares (Umeyama 1991, in the plane).

    A point z of the mean face, as a complex number x + iy, comes to lie at `turn * z + shift`.

    Args:
        points: (T, 68, 2) landmarks in pixels.

    Returns:
        turn: (T,) complex, |turn| = pixels per unit, its angle the roll of the head; shift: (T,) complex, pixels.
    """
    source = _complex(MEAN_FACE[STABLE])
    target = _complex(points[:, STABLE])
    source_middle, target_middle = source.mean(), target.mean(-1)
    centered = source - source_middle
    turn = ((target - target_middle[:, None]) * centered.conj()).sum(-1) / (abs(centered) ** 2).sum()
    return turn, target_middle - turn * source_middle


def quarter_turns(turn: np.ndarray) -> int:
    """How many quarter turns clockwise the heads of a scene lie nearest to; 0 for those that merely lean.

    Args:
        turn: (T,) complex, as `fit` gives it.
    """
    roll = float(np.angle((turn / np.maximum(abs(turn), 1e-9)).mean()))
    return round(roll / (np.pi / 2)) % 4 if abs(roll) > _LEANING else 0


def smooth(values: np.ndarray, window: int, scenes: Sequence[Scene], *, slope: bool = False) -> np.ndarray:
    """Weighted mean over time within scenes, with the weights of a Hann window.

    Args:
        values: (T, ...) real or complex.
        window: frames, odd; the weight falls to 0 just outside it.
        scenes: runs of frames without a cut.
        slope: fit a straight line under the window instead, so that steady motion is kept up to a scene's ends.
    """
    kernel = np.hanning(window + 2)[1:-1]
    half = window // 2
    smoothed = np.empty_like(values)
    for first, end in scenes:
        length = end - first
        padded = np.zeros((length + 2 * half, values[0].size), np.result_type(values, np.float64))
        padded[half : half + length] = values[first:end].reshape(length, -1)
        inside = np.zeros((length + 2 * half, 1))
        inside[half : half + length] = 1
        # Moments of the window: of the weights, and of the values, about the frame in its middle.
        s0, s1, s2, y0, y1 = (np.zeros((length, 1), padded.dtype) for _ in range(5))
        for place, weight in enumerate(kernel):
            x = place - half
            at = slice(place, place + length)
            s0, s1, s2 = (s + weight * x**n * inside[at] for n, s in enumerate((s0, s1, s2)))
            y0, y1 = y0 + weight * padded[at], y1 + weight * x * padded[at]
        mean = y0 / s0
        if slope:
            spread = s0 * s2 - s1 * s1
            line = (s2 * y0 - s1 * y1) / np.where(spread == 0, 1, spread)
            mean = np.where(spread == 0, mean, line)
        smoothed[first:end] = mean.reshape(values[first:end].shape)
    return smoothed


def _inside(points: np.ndarray, part: np.ndarray, turn: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Mean (T,) complex of some landmarks as seen in the mean face; some frames at a time, whatever the length."""
    found = [
        (
            (_complex(points[at : at + _BLOCK, part]) - shift[at : at + _BLOCK, None]) / turn[at : at + _BLOCK, None]
        ).mean(-1)
        for at in range(0, len(points), _BLOCK)
    ]
    return np.concatenate(found)


@dataclass(frozen=True)
class AlignedRegion:
    """A kind of crop that lies where the head is; see `Region`.

    Attributes:
        size: S, side of the crop in pixels.
        scale: pixels of the crop per distance between the outer eye corners.
        center: point of the mean face in the middle of the crop.
        upright: do not rotate with the head, unless it lies on its side or stands on its top: by quarter turns then.
    """

    size: int
    scale: float
    center: tuple[float, float]
    upright: bool

    def transforms(self, points: np.ndarray, scenes: Sequence[Scene]) -> np.ndarray:
        """See `Region.transforms`."""
        raw_turn, raw_shift = fit(points)
        turn = smooth(raw_turn, POSE_WINDOW, scenes, slope=True)
        shift = smooth(raw_shift, POSE_WINDOW, scenes, slope=True)
        center = complex(*self.center)
        if self.upright:
            turned_center = turn * center
            turn = smooth(abs(raw_turn), REST_WINDOW, scenes).astype(complex)
            for first, end in scenes:
                turn[first:end] *= 1j ** quarter_turns(raw_turn[first:end])
            middle = shift + turned_center
        else:
            # Where this person's mouth is, seen in the mean face; slow, so that speaking does not move the crop.
            lip, mouth = (_inside(points, part, raw_turn, raw_shift) for part in (_UPPER_LIP, MOUTH))
            place = smooth(lip, REST_WINDOW, scenes) + center - _complex(MEAN_FACE[_UPPER_LIP]).mean()
            # Half the way to the middle of the mouth as seen: lips may be thick, the jaw may be open in all key frames.
            for first, end in scenes:
                place[first:end] += (mouth[first:end].mean() - place[first:end].mean()) / 2
            middle = shift + turn * place
        step = turn / self.scale
        corner = middle - step * complex(self.size - 1, self.size - 1) / 2
        return np.stack(
            [np.stack([step.real, -step.imag, corner.real], -1), np.stack([step.imag, step.real, corner.imag], -1)], 1
        )


def _middle(points: np.ndarray) -> tuple[float, float]:
    low, high = points.min(0), points.max(0)
    return float(low[0] + high[0]) / 2, float(low[1] + high[1]) / 2


REGIONS: dict[str, Region] = {
    # The points reach from the brows to the chin: 1.6 units. 60 pixels a unit leave the whole face and a little air.
    "face": AlignedRegion(112, 60.0, _middle(MEAN_FACE), upright=True),
    "mouth": AlignedRegion(96, 90.0, (0.0, float(MEAN_FACE[MOUTH, 1].mean())), upright=False),
    "mouth-published": PublishedMouth(),
}


def warp(frame: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """The pixels under a crop.

    Enlarging is cubic. Before shrinking, the part of the frame that is needed is reduced by area averages, so that
    fine texture does not alias.

    Args:
        frame: (H, W) uint8.
        matrix: (2, 3), crop pixel -> frame pixel.
        size: S.

    Returns:
        (S, S) uint8; outside the frame its edge is repeated.
    """
    step = float(np.hypot(matrix[0, 0], matrix[1, 0]))  # frame pixels per crop pixel
    if step > 1.25:
        corners = matrix @ np.array([[0, size, 0, size], [0, 0, size, size], [1, 1, 1, 1]], float)
        margin = 2 * step
        x0, y0 = np.floor(np.maximum(corners.min(1) - margin, 0)).astype(int)
        x1, y1 = np.ceil(corners.max(1) + margin).astype(int)
        part = frame[y0:y1, x0:x1]
        if part.size:
            width, height = max(1, round(part.shape[1] / step)), max(1, round(part.shape[0] / step))
            ratio = np.array([width / part.shape[1], height / part.shape[0]])
            frame = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
            matrix = matrix.copy()
            # Pixel centers: x' + 1/2 = (x - x0 + 1/2) * ratio.
            matrix[:, 2] = (matrix[:, 2] - (x0, y0) + 0.5) * ratio - 0.5
            matrix[:, :2] *= ratio[:, None]
    return cv2.warpAffine(
        frame,
        matrix,
        (size, size),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _complex(points: np.ndarray) -> np.ndarray:
    return points[..., 0].astype(np.float64) + 1j * points[..., 1].astype(np.float64)
