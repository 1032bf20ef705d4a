"""The verb `features`: outputs of a trained trunk or encoder, one vector a video frame."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from lipsound2 import experiment, model_names
from lipsound2.arguments import AtLeast0, AtLeast1, Share
from lipsound2.audio.statistics import sums
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.data.names import no_file_name
from lipsound2.datasets.crop_cache import Frames
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.files import sha256
from lipsound2.fingerprint import digest
from lipsound2.jobs.jobs import Worker, dump_clips, tell_removed
from lipsound2.models.modules.lip_encoder import LipEncoder
from lipsound2.models.modules.lip_trunk import LipTrunk
from lipsound2.outputs import OutputFolder
from lipsound2.timing import FRAME_RATE

log = logging.getLogger(__name__)

Layer = Literal["trunk", "encoder"]


def features(
    exp: str,
    dir: Path,
    dump: OutputFolder,
    *,
    name: str = "",
    layer: Layer = "trunk",
    block: AtLeast0 = 0,
    nj: AtLeast1 = 2,
    ngpu: AtLeast0 = 0,
    launcher: str = "local",
    max_failures: Share = 0.05,
    shard_size: AtLeast1 = 100,
) -> None:
    """Write the outputs of a network for every clip: DUMP/features-NAME, a Kaldi archive of (video frames, width)
    matrices.

    A config can use them instead of crops (`input: features-NAME`), to train on a frozen trunk without computing it
    again, or as what LiRA's pretext predicts (`target: features-NAME`). Clips are not augmented.

    Args:
        exp: experiment or pack with a trunk: of LiRA's pretext, a lip reader (published ones too), the parallel model.
        dir: data dir of all clips of the dump, such as data/all.
        dump: folder of the crops, and of what is written.
        name: of the feature type; by default that of the experiment.
        layer: trunk (conv3D and ResNet, which LiRA transfers) or encoder (after the Conformer).
        block: Conformer block of the encoder whose output is written, from 1; 0: the last, with the norm behind it.
        nj: worker processes.
        ngpu: GPUs to use: 0 or 1 (then one worker).
        launcher: where workers run: local or slurm.
        max_failures: share of clips that may fail before the stage does.
        shard_size: clips to a shard, the unit of resuming.
    """
    path = model_names.find(exp)
    kind = f"features-{name or path.resolve().name}"
    if why := no_file_name(kind):
        raise LipsoundError(f"--name {name}: cannot name a folder: {why}")
    if block and layer != "encoder":
        raise LipsoundError(f"--block {block}: the trunk has no Conformer blocks; add --layer encoder")
    make = FeatureFactory(path, dump, kind, layer, block, ngpu)
    # Loaded here as well: an experiment without such a layer is refused before any worker starts.
    crops = dump / make.load()[2]
    archive = Archive(crops)
    data = DataDir(dir)
    ids = [clip for clip in data.ids if clip in archive]
    if not ids:
        raise LipsoundError(f"{dir}: none of its clips is in {crops}; run stage 1 on it")
    tell_removed(dump, [kind], data)
    chosen = {"block": block} if block else {}
    done = dump_clips(
        dump,
        {
            make.kind: {
                "kind": "features",
                "experiment": path.resolve().name,
                "layer": layer,
                **chosen,
                "rate": FRAME_RATE,
            }
        },
        ids,
        make,
        step=make.kind,
        fingerprint={"weights": sha256(path / model_names.WEIGHTS), "layer": layer, **chosen, "crops": digest(crops)},
        inputs={},
        nj=1 if ngpu else nj,
        launcher=launcher,
        max_failures=max_failures,
        shard_size=shard_size,
    )
    if not done.done:
        log.info("%s is there already: skipped", dump / make.kind)


@dataclass(frozen=True)
class FeatureFactory:
    """Makes the worker that runs the network on clips; picklable.

    Attributes:
        exp: folder of the experiment or pack.
        dump: folder of the crops.
        kind: that is written.
        layer: whose states.
        block: of the encoder, from 1; 0: the last.
        ngpu: GPUs to use: 0 or 1.
    """

    exp: Path
    dump: Path
    kind: str
    layer: Layer
    block: int
    ngpu: int

    def load(self) -> tuple[nn.Module, torch.device, str]:
        """The layer, its device, and the kind of its input.

        Raises:
            LipsoundError: the experiment has no such layer, or not so many blocks.
        """
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
        if isinstance(part, LipEncoder) and self.block > len(part.conformer.blocks):
            raise LipsoundError(f"--block {self.block}: {self.exp} has {len(part.conformer.blocks)} Conformer blocks")
        return part, device, str(loaded.task.config()["input"])

    def __call__(self) -> Worker:
        """The worker: id -> states."""
        network, device, crops = self.load()
        frames = Frames(Archive(self.dump / crops))
        seen: list[torch.Tensor] = []
        if self.block:
            assert isinstance(network, LipEncoder)
            network.conformer.blocks[self.block - 1].register_forward_hook(lambda *call: seen.append(call[2]))

        @torch.no_grad()
        def work(name: str) -> dict[str, np.ndarray | str | int]:
            clip = torch.from_numpy(np.ascontiguousarray(frames[name]))[None].to(device)
            if not clip.shape[1]:
                raise ClipFailure("empty", "no video frame")
            states = network(clip, torch.tensor([clip.shape[1]], device=device))
            states = seen.pop() if self.block else states[0] if isinstance(states, tuple) else states
            made = states[0].float().cpu().numpy()
            return {self.kind: made, f"{self.kind}/cmvn": sums(made)}

        return work
