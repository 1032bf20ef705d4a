"""What tells the faces of a training set from others: learned with a model's trunk, and read from its folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.crop_cache import Frames
from lipsound2.errors import LipsoundError
from lipsound2.experiment import Experiment
from lipsound2.inference.familiarity import FILE, Familiarity, point_of
from lipsound2.models.modules.lip_trunk import LipTrunk
from lipsound2.progress import progress
from lipsound2.tasks.base import AnyTask

_CLIPS = 800  # training clips that are looked at, evenly spread


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
    archive = Archive(folder)
    names = [name for name in data.ids if name in archive]
    if not names:
        raise LipsoundError(f"{data.path}: none of its {len(data)} clips is in {folder}; run stage 1 on it")
    names = [names[round(place)] for place in np.linspace(0, len(names) - 1, min(len(names), _CLIPS))]
    frames = Frames(archive)
    points = []
    for name in progress(names, desc="familiarity", unit="clip"):
        clip = torch.from_numpy(np.ascontiguousarray(frames[name]))[None].to(loaded.device)
        with torch.no_grad():
            states = trunk(clip, torch.tensor([clip.shape[1]], device=loaded.device))[0]
            points.append(point_of(states.cpu().numpy()))
    return Familiarity.of(np.array(points))
