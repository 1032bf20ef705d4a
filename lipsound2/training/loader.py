"""Batches from worker processes, and their failures in one line."""

from __future__ import annotations

import functools
import shutil
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from lipsound2.errors import ClipFailure, LipsoundError, is_machine_error
from lipsound2.tasks.base import AnyTask, Dataset
from lipsound2.training.sampler import Key, Stream, clip_rng
from lipsound2.training.scratch import scratch_folder, use_scratch

_DEATHS = ("killed by signal", "exited unexpectedly")


@dataclass
class _Failure:
    """What went wrong in a worker, on its way to the training process."""

    error: LipsoundError | OSError | MemoryError


@contextmanager
def _reading(clip: str) -> Iterator[None]:
    """A block that reads a clip: what is wrong with it is one line with its name.

    Raises:
        LipsoundError: the clip cannot be read.
        OSError, MemoryError: the machine's error: no clip is to blame, and the next one would fail too.
    """
    try:
        yield
    except (LipsoundError, ClipFailure, OSError, MemoryError) as error:
        cause = error if isinstance(error, OSError | MemoryError) else error.__cause__
        if cause is None or not is_machine_error(cause):
            raise LipsoundError(f"{clip}: {error}; make it again, or take it out of the data dir") from error
        if isinstance(cause, OSError) and cause.filename is None:
            # So that the message says where, and `_is_death` that no process is meant. (PyAV's names cannot be set.)
            raise OSError(cause.errno, cause.strerror, clip) from None
        raise cause from None


class ValidationClips:
    """The validation set as an evaluation sees it: the data set itself, with names for clips that cannot be read."""

    def __init__(self, clips: Any) -> None:
        self._clips = clips

    def __getattr__(self, name: str) -> Any:
        """What the data set has besides: ids, lengths and more."""
        return getattr(self._clips, name)

    def __len__(self) -> int:
        return len(self._clips)

    def get(self, index: int, rng: np.random.Generator | None) -> Any:
        """See `tasks.base.Dataset`."""
        with _reading(f"clip {self._clips.ids[index]} of the validation set"):
            return self._clips.get(index, rng)

    def waveform(self, name: str) -> Any:
        """See `datasets.video_to_features.CropsAndFeatures`."""
        with _reading(f"clip {name} of the validation set"):
            return self._clips.waveform(name)


class _Clips(TorchDataset[Any]):
    """The task's data set, with each sample's random generator."""

    def __init__(self, clips: Dataset, seed: int) -> None:
        self.clips, self.seed = clips, seed

    def __getitem__(self, key: Key) -> Any:
        epoch, position = key
        clip = self.clips.ids[position]
        try:
            with _reading(f"clip {clip} of the training set"):
                return self.clips.get(position, clip_rng(self.seed, epoch, clip))
        except (LipsoundError, OSError, MemoryError) as error:
            return _Failure(error)


class _Collate:
    """The task's collate, unless a sample failed."""

    def __init__(self, task: AnyTask) -> None:
        self.task = task

    def __call__(self, samples: list[Any]) -> Any:
        failures = [sample for sample in samples if isinstance(sample, _Failure)]
        return failures[0] if failures else self.task.collate(samples)


class Batches:
    """The batches of this process, in the order of a stream.

    Args:
        task: gives `collate`.
        clips: the training set.
        stream: which clips, from where on.
        seed: of the samples' random generators.
        workers: processes that load; 0: this one.
        device: batches for a GPU are pinned.
    """

    def __init__(
        self, task: AnyTask, clips: Dataset, stream: Stream, seed: int, workers: int, device: torch.device
    ) -> None:
        self._scratch = scratch_folder() if workers else None
        self._loader = DataLoader(
            _Clips(clips, seed),
            batch_sampler=stream,
            collate_fn=_Collate(task),
            num_workers=workers,
            worker_init_fn=functools.partial(_begin, self._scratch) if self._scratch else None,
            pin_memory=device.type == "cuda",
            # The loader draws a seed for its workers: not from the generator that training draws from.
            generator=torch.Generator(),
        )
        self._batches: Iterator[Any] | None = None

    def next(self) -> Any:
        """The next batch.

        Raises:
            LipsoundError: a clip cannot be read.
            OSError, MemoryError: an error of the machine.
        """
        if self._batches is None:
            self._batches = iter(self._loader)
        batch = next(self._batches)
        if isinstance(batch, _Failure):
            raise batch.error
        return batch

    def __enter__(self) -> Batches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers. The death of one, which torch raises wherever the program is, is one line of error.

        Raises:
            LipsoundError: a worker died.
        """
        try:
            self._batches = None
            # The frames of an error hold the loader too, and while it lives torch may raise a worker's death again,
            # in the middle of whatever the program does next.
            traceback.clear_frames(trace)
        except RuntimeError as late:
            error = error or late
        finally:
            if self._scratch:
                shutil.rmtree(self._scratch, ignore_errors=True)
        if _is_death(error):
            raise LipsoundError(
                f"a process that loads clips ended by itself ({' '.join(str(error).split())}); if memory ran out, set "
                "fewer 'workers' or less 'batch_frames'; the same command goes on from the last checkpoint"
            ) from error


def _is_death(error: BaseException | None) -> bool:
    """Whether this is how a loader tells that one of its processes is gone: by its name, or by a broken connection."""
    died = isinstance(error, RuntimeError) and any(words in str(error) for words in _DEATHS)
    # An error of a file server is about a file.
    return died or (isinstance(error, ConnectionError | EOFError) and getattr(error, "filename", None) is None)


def _begin(scratch: Path, worker: int) -> None:
    """Leave it to the training process to answer Ctrl-C and SIGTERM, and to clear up; it ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    use_scratch(scratch)
