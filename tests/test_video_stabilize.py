"""Between key frames the landmarks move with the head, as the frame shows it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipsound2.video.frame import ArrayFrame
from lipsound2.video.mean_face import MEAN_FACE
from lipsound2.video.stabilize import stabilize
from lipsound2.video.track import DETECTED, INTERPOLATED, Track

UNIT = 60.0
KEYS = (0, 24)


def head(turn: complex, shift: complex, seed: int = 0) -> np.ndarray:
    """A textured head at turn * z + shift, on a background of its own: (288, 360) uint8."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.uniform(40, 220, (400, 400)).astype(np.float32), (0, 0), 6)
    texture = cv2.normalize(texture, None, 50, 210, cv2.NORM_MINMAX)
    step = turn / 100  # texture pixels a unit
    corner = shift - step * (200 + 160j)
    matrix = np.array([[step.real, -step.imag, corner.real], [step.imag, step.real, corner.imag]])
    noise = rng.normal(0, 1.5, (288, 360))
    inside = cv2.warpAffine(texture, matrix, (360, 288), borderValue=90.0)
    return np.clip(inside + noise, 0, 255).astype(np.uint8)


def landmarks(turn: np.ndarray, shift: np.ndarray) -> np.ndarray:
    placed = turn[:, None] * (MEAN_FACE.astype(float) @ [1, 1j]) + shift[:, None]
    return np.stack([placed.real, placed.imag], -1).astype(np.float32)


def moving() -> tuple[np.ndarray, np.ndarray]:
    """Turn and shift of a head that nods, sways and comes nearer between two key frames at which it is in one place."""
    phase = np.sin(np.linspace(0, np.pi, 25))
    return UNIT * (1 + 0.05 * phase) * np.exp(0.06j * phase), 180 + 120j + (7 - 5j) * phase


def straight(turn: np.ndarray, shift: np.ndarray) -> Track:
    """The track as it comes from two key frames."""
    true = landmarks(turn, shift)
    share = np.linspace(0, 1, 25)[:, None, None]
    flags = np.full(25, INTERPOLATED, np.float32)
    flags[list(KEYS)] = DETECTED
    return Track((true[0] * (1 - share) + true[-1] * share).astype(np.float32), flags)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_the_head_is_followed_between_key_frames(scale: float) -> None:
    turn, shift = moving()
    frames = [head(t, s) for t, s in zip(turn, shift, strict=True)]
    size = (round(360 * scale), round(288 * scale))
    frames = [cv2.resize(p, size, interpolation=cv2.INTER_CUBIC) for p in frames]
    turn, shift = turn * scale, (shift + 0.5 + 0.5j) * scale - 0.5 - 0.5j
    tracked = straight(turn, shift)
    true = landmarks(turn, shift)
    before = np.linalg.norm(tracked.points - true, axis=2).mean(1)
    assert stabilize([ArrayFrame(p) for p in frames], tracked, [(0, 25)]) == []
    after = np.linalg.norm(tracked.points - true, axis=2).mean(1)
    assert before.max() > 6.5 * scale
    assert after.max() < 1 * scale
    assert np.allclose(after[list(KEYS)], 0, atol=1e-3)


def test_light_that_changes_does_not_move_the_head() -> None:
    still = np.full(25, UNIT, complex), np.full(25, 180 + 120j)
    frames = [np.clip(head(UNIT, 180 + 120j, 0) * (1 - 0.01 * i) + i, 0, 255).astype(np.uint8) for i in range(25)]
    tracked = straight(*still)
    before = tracked.points.copy()
    assert stabilize([ArrayFrame(p) for p in frames], tracked, [(0, 25)]) == []
    assert np.abs(tracked.points - before).max() < 0.4


def test_a_covered_face_is_doubted() -> None:
    still = np.full(25, UNIT, complex), np.full(25, 180 + 120j)
    frames = [head(UNIT, 180 + 120j) for _ in range(25)]
    for i in range(8, 17):
        frames[i] = head(UNIT, 180 + 120j, seed=5)
    tracked = straight(*still)
    before = tracked.points.copy()
    doubtful = stabilize([ArrayFrame(p) for p in frames], tracked, [(0, 25)])
    assert doubtful
    assert set(doubtful) <= set(range(8, 17))
    assert np.abs(tracked.points - before).max() < 3


def test_a_frame_without_structure_moves_nothing() -> None:
    tracked = straight(np.full(25, UNIT, complex), np.full(25, 180 + 120j))
    before = tracked.points.copy()
    stabilize([ArrayFrame(np.full((288, 360), 100, np.uint8))] * 25, tracked, [(0, 25)])
    assert np.abs(tracked.points - before).max() < 0.01


def test_a_key_frame_at_every_frame_leaves_nothing_to_do() -> None:
    tracked = straight(*moving())
    tracked.flags[:] = DETECTED
    before = tracked.points.copy()
    stabilize([ArrayFrame(np.zeros((288, 360), np.uint8))] * 25, tracked, [(0, 25)])
    assert np.array_equal(tracked.points, before)
