"""The verb `convert-trunk`: the conv3D and ResNet-18 out of a published network of any kind, as a pack.

The group's networks and those built on them share this trunk to the names of its tensors: auto_avsr, RAVEn, AV-HuBERT,
the word classifiers. What lies behind it is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from torch import Tensor

from lipsound2 import model_names
from lipsound2.data.texts import shown
from lipsound2.errors import LipsoundError
from lipsound2.models.modules.lip_trunk import TrunkConfig
from lipsound2.models.state_dict import Tensors, Translated, fitted, read_state_dict
from lipsound2.outputs import OutputFolder
from lipsound2.published import visual_speech
from lipsound2.published.write import write_pack
from lipsound2.tasks.trunk import Trunk, TrunkTaskConfig
from lipsound2.training.beginning import trunk_of

_FIRST, _BLOCK = "frontend3D.0.weight", "trunk.layer1.0.conv1.weight"
_ADVICE = "wanted a conv3D and ResNet-18 as in auto_avsr, RAVEn and AV-HuBERT"
_LICENSE = "the file's own, and that of its data set; do not pass this pack on without permission"
_AV_HUBERT = (
    "AV-HuBERT's own (Meta): research that is not commercial, no surveillance, no biometric processing; personal, so "
    "this pack is not to be passed on"
)


def convert_trunk(
    file: Path,
    out: OutputFolder | None = None,
    *,
    name: str | None = None,
    inside: str = "",
    activation: Literal["swish", "relu"] = "swish",
    knows: str = "",
) -> None:
    """Make a pack of the trunk of a published network, to begin a training with: RAVEn, AV-HuBERT, word classifiers.

    The file is read as plain tensors: no code in it runs. What lies behind the trunk is left out. Begin a training with
    --init PACK and `init_only: [trunk]`, or dump the states of clips with `lipsound2 features PACK`.

    Args:
        file: the published file.
        out: folder to write; or give --name.
        name: name that the pack gets in your folder of models, instead of OUT, for --init and `features`.
        inside: what the names of the trunk's tensors begin with, such as encoder.frontend; needed where a file holds
            several.
        activation: swish, as RAVEn and auto_avsr have it, or relu; PReLU is told by its weights.
        knows: one line about what it was trained on; shown to those who use it.
    """
    out = model_names.folder_for(out, name)
    state = read_state_dict(file)
    prefix = _prefix(state, inside, str(file))
    found = translate(state, prefix, activation, str(file))
    task = Trunk(TrunkTaskConfig(), TrunkConfig(**found.config))
    tensors = fitted(found.tensors, task.build(None), str(file), _ADVICE, found.named)
    license = _AV_HUBERT if "feature_extractor_video." in prefix else _LICENSE
    write_pack(
        out,
        file,
        "convert-trunk",
        task,
        None,
        tensors,
        knows=knows or f"lips, as {file.name} was trained on; it was published by others",
        license=license,
        facts=task.describe(None) | {"Network": f"conv3D and ResNet-18, {found.config['trunk_activation']}"},
    )
    left = sum(not key.startswith(prefix) for key in state)
    print(f"{out}: a trunk; {left} tensors behind it were left out; begin a training with it:")
    keys = f"init_only: [trunk], {trunk_of(out)}"
    print(f'  lipsound2 train CONFIG --init {model_names.name_of(out)} --override "{keys}" ...')
    print(f"license  {license}")


def translate(state: Mapping[str, Tensor], prefix: str, activation: str, where: str) -> Translated:
    """A trunk.

    Args:
        state: of the file.
        prefix: what the names of the trunk's tensors begin with, with a dot; or empty.
        activation: where no tensor tells it.
        where: the file, for messages.

    Raises:
        LipsoundError: a tensor is absent, or one too many.
    """
    parts = tuple(f"{prefix}{part}." for part in ("frontend3D", "trunk"))
    tensors = Tensors({name: tensor for name, tensor in state.items() if name.startswith(parts)}, where)
    ours, told = visual_speech.trunk(tensors, prefix, "trunk")
    tensors.end()
    return Translated({"trunk_activation": told if told == "prelu" else activation}, ours, tensors.named)


def _prefix(state: Mapping[str, Tensor], inside: str, where: str) -> str:
    """What the names of the one trunk begin with."""
    found = [name.removesuffix(_FIRST) for name in state if name.endswith(_FIRST)]
    found = [prefix for prefix in found if f"{prefix}{_BLOCK}" in state]
    wanted = f"{inside.rstrip('.')}." if inside else ""
    if inside and wanted not in found:
        raise LipsoundError(f"--inside {inside}: {where} has no trunk there; found {_listed(found)}")
    if not found:
        raise LipsoundError(f"{where}: has no tensors '...{_FIRST}' and '...{_BLOCK}'; {_ADVICE}")
    if not inside and len(found) > 1:
        raise LipsoundError(f"{where}: holds {len(found)} trunks; choose one: --inside {_listed(found)}")
    return wanted or found[0]


def _listed(prefixes: list[str]) -> str:
    return " or ".join(shown(prefix.rstrip(".")) for prefix in prefixes) or "none"
