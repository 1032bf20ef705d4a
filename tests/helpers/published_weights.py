"""State dicts of published lip readers and language models, by a rule: names and shapes are theirs, values are drawn.

Every tensor is drawn with its own name as the seed, so no weights have to be kept. The golden numbers of the published
code were made with those of the size `SMALL`. What such a reader writes is noise.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

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


def trunk_state(prefix: str = "", prelu: bool = False) -> dict[str, Tensor]:
    """The state dict of a conv3D and ResNet-18, by the names that all of its relatives share.

    Args:
        prefix: what the names begin with, such as `encoder.frontend.`.
        prelu: with the slopes of PReLU.
    """
    shapes: dict[str, tuple[int, ...]] = {"frontend3D.0.weight": (64, 1, 5, 7, 7)}

    def norm(key: str, width: int) -> None:
        shapes.update({f"{key}.{name}": (width,) for name in _BATCH_NORM})

    norm("frontend3D.1", 64)
    if prelu:
        shapes["frontend3D.2.weight"] = (64,)
    inputs = 64
    for stage, width in enumerate((64, 128, 256, 512)):
        for block in range(2):
            name = f"trunk.layer{stage + 1}.{block}"
            shapes |= {f"{name}.conv1.weight": (width, inputs, 3, 3), f"{name}.conv2.weight": (width, width, 3, 3)}
            norm(f"{name}.bn1", width)
            norm(f"{name}.bn2", width)
            if prelu:
                shapes |= {f"{name}.relu{number}.weight": (width,) for number in (1, 2)}
            if inputs != width:
                shapes[f"{name}.downsample.0.weight"] = (width, inputs, 1, 1)
                norm(f"{name}.downsample.1", width)
            inputs = width
    return {f"{prefix}{name}": drawn(f"{prefix}{name}", *shape) for name, shape in shapes.items()}


def trunk_output(state: Mapping[str, Tensor], video: Tensor, activation: str, prefix: str = "") -> Tensor:
    """The published conv3D and ResNet-18, written out plainly.

    Args:
        state: its tensors.
        video: (1, T, 88, 88) pixels, normalized.
        activation: `relu`, `swish`, or `prelu` with slopes in the state.
        prefix: of their names.

    Returns:
        (T, 512).
    """

    def act(name: str, x: Tensor) -> Tensor:
        if activation == "prelu":
            return F.prelu(x, state[f"{prefix}{name}.weight"])
        return F.silu(x) if activation == "swish" else F.relu(x)

    def norm(name: str, x: Tensor) -> Tensor:
        parts = (state[f"{prefix}{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *parts)

    def conv(name: str, x: Tensor, stride: int, padding: int) -> Tensor:
        return F.conv2d(x, state[f"{prefix}{name}.weight"], None, stride, padding)

    x = F.conv3d(video[:, None], state[f"{prefix}frontend3D.0.weight"], None, (1, 2, 2), (2, 3, 3))
    x = act("frontend3D.2", norm("frontend3D.1", x))
    x = F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))[0].transpose(0, 1)
    for stage in range(4):
        for block in range(2):
            name, stride = f"trunk.layer{stage + 1}.{block}", 2 if stage and not block else 1
            y = act(f"{name}.relu1", norm(f"{name}.bn1", conv(f"{name}.conv1", x, stride, 1)))
            y = norm(f"{name}.bn2", conv(f"{name}.conv2", y, 1, 1))
            if stride == 2:
                x = norm(f"{name}.downsample.1", conv(f"{name}.downsample.0", x, 2, 0))
            x = act(f"{name}.relu2", x + y)
    return x.mean((2, 3))


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

    state |= trunk_state("encoder.frontend.")
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
