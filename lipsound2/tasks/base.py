"""What the trainer knows of a task, and nothing else: data, model, loss, evaluation.

A task is a plain class listed in `tasks.TASKS`. It is built from the dataclasses it names in `options`, so that every
key of a config has exactly one owner and a task never reads the config file itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from lipsound2.data.datadir import DataDir

B = TypeVar("B", bound="Batch")


class Dataset(Protocol):
    """Clips by position. It is sent to worker processes: files are opened where they are read.

    Attributes:
        ids: clip ids.
        lengths: pictures of each clip as `get` returns it in training (after a random crop, say); they share out the
            batches.
    """

    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def lengths(self) -> Sequence[int] | np.ndarray: ...

    def get(self, index: int, rng: np.random.Generator | None) -> Any:
        """One sample.

        Args:
            index: position in `ids`.
            rng: the only source of chance of this sample, seeded by (seed, epoch, id); None in evaluation: no
                augmentation.
        """


class Batch(Protocol):
    """Collated samples. A method `pin_memory(self)` is called when there is one and the device is a GPU.

    Attributes:
        ids: clip ids.
        frames: pictures in all, without padding; what "frames/s" counts.
    """

    ids: list[str]
    frames: int

    def to(self: B, device: torch.device) -> B:
        """The same batch on `device`."""


@dataclass
class Loss:
    """The loss of one batch, before it is averaged.

    Attributes:
        total: () float32, the masked **sum** over everything that counts in the batch.
        weight: what the sum is to be divided by, such as the number of valid mel values. The trainer adds up both over
            accumulation and processes and divides once, so an update is the mean over all of its frames.
        parts: means of the loss' terms, for the log.
        critic: () float32, the same sum for the critic of an `Adversarial` task; None: it learns nothing from this
            batch.
    """

    total: Tensor
    weight: float
    parts: dict[str, float] = field(default_factory=dict)
    critic: Tensor | None = None


@dataclass
class Evaluation:
    """What a model reached on the validation set, free-running.

    Attributes:
        score: higher is better; it picks checkpoints and ends training.
        numbers: anything worth a column of `curves.tsv`.
        pictures: name -> (H, W, 3) uint8, for TensorBoard.
        sounds: name -> (samples,) float32 in [-1, 1] at the task's `sample_rate`, for TensorBoard.
    """

    score: float
    numbers: dict[str, float] = field(default_factory=dict)
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    sounds: dict[str, np.ndarray] = field(default_factory=dict)


class Task(Protocol):
    """Something to learn.

    Attributes:
        name: the value of `task:` in a config.
        free: keys of its config that have no part in the trained weights; an experiment may change them later.
    """

    name: ClassVar[str]
    free: ClassVar[frozenset[str]]

    @property
    def sample_rate(self) -> int:
        """Of the sounds of an evaluation, in Hz."""

    def __init__(self, *options: Any) -> None:
        """Made from one instance of each dataclass of `options`, in their order."""

    @classmethod
    def options(cls, values: Mapping[str, Any], where: str) -> Sequence[type[Any]]:
        """The dataclasses that own the config's keys besides the trainer's: the task's, and the model's.

        Args:
            values: the whole flat config, to look up which model is meant.
            where: the file, for messages.

        Raises:
            LipsoundError: no such model.
        """

    def config(self) -> dict[str, Any]:
        """Every key of `options`, resolved, flat: what an experiment stores."""

    def inputs(self, dump: Path) -> list[Path]:
        """The folders or files of `dump` the task reads; the stamp of a finished training depends on them."""

    def datasets(self, train: DataDir, valid: DataDir, dump: Path) -> tuple[Dataset, Dataset]:
        """Training and validation set. Statistics of the training set are computed here."""

    def save(self, exp: Path) -> None:
        """Write what later verbs need besides config and weights; called once, after `datasets`."""

    def restore(self, exp: Path) -> None:
        """Read what `save` wrote; stands in for `datasets` when nothing is trained."""

    def describe(self) -> dict[str, str]:
        """What goes in and what comes out, in words for the card of a pack: "Input", "Output"."""

    def collate(self, samples: list[Any]) -> Batch:
        """Samples to a padded batch; runs in worker processes."""

    def build(self) -> nn.Module:
        """The network with fresh weights; called after `datasets`."""

    def loss(self, model: nn.Module, batch: Any, progress: float) -> Loss:
        """Loss of one batch.

        Args:
            model: in training mode, bare: never wrapped, also in data-parallel training.
            batch: on the model's device.
            progress: share of the training that is done, in [0, 1], for schedules of the task's own. Chance comes from
                torch's global generators, which the checkpoint holds.
        """

    def evaluate(self, model: nn.Module, valid: Dataset, device: torch.device) -> Evaluation:
        """Free-running evaluation; the model is in evaluation mode and no gradient is kept."""


@runtime_checkable
class Adversarial(Protocol):
    """What a `Task` has besides when its network may learn against a second one, a critic.

    The critic exists in training and in checkpoints alone. Each of the two has an optimiser of its own, with the same
    options. Both losses come from one pass over a batch and both networks move at the end of the update, so that
    accumulating batches and sharing them among processes mean the same for both. (HiFi-GAN's own
    training moves the critics first and shows the network the moved ones.)
    """

    def critic(self) -> nn.Module | None:
        """The second network with fresh weights; called after `datasets`. None: there is none, only `loss` is used."""

    def duel(self, model: nn.Module, critic: nn.Module, batch: Any, progress: float) -> Loss:
        """Both losses of one batch; stands in for `loss`.

        The trainer takes the gradient of `Loss.total` with respect to the model alone, and that of `Loss.critic` with
        respect to the critic alone, so nothing needs to be detached.
        """
