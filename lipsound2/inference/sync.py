"""The verb `sync`: by how much the audio of every clip lags its video, as a trained model hears it.

Few recordings have lips and audio exactly together: in those of GRID's s1 the offset changes by some 20 ms from clip to
clip. A mel frame lasts 10 ms. So a network that is trained on them learns the mean of shifted mels, which is blurred
(Niu and Mak, "On the Audio-visual Synchronization for Lip-to-Speech Synthesis", ICCV 2023, who call this data
asynchrony and estimate the offset while they train). Here a model that was trained on such clips tells the offset of
each: what it generates from the lips has the mean offset of its training set.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from lipsound2 import experiment, model_names
from lipsound2.arguments import AtLeast0, AtLeast1, Share, Within
from lipsound2.audio.lag import LARGEST, lag
from lipsound2.audio.mel_settings import MelConfig, same_mel
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.av_offsets import AV_OFFSET, LIMIT
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.files import sha256
from lipsound2.fingerprint import digest
from lipsound2.inference import familiarity
from lipsound2.inference.synthesize import GeneratorFactory
from lipsound2.jobs.jobs import dump_clips, tell_removed
from lipsound2.jobs.shards import Worker
from lipsound2.outputs import OutputFolder
from lipsound2.tasks.regress import Regress
from lipsound2.tasks.regress_assets import RegressAssets, read_target

log = logging.getLogger(__name__)

_UNSURE = 0.7  # below this correlation no shift fits. On GRID's s1 0.92 is the mean; the clips below have 0.6 at most
_TOO_UNSURE = 0.2  # a larger share of clips without an offset is told


def sync(
    model: str,
    dir: Path,
    dump: OutputFolder,
    *,
    max_offset: Annotated[float, Within(0.01, LIMIT)] = LARGEST,
    nj: AtLeast1 = 2,
    ngpu: AtLeast0 = 0,
    launcher: str = "local",
    max_failures: Share = 0.05,
    shard_size: AtLeast1 = 100,
) -> None:
    """Estimate by how much the audio of every clip lags its video, for trainings with `correct_av_offset: true`.

    The model speaks every clip, and its mel is shifted until it fits that of the recording best. Leaves DUMP/av_offset:
    seconds and correlation, two values a clip. The offset is 0 where no shift fits (a correlation below 0.7, or the
    best shift is the largest).

    Args:
        model: experiment or pack of a lip-to-speech model, or the name of one, that was trained on clips such as these.
        dir: data dir of the clips.
        dump: folder of the archives that stages 1 and 2 wrote.
        max_offset: largest offset in seconds, either way.
        nj: worker processes.
        ngpu: GPUs to use: 0 or 1 (then one worker).
        launcher: where workers run: local or slurm.
        max_failures: share of clips that may fail before the stage does.
        shard_size: clips to a shard, the unit of resuming.
    """
    path = model_names.find(model)
    loaded = experiment.load(path, task=Regress)
    kinds = loaded.task.settings
    if not isinstance(mel := loaded.assets.target, MelConfig):
        raise LipsoundError(f"{path}: expected a lip-to-speech model, found one that predicts '{mel.name}'")
    same_mel(RegressAssets(read_target(dump / kinds.target)).mel, mel, str(dump / kinds.target))
    made_of = [path / model_names.WEIGHTS, path / model_names.CONFIG, *familiarity.files_of(path)]
    used = (kinds.input, kinds.target)
    archives = [Archive(dump / kind) for kind in used]
    data = DataDir(dir)
    ids = [name for name in data.ids if all(name in archive for archive in archives)]
    if not ids:
        raise LipsoundError(f"{dir}: none of its clips is in {dump}; run stages 1 and 2 on it")
    if len(ids) < len(data.ids):
        log.info("%s: %d of %d clips are not in %s: left out", dir, len(data.ids) - len(ids), len(data.ids), dump)
    tell_removed(dump, [AV_OFFSET], data)
    hop = mel.hop / mel.sample_rate
    found = dump_clips(
        dump,
        {AV_OFFSET: {"kind": AV_OFFSET, "model": path.resolve().name, "columns": ["seconds", "correlation"]}},
        ids,
        OffsetFactory(GeneratorFactory(path, dump, ngpu), kinds.target, hop, round(max_offset / hop)),
        step=AV_OFFSET,
        fingerprint={
            **{file.name: sha256(file) for file in made_of},
            "max_offset": max_offset,
            **{kind: digest(dump / kind) for kind in used},
        },
        inputs={},
        nj=1 if ngpu else nj,
        launcher=launcher,
        max_failures=max_failures,
        shard_size=shard_size,
    )
    if not found.done:
        log.info("%s is there already: skipped", dump / AV_OFFSET)
    archive = Archive(dump / AV_OFFSET)
    known = [name for name in ids if name in archive]
    if not known:  # all of them failed, as --max-failures 1 allows
        return
    milliseconds = np.array([1000 * archive[name][0, 0] for name in known])
    unsure = int((milliseconds == 0).sum())
    low, high = np.percentile(milliseconds, (5, 95))
    no_shift = f"; {_unfit(unsure, len(known))}" if unsure else ""
    print(
        f"{dump / AV_OFFSET}: {len(known)} clips; the audio lags the video by {milliseconds.mean():.0f} ms in the "
        f"mean, standard deviation {milliseconds.std():.0f}, 90 % from {low:.0f} to {high:.0f}{no_shift}"
    )
    if unsure > _TOO_UNSURE * len(known):
        log.warning("%s does not know these clips well; a model that was trained on them tells more offsets", path.name)


def _unfit(count: int, clips: int) -> str:
    """How many clips have no offset, and what they have instead."""
    one = f"1 of {clips} clips fits no shift: its offset is set to 0"
    return one if count == 1 else f"{count} of {clips} clips fit no shift: their offset is set to 0"


@dataclass(frozen=True)
class OffsetFactory:
    """Makes the worker that estimates offsets; picklable.

    Attributes:
        generator: makes the function from clips to generated mels.
        target: kind of the mels of the recordings.
        hop: seconds of a mel frame.
        most: largest offset in mel frames.
    """

    generator: GeneratorFactory
    target: str
    hop: float
    most: int

    def __call__(self) -> Worker:
        """The worker: id -> seconds and correlation, (1, 2) float32."""
        generate, archive = self.generator(), Archive(self.generator.dump / self.target)

        def work(name: str) -> dict[str, np.ndarray | str | int]:
            recorded = archive[name]
            if not np.isfinite(recorded).all():
                raise ClipFailure("nonfinite", f"{self.target} has values that are not finite")
            found = lag(recorded, generate([name]).mels[name], self.most)
            sure = found.inside and found.correlation >= _UNSURE
            offset = np.array([[found.rows * self.hop if sure else 0, found.correlation]], np.float32)
            return {AV_OFFSET: offset, f"{AV_OFFSET}/frames": 1}

        return work
