"""The verb `convert-hifigan`: published generators of HiFi-GAN as packs, to begin a training with, or to speak."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lipsound2 import model_names
from lipsound2.audio.mel_settings import MELS, MelConfig
from lipsound2.datasets.audio_segments import SegmentConfig
from lipsound2.errors import LipsoundError
from lipsound2.models.state_dict import Tensors, Translated, fitted, read_state_dict
from lipsound2.models.vocoders.hifigan import BLOCKS, HifiGanConfig
from lipsound2.outputs import OutputFolder
from lipsound2.published.write import write_pack
from lipsound2.tasks.vocode import Vocode, VocodeAssets, VocodeConfig

# What the published files speak (config_v1.json to config_v3.json of jik876/hifi-gan).
MEL = MelConfig(name="hifigan", sample_rate=22050, n_fft=1024, window=1024, hop=256, bands=80, fmin=0.0, fmax=8000.0)
_ADVICE = "wanted a generator of HiFi-GAN V1, V2 or V3, such as generator_v1, or SpeechT5's"
_PARTS = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
_ORIGINS = ("github.com/jik876/hifi-gan", "huggingface.co/microsoft/speecht5_hifigan")


def convert_hifigan(file: Path, out: OutputFolder | None = None, *, name: str | None = None) -> None:
    """Make a pack of a published generator of HiFi-GAN: V1 to V3, or SpeechT5's.

    V1 to V3 speak mels of 22.05 kHz audio, which no model here predicts. Their use is to begin a training at 16 kHz:
    `lipsound2 train conf/hifigan_v1.yaml --init PACK --override "mel: paper"`. SpeechT5's speaks the mel `speecht5` of
    16 kHz audio, which a lip-to-speech model may predict (`target: mel-speecht5`).

    Args:
        file: the published file: generator_v1, g_02500000, or pytorch_model.bin of SpeechT5's.
        out: folder to write; or give --name.
        name: name that the pack gets in your folder of models, instead of OUT; every verb finds it by this name.
    """
    out = model_names.folder_for(out, name)
    found = translate(read_state_dict(file), str(file))
    ready = found.config["residual"] == "speecht5"
    mel = MELS["speecht5"] if ready else MEL
    task = Vocode(
        VocodeConfig(model="hifigan", mel="speecht5" if ready else "paper"),
        HifiGanConfig(**found.config),
        SegmentConfig(),
    )
    assets = VocodeAssets(mel)
    tensors = fitted(found.tensors, task.build(assets), str(file), _ADVICE, found.named)
    write_pack(
        out,
        file,
        "convert-hifigan",
        task,
        assets,
        tensors,
        knows=f"the voices of {file.name}; it was published by others",
        license=f"MIT ({_ORIGINS[ready]})",
    )
    named = model_names.name_of(out)
    use = f'--init {named} --override "mel: paper"'
    print(f"{out}: " + (task.usage(named) if ready else f"begin a training with it: lipsound2 train ... {use}"))


def translate(state: Mapping[str, Tensor], where: str) -> Translated:
    """A generator.

    Raises:
        LipsoundError: a tensor is absent, or one too many.
    """
    tensors = Tensors(state, where)
    speecht5 = "mean" in state and "scale" in state
    pairs = any(name.startswith("resblocks.0.convs1.0.") for name in state)
    residual = "speecht5" if speecht5 else "pairs" if pairs else "single"
    blocks = BLOCKS[residual]
    ours = _layer(tensors, "conv_pre", "first") | _layer(tensors, "conv_post", "last")
    branches = len(blocks.kernels)
    for stage in range(len(blocks.steps[MEL.hop])):
        ours |= _layer(tensors, f"{'upsampler' if speecht5 else 'ups'}.{stage}", f"steps.{stage}")
        for branch, dilations in enumerate(blocks.dilations):
            theirs, here = f"resblocks.{stage * branches + branch}", f"blocks.{stage}.blocks.{branch}"
            for index in range(len(dilations)):
                first = "convs1" if blocks.pairs else "convs"
                ours |= _layer(tensors, f"{theirs}.{first}.{index}", f"{here}.dilated.{index}")
                if blocks.pairs:
                    ours |= _layer(tensors, f"{theirs}.convs2.{index}", f"{here}.plain.{index}")
    if speecht5:  # theirs is a logarithm to the base 10
        ours |= {name: tensors.take(name, name) * math.log(10) for name in ("mean", "scale")}
    tensors.end()
    config = {"channels": len(ours["first.bias"]), "residual": residual}
    return Translated(config, ours, tensors.named)


def _layer(tensors: Tensors, theirs: str, ours: str) -> dict[str, Tensor]:
    """A convolution with weight norm, or with its weight as it is; ours has an empty axis more."""
    found = tensors.move(theirs, ours, ("bias",))
    parts = {name: f"{ours}.{there}" for name, there in _PARTS.items()}
    if f"{theirs}.weight" in tensors.left:
        v = _three_axes(tensors, f"{theirs}.weight", parts["weight_v"])
        g = torch.linalg.vector_norm(v, dim=(1, 2, 3), keepdim=True)
        tensors.named[parts["weight_g"]] = f"{theirs}.weight"
        return found | {parts["weight_g"]: g, parts["weight_v"]: v}
    return found | {name: _three_axes(tensors, f"{theirs}.{part}", name) for part, name in parts.items()}


def _three_axes(tensors: Tensors, theirs: str, ours: str) -> Tensor:
    """A tensor of theirs with three axes, as ours with four."""
    tensor = tensors.take(theirs, ours)
    if tensor.dim() != 3:
        raise LipsoundError(f"{tensors.where}: '{theirs}' has {tensor.dim()} axes, wanted 3; {_ADVICE}")
    return tensor[:, :, None]
