"""What the trainer knows of a task, and nothing else: data, model, loss, evaluation.

A task is a class listed in `tasks.TASKS`. Its object holds options alone: frozen dataclasses whose fields are the keys
of a config. Every key has exactly one owner, and a task never reads the config file itself. What the training data
adds, such as a tokenizer, are the task's *assets*, a frozen dataclass. `prepare` makes it from data, `save` writes it
into the experiment, and `restore` reads it from there.
"""

from __future__ import annotations

import dataclasses
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from lipsound2.config import to_mapping
from lipsound2.data.datadir import DataDir
from lipsound2.model_uses import use_of
from lipsound2.models import registry
from lipsound2.timing import SAMPLE_RATE


class Dataset(Protocol):
    """Clips by position. It is sent to worker processes, so it opens files only when it reads them.

    A training that goes on has to have the same ids, and the same `offsets`, a numpy array, if it has some.

    Attributes:
        ids: clip ids.
        lengths: the most video frames that `get` returns of each clip (after a random crop, say, and slowed down);
            batches are made by them.
    """

    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def lengths(self) -> Sequence[int] | np.ndarray: ...

    def get(self, index: int, rng: np.random.Generator | None) -> Any:
        """One sample.

        Args:
            index: position in `ids`.
            rng: the sample's only source of randomness, seeded by (seed, epoch, id); None in evaluation: no
                augmentation.
        """


class Batch(Protocol):
    """Collated samples. On a GPU its method `pin_memory(self)` is called, if it has one.

    Attributes:
        ids: clip ids.
        num_frames: number of video frames without padding; "frames/s" in the log counts them.
    """

    ids: list[str]

    @property
    def num_frames(self) -> int: ...

    def to(self, device: torch.device) -> Self:
        """The same batch on `device`."""


AssetsT = TypeVar("AssetsT")
ModelT = TypeVar("ModelT", bound=nn.Module)
DatasetT = TypeVar("DatasetT", bound=Dataset)
BatchT = TypeVar("BatchT", bound=Batch)


class Prepared(NamedTuple, Generic[DatasetT, AssetsT]):
    """Data sets and assets of a training.

    Attributes:
        train: training set.
        valid: validation set.
        assets: what the training set adds to the task's options.
    """

    train: DatasetT
    valid: DatasetT
    assets: AssetsT


@dataclass
class Loss:
    """The loss of one batch, before it is averaged.

    Attributes:
        total: () float32, the masked **sum** over the batch.
        weight: divisor of the sum, such as the number of valid mel values. The trainer adds up both over accumulated
            batches and processes, and divides once: an update's loss is the mean over all of its frames.
        parts: means of the loss' terms, for the log.
        discriminator: () float32, the same sum for the discriminator of an `Adversarial` task; None: the discriminator
            is not trained on this batch.
    """

    total: Tensor
    weight: float
    parts: dict[str, float] = field(default_factory=dict)
    discriminator: Tensor | None = None


@dataclass
class Evaluation:
    """Results on the validation set, free-running.

    Attributes:
        score: higher is better; checkpoints are chosen by it, and early stopping watches it.
        numbers: further columns of `curves.tsv`.
        images: name -> (H, W, 3) uint8, for TensorBoard.
        audio: name -> (samples,) float32 in [-1, 1], for TensorBoard.
        sample_rate: of the audio, in Hz.
    """

    score: float
    numbers: dict[str, float] = field(default_factory=dict)
    images: dict[str, np.ndarray] = field(default_factory=dict)
    audio: dict[str, np.ndarray] = field(default_factory=dict)
    sample_rate: int = SAMPLE_RATE


