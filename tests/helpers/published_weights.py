"""State dicts of published lip readers and language models, by a rule: names and shapes are theirs, values are drawn.

Every tensor is drawn with its own name as the seed, so no weights have to be kept. The golden numbers of the published
code were made with those of the size `SMALL`. What such a reader writes is noise.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Sizes:
    """Sizes of a reader (`adim`, `aheads`, `eunits`, ... of its model.json) or of a language model."""

    classes: int
    width: int
    heads: int
    inside: int
    layers: int
    decoder_layers: int = 0
    decoder_inside: int = 0
    kernel: int = 31
    embedding: int = 0


SMALL = Sizes(41, 64, 4, 128, 2, 2, 96)
SMALL_LM = Sizes(41, 64, 4, 96, 2, embedding=32)
# Those of auto_avsr, and of lm_en_subword.
FULL = Sizes(5049, 768, 12, 3072, 12, 6, 3072)
FULL_LM = Sizes(5049, 512, 8, 2048, 16, embedding=128)


def drawn(key: str, *shape: int) -> Tensor:
    """The tensor of the state dict that the golden numbers were made with."""
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    x = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    if key.endswith("running_var"):
        x = 1 + 0.5 * np.tanh(x)
    elif len(shape) > 1:
        x = x / math.sqrt(math.prod(shape[1:]))
    else:
        x = 0.1 * x if key.endswith(("running_mean", "bias")) else 1 + 0.2 * np.tanh(x)
    return torch.from_numpy(x.astype(np.float32))


def reader_state(sizes: Sizes = SMALL) -> dict[str, Tensor]:
    """The state dict of a lip reader, by the names of the published code."""
    state: dict[str, Tensor] = {}
    model = sizes.width

    def add(key: str, *shape: int) -> None:
        state[key] = drawn(key, *shape)

    def linear(key: str, outputs: int, inputs: int) -> None:
        add(f"{key}.weight", outputs, inputs)
        add(f"{key}.bias", outputs)

    def norm(key: str, width: int = model, batch: bool = False) -> None:
        for name in _BATCH_NORM if batch else _BATCH_NORM[:2]:
            add(f"{key}.{name}", width)

    add("encoder.frontend.frontend3D.0.weight", 64, 1, 5, 7, 7)
    norm("encoder.frontend.frontend3D.1", 64, batch=True)
    inputs = 64
    for stage, width in enumerate((64, 128, 256, 512)):
        for block in range(2):
            name = f"encoder.frontend.trunk.layer{stage + 1}.{block}"
            add(f"{name}.conv1.weight", width, inputs, 3, 3)
            add(f"{name}.conv2.weight", width, width, 3, 3)
            norm(f"{name}.bn1", width, batch=True)
            norm(f"{name}.bn2", width, batch=True)
            if inputs != width:
                add(f"{name}.downsample.0.weight", width, inputs, 1, 1)
                norm(f"{name}.downsample.1", width, batch=True)
            inputs = width
    linear("encoder.embed.0", model, 512)
    for number in range(sizes.layers):
        name = f"encoder.encoders.{number}"
        for part in ("q", "k", "v", "out"):
            linear(f"{name}.self_attn.linear_{part}", model, model)
        add(f"{name}.self_attn.linear_pos.weight", model, model)
        for part in ("u", "v"):
            add(f"{name}.self_attn.pos_bias_{part}", sizes.heads, model // sizes.heads)
        for module in ("feed_forward_macaron", "feed_forward"):
            linear(f"{name}.{module}.w_1", sizes.inside, model)
            linear(f"{name}.{module}.w_2", model, sizes.inside)
        for module, shape in (
            ("pointwise_cov1", (2 * model, model, 1)),
            ("depthwise_conv", (model, 1, sizes.kernel)),
            ("pointwise_cov2", (model, model, 1)),
        ):
            add(f"{name}.conv_module.{module}.weight", *shape)
            add(f"{name}.conv_module.{module}.bias", shape[0])
        norm(f"{name}.conv_module.norm", batch=True)
        for which in ("norm_ff_macaron", "norm_mha", "norm_conv", "norm_ff", "norm_final"):
            norm(f"{name}.{which}")
    norm("encoder.after_norm")
    add("decoder.embed.0.weight", sizes.classes, model)
    for number in range(sizes.decoder_layers):
        name = f"decoder.decoders.{number}"
        for attention in ("self_attn", "src_attn"):
            for part in ("q", "k", "v", "out"):
                linear(f"{name}.{attention}.linear_{part}", model, model)
        linear(f"{name}.feed_forward.w_1", sizes.decoder_inside, model)
        linear(f"{name}.feed_forward.w_2", model, sizes.decoder_inside)
        for which in ("norm1", "norm2", "norm3"):
            norm(f"{name}.{which}")
    norm("decoder.after_norm")
    linear("decoder.output_layer", sizes.classes, model)
    linear("ctc.ctc_lo", sizes.classes, model)
    return state


def language_state(sizes: Sizes = SMALL_LM) -> dict[str, Tensor]:
    """Likewise, of a language model."""
    model = sizes.width
    state = {"embed.weight": drawn("embed.weight", sizes.classes, sizes.embedding)}
    shapes = {"encoder.embed.0": (model, sizes.embedding), "encoder.embed.1": (model,), "encoder.after_norm": (model,)}
    shapes["decoder"] = (sizes.classes, model)
    for number in range(sizes.layers):
        name = f"encoder.encoders.{number}"
        shapes |= {f"{name}.self_attn.linear_{part}": (model, model) for part in ("q", "k", "v", "out")}
        shapes |= {f"{name}.feed_forward.w_1": (sizes.inside, model), f"{name}.feed_forward.w_2": (model, sizes.inside)}
        shapes |= {f"{name}.norm_mha": (model,), f"{name}.norm_ff": (model,)}
    for name, shape in shapes.items():
        state |= {f"{name}.weight": drawn(f"{name}.weight", *shape), f"{name}.bias": drawn(f"{name}.bias", shape[0])}
    return state
