"""How unlike the faces of the training set a face is, by the states of the model's trunk.

A clip is one point: the median of its trunk states over time, which some frames without a face hardly move. The
training clips' points are described by their mean, their spread in each dimension, and the directions in which they
vary most. The distance of a new point is that of Mahalanobis with a little ridge, in units of what training clips have
that were left out of the description. A clip of less than two seconds counts for less: its median depends on what is
said.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from torch import Tensor, nn
from tqdm import tqdm

from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.crop_cache import Frames
from lipsound2.errors import LipsoundError
from lipsound2.experiment import Experiment
from lipsound2.files import write_bytes
from lipsound2.models.modules.lip_trunk import LipTrunk
from lipsound2.tasks.base import AnyTask
from lipsound2.timing import FRAME_RATE

log = logging.getLogger(__name__)

FILE = "familiarity.safetensors"  # in an experiment or pack
# The distance from which a face counts as unlike. Between GRID's speaker s1, whom the model knows (held-out clips: 1.4
# at most but for a damaged one, 1.8 when made darker) and speakers it does not know (2.3 at least): grid/RESULTS.md.
LIMIT = 2.0
_LONG = 2 * FRAME_RATE  # video frames from which on a distance counts in full
_CLIPS = 800  # training clips that are looked at, evenly spread
_DIRECTIONS = 16  # in which the training clips vary most
_RIDGE = 0.1  # variance that is added everywhere, a share of the training clips' own
_FOLDS = 10  # in which training clips are left out
_USUAL = 0.9  # share of the clips left out whose distances are below 1


@dataclass(frozen=True, eq=False)
class Familiarity:
    """The training clips' points.

    Attributes:
        mean: (D,) float32.
        spread: (D,) float32, standard deviation in each dimension.
        directions: (K, D) float32, orthonormal, of the points divided by `spread`.
        variances: (K + 1,) float32, in these directions, and the mean of the others.
        unit: 90 % quantile of the distances of training clips that were left out, a fold at a time; packs made before
            30 November 2026 have the 99 % quantile of those that were not.
    """

    mean: np.ndarray
    spread: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    unit: float

    @classmethod
    def of(cls, points: np.ndarray) -> Familiarity:
        """Describe points.

        Args:
            points: (N, D) of training clips.

        Raises:
            LipsoundError: fewer than three points, of which nothing can be told.
        """
        if len(points) < 3:
            raise LipsoundError(f"expected three training clips or more to tell unlike faces by, found {len(points)}")
        folds = np.arange(len(points)) % _FOLDS
        apart: list[float] = []
        for fold in range(min(_FOLDS, len(points))):
            others = cls._described(points[folds != fold])
            apart += [others.distance(point) for point in points[folds == fold]]
        # 0: all clips are equal.
        return replace(cls._described(points), unit=float(np.quantile(apart, _USUAL)) or 1.0)

    @classmethod
    def _described(cls, points: np.ndarray) -> Familiarity:
        """Points (N, D), with distances as they come."""
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

        Nine in ten clips like these are below 1. By the packs that ship, of s1's windows of 5 to 35 frames 2 to 6 % are
        at `LIMIT` or above, of 40 to 50 frames 1 to 2 %, of 75 none. Of other speakers' all are from 40 frames on, and
        56 or 77 % of those of 25 (GRID's `valid`, `test` and `unseen`).

        Args:
            point: (D,), see `point_of`.
            frames: video frames that it is the point of.
        """
        normal = (point - self.mean) / self.spread
        along = self.directions @ normal
        rest = max(float(normal @ normal - along @ along), 0.0)
        weighed = float((along**2 / (self.variances[:-1] + _RIDGE)).sum()) + rest / float(self.variances[-1] + _RIDGE)
        return float(np.sqrt(weighed / len(normal) * min(1.0, frames / _LONG))) / self.unit

    def save(self, path: Path) -> None:
        """Write the file; some kB."""
        parts = {key: value for key, value in vars(self).items() if key != "unit"}
        write_bytes(path, save({**parts, "unit": np.array([self.unit], np.float32)}))

    @classmethod
    def load(cls, path: Path) -> Familiarity:
        """Read what `save` wrote.

        Raises:
            LipsoundError: it is no such file, or damaged.
        """
        try:
            parts = load_file(path)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise LipsoundError(
                f"{path}: cannot be read ({error}); copy the pack again, or delete the file to do without"
            ) from error
        names = ("mean", "spread", "directions", "variances", "unit")
        found = ", ".join(f"{key} {value.shape}" for key, value in sorted(parts.items())) or "nothing"
        advice = "copy the pack again, or delete the file to do without"
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


def point_of(states: Tensor) -> np.ndarray:
    """The point (D,) float64 of a clip, or of a window of one, from its trunk states (T, D)."""
    point: np.ndarray = np.median(states.double().cpu().numpy(), axis=0)
    return point


def trunk_of(model: nn.Module) -> LipTrunk | None:
    """The trunk whose states tell faces apart; None: the model has none."""
    trunk = getattr(getattr(model, "encoder", None), "trunk", None)
    return trunk if isinstance(trunk, LipTrunk) else None


def files_of(folder: Path) -> list[Path]:
    """The file of an experiment or pack, for fingerprints: how unlike faces are read depends on it; none if none."""
    return [path] if (path := folder / FILE).exists() else []


def told_of_export(folder: Path) -> list[str]:
    """What `export` says of an experiment or pack that can tell unlike faces: networks without torch cannot."""
    return ["unlike faces are neither told nor read by the statistics of their clip"] * len(files_of(folder))


def familiarity_of(loaded: Experiment[AnyTask]) -> Familiarity | None:
    """What an experiment or pack has to tell unlike faces by; None: nothing.

    Raises:
        LipsoundError: its file is damaged, or of another trunk.
    """
    path, trunk = loaded.path / FILE, trunk_of(loaded.model)
    if trunk is None or not path.exists():
        return None
    found = Familiarity.load(path)
    if len(found.mean) != trunk.outputs:
        raise LipsoundError(
            f"{path}: is of a trunk with {len(found.mean)} outputs, found {trunk.outputs}; copy it again, or delete it"
        )
    return found


def learn(loaded: Experiment[AnyTask], data: DataDir, dump: Path) -> Familiarity:
    """What tells the faces of a training set from others.

    Args:
        loaded: the trained model.
        data: its training set.
        dump: folder of the crops.

    Raises:
        LipsoundError: the model has no trunk of lips, or there are no crops.
    """
    trunk = trunk_of(loaded.model)
    if trunk is None:
        raise LipsoundError(f"{loaded.path}: has no trunk of lips, by whose states unlike faces are told")
    folder = loaded.task.inputs(dump)[0]
    archive = Archive(folder)
    names = [name for name in data.ids if name in archive]
    if not names:
        raise LipsoundError(f"{data.path}: none of its {len(data)} clips is in {folder}; run stage 1 on it")
    names = [names[round(place)] for place in np.linspace(0, len(names) - 1, min(len(names), _CLIPS))]
    frames = Frames(archive)
    points = []
    for name in tqdm(names, desc="familiarity", unit="clip", disable=None):
        clip = torch.from_numpy(np.ascontiguousarray(frames[name]))[None].to(loaded.device)
        with torch.no_grad():
            points.append(point_of(trunk(clip, torch.tensor([clip.shape[1]], device=loaded.device))[0]))
    return Familiarity.of(np.array(points))
