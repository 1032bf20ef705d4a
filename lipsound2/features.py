"""The verb `features`: what a trained network makes of the lips, a vector a picture, for whatever is built on it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from lipsound2 import experiment
from lipsound2.archive import Archive
from lipsound2.datadir import DataDir
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.jobs import Worker, dump_clips
from lipsound2.models.lip_encoder import LipEncoder
from lipsound2.models.lip_trunk import LipTrunk
from lipsound2.shards import hash_of
from lipsound2.tasks.pictures import Pictures

log = logging.getLogger(__name__)

Layer = Literal["trunk", "encoder"]


def features(
    exp: str,
    dir: Path,
    dump: Path,
    *,
    name: str = "",
    layer: Layer = "trunk",
    nj: int = 2,
    ngpu: int = 0,
    launcher: str = "local",
    max_failures: float = 0.05,
    shard_size: int = 100,
) -> None:
    """Write the states of a network for every clip: DUMP/features-NAME, a Kaldi archive of (pictures, width) matrices.

    Its kind can stand for the crops in a config (`input: features-NAME`): what is behind a frozen trunk is then trained
    without computing the trunk again. Clips are shown as they are, not augmented.

    Args:
        exp: experiment or pack with a trunk: of LiRA's pretext, a lip reader, the parallel model.
        dir: data dir of the clips.
        dump: folder of the crops, and of what is written.
        name: of the kind; empty: the experiment's.
        layer: trunk (conv3D + ResNet, what LiRA passes on), or encoder (behind the Conformer).
        nj: worker processes.
        ngpu: GPUs to use: 0 or 1 (then one worker).
        launcher: where workers run.
        max_failures: share of clips that may fail before the stage does.
        shard_size: clips to a shard, the unit of resuming.
    """
    path = experiment.find(exp)
    make = MakeFeatures(path, dump, f"features-{name or path.resolve().name}", layer, ngpu)
    make.check()
    crops = Archive(make.crops)
    ids = [clip for clip in DataDir(dir).ids if clip in crops]
    if not ids:
        raise LipsoundError(f"{dir}: none of its clips is in {make.crops}; run stage 1 on it")
    weights = path / experiment.WEIGHTS
    done = dump_clips(
        dump,
        {make.kind: {"kind": "features", "experiment": path.resolve().name, "layer": layer, "rate": 25}},
        ids,
        make,
        step=make.kind,
        fingerprint={"weights": hash_of(weights.stat().st_size, weights.stat().st_mtime_ns), "layer": layer},
        inputs={clip: str(make.crops / "shards.sha256") for clip in ids},
        nj=1 if ngpu else nj,
        launcher=launcher,
        max_failures=max_failures,
        shard_size=shard_size,
    )
    if not done.done:
        log.info("%s is there already: skipped", dump / make.kind)


@dataclass(frozen=True)
class MakeFeatures:
    """Makes the worker that shows clips to the network; picklable.

    Attributes:
        exp: folder of the experiment or pack.
        dump: folder of the crops.
        kind: that is written.
        layer: whose states.
        ngpu: GPUs to use: 0 or 1.
    """

    exp: Path
    dump: Path
    kind: str
    layer: Layer
    ngpu: int

    def _load(self) -> tuple[nn.Module, torch.device, str]:
        device = experiment.device_for(self.ngpu)
        loaded = experiment.load(self.exp, device)
        part = getattr(loaded.model, "encoder", loaded.model)
        if self.layer == "trunk":
            part = getattr(part, "trunk", None)
        if not isinstance(part, LipTrunk | LipEncoder):
            raise LipsoundError(
                f"{self.exp}: has no {self.layer} of lips; give an experiment of LiRA's pretext, a lip reader of "
                "'mouth', or the parallel model"
            )
        return part, device, str(loaded.task.settings.input)

    def check(self) -> None:
        """Refuse an experiment that has no such layer, before any worker starts."""
        self._load()

    @property
    def crops(self) -> Path:
        """Archive folder of what the network is shown."""
        return self.dump / self._load()[2]

    def __call__(self) -> Worker:
        """The worker: id -> states."""
        network, device, crops = self._load()
        pictures = Pictures(Archive(self.dump / crops))

        @torch.no_grad()
        def work(name: str) -> dict[str, np.ndarray | str | int]:
            clip = torch.from_numpy(np.ascontiguousarray(pictures[name]))[None].to(device)
            if not clip.shape[1]:
                raise ClipFailure("empty", "no picture")
            states = network(clip, torch.tensor([clip.shape[1]], device=device))
            states = states[0] if isinstance(states, tuple) else states
            return {self.kind: states[0].float().cpu().numpy()}

        return work
