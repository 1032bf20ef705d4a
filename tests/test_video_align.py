"""Alignment: the similarity transform, its smoothing, and the pixels under a crop."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lipsound2.video.align import REGIONS, fit, smooth, warp
from lipsound2.video.cropper import Cropper
from lipsound2.video.decode import read_video
from lipsound2.video.mean_face import MEAN_FACE


def placed(angle: float, unit: float, x: float, y: float) -> np.ndarray:
    """The mean face turned by `angle` radians, `unit` pixels a unit, its eyes around (x, y): (68, 2)."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return unit * MEAN_FACE @ turn.T + (x, y)


def at(matrix: np.ndarray, u: float, v: float) -> np.ndarray:
    return matrix @ (u, v, 1)


def test_mean_face_is_symmetric_and_in_its_unit() -> None:
    assert np.hypot(*(MEAN_FACE[45] - MEAN_FACE[36])) == pytest.approx(1, abs=1e-3)
    assert np.allclose(MEAN_FACE[36] + MEAN_FACE[45], 0, atol=1e-6)
    for left, right in ((0, 16), (17, 26), (31, 35), (39, 42), (48, 54), (60, 64)):
        assert np.allclose(MEAN_FACE[left] * (-1, 1), MEAN_FACE[right], atol=1e-3)


def test_fit_recovers_a_similarity() -> None:
    points = np.stack([placed(0.3, 75, 180, 120), placed(-0.1, 40, 20, 300)])
    turn, shift = fit(points)
    assert np.allclose(abs(turn), [75, 40], rtol=1e-4)
    assert np.allclose(np.angle(turn), [0.3, -0.1], atol=1e-4)
    assert np.allclose(shift, [180 + 120j, 20 + 300j], atol=1e-2)


def test_the_jaw_does_not_move_the_crop() -> None:
    still = np.repeat(placed(0, 75, 180, 120)[None], 60, 0)
    talking = still.copy()
    talking[:, [*range(5, 12), *range(55, 60), 65, 66, 67], 1] += 10 * np.sin(np.arange(60))[:, None]
    scenes = [(0, 60)]
    for name in ("face", "mouth"):  # the published rule moves with the jaw
        moved = np.abs(REGIONS[name].transforms(talking, scenes) - REGIONS[name].transforms(still, scenes))
        assert moved[:, :, 2].max() < 0.6, name


def test_the_mouth_crop_is_upright_sized_and_centered() -> None:
    points = np.repeat(placed(0.4, 60, 200, 150)[None], 30, 0)
    points[:, 48:] += (7, -5)  # this person's mouth is elsewhere
    region = REGIONS["mouth"]
    matrix = region.transforms(points, [(0, 30)])[15]
    assert np.allclose(at(matrix, 47.5, 47.5), points[15, 48:].mean(0), atol=0.05)
    corners = np.linalg.inv(np.vstack([matrix, [0, 0, 1]])) @ np.vstack([points[15, [48, 54]].T, [1, 1]])
    assert corners[1, 0] == pytest.approx(corners[1, 1], abs=0.05)  # level
    assert corners[0, 1] - corners[0, 0] == pytest.approx(90 * 0.549, abs=0.2)


def test_the_face_crop_holds_the_face_and_does_not_turn() -> None:
    points = np.repeat(placed(0.2, 60, 200, 150)[None], 30, 0)
    matrix = REGIONS["face"].transforms(points, [(0, 30)])[15]
    assert matrix[0, 1] == pytest.approx(0, abs=1e-9)
    inside = np.linalg.inv(np.vstack([matrix, [0, 0, 1]])) @ np.vstack([points[15].T, np.ones(68)])
    assert inside[:2].min() > 0
    assert inside[:2].max() < 111


def test_smoothing_removes_noise_but_no_motion_and_stays_within_scenes() -> None:
    rng = np.random.default_rng(0)
    t = np.arange(200)
    motion = np.where(t < 120, 0.5 * t, 500 - 0.5 * t)
    noisy = motion + rng.normal(0, 1, 200)
    calm = smooth(noisy, 9, [(0, 120), (120, 200)], slope=True)
    error = calm - motion
    assert error[10:110].std() < 0.55
    assert np.abs(error[[0, 119, 120, 199]]).max() < 2
    line = smooth(motion, 9, [(0, 120), (120, 200)], slope=True)
    assert np.allclose(line, motion)
    assert np.allclose(smooth(np.array([4.0, 7.0]), 9, [(0, 1), (1, 2)], slope=True), [4, 7])
    assert np.allclose(smooth(np.full(7, 3.0), 51, [(0, 7)]), 3)
    assert np.allclose(smooth(np.arange(50.0), 9, [(0, 50)])[4:-4], np.arange(4, 46))


