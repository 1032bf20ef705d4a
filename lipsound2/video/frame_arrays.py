"""Frames that were decoded elsewhere, as an array: checked, and brought to 25 frames a second as a file's are."""

from __future__ import annotations

import os

import numpy as np

from lipsound2.errors import LipsoundError
from lipsound2.video.frame import ArrayFrame
from lipsound2.video.grid import Timeline, on_grid

_FEWEST_FPS, _MOST_FPS = 1.0, 1000.0  # frames a second; what lies outside is another unit


def frames_of(video: np.ndarray, fps: float) -> tuple[list[ArrayFrame], Timeline]:
    """Frames on the 25 fps grid; none are copied, but color frames keep their gray levels once these are asked for.

    Args:
        video: (T, H, W, 3) RGB or (T, H, W) full-range gray, uint8.
        fps: their rate, frames a second.

    Returns:
        A frame for each point of the grid, and the grid.

    Raises:
        LipsoundError: another shape or type, no frames, or a rate that is none.
    """
    check_frames(video, fps)
    step = 1 / fps
    timed = ((index * step, step, index) for index in range(len(video)))
    indices = [*on_grid(timed, lambda: fps)]
    frames = [ArrayFrame(frame) for frame in video]
    timeline = Timeline(0.0, len(indices), float(fps), video.shape[2], video.shape[1])
    return [frames[index] for index in indices], timeline


def check_clip(clip: object, fps: float | None, landmarks: object = None) -> None:
    """Refuse what is neither the name of a file nor frames with their rate, and what are no landmarks.

    Args:
        clip: what was given.
        fps: likewise.
        landmarks: likewise; None: none were. How many there must be is known once the clip is decoded.

    Raises:
        LipsoundError: see `frames_of`; or a rate for a file, which has its own clock; or landmarks of another type.
    """
    if landmarks is not None and not (isinstance(landmarks, np.ndarray) and landmarks.dtype.kind in "fiu"):
        found = f"values of type {landmarks.dtype}" if isinstance(landmarks, np.ndarray) else type(landmarks).__name__
        raise LipsoundError(f"landmarks: found {found}, wanted (T, 137) float32, as a numpy array")
    if isinstance(clip, np.ndarray):
        check_frames(clip, fps)
    elif not isinstance(clip, str | os.PathLike) or not os.fspath(clip):
        raise LipsoundError(
            f"clip: found {'an empty name' if clip == '' else f'an object of type {type(clip).__name__}'}, wanted the "
            "name of a video file, or frames (T, H, W, 3) RGB or (T, H, W) gray, uint8, as a numpy array"
        )
    elif fps is not None:
        raise LipsoundError(f"fps: is for frames; {os.fspath(clip)!r} is a file and has its own clock; leave it out")


def check_frames(video: np.ndarray, fps: float | None) -> None:
    """Refuse what are no frames of a video.

    Args:
        video: what was given.
        fps: likewise.

    Raises:
        LipsoundError: see `frames_of`; or no rate is given.
    """
    wanted = "wanted frames (T, H, W, 3) RGB or (T, H, W) gray, uint8"
    if video.ndim == 3 and video.shape[2] == 3:
        raise LipsoundError(f"frames: found an array of shape {video.shape}, which is one frame in color; {wanted}")
    if video.ndim not in (3, 4) or (video.ndim == 4 and video.shape[3] != 3):
        raise LipsoundError(f"frames: found an array of shape {video.shape}, {wanted}")
    if video.dtype != np.uint8:
        raise LipsoundError(f"frames: found values of type {video.dtype}, {wanted}; levels go from 0 to 255")
    if not video.size:
        raise LipsoundError(f"frames: found an empty array of shape {video.shape}, {wanted}")
    if fps is None:
        raise LipsoundError("frames: an array has no clock; give its rate, frames a second, as fps=25")
    if isinstance(fps, bool) or not isinstance(fps, int | float | np.integer | np.floating):
        raise LipsoundError(f"fps: found {fps!r}, wanted a number of frames a second")
    if not _FEWEST_FPS <= fps <= _MOST_FPS:  # nor is NaN
        raise LipsoundError(f"fps: found {fps:g}, wanted frames a second, {_FEWEST_FPS:g} to {_MOST_FPS:g}")