@dataclass(frozen=True)
class Task(ABC, Generic[AssetsT, ModelT, DatasetT, BatchT]):
    """Base of tasks. A task is a frozen dataclass; each of its fields is a dataclass of keys of the config.

    The field `settings` holds the task's own keys. Where one of these is `model`, the field `network` holds the sizes
    of the network that `models.registry` has under that name.

    Attributes:
        name: the value of `task:` in a config.
        free: keys of its config that the trained weights do not depend on; they may be changed later.
        files: names of what `save` may write.
    """

    name: ClassVar[str]
    free: ClassVar[frozenset[str]] = frozenset()
    files: ClassVar[tuple[str, ...]] = ()

    def usage(self, name: Path | str) -> str:
        """The command that uses a model of this task, of this folder or name."""
        return use_of(self.name, self.config()).of(name)

    @classmethod
    def options(cls, values: Mapping[str, Any], where: str) -> list[type[Any]]:
        """The dataclasses that own the config's keys besides the trainer's: the types of the fields, in their order.

        Args:
            values: the whole flat config, to look up which model is meant.
            where: the file, for messages.

        Raises:
            LipsoundError: no such model.
        """
        types = typing.get_type_hints(cls)
        found = {each.name: types[each.name] for each in dataclasses.fields(cls)}
        default = getattr(found["settings"], "model", None)
        if default is not None:
            found["network"] = registry.find(cls.name, values.get("model", default), where).config_class()
        return list(found.values())

    def config(self) -> dict[str, Any]:
        """Every key of `options`, resolved, flat: what an experiment stores."""
        return to_mapping(*(getattr(self, each.name) for each in dataclasses.fields(self)))

    @abstractmethod
    def inputs(self, dump: Path) -> list[Path]:
        """Folders and files that the task reads; the fingerprint of a finished training depends on them."""

    def networks(self) -> list[str]:
        """Experiments or packs, or names of them, whose networks the loss needs. They are not trained."""
        return []

    def equipped(self, assets: AssetsT, networks: Sequence[nn.Module]) -> AssetsT:
        """Assets with the networks that `networks` names, in evaluation mode; for training alone."""
        return assets

    def check_training(self) -> None:
        """Check settings before a training. (What an earlier version trained with them is still read.)

        Raises:
            LipsoundError: one of them cannot be trained with.
        """

    @abstractmethod
    def prepare(self, train: DataDir, valid: DataDir, dump: Path) -> Prepared[DatasetT, AssetsT]:
        """Training set, validation set, and the assets, which come from the training set."""

    def save(self, assets: AssetsT, exp: Path) -> None:
        """Write the assets that later verbs need beside config and weights."""

    @abstractmethod
    def restore(self, exp: Path) -> AssetsT:
        """Read what `save` wrote; at inference it takes the place of `prepare`."""

    @abstractmethod
    def describe(self, assets: AssetsT) -> dict[str, str]:
        """Input and output of the model in words, for the card of a pack: "Input", "Output"."""

    @abstractmethod
    def collate(self, samples: list[Any]) -> BatchT:
        """Samples to a padded batch; runs in worker processes."""

    @abstractmethod
    def build(self, assets: AssetsT) -> ModelT:
        """The network with fresh weights."""

    @abstractmethod
    def loss(self, model: ModelT, batch: BatchT, assets: AssetsT, progress: float) -> Loss:
        """Loss of one batch.

        Args:
            model: in training mode, bare: never wrapped, also in data-parallel training.
            batch: on the model's device.
            assets: of the training.
            progress: share of the training that is done, in [0, 1], for schedules of the task's own. Random numbers
                come from torch's global generators, whose state checkpoints hold.
        """

    @abstractmethod
    def evaluate(self, model: ModelT, valid: DatasetT, assets: AssetsT, device: torch.device | str) -> Evaluation:
        """Free-running evaluation; the model is in evaluation mode, without gradients."""


@dataclass(frozen=True)
class Adversarial(Task[AssetsT, ModelT, DatasetT, BatchT]):
    """A task whose model, the generator, may be trained against a discriminator.

    The discriminator exists in training and in checkpoints alone. Generator and discriminator have optimizers of their
    own, with the same options. Both losses come from one pass over a batch, and both optimizers step at the end of the
    update, so that accumulation and data parallelism mean the same for both. (HiFi-GAN's own training steps the
    discriminators first, and the generator's loss comes from the updated ones.)
    """

    @abstractmethod
    def discriminator(self) -> nn.Module | None:
        """The discriminator with fresh weights. None: there is none, and `loss` is used."""

    @abstractmethod
    def adversarial_loss(
        self, model: ModelT, discriminator: Any, batch: BatchT, assets: AssetsT, progress: float
    ) -> Loss:
        """Losses of generator and discriminator for one batch; takes the place of `loss`.

        The trainer takes the gradient of `Loss.total` for the generator alone, and that of `Loss.discriminator` for the
        discriminator alone. So nothing needs to be detached.
        """


AnyTask = Task[Any, Any, Any, Any]