def test_warp_takes_the_right_pixels() -> None:
    y, x = np.mgrid[:288, :360]
    frame = (x * 0.5 + y * 0.2).astype(np.uint8)
    angle, scale = 0.2, 0.8
    matrix = np.array(
        [[scale * np.cos(angle), -scale * np.sin(angle), 150], [scale * np.sin(angle), scale * np.cos(angle), 90]]
    )
    crop = warp(frame, matrix, 96)
    u, v = 70, 30
    px, py = at(matrix, u, v)
    assert crop[v, u] == pytest.approx(px * 0.5 + py * 0.2, abs=1.5)


@pytest.mark.parametrize("scale", [1.3, 2.0, 3.7])
def test_shrinking_neither_shifts_nor_aliases(scale: float) -> None:
    y, x = np.mgrid[:600, :800].astype(np.float32)
    ramp = (x * 0.2 + y * 0.1).astype(np.uint8)
    matrix = np.array([[scale, 0, 200.3], [0, scale, 100.7]])
    crop = warp(ramp, matrix, 96).astype(float)
    v, u = np.mgrid[:96, :96]
    expected = (u * scale + 200.3) * 0.2 + (v * scale + 100.7) * 0.1
    assert abs((crop - expected).mean()) < 0.75  # the ramp itself is cut to whole levels: -0.5
    assert np.abs(crop - expected).max() < 2
    stripes = np.tile(np.array([0, 255], np.uint8), (600, 400))
    assert warp(stripes, matrix, 96).std() < (60 if scale < 2 else 12)


def test_outside_the_frame_the_edge_is_repeated() -> None:
    frame = np.full((100, 100), 77, np.uint8)
    for scale in (0.5, 3.0):
        assert (warp(frame, np.array([[scale, 0, -60.0], [0, scale, 70.0]]), 96) == 77).all()
    assert (warp(frame, np.array([[3.0, 0, 500.0], [0, 3.0, 500.0]]), 96) == 77).all()


def test_area_and_cubic_agree_where_they_meet() -> None:
    rng = np.random.default_rng(0)
    frame = cv2.GaussianBlur(rng.integers(0, 255, (300, 300)).astype(np.uint8), (0, 0), 4)
    one = warp(frame, np.array([[1.24, 0, 50.0], [0, 1.24, 50.0]]), 96).astype(int)
    other = warp(frame, np.array([[1.26, 0, 50.0], [0, 1.26, 50.0]]), 96).astype(int)
    assert np.abs(one[:20, :20] - other[:20, :20]).max() < 6


# The crop of published lip readers

EIGHT = [28, 33, 36, 39, 42, 45, 48, 54]
# fmt: off
EIGHT_PLACES = np.array([(128.49, 106.92), (128.87, 137.30), (92.52, 94.37), (112.77, 94.94),
                         (145.53, 94.53), (166.68, 93.57), (107.17, 157.20), (152.19, 156.99)])
# fmt: on


def published(frames: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rule as it is published, step by step: crops (T, 96, 96), and the mouth's points (T, 20, 2) in them."""
    crops, mouths = [], []
    for index in range(len(points)):
        around = min(6, index, len(points) - 1 - index)
        mean = np.mean([points[t] for t in range(index - around, index + around + 1)], 0)
        mean = mean + points[index].mean(0) - mean.mean(0)
        matrix, _ = cv2.estimateAffinePartial2D(mean[EIGHT], EIGHT_PLACES, method=cv2.LMEDS)
        turned = cv2.warpAffine(frames[index], matrix, (256, 256), flags=cv2.INTER_LINEAR, borderValue=0)
        mouth = mean[48:68] @ matrix[:, :2].T + matrix[:, 2]
        x, y = (round(float(value) - 48) for value in mouth.mean(0))
        crops.append(turned[y : y + 96, x : x + 96])
        mouths.append(mouth - (x, y))
    return np.stack(crops), np.stack(mouths)


def test_the_published_crop_on_real_clips(grid: Path) -> None:
    distances, differences = [], []
    for speaker in sorted(path for path in grid.iterdir() if path.name.startswith("s"))[:4]:
        clip = next(iter(sorted(speaker.glob("*.mp4"))))
        rgb, _ = read_video(clip)
        luma = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in rgb])
        made = Cropper(("mouth-published",))(clip)
        points = made.landmarks[:, :136].reshape(-1, 68, 2).astype(np.float64)
        crops, mouths = published(luma, points)
        maps = REGIONS["mouth-published"].transforms(points, [(0, len(points))])
        for index, mouth in enumerate(mouths):
            there = mouth @ maps[index][:, :2].T + maps[index][:, 2]  # where our map finds these points in the frame
            scale = np.hypot(*maps[index][:, 0])
            kept = min(6, index, len(points) - 1 - index)
            mean = points[index - kept : index + kept + 1].mean(0)
            seen = mean[48:68] + points[index].mean(0) - mean.mean(0)
            distances.append(np.hypot(*(there - seen).T) / scale)
        differences.append(np.abs(made.regions["mouth-published"].astype(int) - crops).mean())
    assert np.sqrt(np.mean(np.square(distances))) < 0.01  # pixels of the crop; 0.3 are asked for
    assert max(differences) < 3  # of 255: resampled with another kernel, and levels may be stretched
