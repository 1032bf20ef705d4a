"""Keys that a config does not know, but somebody does: another task or model, or another toolkit."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from lipsound2.models.registry import MODELS

# What other toolkits call a key: their names -> ours, of which the first is named that the config has.
_ELSEWHERE: dict[tuple[str, ...], tuple[str, ...]] = {
    ("learning_rate", "max_lr", "peak_lr", "base_lr"): ("lr",),
    ("min_learning_rate", "final_lr", "eta_min"): ("min_lr",),
    ("epochs", "epoch", "num_epochs", "max_epoch", "n_epochs", "num_train_epochs"): ("max_epochs",),
    ("steps", "max_steps", "num_steps", "total_steps", "max_iters", "iterations", "max_update"): ("max_updates",),
    ("warmup_steps", "warmup_updates", "num_warmup_steps", "warmup_iters"): ("warmup",),
    ("bs", "batch", "train_batch_size", "per_device_train_batch_size"): ("batch_size",),
    ("batch_bins", "max_tokens", "max_frames"): ("batch_frames",),
    ("accum_grad", "gradient_accumulation_steps", "accumulate_grad_batches", "update_freq"): ("accumulate",),
    ("grad_clip", "max_grad_norm", "gradient_clip_val", "clip_norm", "clip_grad_norm"): ("clip_grad",),
    ("num_workers", "n_workers", "dataloader_num_workers"): ("workers",),
    ("optim", "optimizer_type"): ("optimizer",),
    ("scheduler", "lr_scheduler", "lr_scheduler_type"): ("schedule",),
    ("adam_betas", "optimizer_betas"): ("betas",),
    ("early_stopping", "early_stopping_patience"): ("patience",),
    ("ema_decay",): ("ema",),
    ("fp16", "bf16", "amp", "use_amp", "mixed_precision", "dtype"): ("precision",),
    ("keep_nbest_models", "save_total_limit", "average_nbest"): ("keep_best",),
    ("eval_every", "val_every", "eval_interval", "check_val_every_n_epoch"): ("valid_every",),
    ("log_interval", "log_every_n_steps", "logging_steps"): ("log_every",),
    ("arch", "model_name", "model_type", "encoder"): ("model",),
    ("hidden_size", "hidden_dim", "d_model", "attention_dim", "adim", "dim"): ("width", "channels"),
    ("num_layers", "num_blocks", "n_layers", "elayers", "depth"): ("layers", "blocks"),
    ("num_heads", "n_heads", "nhead", "aheads", "attention_heads"): ("heads",),
    ("dropout_rate", "p_dropout", "drop"): ("dropout",),
}


def explained(key: str, mine: Collection[str]) -> str:
    """A hint for a key that a config does not know: its name here, or the models that have it; empty: nobody knows it.

    Args:
        key: as it is written.
        mine: the keys that the config has.
    """
    ours = next((names for others, names in _ELSEWHERE.items() if key in others), ())
    if name := next((name for name in ours if name in mine), ""):
        return f"here it is called '{name}'"
    owners = sorted(
        f"{model.name} (task {model.task})"
        for model in MODELS
        if key in {field.name for field in dataclasses.fields(model.config_class())}
    )
    return f"it is a key of other models: {', '.join(owners)}; remove it" if owners else ""
