"""What tells the faces of a training set from others: learned with a model's trunk, and read from its folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.augment import AugmentConfig, augment
from lipsound2.datasets.crop_cache import Frames
from lipsound2.errors import LipsoundError
from lipsound2.experiment import Experiment
from lipsound2.inference.familiarity import FILE, Familiarity, point_of
from lipsound2.models.modules.lip_trunk import LipTrunk
from lipsound2.progress import progress
from lipsound2.tasks.base import AnyTask

_CLIPS = 400  # training clips that are looked at, evenly spread
_VIEWS = 400  # in another light, of all of them together; of few clips each is shown the more often
_MOST_VIEWS = 10  # of one clip
# Another light, place and camera, more than the training shows. Chosen on GRID: docs/results/phrases.md.
_ANOTHER = AugmentConfig(
    augment_shift=4, augment_zoom=0.15, augment_rotate=8, augment_brightness=0.45, augment_noise=8, augment_flip=0.5
)
_SIDE = 0.3  # by how much light is stronger on one side, and weaker on the other, at most


def trunk_of(model: nn.Module) -> LipTrunk | None:
    """The trunk whose states tell faces apart; None: the model has none."""
    trunk = getattr(getattr(model, "encoder", None), "trunk", None)
    return trunk if isinstance(trunk, LipTrunk) else None


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
    archive, rng = Archive(folder), np.random.default_rng(0)
    names = [name for name in data.ids if name in archive]
    if not names:
        raise LipsoundError(f"{data.path}: none of its {len(data)} clips is in {folder}; run stage 1 on it")
    names = [names[round(place)] for place in np.linspace(0, len(names) - 1, min(len(names), _CLIPS))]
    frames = Frames(archive)
    views = min(_MOST_VIEWS, -(-_VIEWS // len(names)))
    points, varied = [], []

    @torch.no_grad()
    def point(crops: np.ndarray) -> np.ndarray:
        clip = torch.from_numpy(np.ascontiguousarray(crops))[None].to(loaded.device)
        return point_of(trunk(clip, torch.tensor([clip.shape[1]], device=loaded.device))[0].cpu().numpy())

    for name in progress(names, desc="familiarity", unit="clip"):
        crops = frames[name]
        points.append(point(crops))
        varied.append([point(_in_another_light(crops, rng)) for _ in range(views)])
    return Familiarity.of(np.array(points), np.array(varied))


def _in_another_light(crops: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Crops (T, H, W) uint8 as another lamp and camera show them, the same for all video frames."""
    frames = augment(crops, np.zeros((len(crops), 1), np.float32), 1.0, _ANOTHER, rng).frames
    down, right = (1 + rng.uniform(-_SIDE, _SIDE) * np.linspace(-1, 1, side) for side in frames.shape[1:])
    lit: np.ndarray = np.rint(np.clip(frames * np.outer(down, right), 0, 255)).astype(np.uint8)
    return lit
