"""Augmentation: what it may do, that it is repeatable, and that video frames and features stay together."""

from __future__ import annotations

import numpy as np
import pytest

from lipsound2.datasets.augment import _LARGEST, AugmentConfig, augment
from lipsound2.datasets.video_to_features import Sample, temporal_cutmix
from lipsound2.errors import LipsoundError

STRONG = AugmentConfig(
    crop_frames=20,
    crop_loud_prob=0.5,
    augment_speed=0.2,
    augment_shift=4,
    augment_zoom=0.1,
    augment_rotate=8,
    augment_flip=0.5,
    augment_brightness=0.5,
    augment_noise=5,
    augment_erase=0.5,
    augment_time_mask=0.5,
)
NOTHING = AugmentConfig(augment_flip=0)


def _clip(frames: int = 50, side: int = 32, ratio: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """Video frames that brighten and features that rise with time, so that a place in time can be read off either."""
    video_frames = np.repeat(np.arange(frames, dtype=np.uint8)[:, None, None] * 4, side, 1).repeat(side, 2)
    size = int(frames * ratio)
    moments = (np.arange(size, dtype=np.float32) + 0.5) / ratio - 0.5
    return video_frames, np.repeat(moments[:, None] * 4, 80, axis=1)


@pytest.mark.parametrize("ratio", [4.0, 2.5, 1.0])
def test_sizes_and_types(ratio):
    video_frames, target = _clip(ratio=ratio)
    for seed in range(20):
        p, t, _ = augment(video_frames, target, ratio, STRONG, np.random.default_rng(seed))
        assert p.shape == (20, 32, 32)
        assert p.dtype == np.uint8
        assert t.shape == (int(20 * ratio), 80)
        assert t.dtype == np.float32


def test_equal_generators_give_equal_samples():
    video_frames, target = _clip()
    one, two, other = (augment(video_frames, target, 4.0, STRONG, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    assert not np.array_equal(one[0], other[0])


def test_nothing_asked_is_nothing_done_and_the_clip_is_not_touched():
    video_frames, target = _clip()
    p, t, _ = augment(video_frames, target, 4.0, NOTHING, np.random.default_rng(0))
    np.testing.assert_array_equal(p, video_frames)
    np.testing.assert_array_equal(t, target)
    before = video_frames.copy()
    augment(video_frames, target, 4.0, STRONG, np.random.default_rng(0))
    np.testing.assert_array_equal(video_frames, before)


@pytest.mark.parametrize("ratio", [4.0, 2.5])
@pytest.mark.parametrize("speed", [0.0, 0.2])
@pytest.mark.parametrize("window", [0, 20])
def test_frames_and_features_stay_together(ratio, speed, window):
    video_frames, target = _clip(ratio=ratio)
    config = AugmentConfig(crop_frames=window, augment_speed=speed, augment_flip=0)
    for seed in range(10):
        p, t, _ = augment(video_frames, target, ratio, config, np.random.default_rng(seed))
        moments = (np.arange(len(t)) + 0.5) / ratio - 0.5
        seen = np.interp(moments, np.arange(len(p)), p[:, 0, 0].astype(float))
        inner = slice(int(3 * ratio), -int(3 * ratio))
        # Played faster or slower, video frames lie on a grid of a whole gray level: 4 a video frame.
        np.testing.assert_allclose(t[inner, 0], seen[inner], atol=1.5 if speed else 1e-4)


def test_fault_B6_a_window_starts_where_a_feature_frame_does():
    video_frames, target = _clip(ratio=2.5)
    config = AugmentConfig(crop_frames=20, augment_flip=0)
    starts = set()
    for seed in range(200):
        _, t, places = augment(video_frames, target, 2.5, config, np.random.default_rng(seed))
        assert t[0, 0] == pytest.approx(4 * (places[0] + 0.5 / 2.5 - 0.5), abs=1e-4)
        starts.add(int(places[0]))
    assert starts == set(range(0, 31, 2))


def test_fault_B10_shifts_are_by_whole_pixels():
    video_frames = np.random.default_rng(0).integers(0, 255, (2, 32, 32), dtype=np.uint8)
    config = AugmentConfig(augment_shift=4.0, augment_flip=0)
    found = set()
    for seed in range(400):
        moved, *_ = augment(video_frames, np.zeros((8, 1), np.float32), 4.0, config, np.random.default_rng(seed))
        inner = moved[:, 4:-4, 4:-4]  # 24 of 32 pixels: what the published random crop shows
        at = [
            (dy, dx)
            for dy in range(9)
            for dx in range(9)
            if np.array_equal(inner, video_frames[:, dy : dy + 24, dx : dx + 24])
        ]
        assert len(at) == 1
        found.add(at[0])
    assert {y for y, _ in found} == {x for _, x in found} == set(range(9))


def test_speed_changes_the_length_of_whole_clips():
    video_frames, target = _clip()
    config = AugmentConfig(augment_speed=0.2, augment_flip=0)
    lengths = {len(augment(video_frames, target, 4.0, config, np.random.default_rng(s))[0]) for s in range(30)}
    assert min(lengths) < 46
    assert max(lengths) > 55


def test_no_sample_is_longer_than_what_batches_are_made_by():
    sizes = np.array([1, 7, 25, 26, 50, 75])
    for crop in (0, 25):
        config = AugmentConfig(augment_speed=0.2, crop_frames=crop, augment_flip=0)
        longest = config.longest(sizes)
        for size, most in zip(sizes, longest, strict=True):
            clip = np.zeros((size, 8, 8), np.uint8), np.zeros((4 * size, 80), np.float32)
            lengths = {len(augment(*clip, 4.0, config, np.random.default_rng(seed)).frames) for seed in range(200)}
            assert most - 2 <= max(lengths) <= most
    assert AugmentConfig().longest(sizes).tolist() == sizes.tolist()


def test_focus_looks_where_it_is_loud():
    video_frames, _ = _clip()
    target = np.full((200, 80), -10.0, np.float32)
    target[120:160] = 0
    found = {}
    for focus in (0.0, 1.0):
        config = AugmentConfig(crop_frames=10, crop_loud_prob=focus, augment_flip=0)
        samples = [augment(video_frames, target, 4.0, config, np.random.default_rng(s))[1] for s in range(200)]
        found[focus] = np.mean([(s > -5).any() for s in samples])
    assert found[1.0] == 1.0
    assert found[0.0] < 0.7


def test_hidden_runs_and_boxes():
    rng = np.random.default_rng(0)
    video_frames = rng.integers(0, 255, (50, 32, 32), dtype=np.uint8)
    target = np.zeros((200, 80), np.float32)
    frozen, *_ = augment(
        video_frames, target, 4.0, AugmentConfig(augment_flip=0, augment_time_mask=1.0), np.random.default_rng(3)
    )
    hidden = np.ptp(frozen.reshape(50, -1), axis=1) == 0
    assert 2 <= hidden.sum() <= 12
    np.testing.assert_array_equal(frozen[~hidden], video_frames[~hidden])
    boxed, *_ = augment(
        video_frames, target, 4.0, AugmentConfig(augment_flip=0, augment_erase=1.0), np.random.default_rng(3)
    )
    still = (boxed == boxed[0]).all(axis=0)
    assert 0.01 < still.mean() < 0.17


def test_flip_mirrors_every_frame():
    video_frames = np.random.default_rng(0).integers(0, 255, (5, 8, 8), dtype=np.uint8)
    flipped, *_ = augment(
        video_frames, np.zeros((20, 1), np.float32), 4.0, AugmentConfig(augment_flip=1.0), np.random.default_rng(0)
    )
    np.testing.assert_array_equal(flipped, video_frames[:, :, ::-1])


def test_spliced_samples_go_on_as_another_clip():
    """Video frames, target and words change at the same instant; a mate that is too short changes nothing."""
    first, second, short = (
        Sample(name, np.full((size, 4, 4), n, np.uint8), np.full((4 * size, 2), n, np.float32), np.full(size, n))
        for n, (name, size) in enumerate((("a", 10), ("b", 12), ("c", 5)))
    )
    cuts = set()
    for seed in range(50):
        sample = temporal_cutmix(first, second, 4.0, np.random.default_rng(seed))
        cut = int((sample.words == 0).sum())
        assert 1 <= cut < 10
        assert sample.words.tolist() == [0] * cut + [1] * (10 - cut)
        assert sample.frames[:, 0, 0].tolist() == sample.words.tolist()
        assert sample.target[::4, 0].tolist() == sample.words.tolist()
        assert temporal_cutmix(first, short, 4.0, np.random.default_rng(seed)) is first
        # 2.5 feature frames per video frame: the cut lies where a frame begins.
        paper = temporal_cutmix(
            Sample("a", first.frames, first.target[:25], first.words),
            Sample("b", second.frames, second.target[:30], second.words),
            2.5,
            np.random.default_rng(seed),
        )
        assert int((paper.words == 0).sum()) * 2.5 == (paper.target[:, 0] == 0).sum()
        cuts.add(cut)
    assert len(cuts) == 9


def test_short_clips_pass():
    p, t, _ = augment(
        np.zeros((1, 8, 8), np.uint8), np.zeros((4, 80), np.float32), 4.0, STRONG, np.random.default_rng(0)
    )
    assert len(p) == 1
    assert len(t) == 4


def test_of_states_only_time_changes():
    """The strongest augmentation of all cuts, stretches and hides states; it draws no video frame of them."""
    states = np.repeat(np.arange(50, dtype=np.float32)[:, None], 3, axis=1) * [1, 2, 3]
    states = states.astype(np.float32)
    before = states.copy()
    seen = set()
    for seed in range(20):
        s, _, places = augment(states, np.zeros((50, 1), np.float32), 1.0, STRONG, np.random.default_rng(seed))
        assert s.shape == (20, 3)
        assert s.dtype == np.float32
        np.testing.assert_allclose(s / [1, 2, 3], s[:, :1].repeat(3, 1), rtol=1e-5)
        hidden = np.abs(s[:, 0] - places.clip(0, 49)) > 1e-3
        seen.add(int(hidden.sum()))
    assert min(seen) == 0
    assert 1 < max(seen) <= 12
    np.testing.assert_array_equal(states, before)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("crop_frames", -5, "expected 0 or more, found -5"),
        ("crop_loud_prob", 1.5, "expected 0 to 1, found 1.5"),
        ("augment_cutmix", -0.1, "expected 0 to 1, found -0.1"),
        ("augment_speed", 1.0, "expected 0 to 0.9, found 1"),
        ("augment_shift", -1.0, "expected 0 or more, found -1"),
        ("augment_zoom", 8.0, "expected 0 to 1, found 8"),
        ("augment_rotate", float("nan"), "expected 0 to 180, found nan"),
        ("augment_flip", 2.0, "expected 0 to 1, found 2"),
        ("augment_brightness", 3.0, "expected 0 to 1, found 3"),
        ("augment_noise", -3.0, "expected 0 or more, found -3"),
        ("augment_erase", 4.0, "expected 0 to 1, found 4"),
        ("augment_erase_size", 2.0, "expected 0 to 1, found 2"),
        ("augment_time_mask", 6.0, "expected 0 to 1, found 6"),
        ("augment_time_mask_size", -1, "expected 0 or more, found -1"),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(key, value, told):
    with pytest.raises(LipsoundError, match=f"^{key}: {told}$"):
        AugmentConfig(**{key: value}).check()


def test_time_masks_need_a_size_and_none_need_none():
    with pytest.raises(
        LipsoundError, match=r"^augment_time_mask_size: expected 1 video frame or more, found 0; for no"
    ):
        AugmentConfig(augment_time_mask=0.3, augment_time_mask_size=0).check()
    video_frames, target = _clip()
    config = AugmentConfig(augment_flip=0, augment_time_mask_size=0)
    config.check()
    np.testing.assert_array_equal(augment(video_frames, target, 4.0, config, np.random.default_rng(0))[0], video_frames)


def test_the_strongest_augmentation_works():
    """Every key at its largest value, or a large one."""
    strongest = {**_LARGEST, "augment_shift": 40.0, "augment_noise": 90.0, "augment_time_mask_size": 60}
    video_frames, target = _clip()
    for seed in range(20):
        config = AugmentConfig(**strongest, crop_frames=20 * (seed % 2))
        config.check()
        frames, features, _ = augment(video_frames, target, 4.0, config, np.random.default_rng(seed))
        assert frames.shape[1:] == (32, 32)
        assert 20 <= len(frames) <= 500
        assert len(features) == 4 * len(frames)
