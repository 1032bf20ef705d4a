"""AdamW, its learning rate as a function of progress, networks that learn, and a running average of weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lipsound2.train_config import TrainConfig
from lipsound2.training.distributed import World
from lipsound2.training.muon import Muon
from lipsound2.training.precision import DTYPES


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW or Muon, with weight decay on matrices and kernels only (not on biases and scales).

    Muon is for what is called `weight` and has two axes or more. Tables of biases are AdamW's, and so are the gates of
    an LSTM (`weight_ih`, `weight_hh`): four matrices in one, so large that orthogonalizing them would cost what it
    gains.
    """
    turned: list[nn.Parameter] = []
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim < 2:
            spared.append(parameter)
        elif config.optimizer == "muon" and name.split(".")[-1] == "weight":
            turned.append(parameter)
        else:
            decayed.append(parameter)
    groups = [
        {"params": turned, "weight_decay": config.weight_decay, "muon": True, "momentum": 0.95},
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    present = [group for group in groups if group["params"]]
    betas = (config.betas[0], config.betas[1])
    if turned:
        return Muon(present, dtype=DTYPES[config.precision], lr=config.lr, betas=betas)
    return torch.optim.AdamW(present, lr=config.lr, betas=betas)


def learning_rate(config: TrainConfig, update: int, progress: float) -> float:
    """Learning rate of an update.

    Args:
        config: `lr`, `min_lr`, `warmup` and `schedule` count.
        update: updates made before this one.
        progress: share of the training made before it, in [0, 1].
    """
    rise = min(1.0, (update + 1) / config.warmup) if config.warmup else 1.0
    if config.schedule == "constant":
        return rise * config.lr
    if config.schedule == "exponential":
        return rise * config.lr * (config.min_lr / config.lr) ** min(progress, 1.0)
    return rise * (config.min_lr + (config.lr - config.min_lr) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give every group of parameters the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = value


class OptimizedModel:
    """A network that learns, with the optimizer that moves it.

    Args:
        model: on its device.
        config: the optimizer's options, its precision settled.

    Attributes:
        model: the network.
        parameters: those that learn.
        optimizer: of these parameters.
    """

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        self.model = model
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = make_optimizer(model, config)
        self._largest = config.clip_grad or math.inf

    def begin(self, lr: float) -> None:
        """Make ready for the gradients of an update."""
        set_learning_rate(self.optimizer, lr)
        self.optimizer.zero_grad(set_to_none=True)
        self.model.train()

    def step(self, weight: float, world: World, scaler: torch.amp.GradScaler) -> float:
        """Add gradients up over the processes, divide by the weight, clip, step; without any gradient, rest.

        Returns:
            The gradient's norm before clipping. When it is no number, only loss scaling knows what to do: without it
            nothing moves.
        """
        world.add_gradients(self.parameters)
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if not gradients:
            return 0.0
        scaler.unscale_(self.optimizer)
        torch._foreach_mul_(gradients, 1 / (weight or 1.0))
        norm = float(nn.utils.clip_grad_norm_(self.parameters, self._largest))
        if math.isfinite(norm) or scaler.is_enabled():
            scaler.step(self.optimizer)
        return norm

    def state(self) -> dict[str, Any]:
        """Weights and the optimizer's memory, for a checkpoint."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


class RunningAverage:
    """An exponential moving average of everything in a model that is a float; counters are copied.

    Args:
        model: the one that is trained.
        decay: per update. It rises from 0.1 at the first updates, or the average would remember the first weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, updates: int) -> None:
        """Take in the weights after an update.

        Args:
            model: the one that is trained.
            updates: updates made, this one included.
        """
        decay = min(self.decay, (1 + updates) / (10 + updates))
        for mine, other in zip(_tensors(self.model), _tensors(model), strict=True):
            if mine.is_floating_point():
                mine.lerp_(other, 1 - decay)
            else:
                mine.copy_(other)


def _tensors(model: nn.Module) -> list[Tensor]:
    """Parameters and buffers; tied ones once."""
    return [*model.parameters(), *model.buffers()]
