"""How unlike the faces of the training set a face is, by the states of the model's trunk.

A clip is one point: the median of its trunk states over time, which some frames without a face hardly move. The
points of training clips, as they are and in another light, are described by their mean, their spread in each
dimension, and the directions in which they vary most. The distance of a new point is that of Mahalanobis with a little
ridge, in units of what training clips in another light have that were left out of the description. A clip of less than
two seconds counts for less: its median depends on what is said. Torch is not imported: exported networks tell unlike
faces, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lipsound2.errors import LipsoundError
from lipsound2.files import write_bytes
from lipsound2.timing import FRAME_RATE

FILE = "familiarity.safetensors"  # in an experiment or pack
# The distance from which a face counts as unlike. Nine in ten training clips in another light are below.
LIMIT = 2.0
LEAST = FRAME_RATE  # video frames from which on a clip has batch statistics of its own
_LONG = 2 * FRAME_RATE  # video frames from which on a distance counts in full
_SHORT = 0.75  # exponent of what share of them a shorter clip has
_DIRECTIONS = 64  # in which the training clips vary most
_RIDGE = 0.1  # variance that is added everywhere, a share of the training clips' own
_FOLDS = 10  # in which training clips are left out
_USUAL = 0.9  # share of the clips left out that are below the limit in another light
_ADVICE = "copy the pack again, or delete the file to do without"


@dataclass(frozen=True, eq=False)
class Familiarity:
    """The training clips' points.

    Attributes:
        mean: (D,) float32.
        spread: (D,) float32, standard deviation in each dimension.
        directions: (K, D) float32, orthonormal, of the points divided by `spread`.
        variances: (K + 1,) float32, in these directions, and the mean of the others.
        unit: such that nine in ten training clips in another light that were left out, a fold at a time, are below
            `LIMIT`. Files of before 30 November 2026 know one light alone: of theirs nine in ten are below 1 there.
    """

    mean: np.ndarray
    spread: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    unit: float

    @classmethod
    def of(cls, points: np.ndarray, varied: np.ndarray) -> Familiarity:
        """Describe points.

        Args:
            points: (N, D) of training clips.
            varied: (N, V, D) of the same clips, each V times in another light.

        Raises:
            LipsoundError: fewer than three points, of which nothing can be told.
        """
        if len(points) < 3:
            raise LipsoundError(f"expected three training clips or more to tell unlike faces by, found {len(points)}")
        folds = np.arange(len(points)) % _FOLDS
        apart: list[float] = []
        for fold in range(min(_FOLDS, len(points))):
            others = cls._described(points[folds != fold], varied[folds != fold])
            apart += [others.distance(point) for point in np.concatenate(varied[folds == fold])]
        # 0: all clips are equal.
        return replace(cls._described(points, varied), unit=float(np.quantile(apart, _USUAL)) / LIMIT or 1.0)

    @classmethod
    def _described(cls, points: np.ndarray, varied: np.ndarray) -> Familiarity:
        """Points, with distances as they come."""
        points = np.concatenate([points, *varied])
        mean, spread = points.mean(0), points.std(0) + 1e-6
        values, vectors = np.linalg.eigh(np.cov(((points - mean) / spread).T))
        count = min(_DIRECTIONS, len(points) - 1, len(mean))
        # Rounding makes variances of nothing slightly negative.
        values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
        rest = values[count:].mean() if count < len(values) else 0.0
        return cls(
            mean.astype(np.float32),
            spread.astype(np.float32),
            np.ascontiguousarray(vectors[:, :count].T, np.float32),
            np.append(values[:count], rest).astype(np.float32),
            1.0,
        )

    def distance(self, point: np.ndarray, frames: int = _LONG) -> float:
        """Distance of a clip, or of a window of one, from the training clips, 0 and more.

        By the packs that ship, of s1's windows of 15 to 50 frames 2 to 16 % are at `LIMIT` or above, of 75 none. Of
        other speakers' all are from 35 frames on, and 7 in 10 of those of 25 (GRID's `test` and `unseen`).

        Args:
            point: (D,), see `point_of`.
            frames: video frames that it is the point of.
        """
        normal = (point - self.mean) / self.spread
        along = self.directions @ normal
        rest = max(float(normal @ normal - along @ along), 0.0)
        weighed = float((along**2 / (self.variances[:-1] + _RIDGE)).sum()) + rest / float(self.variances[-1] + _RIDGE)
        return float(np.sqrt(weighed / len(normal))) * min(1.0, frames / _LONG) ** _SHORT / self.unit

    def distance_of(self, states: np.ndarray) -> float:
        """The same of trunk states (T, D)."""
        return self.distance(point_of(states), len(states))

    def to_bytes(self) -> bytes:
        """The content of the file; some kB."""
        parts = {key: value for key, value in vars(self).items() if key != "unit"}
        return save({**parts, "unit": np.array([self.unit], np.float32)})

    def save(self, path: Path) -> None:
        """Write the file."""
        write_bytes(path, self.to_bytes())

    @classmethod
    def load(cls, path: Path) -> Familiarity:
        """Read what `save` wrote.

        Raises:
            LipsoundError: it is no such file, or damaged.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise LipsoundError(f"{path}: cannot be read ({error}); {_ADVICE}") from error
        return cls.from_bytes(content, str(path))

    @classmethod
    def from_bytes(cls, content: bytes, path: str, advice: str = _ADVICE) -> Familiarity:
        """Read what `to_bytes` made.

        Args:
            content: of the file.
            path: where it comes from, for messages.
            advice: what to do where it is damaged, likewise.

        Raises:
            LipsoundError: it is no such content, or damaged.
        """
        try:
            parts = load(content)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise LipsoundError(f"{path}: cannot be read ({error}); {advice}") from error
        names = ("mean", "spread", "directions", "variances", "unit")
        found = ", ".join(f"{key} {value.shape}" for key, value in sorted(parts.items())) or "nothing"
        if {*parts} != {*names}:
            raise LipsoundError(f"{path}: expected {', '.join(names)} of training clips, found {found}; {advice}")
        if parts["directions"].ndim != 2 or 0 in parts["directions"].shape:
            raise LipsoundError(f"{path}: is damaged: expected directions (K, D), found {found}; {advice}")
        count, size = parts["directions"].shape
        shapes = {"mean": (size,), "spread": (size,), "variances": (count + 1,), "unit": (1,)}
        for name, shape in shapes.items():
            if parts[name].shape != shape:
                raise LipsoundError(f"{path}: is damaged: expected {name} {shape}, found {found}; {advice}")
        for name, values in parts.items():
            if values.dtype.kind != "f" or not np.isfinite(values).all():
                wanted, what = "finite numbers with a fraction", f"others ({values.dtype})"
            elif name in ("spread", "unit") and values.min() <= 0:
                wanted, what = "numbers above 0", f"{values.min():g}"
            elif name == "variances" and values.min() < 0:  # 0: clips that are all equal
                wanted, what = "0 and more", f"{values.min():g}"
            else:
                continue
            raise LipsoundError(f"{path}: is damaged: expected {wanted} as {name}, found {what}; {advice}")
        return cls(parts["mean"], parts["spread"], parts["directions"], parts["variances"], float(parts["unit"][0]))


