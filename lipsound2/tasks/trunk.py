"""Task *trunk*: a trunk that others published, without a network behind it. It begins trainings and has no own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from torch import Tensor, nn

from lipsound2.data.datadir import DataDir
from lipsound2.errors import LipsoundError
from lipsound2.models.modules.lip_trunk import LipTrunk, TrunkConfig
from lipsound2.tasks.base import Task

_WHY = (
    "the task 'trunk' is a published trunk alone; begin a training of another task with it: --init, init_only: [trunk]"
)


@dataclass(frozen=True)
class TrunkTaskConfig:
    """Keys of this task in a config.

    Attributes:
        input: kind of the crops that the trunk was trained on.
    """

    input: str = "mouth-published"


class TrunkAlone(nn.Module):
    """A trunk under the name that it has in every network."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.trunk = LipTrunk(config)

    def forward(self, video: Tensor, video_lengths: Tensor) -> Tensor:
        """See `LipTrunk`."""
        states: Tensor = self.trunk(video, video_lengths)
        return states


@dataclass(frozen=True)
class Trunk(Task[None, TrunkAlone, Any, Any]):
    """Weights to begin with, or to take states of; nothing is learned here. See `tasks.base.Task`."""

    name: ClassVar[str] = "trunk"

    settings: TrunkTaskConfig
    network: TrunkConfig

    def inputs(self, dump: Path) -> list[Path]:
        """None: it is not trained."""
        return []

    def prepare(self, train: DataDir, valid: DataDir, dump: Path) -> NoReturn:
        """Refused: there is nothing to learn.

        Raises:
            LipsoundError: always.
        """
        raise LipsoundError(_WHY)

    def restore(self, exp: Path) -> None:
        """Nothing: it has no assets."""

    def describe(self, assets: None) -> dict[str, str]:
        """Input and output, for the card of a pack."""
        return {
            "Input": f"`{self.settings.input}` crops, 25 frames a second",
            "Output": f"states of {self.network.trunk_widths[-1]} channels, one a video frame",
        }

    def build(self, assets: None) -> TrunkAlone:
        """The network with fresh weights."""
        return TrunkAlone(self.network)

    def collate(self, samples: list[Any]) -> NoReturn:
        """Never reached behind `prepare`."""
        raise LipsoundError(_WHY)

    def loss(self, model: TrunkAlone, batch: Any, assets: None, progress: float) -> NoReturn:
        """Never reached behind `prepare`."""
        raise LipsoundError(_WHY)

    def evaluate(self, model: TrunkAlone, valid: Any, assets: None, device: Any) -> NoReturn:
        """Never reached behind `prepare`."""
        raise LipsoundError(_WHY)
