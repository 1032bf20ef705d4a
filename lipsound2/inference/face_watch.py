"""Faces that are unlike those of the training set, while a model reads them: they are told, and read another way.

For such a face the trunk's batch norm takes the statistics of the clip instead of those of the training set. That takes
out what a whole clip has in common, such as light and skin (Schneider et al., "Improving robustness against common
corruptions by covariate shift adaptation", NeurIPS 2020). egs/grid/RESULTS.md has what it gives.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipsound2.experiment import Experiment
from lipsound2.inference.familiarity import LIMIT, familiarity_of, point_of, trunk_of
from lipsound2.models.modules.lip_trunk import LipTrunk
from lipsound2.tasks.base import AnyTask
from lipsound2.timing import FRAME_RATE

LEAST = FRAME_RATE  # video frames from which on a clip has batch statistics of its own


def with_clip_statistics(trunk: LipTrunk) -> LipTrunk:
    """The same trunk, whose batch norm takes the statistics of what it is shown.

    Weights are shared. It is another module, so that whoever reads with the first one meanwhile is not disturbed.
    """
    with torch.device("meta"):  # weights come from the other
        own = LipTrunk(trunk.config)
    own.load_state_dict(trunk.state_dict(), assign=True)
    own.eval()
    for part in own.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.train()
            part.track_running_stats = False  # those that are stored stay as they are
    return own


class FaceWatch:
    """Watches the trunk of a model as clips, or the windows of a clip, go through it; unlike faces go through it again.

    Args:
        loaded: a lip-to-speech model or a lip reader; of one without the file nothing can be told, and nothing changes.

    Attributes:
        unlike: whether the face is unlike, for each clip or window that went through since it was cleared; empty where
            nothing can be told.
    """

    def __init__(self, loaded: Experiment[AnyTask]) -> None:
        self._familiarity, trunk = familiarity_of(loaded), trunk_of(loaded.model)
        self._name = loaded.path.name
        self._farthest: float | None = None
        self.unlike: list[bool] = []
        if trunk is not None and self._familiarity is not None:
            self._own = with_clip_statistics(trunk)
            trunk.register_forward_hook(self._look)

    def begin(self) -> None:
        """A new clip begins."""
        self._farthest = None

    def _look(self, trunk: LipTrunk, given: tuple[Tensor, Tensor], states: Tensor) -> Tensor:
        """The states (B, T, D) of a batch, those of unlike faces with statistics of their own."""
        assert self._familiarity is not None
        video, lengths = given
        for row, length in enumerate(lengths.tolist()):
            distance = self._familiarity.distance(point_of(states[row, :length]), length)
            self._farthest = max(distance, self._farthest or 0.0)
            self.unlike.append(distance >= LIMIT)
            if length >= LEAST and self.unlike[-1]:
                states = states.clone()
                states[row, :length] = self._own(video[row : row + 1, :length], lengths[row : row + 1])[0]
        return states

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
        return [] if distance is None or distance < LIMIT else [warning(self._name, distance)]


def warning(model: str, distance: float) -> str:
    """The line that tells of an unlike face.

    Args:
        model: name of the model.
        distance: see `Familiarity.distance`.
    """
    return (
        f"this face is unlike those that {model} learned from (distance {distance:.1f}, limit {LIMIT:g}): "
        "expect wrong words"
    )
