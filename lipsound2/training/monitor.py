"""What a person sees of a training: log, progress bar, curves and TensorBoard. It decides nothing."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from tqdm import tqdm

from lipsound2.data.numerals import whole
from lipsound2.errors import require
from lipsound2.files import write_text
from lipsound2.old_names import CURVES as CURVES_OF_BEFORE
from lipsound2.tasks.base import Evaluation
from lipsound2.training.record import Record

log = logging.getLogger(__name__)

CURVES, LOG = "curves.tsv", "train.log"
_EARLY = 3  # updates of a run after which the hours to the end are logged for the first time
_UPDATE = re.compile(r"[0-9]{1,15}")


@dataclass
class UpdateFacts:
    """One update, for those who watch.

    Attributes:
        update: updates made, this one included.
        epoch: the epoch it belongs to, from 1.
        progress: share of the training that is done.
        loss: mean over the update.
        parts: means of the loss' terms.
        lr: learning rate.
        norm: of the gradient, before clipping.
        num_frames: video frames in the update.
        waited: seconds spent waiting for clips.
    """

    update: int
    epoch: int
    progress: float
    loss: float
    parts: Mapping[str, float]
    lr: float
    norm: float
    num_frames: int
    waited: float


@dataclass
class _Tally:
    """Sums since they were last looked at."""

    begun: float = field(default_factory=time.monotonic)
    updates: int = 0
    loss: float = 0.0
    num_frames: int = 0
    waited: float = 0.0

    def add(self, facts: UpdateFacts) -> None:
        self.updates += 1
        self.loss += facts.loss
        self.num_frames += facts.num_frames
        self.waited += facts.waited

    @property
    def seconds(self) -> float:
        return max(time.monotonic() - self.begun, 1e-9)


class Monitor:
    """Log file, progress bar, `curves.tsv` and TensorBoard events of one experiment. A context manager.

    Args:
        exp: the experiment's folder.
        record: is kept up to date.
        update: updates already made: later rows of the curves and later events belong to a run that was killed, and are
            dropped.
        progress: share of the training already done.
        log_every: updates between lines of the log.
        tensorboard: whether to write events.
    """

    def __init__(
        self, exp: Path, record: Record, *, update: int, progress: float, log_every: int, tensorboard: bool
    ) -> None:
        self._exp, self._record, self._log_every, self._tensorboard = exp, record, log_every, tensorboard
        self._events: Any = None
        self._resumed_at = update
        self._updates = 0
        self._begun, self._begun_at = time.monotonic(), progress
        self._tally = _Tally()
        self._bar: tqdm[Any] | None = None
        self._curves = Curves(exp / CURVES, update)
        self._first_epoch_logged = False

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._events is not None:
            self._events.close()

    def updated(self, facts: UpdateFacts, position: int, updates: int) -> None:
        """Tell of an update.

        Args:
            facts: of the update.
            position: updates made in this epoch.
            updates: updates of this epoch.
        """
        tally = self._tally
        tally.add(facts)
        self._updates += 1
        hours = self.hours_left(facts.progress)
        speed = tally.num_frames / tally.seconds
        self._advance_bar(facts, position, updates, f"{facts.loss:.4f}, {speed:.0f} frames/s, {hours:.2f} h to the end")
        if facts.update % self._log_every == 0:
            loss, waiting = tally.loss / tally.updates, tally.waited / tally.seconds
            log.info(
                "epoch %d, update %d (%d of %d): loss %.4f, lr %.2e, gradient %.3f, %.0f frames/s, "
                "%.0f %% waiting for clips, %.2f h to the end",
                *(
                    facts.epoch,
                    facts.update,
                    position,
                    updates,
                    loss,
                    facts.lr,
                    facts.norm,
                    speed,
                    100 * waiting,
                    hours,
                ),
            )
            numbers = {"train/loss": loss, "train/lr": facts.lr, "train/gradient": facts.norm, "speed/frames": speed}
            numbers |= {f"train/{name}": value for name, value in facts.parts.items()} | {"speed/waiting": waiting}
            self._write_events(facts.update, numbers)
            self._record.note(facts.update, "running")
            self._tally = _Tally()
        if self._updates == _EARLY and self._log_every > 1:
            pace = (time.monotonic() - self._begun) / _EARLY
            log.info(
                "after %d updates of %.1f s each: about %.2f hours to the end, evaluations not counted",
                _EARLY,
                pace,
                hours,
            )
        if position == updates and not self._first_epoch_logged:
            self._first_epoch_logged = True
            log.info("after the first epoch of this run: %.2f hours to the end", hours)

    def evaluated(self, row: Mapping[str, float], evaluation: Evaluation) -> None:
        """Add a row to the curves, and to TensorBoard with images and audio.

        Args:
            row: columns of `curves.tsv`, with `update`.
            evaluation: the task's.
        """
        self._curves.add(row)
        update = int(row["update"])
        self._record.note(update, "running")
        self._write_events(update, {f"valid/{name}": value for name, value in row.items() if name != "update"})
        if self._events is not None:
            for name, image in evaluation.images.items():
                self._events.add_image(name, image, update, dataformats="HWC")
            for name, waveform in evaluation.audio.items():
                self._events.add_audio(name, np.clip(waveform, -1, 1)[None], update, evaluation.sample_rate)
            self._events.flush()
        self._tally = _Tally()

    def hours_left(self, progress: float) -> float:
        """Hours to the end at the pace of this run so far, evaluations included."""
        done = progress - self._begun_at
        hours = (time.monotonic() - self._begun) / 3600
        return hours * (1 - progress) / done if done > 0 else float("nan")

    def _advance_bar(self, facts: UpdateFacts, position: int, updates: int, text: str) -> None:
        if self._bar is None:
            # disable=None: no bar where standard error is a file.
            self._bar = tqdm(total=updates, initial=position - 1, unit="update", disable=None, leave=False)
        elif position == 1:
            self._bar.reset(total=updates)
        self._bar.set_description(f"epoch {facts.epoch}", refresh=False)
        self._bar.set_postfix_str(f"loss {text}", refresh=False)
        self._bar.update()

    def _write_events(self, update: int, numbers: Mapping[str, float]) -> None:
        if not self._tensorboard:
            return
        if self._events is None:
            module = require("torch.utils.tensorboard", "tensorboard")
            self._events = module.SummaryWriter(self._exp, purge_step=self._resumed_at + 1)
        for name, value in numbers.items():
            self._events.add_scalar(name, value, update)


class Curves:
    """`curves.tsv`: one row an evaluation, each exactly once, whatever was killed.

    Args:
        path: the file; rows beyond `update` are taken out of it.
        update: updates made at the checkpoint the training goes on from.
    """

    def __init__(self, path: Path, update: int) -> None:
        self._path = path
        self.rows: list[dict[str, str]] = []
        if path.exists():
            self.rows = [row for row in _whole_rows(path) if whole(row["update"]) <= update]
            self._write()

    def add(self, row: Mapping[str, float]) -> None:
        """Add a row; a number it does not have is an empty cell."""
        cells = {name: str(value) if isinstance(value, int) else f"{value:.6g}" for name, value in row.items()}
        self.rows = [*(other for other in self.rows if other["update"] != cells["update"]), cells]
        self._write()

    def _write(self) -> None:
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        lines = ["\t".join(row.get(column, "") for column in columns) for row in self.rows]
        write_text(self._path, "\n".join(["\t".join(columns), *lines]) + "\n" if lines else "update\n")


def _whole_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table that may have been cut short or damaged; damaged rows are left out. The training does not
    read it."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    header = [CURVES_OF_BEFORE.get(name, name) for name in lines[0].split("\t")]
    cells = [line.split("\t") for line in lines[1:] if line]
    rows = [dict(zip(header, row, strict=True)) for row in cells if len(row) == len(header)]
    good = [row for row in rows if _UPDATE.fullmatch(row.get("update", ""))]
    if len(good) < len(cells):
        log.warning("%s: %d of its %d rows are damaged and left out", path, len(cells) - len(good), len(cells))
    return good


def open_log(exp: Path) -> logging.Handler:
    """Write what the program says into `train.log` as well, after what is there."""
    exp.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(exp / LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
    logger = logging.getLogger("lipsound2")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    return handler
