"""The trainer's keys of a config."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from lipsound2.errors import LipsoundError

Precision = Literal["auto", "fp32", "bf16", "fp16"]

# What an experiment's config may change between two starts: keys that have no part in the weights, these and those of
# the task, ...
FREE = frozenset({"workers", "log_every", "checkpoint_minutes", "tensorboard"})
# ... and limits, which may grow so that a training goes on. Under `schedule: cosine` the learning rate then follows the
# longer curve from here on.
GROWING = frozenset({"max_epochs", "max_updates", "patience"})


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained, whatever it learns.

    Attributes:
        seed: of the first weights, the order of clips, augmentation and dropout.
        init_only: modules that `--init` fills, such as [trunk]; empty: every tensor whose name and shape are the
            network's.
        max_epochs: training ends after so many passes over the training set.
        max_updates: ... or after so many updates, when that comes first; 0: no such limit.
        batch_frames: video frames in a batch at most, padding counted (20 GRID clips = 1500); a longer clip is a batch
            of its own.
        batch_size: clips in a batch at most; 0: no such limit.
        accumulate: batches a process adds up before an update.
        optimizer: `adamw`, or `muon` (AdamW with Muon's steps for matrices and kernels).
        lr: learning rate after the warm-up.
        min_lr: learning rate at the end of `cosine` and `exponential`.
        warmup: updates over which the learning rate rises linearly.
        schedule: `cosine` or `exponential` from `lr` to `min_lr` over the whole training, or `constant`.
        weight_decay: AdamW's, on matrices and kernels; never on biases, scales or buffers.
        betas: AdamW's.
        clip_grad: largest norm of an update's gradient; 0: not clipped.
        precision: of matrix products, Muon's included: `fp32`, `bf16` (autocast), `fp16` (autocast and loss scaling;
            fast on GPUs only), or `auto`. `auto` is bf16 where the machine that begins the training has it natively,
            else fp32.
        sync_batch_norm: batch norms take their statistics over the batches of all processes; else each over its own.
        ema: decay per update of a running average of the weights, which is then what is evaluated and kept, such as
            0.999; 0: the weights themselves.
        valid_every: epochs between evaluations; the last epoch is always evaluated.
        patience: training ends after so many evaluations without a new best score; 0: never.
        keep_best: evaluated weights kept, and averaged into `model.safetensors` at the end.
        average: which of them: the `best`, or the `last`.
        checkpoint_minutes: a checkpoint is written after every evaluation and at least this often; 0: also after every
            update.
        workers: processes that load and augment clips; 0: the training process itself.
        compile: `torch.compile` the network (minutes at the start; worth it on a GPU only).
        tf32: let GPUs multiply float32 in TF32.
        log_every: updates between lines of `train.log`.
        tensorboard: write TensorBoard events.
    """

    seed: int = 0
    init_only: tuple[str, ...] = ()
    max_epochs: int = 100
    max_updates: int = 0
    batch_frames: int = 1500
    batch_size: int = 0
    accumulate: int = 1
    optimizer: Literal["adamw", "muon"] = "adamw"
    lr: float = 1e-3
    min_lr: float = 1e-5
    warmup: int = 500
    schedule: Literal["cosine", "exponential", "constant"] = "cosine"
    weight_decay: float = 0.01
    betas: tuple[float, ...] = (0.9, 0.98)
    clip_grad: float = 1.0
    precision: Precision = "auto"
    sync_batch_norm: bool = False
    ema: float = 0.0
    valid_every: int = 1
    patience: int = 0
    keep_best: int = 5
    average: Literal["best", "last"] = "best"
    checkpoint_minutes: float = 10.0
    workers: int = 2
    compile: bool = False
    tf32: bool = True
    log_every: int = 50
    tensorboard: bool = True

    def __post_init__(self) -> None:
        """Refuse values that cannot work, by name."""
        above = {"batch_frames": 1, "accumulate": 1, "valid_every": 1, "keep_best": 1, "log_every": 1}
        for field in fields(self):
            value: Any = getattr(self, field.name)
            if isinstance(value, int | float) and value < above.get(field.name, 0):
                raise LipsoundError(f"{field.name}: expected {above.get(field.name, 0)} or more, found {value}")
        if self.lr <= 0 or self.min_lr > self.lr:
            raise LipsoundError(f"lr, min_lr: expected 0 <= min_lr <= lr and lr > 0, found {self.lr}, {self.min_lr}")
        if self.max_epochs == 0 and self.max_updates == 0:
            raise LipsoundError("max_epochs, max_updates: both are 0, so training would never end; set one")
        if self.schedule == "exponential" and self.min_lr == 0:
            raise LipsoundError("min_lr: expected more than 0 with 'schedule: exponential', which never gets there")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise LipsoundError(f"betas: expected two numbers in [0, 1), found {list(self.betas)}")
        if self.ema >= 1:
            raise LipsoundError(f"ema: expected a decay below 1 such as 0.999, found {self.ema}")
