"""Batches of a training: every clip once, of like length, the same ones again."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lipsound2.train_config import TrainConfig
from lipsound2.training.sampler import Stream, Updates, clip_rng


@settings(max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=120),
    frames=st.integers(50, 900),
    size=st.integers(0, 9),
    accumulate=st.integers(1, 3),
    world=st.integers(1, 4),
    epoch=st.integers(0, 3),
)
def test_every_clip_once_within_limits(
    lengths: list[int], frames: int, size: int, accumulate: int, world: int, epoch: int
) -> None:
    config = TrainConfig(batch_frames=frames, batch_size=size, accumulate=accumulate)
    updates = Updates(lengths, config, world)
    shares = [
        [updates.share(epoch, update, rank) for rank in range(world)] for update in range(len(updates.epoch(epoch)))
    ]
    batches = [batch for update in shares for share in update for batch in share]
    assert sorted(itertools.chain(*batches)) == list(range(len(lengths))), "none dropped, none twice"
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[clip] for clip in batch) <= frames
        assert not size or len(batch) <= size
    for update in shares:
        counts = [len(share) for share in update]
        assert max(counts) <= accumulate
        assert max(counts) - min(counts) <= 1


def test_batches_hold_clips_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(20, 400, 2000).tolist()
    updates = Updates(lengths, TrainConfig(batch_frames=3000)).epoch(0)
    used = sum(lengths)
    padded = sum(len(batch) * max(lengths[clip] for clip in batch) for update in updates for batch in update)
    assert padded < 1.07 * used


def test_epochs_differ_and_repeat() -> None:
    first, second = (Updates([75] * 100, TrainConfig(batch_size=10)) for _ in range(2))
    assert first.epoch(0) == second.epoch(0)
    assert first.epoch(0) != first.epoch(1)
    assert Updates([75] * 100, TrainConfig(batch_size=10, seed=1)).epoch(0) != first.epoch(0)


def test_stream_is_taken_up_in_mid_epoch() -> None:
    updates = Updates(list(range(30, 90)), TrainConfig(batch_frames=300, accumulate=2), world=2)
    whole = list(itertools.islice(Stream(updates, 1, 0, 0), 60))
    skipped = sum(len(updates.share(0, update, 1)) for update in range(3))
    assert list(itertools.islice(Stream(updates, 1, 0, 3), 60 - skipped)) == whole[skipped:]


def test_chance_of_a_sample_depends_on_seed_epoch_and_id_only() -> None:
    draws = [clip_rng(*key).random() for key in ((0, 0, "a"), (0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b"))]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 4
