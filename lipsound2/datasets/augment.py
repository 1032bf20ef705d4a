"""Augmentation of one training sample: a clip's pictures and the features that belong to them.

Eight hundred clips are learnt by heart in a few dozen epochs unless each is seen another way every time. Geometry and
light vary as a camera and a detector would vary them, once per clip; parts are hidden so that no single corner of the
picture, and no single moment, suffices; tempo varies and clips are cut short so that place in the sentence says nothing
about the sound.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import cv2
import numpy as np

from lipsound2.timing import FRAME_RATE

_LARGEST_STEP = 64  # pictures between two at which feature frames begin, too


@dataclass
class AugmentConfig:
    """What may happen to a training sample; every default of zero (or one) means "never".

    Attributes:
        augment_window: pictures of the window cut from each clip, at a random place; 0 keeps whole clips.
        augment_focus: share of windows placed where the target is loud instead of anywhere (GRID clips are silent for
            half their time).
        augment_splice: probability that the end of a sample comes from another clip of the same speaker, from a random
            picture on.
        augment_speed: the clip is played up to this share slower or faster, pictures and target alike.
        augment_shift: pixels the pictures are moved at most, either way, by whole ones: that of the published random
            crop of 88 x 88 out of 96 x 96 is 4.
        augment_zoom: share they are shrunk or enlarged at most.
        augment_turn: degrees they are turned at most.
        augment_flip: probability of a mirror image.
        augment_light: strength of changes in brightness, contrast and gamma, in 0-1.
        augment_noise: standard deviation of the camera noise added, in grey levels, at most.
        augment_erase: probability that a box is blacked out, the same in all pictures.
        augment_erase_size: largest side of that box, as a share of the picture's.
        augment_freeze: probability, for each second of a clip, that a run of its pictures, or states, is hidden.
        augment_freeze_size: longest hidden run in pictures.
    """

    augment_window: int = 0
    augment_focus: float = 0.0
    augment_splice: float = 0.0
    augment_speed: float = 0.0
    augment_shift: float = 0.0
    augment_zoom: float = 0.0
    augment_turn: float = 0.0
    augment_flip: float = 0.5
    augment_light: float = 0.0
    augment_noise: float = 0.0
    augment_erase: float = 0.0
    augment_erase_size: float = 0.4
    augment_freeze: float = 0.0
    augment_freeze_size: int = 6


class View(NamedTuple):
    """A clip as it is seen once.

    Attributes:
        pictures: uint8 (T', H, W), or states (T', C).
        target: (floor(T' x ratio), D).
        places: float64 (T',), where in the clip each picture was taken, in pictures: 0 is the middle of its first.
    """

    pictures: np.ndarray
    target: np.ndarray
    places: np.ndarray


def augment(
    pictures: np.ndarray, target: np.ndarray, ratio: float, config: AugmentConfig, rng: np.random.Generator
) -> View:
    """A new view of one clip.

    Of the states of a trunk only time can change: the window, its speed, and runs that are hidden.

    Args:
        pictures: uint8 (T, H, W), or float32 (T, C) the states of a trunk.
        target: (S, D) features, S about T x ratio.
        ratio: feature frames a picture.
        config: what may happen.
        rng: the only source of chance: equal generators give equal samples.

    Returns:
        The view, of new arrays.
    """
    start, stop = _span(target, len(pictures), ratio, config, rng)
    pictures, target, places = _resample(pictures, target, ratio, start, stop, config, rng)
    if pictures.ndim == 3:
        pictures = _move(pictures, config, rng)
        pictures = _relight(pictures, config, rng)
        _erase(pictures, config, rng)
    _freeze(pictures, config, rng)
    return View(pictures, target, places)


def _span(
    target: np.ndarray, frames: int, ratio: float, config: AugmentConfig, rng: np.random.Generator
) -> tuple[int, int]:
    """First and last-plus-one picture of the window."""
    length = config.augment_window
    if not 0 < length < frames:
        return 0, frames
    if rng.random() < config.augment_focus:
        # The window is centred, up to its own half length, on a picture drawn by the loudness of its sound.
        loudness = target.mean(axis=1)
        loudness -= loudness.min()
        centre = (
            int(rng.choice(len(target), p=loudness / loudness.sum()) / ratio) if loudness.sum() > 0 else frames // 2
        )
        start = centre - int(rng.integers(length))
    else:
        start = int(rng.integers(frames - length + 1))
    start = min(max(start, 0), frames - length)
    # A picture at which a feature frame begins: of mel-paper, 2.5 frames a picture, every second one.
    start -= start % Fraction(ratio).limit_denominator(_LARGEST_STEP).denominator
    return start, start + length


def _resample(
    pictures: np.ndarray,
    target: np.ndarray,
    ratio: float,
    start: int,
    stop: int,
    config: AugmentConfig,
    rng: np.random.Generator,
) -> View:
    """Cut the window out, played faster or slower.

    Windows keep their length, so less or more of the clip is seen; whole clips change theirs.
    """
    speed = 1 + config.augment_speed * rng.uniform(-1, 1)
    if config.augment_speed == 0:
        first = round(start * ratio)
        frames = target[first : first + int((stop - start) * ratio)]
        return View(pictures[start:stop].copy(), frames.copy(), np.arange(start, stop, dtype=np.float64))
    whole = config.augment_window == 0 or len(pictures) <= config.augment_window
    length = max(1, round((stop - start) / speed)) if whole else stop - start
    # Centres of pictures and of feature frames lie at (i + 1/2) units of their own: stretched about one instant.
    middle = (start + stop) / 2
    places = middle + (np.arange(length) + 0.5 - length / 2) * speed - 0.5
    size = int(length * ratio)
    instants = (middle + ((np.arange(size) + 0.5) / ratio - length / 2) * speed) * ratio - 0.5
    return View(_interpolate(pictures, places), _interpolate(target, instants), places)


def _interpolate(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Rows of `values` (N, ...) at fractional `places`, linear, edges held."""
    places = np.clip(places, 0, len(values) - 1)
    below = np.minimum(places.astype(np.int64), max(len(values) - 2, 0))
    share = (places - below).astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
    above = np.minimum(below + 1, len(values) - 1)
    mixed = values[below] * (1 - share) + values[above] * share
    return np.rint(mixed).astype(np.uint8) if values.dtype == np.uint8 else mixed.astype(values.dtype)


def _move(pictures: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """One similarity transform, maybe mirrored, for all pictures of the clip."""
    height, width = pictures.shape[1:]
    flip = rng.random() < config.augment_flip
    angle = np.deg2rad(config.augment_turn) * rng.uniform(-1, 1)
    zoom = np.exp(config.augment_zoom * rng.uniform(-1, 1))
    furthest = int(config.augment_shift)
    shift = rng.integers(-furthest, furthest + 1, size=2)
    if flip:
        pictures = pictures[:, :, ::-1]
    if config.augment_turn == config.augment_zoom == config.augment_shift == 0:
        return np.ascontiguousarray(pictures)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = np.column_stack([turn, centre + shift - turn @ centre])
    moved = [
        cv2.warpAffine(p, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for p in np.ascontiguousarray(pictures)
    ]
    return np.stack(moved)


def _relight(pictures: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast and gamma of the whole clip, then noise of its own in every picture."""
    bright, contrast, gamma = config.augment_light * rng.uniform(-1, 1, size=3)
    noise = config.augment_noise * rng.random()
    if config.augment_light > 0:
        curve = np.linspace(0, 1, 256) ** np.exp(0.7 * gamma)
        curve = (curve - 0.5) * np.exp(0.7 * contrast) + 0.5 + 0.25 * bright
        pictures = np.rint(np.clip(curve, 0, 1) * 255).astype(np.uint8)[pictures]
    if config.augment_noise > 0:
        grain = noise * rng.standard_normal(pictures.shape, dtype=np.float32)
        pictures = np.clip(np.rint(pictures + grain), 0, 255).astype(np.uint8)
    return pictures


def _erase(pictures: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> None:
    """Fill a box with the clip's mean grey, in place."""
    height, width = pictures.shape[1:]
    if rng.random() < config.augment_erase:
        tall, wide = (max(1, int(config.augment_erase_size * side * rng.uniform(0.3, 1))) for side in (height, width))
        top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
        pictures[:, top : top + tall, left : left + wide] = np.uint8(pictures.mean())


def _freeze(pictures: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> None:
    """Fill runs of whole pictures with the clip's mean grey, of states with its mean state, in place."""
    mean = np.uint8(pictures.mean()) if pictures.ndim == 3 else pictures.mean(axis=0)
    for second in range(0, len(pictures), FRAME_RATE):
        if rng.random() < config.augment_freeze:
            length = int(rng.integers(1, config.augment_freeze_size + 1))
            first = second + int(rng.integers(FRAME_RATE))
            pictures[first : first + length] = mean
