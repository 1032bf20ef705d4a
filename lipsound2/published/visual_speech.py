"""Lip readers of auto_avsr and of Visual Speech Recognition for Multiple Languages: sizes and tensors by our names.

Both are one model: conv3D + ResNet-18, a Conformer, a CTC head and a Transformer decoder (arXiv 2102.06657, 2202.13084,
2303.14307). Sizes are read from the tensors; every tensor has to be used and to fit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from lipsound2.errors import LipsoundError
from lipsound2.models.state_dict import BATCH_NORM, LINEAR, Tensors, Translated

# Keys of the second toolkit, in those of the first.
_SECOND = (
    (re.compile(r"^encoder\.frontend\."), "frontend."),
    (re.compile(r"^encoder\.embed\.0\."), "proj_encoder."),
)
# What old files call otherwise, as the published code renames it on loading.
_FORMER = (
    (re.compile(r"\.input_layer\."), ".embed."),
    (re.compile(r"^(encoder|decoder)\.(norm|output_norm)\."), r"\1.after_norm."),
)


def reader(state: Mapping[str, Tensor], where: str, *, legacy: bool) -> Translated:
    """A lip reader.

    Args:
        state: of the file, by the names of either toolkit.
        where: the file, for messages.
        legacy: whether its relative positions are those of ESPnet before 2021, which the tensors do not tell.

    Raises:
        LipsoundError: a tensor is absent, of another shape, or one too many.
    """
    tensors = Tensors(state, where, _today)
    layers, decoder_layers = (
        tensors.count(r"encoder\.encoders\.(\d{1,4})\."),
        tensors.count(r"decoder\.decoders\.(\d{1,4})\."),
    )
    if not layers:
        raise LipsoundError(f"{where}: has no Conformer block ('encoder.encoders.0...'); is it of another model?")
    ours, activation = trunk(tensors, "frontend.", "encoder.trunk")
    ours |= tensors.move("proj_encoder", "encoder.enter.0")
    for number in range(layers):
        ours |= _block(tensors, f"encoder.encoders.{number}", f"encoder.conformer.blocks.{number}")
    ours |= tensors.move("encoder.after_norm", "encoder.conformer.norm")
    ours |= tensors.move("ctc.ctc_lo", "ctc")
    if decoder_layers:
        ours |= tensors.move("decoder.embed.0", "decoder.embedding", ("weight",))
        for number in range(decoder_layers):
            ours |= _layer(tensors, f"decoder.decoders.{number}", f"decoder.layers.layers.{number}")
        ours |= tensors.move("decoder.after_norm", "decoder.layers.norm")
        ours |= tensors.move("decoder.output_layer", "decoder.leave")
    tensors.end()
    block, width = "encoder.conformer.blocks.0", len(ours["encoder.enter.0.bias"])
    inside = len(ours[f"{block}.first.1.bias"])
    config = {
        "trunk_activation": activation,
        "width": width,
        "layers": layers,
        "heads": len(ours[f"{block}.attention.positions.content"]),
        "expansion": max(inside // width, 1),
        "feed_forward": inside if inside % width else 0,
        "kernel": ours[f"{block}.convolution.depthwise.weight"].shape[-1],
        "positions": "legacy" if legacy else "latest",
        "conv_norm": "batch",
        "feed_forward_activation": "relu",
        "input_scale": True,
        "last_norm": True,
        "norm_eps": 1e-12,
        "decoder_layers": decoder_layers,
        "decoder_feed_forward": len(ours["decoder.layers.layers.0.linear1.weight"]) if decoder_layers else 0,
        "decoder_positions": "interleaved",
        "ctc_boundary": True,
    }
    return Translated(config, ours, tensors.named)


def language_model(state: Mapping[str, Tensor], where: str, *, heads: int, places: bool = False) -> Translated:
    """A language model.

    Args:
        state: of the file.
        where: the file, for messages.
        heads: attention heads, which the tensors do not tell.
        places: whether sinusoids of the places are added to the tokens, which they do not tell either.

    Raises:
        LipsoundError: a tensor is absent, or one too many.
    """
    tensors = Tensors(state, where, _today)
    layers = tensors.count(r"encoder\.encoders\.(\d{1,4})\.")
    if not layers:
        raise LipsoundError(f"{where}: has no layer ('encoder.encoders.0...'); is it of another model?")
    ours = tensors.move("embed", "embedding", ("weight",))
    ours |= tensors.move("proj_encoder", "enter.0") | tensors.move("encoder.embed.1", "enter.1")
    for number in range(layers):
        ours |= _layer(tensors, f"encoder.encoders.{number}", f"layers.layers.{number}")
    ours |= tensors.move("encoder.after_norm", "layers.norm") | tensors.move("decoder", "leave")
    tensors.end()
    config = {
        "width": len(ours["enter.0.bias"]),
        "layers": layers,
        "heads": heads,
        "embedding": ours["embedding.weight"].shape[-1],
        "feed_forward": len(ours["layers.layers.0.linear1.bias"]),
        "positions": "interleaved" if places else "none",
        "norm_eps": 1e-12,
    }
    return Translated(config, ours, tensors.named)


def _today(name: str) -> str:
    """A tensor's name in the first toolkit, as its code has it today."""
    for pattern, new in (*_FORMER, *_SECOND):
        name = pattern.sub(new, name)
    return name


