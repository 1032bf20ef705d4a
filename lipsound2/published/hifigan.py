"""The verb `convert-hifigan`: published generators of HiFi-GAN as packs, to begin the training of a vocoder with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from lipsound2.audio.mel_settings import MelConfig
from lipsound2.datasets.audio_segments import SegmentConfig
from lipsound2.errors import LipsoundError
from lipsound2.models.state_dict import Tensors, Translated, fitted, read_state_dict
from lipsound2.models.vocoders.hifigan import BLOCKS, HifiGanConfig
from lipsound2.outputs import OutputFolder
from lipsound2.published.write import write_pack
from lipsound2.tasks.vocode import Vocode, VocodeAssets, VocodeConfig

# What the published files speak (config_v1.json to config_v3.json of jik876/hifi-gan).
MEL = MelConfig(name="hifigan", sample_rate=22050, n_fft=1024, window=1024, hop=256, bands=80, fmin=0.0, fmax=8000.0)
_ADVICE = "wanted a generator of HiFi-GAN V1, V2 or V3, such as generator_v1"
_PARTS = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}


def convert_hifigan(file: Path, out: OutputFolder) -> None:
    """Make a pack of a published generator of HiFi-GAN, V1 to V3.

    It speaks mels of 22.05 kHz audio, which no model here predicts. Its use is to begin a training at 16 kHz:
    `lipsound2 train conf/hifigan_v1.yaml --init PACK --override "mel: paper"`.

    Args:
        file: the published file: generator_v1, or g_02500000.
        out: folder to write.
    """
    found = translate(read_state_dict(file), str(file))
    task = Vocode(VocodeConfig(model="hifigan", mel="paper"), HifiGanConfig(**found.config), SegmentConfig())
    assets = VocodeAssets(MEL)
    tensors = fitted(found.tensors, task.build(assets), str(file), _ADVICE, found.named)
    write_pack(
        out,
        file,
        "convert-hifigan",
        task,
        assets,
        tensors,
        knows=f"the voices of {file.name}; it was published by others",
        license="MIT (github.com/jik876/hifi-gan)",
    )
    print(f'{out}: begin a training with it: lipsound2 train ... --init {out} --override "mel: paper"')


def translate(state: Mapping[str, Tensor], where: str) -> Translated:
    """A generator.

    Raises:
        LipsoundError: a tensor is absent, or one too many.
    """
    tensors = Tensors(state, where)
    pairs = "resblocks.0.convs1.0.weight_v" in state
    blocks = BLOCKS["pairs" if pairs else "single"]
    ours = _layer(tensors, "conv_pre", "first") | _layer(tensors, "conv_post", "last")
    branches = len(blocks.kernels)
    for stage in range(len(blocks.steps[MEL.hop])):
        ours |= _layer(tensors, f"ups.{stage}", f"steps.{stage}")
        for branch, dilations in enumerate(blocks.dilations):
            theirs, here = f"resblocks.{stage * branches + branch}", f"blocks.{stage}.blocks.{branch}"
            for index in range(len(dilations)):
                ours |= _layer(tensors, f"{theirs}.{'convs1' if pairs else 'convs'}.{index}", f"{here}.dilated.{index}")
                if pairs:
                    ours |= _layer(tensors, f"{theirs}.convs2.{index}", f"{here}.plain.{index}")
    tensors.end()
    config = {"channels": len(ours["first.bias"]), "residual": "pairs" if pairs else "single"}
    return Translated(config, ours, tensors.named)


def _layer(tensors: Tensors, theirs: str, ours: str) -> dict[str, Tensor]:
    """A convolution with weight norm; ours has an empty axis more."""
    found = tensors.move(theirs, ours, ("bias",))
    for part, name in _PARTS.items():
        tensor = tensors.take(f"{theirs}.{part}", f"{ours}.{name}")
        if tensor.dim() != 3:
            raise LipsoundError(f"{tensors.where}: '{theirs}.{part}' has {tensor.dim()} axes, wanted 3; {_ADVICE}")
        found[f"{ours}.{name}"] = tensor[:, :, None]
    return found
