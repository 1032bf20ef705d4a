"""Which clips make up which update: a pure function of (seed, epoch), so it can be taken up at any update."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from lipsound2.errors import LipsoundError
from lipsound2.train_config import TrainConfig

# Clips whose lengths differ by less than this factor count as equally long, and are shuffled among each other.
_BUCKET = 1.1

# What a worker is asked for: (epoch, position of the clip in the data set).
Key = tuple[int, int]
# One batch of a process: positions of clips.
Positions = list[int]


def clip_rng(seed: int, epoch: int, clip: str) -> np.random.Generator:
    """The only source of randomness of a sample: the same whichever process asks, and in which order."""
    return np.random.default_rng([seed, epoch, zlib.crc32(clip.encode())])


class Updates:
    """The updates of every epoch: length-bucketed batches, shuffled, without loss or repetition.

    Args:
        lengths: video frames of each clip.
        config: `seed`, `batch_frames`, `batch_size`, `accumulate` and `sync_batch_norm` count.
        world: processes that share an update. With synchronized batch norm all of them need equally many batches: what
            does not go round is left out, in each epoch another part.

    Raises:
        LipsoundError: then there is not a batch for every process.
    """

    def __init__(self, lengths: Sequence[int] | np.ndarray, config: TrainConfig, world: int = 1) -> None:
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.config = config
        self.world = world
        self._cached: dict[int, list[list[Positions]]] = {}

    def epoch(self, epoch: int) -> list[list[Positions]]:
        """Updates of one epoch; each is a list of up to `accumulate x world` batches."""
        if epoch not in self._cached:
            rng = np.random.default_rng([self.config.seed, epoch])
            batches = self._batches(rng)
            rng.shuffle(batches)
            if self.config.sync_batch_norm:
                if len(batches) < self.world:
                    raise LipsoundError(
                        f"sync_batch_norm: {len(batches)} batches an epoch for {self.world} processes, wanted one for "
                        "each; make batches smaller (batch_size, batch_frames) or use fewer processes"
                    )
                batches = batches[: len(batches) - len(batches) % self.world]
            step = self.config.accumulate * self.world
            updates = [batches[start : start + step] for start in range(0, len(batches), step)]
            # Two epochs are in use at a time: the one that is trained, and the one that is being loaded ahead.
            self._cached = {**dict(list(self._cached.items())[-1:]), epoch: updates}
        return self._cached[epoch]

    def share(self, epoch: int, update: int, rank: int) -> list[Positions]:
        """What one process does of an update: every `world`-th batch; nothing at all when the last update is short."""
        return self.epoch(epoch)[update][rank :: self.world]

    def _batches(self, rng: np.random.Generator) -> list[Positions]:
        """All clips, in batches of about equal length that keep the two limits."""
        order = rng.permutation(len(self.lengths))
        bucket = np.floor(np.log(np.maximum(self.lengths[order], 1)) / np.log(_BUCKET))
        order = order[np.argsort(bucket, kind="stable")]
        batches: list[Positions] = []
        batch: Positions = []
        longest = 0
        for position in order.tolist():
            longest = max(longest, int(self.lengths[position]))
            full = longest * (len(batch) + 1) > self.config.batch_frames
            if batch and (full or len(batch) == self.config.batch_size):
                batches.append(batch)
                batch, longest = [], int(self.lengths[position])
            batch.append(position)
        return [*batches, batch] if batch else batches


class Stream(Sampler[list[Key]]):
    """The batches of one process from a given update on, epoch after epoch without end.

    One stream serves the whole training: workers live as long as it does and load ahead across the end of an epoch.
    """

    def __init__(self, updates: Updates, rank: int, epoch: int, position: int) -> None:
        self.updates, self.rank, self.start = updates, rank, (epoch, position)

    def __iter__(self) -> Iterator[list[Key]]:
        """Yield lists of keys."""
        epoch, position = self.start
        while True:
            for update in range(position, len(self.updates.epoch(epoch))):
                for batch in self.updates.share(epoch, update, self.rank):
                    yield [(epoch, clip) for clip in batch]
            epoch, position = epoch + 1, 0