class WatchedFace:
    """How unlike those of the training set the face of a clip is, window by window.

    Args:
        known: what the model has to tell it by; None: it is not looked at.
        model: its name, for the warning.

    Attributes:
        unlike: whether the face is unlike, for each clip or window that was looked at since it was cleared; empty where
            nothing can be told.
    """

    def __init__(self, known: Familiarity | None, model: str) -> None:
        self.known, self._model = known, model
        self._farthest: float | None = None
        self.unlike: list[bool] = []

    def begin(self) -> None:
        """A new clip begins."""
        self._farthest = None
        self.unlike.clear()

    def look(self, states: np.ndarray) -> bool:
        """Look at trunk states (T, D). Whether they are to be made again, with batch statistics of their own."""
        assert self.known is not None
        distance = self.known.distance_of(states)
        self._farthest = max(distance, self._farthest or 0.0)
        self.unlike.append(distance >= LIMIT)
        return self.unlike[-1] and len(states) >= LEAST

    @property
    def mostly_unlike(self) -> bool:
        """Whether it is, in most of the windows that were looked at since `unlike` was cleared."""
        return 2 * sum(self.unlike) > len(self.unlike)

    @property
    def distance(self) -> float | None:
        """The largest distance of a window of the clip so far, see `Familiarity.distance`; None: it cannot be told.

        Not their mean: a clip may show somebody known, and a stranger.
        """
        return self._farthest

    @property
    def warnings(self) -> list[str]:
        """A line if the face of the clip is unlike; else none."""
        distance = self.distance
        return [] if distance is None or distance < LIMIT else [warning(self._model, distance)]


def warning(model: str, distance: float) -> str:
    """The line that tells of an unlike face.

    Args:
        model: name of the model.
        distance: see `Familiarity.distance`.
    """
    return (
        f"this face is unlike those that {model} learned from (distance {distance:.1f}, limit {LIMIT:g}): "
        "expect wrong words, however sure it seems"
    )


def point_of(states: np.ndarray) -> np.ndarray:
    """The point (D,) float64 of a clip, or of a window of one, from its trunk states (T, D)."""
    point: np.ndarray = np.median(states.astype(np.float64), axis=0)
    return point


def files_of(folder: Path) -> list[Path]:
    """The file of an experiment or pack, for fingerprints: how unlike faces are read depends on it; none if none."""
    return [path] if (path := folder / FILE).exists() else []
