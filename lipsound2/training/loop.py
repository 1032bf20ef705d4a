"""The loop: updates, evaluations and checkpoints, until the end, a stop, or a loss that is not finite.

A small `State` holds the progress of a training. A checkpoint holds this state and the tensors beside it, and nothing
else decides how a resumed training continues.
"""

from __future__ import annotations

import logging
import math
import time
import zlib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lipsound2.errors import LipsoundError
from lipsound2.files import write_text
from lipsound2.tasks.base import Adversarial, AnyTask, Batch, Dataset, Evaluation, Loss, Prepared
from lipsound2.train_config import TrainConfig
from lipsound2.training import checkpoint
from lipsound2.training.average import Evaluated, best, to_rows, worth_keeping, write_weights
from lipsound2.training.batch_norm import running_statistics, synchronized
from lipsound2.training.distributed import World
from lipsound2.training.loader import Batches, ValidationClips
from lipsound2.training.monitor import Monitor, UpdateFacts
from lipsound2.training.optimizer import OptimizedModel, RunningAverage, learning_rate
from lipsound2.training.precision import autocast
from lipsound2.training.sampler import Stream, Updates
from lipsound2.training.stop import StopAsked, StopSwitch

log = logging.getLogger(__name__)

_SMALLEST_SCALE = 2.0**-24
_SHOWN = 10  # clips named in a message


@dataclass
class State:
    """Where a training stands.

    Attributes:
        epoch: epochs done.
        position: updates done in the epoch under way.
        update: updates done in all.
        loss, updates_since: sum of losses, and updates, since the last evaluation.
        due: whether an evaluation comes first.
        without_gain: evaluations since the best one.
        table: all evaluations.
    """

    epoch: int = 0
    position: int = 0
    update: int = 0
    loss: float = 0.0
    updates_since: int = 0
    due: bool = False
    without_gain: int = 0
    table: list[Evaluated] = field(default_factory=list)


@dataclass
class Sums:
    """What this process adds to one update.

    Attributes:
        loss, weight, num_frames: sums over its batches.
        waited: seconds spent waiting for clips.
        ids: of its clips.
        suspects: of the clips in batches whose loss is no number.
        parts: sums of the loss' terms.
    """

    loss: float = 0.0
    weight: float = 0.0
    num_frames: int = 0
    waited: float = 0.0
    ids: list[str] = field(default_factory=list)
    suspects: list[str] = field(default_factory=list)
    parts: dict[str, float] = field(default_factory=dict)

    def add(self, batch: Batch, loss: Loss) -> None:
        """Take in one batch and its loss."""
        total = float(loss.total.detach())
        if loss.discriminator is not None and not math.isfinite(float(loss.discriminator.detach())):
            total = math.nan
        self.loss, self.weight, self.num_frames = (
            self.loss + total,
            self.weight + loss.weight,
            self.num_frames + batch.num_frames,
        )
        self.ids += batch.ids
        if not math.isfinite(total):
            self.suspects += batch.ids
        for name, value in loss.parts.items():
            self.parts[name] = self.parts.get(name, 0.0) + value * loss.weight

    def means(self) -> dict[str, float]:
        """The loss' terms, divided by the weight."""
        return {name: value / (self.weight or 1.0) for name, value in self.parts.items()}


