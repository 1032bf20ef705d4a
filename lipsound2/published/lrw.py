"""The verb `convert-lrw`: word classifiers of Lipreading using Temporal Convolutional Networks, as packs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lipsound2 import model_names
from lipsound2.data.texts import read_lines, shown
from lipsound2.datasets.augment import AugmentConfig
from lipsound2.errors import LipsoundError
from lipsound2.models.asr.word_classifier import WordClassifierConfig
from lipsound2.models.state_dict import BATCH_NORM, Tensors, Translated, fitted, read_state_dict
from lipsound2.outputs import OutputFolder
from lipsound2.published.visual_speech import trunk
from lipsound2.published.write import write_pack
from lipsound2.tasks.classify import Classify, ClassifyAssets, ClassifyConfig

_ADVICE = "wanted a ResNet-18 and MS-TCN with Swish, such as lrw_resnet18_mstcn_video.pth"
_BLOCKS, _KERNELS = 4, 3


def convert_lrw(file: Path, out: OutputFolder | None = None, *, words: Path, name: str | None = None) -> None:
    """Make a pack of a published word classifier: ResNet-18 and MS-TCN, trained on LRW.

    The file is read as plain tensors: no code in it runs, and every tensor has to be used and to fit. Models with PReLU
    and the densely connected ones (DC-TCN) are other networks, and are refused.

    Args:
        file: the published file.
        out: folder to write; or give --name.
        name: name that the pack gets in your folder of models, instead of OUT; every verb finds it by this name.
        words: the classes, a word a line in their order: labels/500WordsSortedList.txt of that toolkit.
    """
    out = model_names.folder_for(out, name)
    found = translate(read_state_dict(file), str(file))
    classes = _read_words(words, len(found.tensors["leave.bias"]))
    task = Classify(ClassifyConfig(input="mouth-published"), WordClassifierConfig(**found.config), AugmentConfig())
    assets = ClassifyAssets(classes, 0)
    tensors = fitted(found.tensors, task.build(assets), str(file), _ADVICE, found.named)
    write_pack(
        out,
        file,
        "convert-lrw",
        task,
        assets,
        tensors,
        knows=f"{len(classes)} words, as {file.name} was trained on; it was published by others",
        license="not commercial, as that of LRW (BBC); do not pass this pack on without permission",
    )
    print(f"{out}: {len(classes)} words; use it with: {task.usage(model_names.name_of(out))}")


def translate(state: Mapping[str, Tensor], where: str) -> Translated:
    """A word classifier.

    Raises:
        LipsoundError: a tensor is absent, or one too many.
    """
    tensors = Tensors(state, where)
    ours, activation = trunk(tensors, "", "trunk")
    for number in range(_BLOCKS):
        theirs, here = f"tcn.mb_ms_tcn.network.{number}", f"blocks.{number}"
        for half, name in enumerate(("first", "second")):
            branches = [f"{theirs}.cbcr{half}_{kernel}" for kernel in range(_KERNELS)]
            for kernel, branch in enumerate(branches):
                ours |= tensors.move(f"{branch}.conv", f"{here}.{name}.convs.{kernel}")
            for part in BATCH_NORM:  # theirs has a norm for each branch, ours one for all of their channels
                key = f"{here}.{name}.norm.{part}"
                ours[key] = torch.cat([tensors.take(f"{branch}.batchnorm.{part}", key) for branch in branches])
        ours |= tensors.move(f"{theirs}.downsample", f"{here}.shortcut")
    ours |= tensors.move("tcn.tcn_output", "leave")
    tensors.end()
    config = {"trunk_activation": activation, "branch": len(ours["blocks.0.first.convs.0.bias"]), "all_shortcuts": True}
    return Translated(config, ours, tensors.named)


def _read_words(path: Path, classes: int) -> tuple[str, ...]:
    """The classes in their order, in small letters."""
    words = [(number, line.strip()) for number, line in read_lines(path)]
    found = tuple(word.lower() for _, word in words if word)
    for number, word in words:
        if word and word.split() != [word]:
            raise LipsoundError(f"{path}:{number}: expected one word, found {shown(word)}")
    if len(found) != classes or len(set(found)) < len(found):
        raise LipsoundError(
            f"{path}: lists {len(set(found))} words, the model has {classes} classes; give the list it was trained with"
        )
    return found
