"""Augmentation of one training sample: a clip's video frames and the features that belong to them.

A network overfits eight hundred clips in a few dozen epochs unless they are augmented. Geometry and brightness vary
once per clip, as cameras and face detectors vary. Masks in space and time keep the network from relying on one corner
of the video frame or one moment. Changes of speed and random crops in time keep it from relying on the position in
the sentence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import NamedTuple

import cv2
import numpy as np

from lipsound2.errors import LipsoundError
from lipsound2.timing import FRAME_RATE

_LARGEST_STEP = 64  # largest distance, in video frames, between two that begin together with a feature frame
# Largest values of keys that have one.
_LARGEST = {
    **dict.fromkeys(("crop_loud_prob", "augment_cutmix", "augment_flip", "augment_erase", "augment_time_mask"), 1.0),
    **dict.fromkeys(("augment_zoom", "augment_brightness", "augment_erase_size"), 1.0),
    "augment_speed": 0.9,
    "augment_rotate": 180.0,
}


@dataclass
class AugmentConfig:
    """Augmentation of training samples; 0 means "never".

    Attributes:
        crop_frames: video frames of the window cut from each clip, at a random place; 0 keeps whole clips.
        crop_loud_prob: share of windows placed where the target is loud instead of anywhere (GRID clips are silent for
            half their time).
        augment_cutmix: probability of temporal CutMix: from a random video frame on, the sample is replaced by another
            clip of the same speaker.
        augment_speed: the clip is played up to this share slower or faster, at most 0.9, video frames and target alike.
        augment_shift: largest shift in whole pixels, either way; the published random crop of 88 x 88 out of 96 x 96
            has 4.
        augment_zoom: largest change of size, as a share.
        augment_rotate: largest rotation in degrees.
        augment_flip: probability of a horizontal flip.
        augment_brightness: strength of changes in brightness, contrast and gamma, in 0-1.
        augment_noise: largest standard deviation of added camera noise, in gray levels.
        augment_erase: probability that a box is erased, the same in all video frames.
        augment_erase_size: largest side of that box, as a share of the video frame's.
        augment_time_mask: probability, for each second of a clip, of a time mask on its video frames or states.
        augment_time_mask_size: longest time mask in video frames; with time masks 1 or more.
    """

    crop_frames: int = 0
    crop_loud_prob: float = 0.0
    augment_cutmix: float = 0.0
    augment_speed: float = 0.0
    augment_shift: float = 0.0
    augment_zoom: float = 0.0
    augment_rotate: float = 0.0
    augment_flip: float = 0.5
    augment_brightness: float = 0.0
    augment_noise: float = 0.0
    augment_erase: float = 0.0
    augment_erase_size: float = 0.4
    augment_time_mask: float = 0.0
    augment_time_mask_size: int = 6

    def check(self, uncut: str = "") -> None:
        """Check values before a training. (An experiment that has them is still read.)

        Args:
            uncut: what must stay whole in time, for the message; empty: clips may be cut.

        Raises:
            LipsoundError: one of them cannot work, or cuts what must stay whole.
        """
        if uncut and (self.crop_frames or self.augment_cutmix):
            raise LipsoundError(f"crop_frames, augment_cutmix: would cut {uncut}; set both to 0")
        for field in fields(self):
            value, largest = getattr(self, field.name), _LARGEST.get(field.name, math.inf)
            if not 0 <= value <= largest:
                wanted = "0 or more" if largest == math.inf else f"0 to {largest:g}"
                raise LipsoundError(f"{field.name}: expected {wanted}, found {value:g}")
        if self.augment_time_mask and not self.augment_time_mask_size:
            raise LipsoundError(
                "augment_time_mask_size: expected 1 video frame or more, found 0; for no time masks set "
                "augment_time_mask to 0"
            )

    def longest(self, sizes: np.ndarray) -> np.ndarray:
        """The most video frames that samples of clips have.

        Args:
            sizes: (N,) video frames of each clip.

        Returns:
            (N,) int64: of a clip that is cut its window, of a whole one its size at the slowest.
        """
        cut = (self.crop_frames > 0) & (sizes > self.crop_frames)
        return np.where(cut, self.crop_frames, np.rint(sizes / (1 - self.augment_speed))).astype(np.int64)


class View(NamedTuple):
    """An augmented clip.

    Attributes:
        frames: uint8 (T', H, W), or states (T', C).
        target: (floor(T' x ratio), D).
        places: float64 (T',), where in the clip each video frame was taken, in video frames: 0 is the middle of the
            first one.
    """

    frames: np.ndarray
    target: np.ndarray
    places: np.ndarray


def augment(
    frames: np.ndarray, target: np.ndarray, ratio: float, config: AugmentConfig, rng: np.random.Generator
) -> View:
    """Augment one clip.

    States of a trunk are augmented in time alone: crop, speed and time masks.

    Args:
        frames: uint8 (T, H, W), or float32 (T, C) the states of a trunk.
        target: (S, D) features, S about T x ratio.
        ratio: feature frames per video frame.
        config: augmentation.
        rng: the only source of randomness: equal generators give equal samples.

    Returns:
        New arrays.
    """
    start, stop = _span(target, len(frames), ratio, config, rng)
    frames, target, places = _resample(frames, target, ratio, start, stop, config, rng)
    if frames.ndim == 3:
        frames = _transform(frames, config, rng)
        frames = _brightness(frames, config, rng)
        _erase(frames, config, rng)
    _time_mask(frames, config, rng)
    return View(frames, target, places)


def _span(
    target: np.ndarray, size: int, ratio: float, config: AugmentConfig, rng: np.random.Generator
) -> tuple[int, int]:
    """First and last-plus-one video frame of the window."""
    length = config.crop_frames
    if not 0 < length < size:
        return 0, size
    if rng.random() < config.crop_loud_prob:
        # The window is centered, up to its own half length, on a video frame drawn by the loudness of its audio.
        loudness = target.mean(axis=1)
        loudness -= loudness.min()
        center = int(rng.choice(len(target), p=loudness / loudness.sum()) / ratio) if loudness.sum() > 0 else size // 2
        start = center - int(rng.integers(length))
    else:
        start = int(rng.integers(size - length + 1))
    start = min(max(start, 0), size - length)
    # A video frame at which a feature frame begins: of mel-paper, 2.5 feature frames per video frame, every second one.
    start -= start % Fraction(ratio).limit_denominator(_LARGEST_STEP).denominator
    return start, start + length


def _resample(
    frames: np.ndarray,
    target: np.ndarray,
    ratio: float,
    start: int,
    stop: int,
    config: AugmentConfig,
    rng: np.random.Generator,
) -> View:
    """Crop in time, then change the speed.

    A crop keeps its length and covers more or less of the clip; a whole clip becomes shorter or longer.
    """
    speed = 1 + config.augment_speed * rng.uniform(-1, 1)
    if config.augment_speed == 0:
        first = round(start * ratio)
        kept = target[first : first + int((stop - start) * ratio)]
        return View(frames[start:stop].copy(), kept.copy(), np.arange(start, stop, dtype=np.float64))
    whole = config.crop_frames == 0 or len(frames) <= config.crop_frames
    length = max(1, round((stop - start) / speed)) if whole else stop - start
    # The center of frame i lies at i + 1/2 in its own unit; both kinds of frames are stretched about the same instant.
    middle = (start + stop) / 2
    places = middle + (np.arange(length) + 0.5 - length / 2) * speed - 0.5
    size = int(length * ratio)
    instants = (middle + ((np.arange(size) + 0.5) / ratio - length / 2) * speed) * ratio - 0.5
    return View(_interpolate(frames, places), _interpolate(target, instants), places)


def _interpolate(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Rows of `values` (N, ...) at fractional `places`, by linear interpolation; the ends are repeated."""
    places = np.clip(places, 0, len(values) - 1)
    below = np.minimum(places.astype(np.int64), max(len(values) - 2, 0))
    share = (places - below).astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
    above = np.minimum(below + 1, len(values) - 1)
    mixed = values[below] * (1 - share) + values[above] * share
    return np.rint(mixed).astype(np.uint8) if values.dtype == np.uint8 else mixed.astype(values.dtype)


def _transform(frames: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """One similarity transform, perhaps with a flip, for all video frames of the clip."""
    height, width = frames.shape[1:]
    flip = rng.random() < config.augment_flip
    angle = np.deg2rad(config.augment_rotate) * rng.uniform(-1, 1)
    zoom = np.exp(config.augment_zoom * rng.uniform(-1, 1))
    furthest = int(config.augment_shift)
    shift = rng.integers(-furthest, furthest + 1, size=2)
    if flip:
        frames = frames[:, :, ::-1]
    if config.augment_rotate == config.augment_zoom == config.augment_shift == 0:
        return np.ascontiguousarray(frames)
    rotation = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = np.column_stack([rotation, center + shift - rotation @ center])
    moved = [
        cv2.warpAffine(frame, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for frame in np.ascontiguousarray(frames)
    ]
    return np.stack(moved)


def _brightness(frames: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast and gamma of the whole clip, then noise drawn for each video frame."""
    bright, contrast, gamma = config.augment_brightness * rng.uniform(-1, 1, size=3)
    noise = config.augment_noise * rng.random()
    if config.augment_brightness > 0:
        curve = np.linspace(0, 1, 256) ** np.exp(0.7 * gamma)
        curve = (curve - 0.5) * np.exp(0.7 * contrast) + 0.5 + 0.25 * bright
        frames = np.rint(np.clip(curve, 0, 1) * 255).astype(np.uint8)[frames]
    if config.augment_noise > 0:
        grain = noise * rng.standard_normal(frames.shape, dtype=np.float32)
        frames = np.clip(np.rint(frames + grain), 0, 255).astype(np.uint8)
    return frames


def _erase(frames: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> None:
    """Fill a box with the clip's mean gray, in place."""
    height, width = frames.shape[1:]
    if rng.random() < config.augment_erase:
        tall, wide = (max(1, int(config.augment_erase_size * side * rng.uniform(0.3, 1))) for side in (height, width))
        top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
        frames[:, top : top + tall, left : left + wide] = np.uint8(frames.mean())


def _time_mask(frames: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> None:
    """Time masks, in place: video frames become the clip's mean gray, states its mean state."""
    masked = []
    for second in range(0, len(frames), FRAME_RATE):
        if rng.random() < config.augment_time_mask:
            length = int(rng.integers(1, config.augment_time_mask_size + 1))
            first = second + int(rng.integers(FRAME_RATE))
            masked.append(slice(first, first + length))
    if masked:
        mean = np.uint8(frames.mean()) if frames.ndim == 3 else frames.mean(axis=0)
        for part in masked:
            frames[part] = mean