def trunk(tensors: Tensors, inside: str, to: str) -> tuple[dict[str, Tensor], str]:
    """The tensors of the trunk, and its activation: `prelu`, which has weights, or `swish`.

    Args:
        tensors: of the file.
        inside: what its names begin with there, with a dot; or empty.
        to: what they begin with here.
    """
    ours = tensors.move(f"{inside}frontend3D.0", f"{to}.stem", ("weight",))
    ours |= tensors.move(f"{inside}frontend3D.1", f"{to}.norm", BATCH_NORM)
    prelu = f"{inside}frontend3D.2.weight" in tensors.left
    if prelu:
        ours |= tensors.move(f"{inside}frontend3D.2", f"{to}.act", ("weight",))
    for stage in range(4):
        for block in range(2):
            theirs, here = f"{inside}trunk.layer{stage + 1}.{block}", f"{to}.stages.{2 * stage + block}"
            for number in (1, 2):
                ours |= tensors.move(f"{theirs}.conv{number}", f"{here}.conv{number}", ("weight",))
                ours |= tensors.move(f"{theirs}.bn{number}", f"{here}.norm{number}", BATCH_NORM)
                if prelu:
                    ours |= tensors.move(f"{theirs}.relu{number}", f"{here}.act{number}", ("weight",))
            if stage and not block:
                ours |= tensors.move(f"{theirs}.downsample.0", f"{here}.shortcut.0", ("weight",))
                ours |= tensors.move(f"{theirs}.downsample.1", f"{here}.shortcut.1", BATCH_NORM)
    return ours, "prelu" if prelu else "swish"


def _block(tensors: Tensors, theirs: str, ours: str) -> dict[str, Tensor]:
    """One Conformer block."""
    found = _joined(tensors, f"{theirs}.self_attn", f"{ours}.attention.project.{{}}")
    found |= tensors.move(f"{theirs}.self_attn.linear_out", f"{ours}.attention.join")
    found |= tensors.move(f"{theirs}.self_attn.linear_pos", f"{ours}.attention.positions.project", ("weight",))
    for letter, name in (("u", "content"), ("v", "place")):
        here = f"{ours}.attention.positions.{name}"
        found[here] = tensors.take(f"{theirs}.self_attn.pos_bias_{letter}", here)
    for module, name in (("feed_forward_macaron", "first"), ("feed_forward", "second")):
        found |= tensors.move(f"{theirs}.{module}.w_1", f"{ours}.{name}.1")
        found |= tensors.move(f"{theirs}.{module}.w_2", f"{ours}.{name}.4")
    for norm, name in (
        ("norm_ff_macaron", "first.0"),
        ("norm_mha", "attention.norm"),
        ("norm_conv", "convolution.norm"),
        ("norm_ff", "second.0"),
        ("norm_final", "norm"),
    ):
        found |= tensors.move(f"{theirs}.{norm}", f"{ours}.{name}")
    convolution = f"{theirs}.conv_module"
    for number, name in ((1, "gate"), (2, "join")):  # theirs are convolutions of one tap
        moved = tensors.move(f"{convolution}.pointwise_cov{number}", f"{ours}.convolution.{name}")
        found |= {key: tensor.flatten(1) if tensor.dim() == 3 else tensor for key, tensor in moved.items()}
    found |= tensors.move(f"{convolution}.depthwise_conv", f"{ours}.convolution.depthwise")
    return found | tensors.move(f"{convolution}.norm", f"{ours}.convolution.inner", BATCH_NORM)


def _layer(tensors: Tensors, theirs: str, ours: str) -> dict[str, Tensor]:
    """One layer of a decoder, or of a language model, which looks at no states."""
    found: dict[str, Tensor] = {}
    decoder = f"{theirs}.norm3.weight" in tensors.left
    for attention, name in (("self_attn", "self_attn"), ("src_attn", "multihead_attn"))[: 2 if decoder else 1]:
        found |= _joined(tensors, f"{theirs}.{attention}", f"{ours}.{name}.in_proj_{{}}")
        found |= tensors.move(f"{theirs}.{attention}.linear_out", f"{ours}.{name}.out_proj")
    for number in (1, 2):
        found |= tensors.move(f"{theirs}.feed_forward.w_{number}", f"{ours}.linear{number}")
    norms = (("norm1", "norm1"), ("norm2", "norm2"), ("norm3", "norm3"))
    for norm, name in norms if decoder else (("norm_mha", "norm1"), ("norm_ff", "norm3")):
        found |= tensors.move(f"{theirs}.{norm}", f"{ours}.{name}")
    return found


def _joined(tensors: Tensors, theirs: str, ours: str) -> dict[str, Tensor]:
    """Queries, keys and values as one product: weights and biases, `ours` with a place for either word."""
    found = {}
    for name in LINEAR:
        parts = [tensors.take(f"{theirs}.linear_{part}.{name}", ours.format(name)) for part in "qkv"]
        if len({(part.shape, part.dtype) for part in parts}) > 1:
            shapes = ", ".join(str(list(part.shape)) for part in parts)
            raise LipsoundError(f"{tensors.where}: '{theirs}.linear_q.{name}', k and v are not alike: {shapes}")
        found[ours.format(name)] = torch.cat(parts)
    return found