class Loop:
    """A training under way.

    Args:
        config: the trainer's options, `precision` settled.
        task: what is learned.
        model: the network on its device.
        data: training and validation set, and the task's assets.
        world: this process among those of the training.
        exp: the experiment's folder.
        switch: says when to stop early.
        discriminator: the second network of an `Adversarial` task, on its device.
    """

    def __init__(
        self,
        config: TrainConfig,
        task: AnyTask,
        model: nn.Module,
        data: Prepared[Any, Any],
        world: World,
        exp: Path,
        switch: StopSwitch,
        discriminator: nn.Module | None = None,
    ) -> None:
        self.config, self.task, self.model, self.world, self.exp, self.switch = config, task, model, world, exp, switch
        self.train_clips, self.valid_clips, self.assets = data
        if config.sync_batch_norm and world.size > 1:
            for network in (model, discriminator):
                if network is not None:
                    synchronized(network)
        self.state = State()
        self.updates = Updates(self.train_clips.lengths, config, world.size)
        self.generator = OptimizedModel(model, config)
        self.discriminator = OptimizedModel(discriminator, config) if discriminator is not None else None
        self.optimized = [self.generator, self.discriminator] if self.discriminator else [self.generator]
        self.average = RunningAverage(model, config.ema) if config.ema else None
        # The loss is a sum over some 10^5 values: a scale of 1 is already what 2^17 would be for a mean.
        self.scaler = torch.amp.GradScaler(world.device.type, init_scale=1.0, enabled=config.precision == "fp16")
        self.folder = exp / checkpoint.FOLDER
        self._stop = self._late = False
        self._saved_at = time.monotonic()
        self._kept: list[set[str]] = []
        if config.compile:
            model.compile()

    @property
    def progress(self) -> float:
        """Share of the training that is done, in [0, 1]: of the limit that is nearer."""
        config, state = self.config, self.state
        shares = [0.0]
        if config.max_updates:
            shares.append(state.update / config.max_updates)
        if config.max_epochs:
            within = state.position / len(self.updates.epoch(state.epoch)) if state.position else 0.0
            shares.append((state.epoch + within) / config.max_epochs)
        return min(1.0, max(shares))

    @property
    def ended(self) -> str:
        """Why there is nothing more to do; empty when there is."""
        config, state = self.config, self.state
        if state.due:
            return ""
        if config.patience and state.without_gain >= config.patience:
            return f"no better score in {state.without_gain} evaluations"
        if self.progress < 1:
            return ""
        return "all epochs are done" if 0 < config.max_epochs <= state.epoch else "max_updates is reached"

    @property
    def evaluated_model(self) -> nn.Module:
        """The weights that count: their running average when there is one."""
        return self.average.model if self.average else self.model

    def run(self, monitor: Monitor | None) -> bool:
        """Train to the end.

        Args:
            monitor: on process 0.

        Returns:
            False when the stop switch ended it early; a checkpoint is written then.

        Raises:
            LipsoundError: the loss is no number, or clips cannot be loaded.
        """
        stream = Stream(self.updates, self.world.rank, self.state.epoch, self.state.position)
        config, device = self.config, self.world.device
        with Batches(self.task, self.train_clips, stream, config.seed, config.workers, device) as batches:
            while not self.ended:
                if not self.state.due:
                    self._update(batches, monitor)
                if self.state.due and not self._stop:
                    self._evaluate(monitor)
                    self._late = True
                if self._stop or self._late:
                    self.save()
                if self._stop:
                    return False
        return True

    def _update(self, batches: Batches, monitor: Monitor | None) -> None:
        """One update; afterwards `_stop` and `_late` are as all processes see them."""
        state, world = self.state, self.world
        epoch, position, progress = state.epoch, state.position, self.progress
        lr = learning_rate(self.config, state.update, progress)
        for one in self.optimized:
            one.begin(lr)
        own = Sums()
        for _ in self.updates.share(epoch, position, world.rank):
            begun = time.monotonic()
            batch = batches.next()
            own.waited += time.monotonic() - begun
            own.add(batch, self._backward(batch, progress))
        late = world.first and time.monotonic() - self._saved_at >= 60 * self.config.checkpoint_minutes
        loss, weight, num_frames, stop, save = world.total(
            [own.loss, own.weight, own.num_frames, self.switch.signal > 0, late]
        )
        self._stop, self._late = stop > 0, save > 0
        loss /= weight or 1.0
        norm, others = self._step(weight) if math.isfinite(loss) else (math.nan, math.nan)
        # Loss scaling leaves an update out when a gradient is too large for fp16, and tries a smaller scale next.
        scaled = self.scaler.is_enabled() and self.scaler.get_scale() > _SMALLEST_SCALE
        if not math.isfinite(loss) or not (math.isfinite(norm + others) or scaled):
            self._not_a_number(own, loss, norm + others)
        if world.size > 1:
            for one in self.optimized:
                world.average(running_statistics(one.model))
        state.update += 1
        if self.average:
            self.average.update(self.model, state.update)
        self._advance(loss)
        if monitor:
            parts = own.means()
            facts = UpdateFacts(
                state.update, epoch + 1, self.progress, loss, parts, lr, norm, int(num_frames), own.waited
            )
            monitor.updated(facts, position + 1, len(self.updates.epoch(epoch)))

    def _backward(self, batch: Batch, progress: float) -> Loss:
        """Accumulate the gradients of one batch's loss sums; each network's loss is for that network alone."""
        device, task = self.world.device, self.task
        with autocast(self.config.precision, device):
            if self.discriminator is None:
                loss = task.loss(self.model, batch.to(device), self.assets, progress)
            else:
                assert isinstance(task, Adversarial)
                loss = task.adversarial_loss(
                    self.model, self.discriminator.model, batch.to(device), self.assets, progress
                )
        if self.discriminator is not None and loss.discriminator is not None:
            self.scaler.scale(loss.discriminator).backward(inputs=self.discriminator.parameters, retain_graph=True)
        self.scaler.scale(loss.total).backward(inputs=self.generator.parameters if self.discriminator else None)
        return loss

    def _step(self, weight: float) -> tuple[float, float]:
        """Step with what the batches left; returns the norm of the network's gradient, and of its discriminator's."""
        norm, *others = [one.step(weight, self.world, self.scaler) for one in self.optimized]
        self.scaler.update()
        return norm, sum(others)

    def _advance(self, loss: float) -> None:
        """Move on by one update, and see whether an evaluation is due."""
        state, config = self.state, self.config
        state.loss, state.updates_since = state.loss + loss, state.updates_since + 1
        state.position += 1
        epoch_ended = state.position == len(self.updates.epoch(state.epoch))
        if epoch_ended:
            state.epoch, state.position = state.epoch + 1, 0
        state.due = self.progress == 1 or (epoch_ended and state.epoch % config.valid_every == 0)

    def _evaluate(self, monitor: Monitor | None) -> None:
        """Evaluate on process 0 and enter the score everywhere; a stop in between leaves the evaluation due."""
        begun = time.monotonic()
        evaluation = self._score() if self.world.first else None
        done, score = self.world.total([evaluation is not None, evaluation.score if evaluation else 0.0])
        if not done:
            self._stop = True
            return
        state = self.state
        row = Evaluated(state.update, state.epoch, score if math.isfinite(score) else -math.inf)
        before = best(state.table, 1)
        state.table.append(row)
        better = not before or row.score > before[0].score
        state.without_gain = 0 if better else state.without_gain + 1
        if evaluation and monitor:
            write_weights(self.folder / row.file, self.evaluated_model.state_dict(), to_rows([row])[0])
            columns = {
                "update": state.update,
                "epoch": state.epoch,
                "lr": learning_rate(self.config, state.update, self.progress),
                "train_loss": state.loss / max(state.updates_since, 1),
                "score": score,
                **evaluation.numbers,
            }
            monitor.evaluated(columns, evaluation)
            log.info(
                "epoch %d evaluated in %.0f s: score %.4f%s, training loss %.4f; %.2f hours to the end",
                *(state.epoch, time.monotonic() - begun, score, " (the best so far)" if better else ""),
                *(columns["train_loss"], monitor.hours_left(self.progress)),
            )
        state.loss, state.updates_since, state.due = 0.0, 0, False

    def _score(self) -> Evaluation | None:
        """The task's evaluation, without a trace in the training's randomness; None when a stop cut it short."""
        try:
            with self.switch.may_raise():
                return self.evaluate(self.evaluated_model)
        except StopAsked:
            return None

    def evaluate(self, model: nn.Module) -> Evaluation:
        """The task's evaluation of a network: the same weights give the same score, and training goes on unmoved."""
        device = self.world.device
        with torch.no_grad(), checkpoint.own_randomness(self.config.seed, device):
            return self.task.evaluate(model.eval(), ValidationClips(self.valid_clips), self.assets, device)

    def save(self) -> None:
        """Write a checkpoint, all processes taking part; then remove weights that no kept checkpoint refers to."""
        states = checkpoint.random_states(self.world)
        self._saved_at = time.monotonic()
        if not self.world.first:
            return
        state = self.state
        content = {
            **asdict(replace(state, table=[])),
            "table": to_rows(state.table),
            "batches": self.config.accumulate * self.world.size,
            "clips": self._clips(),
            **self.generator.state(),
            "average": self.average.model.state_dict() if self.average else None,
            "discriminator": self.discriminator.state() if self.discriminator else None,
            "scaler": self.scaler.state_dict(),
            "random": states,
        }
        checkpoint.save(self.folder, content)
        self._kept = [*self._kept[-1:], worth_keeping(state.table, self.config.keep_best)]
        if len(self._kept) == len(checkpoint.existing(self.folder)):
            for path in self.folder.glob("weights-*.safetensors"):
                if not any(path.name in kept for kept in self._kept):
                    path.unlink()

    def restore(self, content: dict[str, Any]) -> None:
        """Go on from a checkpoint.

        Raises:
            LipsoundError: it belongs to other data, another number of processes, or another network.
        """
        batches = self.config.accumulate * self.world.size
        if content["batches"] != batches:
            raise LipsoundError(
                f"{self.exp}: an update was made of {content['batches']} batches, now of {batches} "
                "('accumulate' x processes); keep the product as it was, or train in a new folder"
            )
        if content["clips"] != self._clips():
            raise LipsoundError(
                f"{self.exp} was begun on other clips, or with other offsets of their audio: {content['clips']} (now "
                f"{self._clips()}); give the same data dirs and dump, or train in a new folder"
            )
        names = State.__dataclass_fields__.keys()
        self.state = State(**{name: content[name] for name in names})
        self.state.table = [Evaluated(**row) for row in content["table"]]
        try:
            self.generator.restore(content)
            if self.discriminator:
                self.discriminator.restore(content["discriminator"])
        except RuntimeError as error:  # what torch says lists every tensor
            raise LipsoundError(
                f"{self.exp}: its newest checkpoint holds other tensors than this version's network of the "
                "same config; finish the training with the version that began it, or train in a new folder"
            ) from error
        if self.average:
            self.average.model.load_state_dict(content["average"])
        self.scaler.load_state_dict(content["scaler"])
        if not checkpoint.restore_random_states(content["random"], self.world):
            log.warning("the number of processes or the device changed: dropout goes on with other random numbers")
            torch.manual_seed(self.config.seed + 1_000_003 * self.state.update + self.world.rank)
        self._kept = [worth_keeping(self.state.table, self.config.keep_best)]

    def _clips(self) -> str:
        """Training and validation set, in short: how many clips, and a checksum of their ids and offsets."""
        sums = [f"{len(clips.ids)} [{_checksum(clips):08x}]" for clips in (self.train_clips, self.valid_clips)]
        return f"{sums[0]} to learn from, {sums[1]} to validate on"

    def _not_a_number(self, own: Sums, loss: float, norm: float) -> None:
        """Name the clips and give up, on all processes."""
        ids = self.world.collect(own.suspects or (own.ids if math.isfinite(loss) else []))
        what = f"the gradient's norm is {norm}" if math.isfinite(loss) else f"the loss is {loss}"
        where = f"update {self.state.update + 1} (epoch {self.state.epoch + 1})"
        path = self.exp / "nonfinite.tsv"
        if self.world.first:
            rows = [f"{self.state.update + 1}\t{self.state.epoch + 1}\t{clip}" for clip in ids]
            write_text(path, "\n".join(["update\tepoch\tid", *rows]) + "\n")
        shown = ", ".join(ids[:_SHOWN]) + (f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else "")
        raise LipsoundError(
            f"{where}: {what}, at clips {shown} (listed in {path}); look at their crops and features; else "
            "lower 'lr' or 'clip_grad', raise 'warmup', or set 'precision: fp32', with --init in a new folder"
        )


def _checksum(clips: Dataset) -> int:
    """Of the clips' ids, and of their offsets if it has some."""
    return zlib.crc32(getattr(clips, "offsets", b""), zlib.crc32("\n".join(clips.ids).encode()))
