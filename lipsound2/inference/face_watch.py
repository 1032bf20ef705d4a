"""Faces that are unlike those of the training set, while a model reads them: they are told, and read another way.

For such a face the trunk's batch norm takes the statistics of the clip instead of those of the training set. That takes
out what a whole clip has in common, such as light and skin (Schneider et al., "Improving robustness against common
corruptions by covariate shift adaptation", NeurIPS 2020). docs/results/unseen.md has what it gives.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipsound2.experiment import Experiment
from lipsound2.inference.familiar_faces import familiarity_of, trunk_of
from lipsound2.inference.familiarity import WatchedFace
from lipsound2.models.modules.lip_trunk import LipTrunk
from lipsound2.tasks.base import AnyTask


def with_clip_statistics(trunk: LipTrunk) -> LipTrunk:
    """The same trunk, whose batch norm takes the statistics of what it is shown.

    Weights are shared. It is another module, so that whoever reads with the first one meanwhile is not disturbed.
    """
    with torch.device("meta"):  # weights come from the other
        own = LipTrunk(trunk.config)
    own.load_state_dict(trunk.state_dict(), assign=True)
    for part in own.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.track_running_stats = False
            part.running_mean = part.running_var = part.num_batches_tracked = None
    return own.eval()


class FaceWatch:
    """Watches the trunk of a model as clips, or the windows of a clip, go through it; unlike faces go through it again.

    Args:
        loaded: a lip-to-speech model or a lip reader; of one without the file nothing can be told, and nothing changes.

    Attributes:
        face: of the clip.
    """

    def __init__(self, loaded: Experiment[AnyTask]) -> None:
        self.face, trunk = WatchedFace(familiarity_of(loaded), loaded.path.name), trunk_of(loaded.model)
        if trunk is not None and self.face.known is not None:
            self._own = with_clip_statistics(trunk)
            trunk.register_forward_hook(self._look)

    def _look(self, trunk: LipTrunk, given: tuple[Tensor, Tensor], states: Tensor) -> Tensor:
        """The states (B, T, D) of a batch, those of unlike faces with statistics of their own."""
        video, lengths = given
        for row, length in enumerate(lengths.tolist()):
            if self.face.look(states[row, :length].cpu().numpy()):
                states = states.clone()
                states[row, :length] = self._own(video[row : row + 1, :length], lengths[row : row + 1])[0]
        return states
