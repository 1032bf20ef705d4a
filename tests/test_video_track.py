"""Tracking with a detector made of rules: key frames, bisection, gaps, several faces, cuts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lipsound2.video.face import Face
from lipsound2.video.mean_face import MEAN_FACE
from lipsound2.video.scenes import differences, find_scenes, split_at_jumps, thumbnail
from lipsound2.video.track import DETECTED, FILLED, INTERPOLATED, Track, join, track

SIZE = (640, 480)


def face(x: float, y: float = 200.0, unit: float = 60.0) -> Face:
    points = (MEAN_FACE * unit + (x, y)).astype(np.float32)
    (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
    return Face((x0, y0, x1, y1), points)


class Watcher:
    """A detector that knows where faces are, and remembers where it was asked to look."""

    def __init__(self, faces: Callable[[int], list[Face]]) -> None:
        self.faces = faces
        self.looks: list[tuple[int, bool]] = []

    def count(self, index: int) -> int:
        return len(self.faces(index))

    def __call__(self, index: int, alone: bool) -> list[Face]:
        self.looks.append((index, alone))
        return self.faces(index)[: 1 if alone else None]


def watch(watcher: Watcher, scenes: list[tuple[int, int]] | None = None, before: Face | None = None) -> Track:
    return track(watcher.count, watcher, scenes or [(0, 75)], 12, "largest", SIZE, before)


def follow(faces: Callable[[int], list[Face]], frames: int = 75, every: int = 12, choose: str = "largest") -> Track:
    watcher = Watcher(faces)
    return track(watcher.count, watcher, [(0, frames)], every, choose, SIZE)


def places(result: Track) -> np.ndarray:
    return result.points[:, 36:48].mean(1)[:, 0] - float(MEAN_FACE[36:48, 0].mean()) * 60


def test_a_still_face_is_looked_at_in_key_frames_only() -> None:
    watcher = Watcher(lambda i: [face(300)])
    result = watch(watcher)
    looked = sorted(i for i, _ in watcher.looks)
    assert looked == [0, 11, 21, 32, 42, 53, 63, 74]
    assert result.looked == len(looked) == len(set(looked))
    assert (result.flags == DETECTED).sum() == len(looked)
    assert set(result.flags.tolist()) == {DETECTED, INTERPOLATED}
    assert np.allclose(places(result), 300)


def test_one_face_is_followed_and_several_are_searched() -> None:
    for number in (1, 2):
        watcher = Watcher(lambda i, n=number: [face(300), face(500)][:n])
        watch(watcher)
        assert {alone for _, alone in watcher.looks} == {number == 1}


def test_steady_motion_is_interpolated() -> None:
    result = follow(lambda i: [face(200 + 0.4 * i)])
    assert np.allclose(places(result), 200 + 0.4 * np.arange(75), atol=0.02)
    assert result.looked < 16


def test_sudden_motion_is_looked_at_closely() -> None:
    def where(i: int) -> float:
        return 300 + 40 * float(np.clip((i - 30) / 6, 0, 1))

    result = follow(lambda i: [face(where(i))])
    assert np.abs(places(result) - [where(i) for i in range(75)]).max() < 0.02 * 91  # 2 % of the face width
    assert 8 < result.looked < 30


@pytest.mark.parametrize("gap", [(20, 40), (33, 34), (0, 9), (60, 75)])
def test_gaps_are_filled_and_flagged(gap: tuple[int, int]) -> None:
    first, end = gap
    result = follow(lambda i: [] if first <= i < end else [face(300 + i)])
    # A gap shorter than the key frames' distance may pass between two of them unseen.
    if end - first > 12 or first == 0:
        assert (result.flags == FILLED).nonzero()[0].tolist() == list(range(first, end))
        inside = places(result)[first:end]
        if first > 0 and end < 75:
            assert np.allclose(inside, 300 + np.arange(first, end), atol=0.05)
        else:
            assert np.ptp(inside) < 1e-3  # held
    assert np.allclose(
        np.delete(places(result), range(first, end)), 300 + np.delete(np.arange(75), range(first, end)), atol=0.1
    )


def test_a_face_that_is_missed_once_at_a_key_frame_is_bridged() -> None:
    result = follow(lambda i: [] if i == 32 else [face(300)])
    assert (result.flags == FILLED).sum() == 1
    assert np.allclose(places(result), 300)


def test_no_face_at_all() -> None:
    result = follow(lambda i: [])
    assert not result.flags.any()
    assert result.last is None
    assert result.faces == 0


@pytest.mark.parametrize(("choose", "x"), [("largest", 420), ("left", 120), ("right", 560), ("center", 300)])
def test_the_right_face_of_four(choose: str, x: int) -> None:
    def faces(i: int) -> list[Face]:
        return [face(300, 300, 30), face(420, 120, 45), face(120, 120, 40), face(560, 300, 30)]

    rng = np.random.default_rng(0)
    orders = [rng.permutation(4) for _ in range(75)]
    result = follow(lambda i: [faces(i)[k] for k in orders[i]], choose=choose)
    middle = (result.points[:, :, 0].min(1) + result.points[:, :, 0].max(1)) / 2
    assert result.faces == 4
    assert np.allclose(middle, x, atol=1)


def test_a_steady_face_beats_a_passing_larger_one() -> None:
    result = follow(lambda i: [face(200, unit=50), *([face(500, unit=70)] if i < 15 else [])])
    assert np.allclose(result.points[:, 27, 0], 200, atol=1)


def test_faces_that_come_close_keep_their_tracks() -> None:
    def faces(i: int) -> list[Face]:
        return [face(200 + i, unit=50), face(440 - i, unit=40)][:: 1 if i % 2 else -1]

    result = follow(faces, every=4)
    assert np.abs(places(result) - (200 + np.arange(75)) - (50 - 60) * float(MEAN_FACE[36:48, 0].mean())).max() < 3


def test_nothing_is_interpolated_across_a_cut() -> None:
    def faces(i: int) -> list[Face]:
        return [face(200 if i < 31 else 450)]

    result = watch(Watcher(faces), [(0, 31), (31, 75)])
    assert np.allclose(places(result)[:31], 200)
    assert np.allclose(places(result)[31:], 450)


def test_a_cut_that_only_the_face_shows_is_found() -> None:
    result = follow(lambda i: [face(200 if i < 31 else 450)])
    joined = join([result])
    assert split_at_jumps(joined.points, joined.flags == DETECTED, [(0, 75)]) == [(0, 31), (31, 75)]
    assert np.allclose(places(joined), np.where(np.arange(75) < 31, 200, 450))


def test_scenes_without_a_face_hold_the_nearest() -> None:
    result = join([watch(Watcher(lambda i: [face(300)] if 20 <= i < 50 else []), [(0, 20), (20, 50), (50, 75)])])
    assert (result.flags == FILLED).nonzero()[0].tolist() == [*range(20), *range(50, 75)]
    assert np.allclose(places(result), 300)


def test_a_later_part_goes_on_with_the_same_face() -> None:
    small, large = face(150, unit=40), face(450, unit=60)
    first = follow(lambda i: [small])
    second = watch(Watcher(lambda i: [large, small]), before=first.last)
    assert np.allclose(second.points[:, 27, 0], 150, atol=1)


def test_scenes_by_frame_difference() -> None:
    rng = np.random.default_rng(0)
    shots = [rng.integers(0, 255, (288, 360)).astype(np.uint8) for _ in range(3)]
    clip = [
        np.clip(shots[i // 20].astype(int) + rng.integers(-4, 4, (288, 360)), 0, 255).astype(np.uint8)
        for i in range(60)
    ]
    assert find_scenes(differences([thumbnail(frame) for frame in clip])) == [(0, 20), (20, 40), (40, 60)]
    assert find_scenes(differences([thumbnail(frame) for frame in clip[:20]])) == [(0, 20)]


def test_a_flicker_of_light_is_no_cut() -> None:
    rng = np.random.default_rng(0)
    shot = rng.integers(60, 120, (288, 360))
    clip = [(shot + 60 * (i % 2)).astype(np.uint8) for i in range(30)]  # every frame differs from the last
    assert find_scenes(differences([thumbnail(frame) for frame in clip])) == [(0, 30)]


def test_a_face_too_fast_for_the_key_frames_is_followed() -> None:
    def where(i: int) -> float:
        return 100 + 400 * float(np.clip((i - 30) / 8, 0, 1))

    result = follow(lambda i: [face(where(i))])
    assert (result.flags != FILLED).all()
    assert np.abs(places(result) - [where(i) for i in range(75)]).max() < 8


def test_a_bystander_is_not_taken_when_the_face_leaves() -> None:
    result = follow(lambda i: [*([face(200, unit=80)] if i < 50 else []), face(500, unit=45)])
    assert (result.flags == FILLED).nonzero()[0].tolist() == list(range(50, 75))
    assert np.allclose(result.points[:, 27, 0], 200, atol=1)
