"""Assets of the task *regress*: the target, its statistics and mean, and the classes of the word head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lipsound2.audio.mel import MelConfig
from lipsound2.config import from_mapping, to_mapping
from lipsound2.data.archive import Archive
from lipsound2.data.npy import read_npy
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.datasets.word_alignment import WORDS_FILE, load_words, save_words
from lipsound2.errors import LipsoundError
from lipsound2.files import atomic_path
from lipsound2.tasks.recognizer_loss import RecognizerLoss
from lipsound2.timing import FRAME_RATE

TARGET_FILE, MEAN_FILE = "target.yaml", "mean_by_time.npy"
STATES = "features-"  # begins the names of kinds that hold a network's states, which are not normalized in the dump
ASSET_FILES = (TARGET_FILE, MEAN_FILE, WORDS_FILE)


@dataclass(frozen=True)
class Features:
    """A target that is no mel: features at the rate of the video frames, dumped by the verb `targets` or `features`.

    Attributes:
        name: of the kind in the dump.
        dims: dimensions.
    """

    name: str
    dims: int


def read_target(kind: Path) -> MelConfig | Features:
    """What an archive folder's features are.

    Raises:
        LipsoundError: it has no index, or holds neither a mel nor matrices.
    """
    features = Archive(kind)
    if "hop" in features.meta:
        return from_mapping(MelConfig, features.meta, f"{kind}/kind.yaml")
    first = features[features.ids[0]]
    if first.ndim != 2 or first.dtype.kind != "f":
        raise LipsoundError(f"{kind}: expected matrices of features, found {first.dtype} of shape {first.shape}")
    return Features(kind.name, first.shape[1])


@dataclass(frozen=True, eq=False)
class RegressAssets:
    """What the training set adds to the task's options.

    Attributes:
        target: what is predicted.
        words: classes of the word head; empty for a model without one.
        mean_by_time: (S, D) float32 mean of the training clips' mels at each time, the control `mean_mel`; None where
            the target is no mel.
        statistics: (D,) float32 mean and standard deviation of the training set; None where the target is normalized
            already, or the statistics are in the weights.
        mean_voice: (dims,) float32 average speaker embedding of the training set; None where the model is conditioned
            on no voice, or it is in the weights.
        recognizer: the recognizer's loss; None: not used, or not in training.
    """

    target: MelConfig | Features
    words: tuple[str, ...] = ()
    mean_by_time: np.ndarray | None = None
    statistics: tuple[np.ndarray, np.ndarray] | None = None
    mean_voice: np.ndarray | None = None
    recognizer: RecognizerLoss | None = None

    @property
    def mel(self) -> MelConfig:
        """The target's mel.

        Raises:
            LipsoundError: the target is other features, from which no audio can be made.
        """
        if isinstance(self.target, Features):
            raise LipsoundError(
                f"the model predicts '{self.target.name}', not a mel: it cannot speak; give one with 'target: mel-...'"
            )
        return self.target

    @property
    def dims(self) -> int:
        """Dimensions of a feature frame."""
        return self.target.dims if isinstance(self.target, Features) else self.target.bands

    @property
    def ratio(self) -> float:
        """Feature frames per video frame."""
        return 1.0 if isinstance(self.target, Features) else self.target.sample_rate / self.target.hop / FRAME_RATE

    def save(self, exp: Path) -> None:
        """Write target, mean at each time, and vocabulary."""
        write_yaml(exp / TARGET_FILE, to_mapping(self.target))
        if self.mean_by_time is not None:
            with atomic_path(exp / MEAN_FILE) as temporary:
                np.save(temporary, self.mean_by_time)
        save_words(exp, self.words)

    @classmethod
    def load(cls, exp: Path) -> RegressAssets:
        """Read what `save` wrote."""
        content, where = read_yaml(exp / TARGET_FILE), str(exp / TARGET_FILE)
        mel = "hop" in content
        target = from_mapping(MelConfig, content, where) if mel else from_mapping(Features, content, where)
        assets = cls(target, load_words(exp))
        if not (exp / MEAN_FILE).exists():
            return assets
        return replace(assets, mean_by_time=_read_mean(exp / MEAN_FILE, assets.dims))


def _read_mean(path: Path, bands: int) -> np.ndarray:
    """The training set's mean at each time, (S, bands) float32.

    Raises:
        LipsoundError: it is no such array.
    """
    again = "copy the experiment again or train again"
    mean = read_npy(path, again)
    if mean.dtype.kind != "f" or mean.ndim != 2 or mean.shape[1] != bands or not np.isfinite(mean).all():
        raise LipsoundError(
            f"{path}: expected numbers (times, {bands}) of a float type, found {mean.dtype} {mean.shape}; {again}"
        )
    return mean.astype(np.float32)
