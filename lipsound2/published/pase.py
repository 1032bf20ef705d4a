"""The verb `convert-pase`: the published PASE+ encoder as a pack, which `targets --target pase:PACK` reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from lipsound2 import model_names
from lipsound2.audio.augment import AudioAugmentConfig
from lipsound2.models.pase.pase import PaseEncoder, PaseEncoderConfig
from lipsound2.models.pase.workers import PaseWorkersConfig
from lipsound2.models.state_dict import fitted, read_state_dict
from lipsound2.outputs import OutputFolder
from lipsound2.published.write import write_pack
from lipsound2.tasks.pase import PaseAssets, PaseConfig, PaseTask

# What the published modules are called there and here (pase/models/frontend.py, modules.py; torchqrnn/qrnn.py).
_NAMES = {
    "blocks.0.conv.low_hz_": "blocks.0.conv.low",
    "blocks.0.conv.band_hz_": "blocks.0.conv.band",
    "denseskips.": "skips.",
    "rnn.layers.0.": "recurrent.",
    "W.": "project.",
    "norm_out.": "norm.",
}


def convert_pase(file: Path, out: OutputFolder | None = None, *, name: str | None = None) -> None:
    """Make a pack of the published PASE+ encoder (FE_e199.ckpt), or of another one of its layout.

    The file is read as plain tensors: no code in it runs, and anything but a plain state dict is refused.

    Args:
        file: the published file.
        out: folder to write; or give --name.
        name: name that the pack gets in your folder of models, instead of OUT; every verb finds it by this name.
    """
    out = model_names.folder_for(out, name)
    state = translate(read_state_dict(file), file)
    task = PaseTask(PaseConfig(), PaseEncoderConfig(), PaseWorkersConfig(predict=()), AudioAugmentConfig())
    write_pack(
        out,
        file,
        "convert-pase",
        task,
        PaseAssets(),
        {f"encoder.{name}": tensor for name, tensor in state.items()},
        knows=f"the encoder of {file.name}, whatever it was trained on",
        license="the file's own; PASE+ is published under the MIT license (github.com/santi-pdp/pase)",
    )
    print(
        f"{out}: {len(state)} tensors; use it with: lipsound2 targets DIR DUMP --target pase:{model_names.name_of(out)}"
    )


def translate(published: Mapping[str, Tensor], where: Path) -> dict[str, Tensor]:
    """Our names for the published tensors, every shape checked.

    Raises:
        LipsoundError: a tensor is missing, unknown, of another shape, or holds something that is no number.
    """
    network = PaseEncoder(PaseEncoderConfig())
    wanted = network.state_dict()
    found: dict[str, Tensor] = {}
    named: dict[str, str] = {}
    for name, tensor in published.items():
        ours = next((new + name.removeprefix(old) for old, new in _NAMES.items() if name.startswith(old)), name)
        # The edges of the sinc filters have an axis more there.
        narrow = ours in wanted and tensor.ndim == 2 and wanted[ours].ndim == 1 and tensor.shape[1] == 1
        found[ours], named[ours] = (tensor[:, 0] if narrow else tensor), name
    return fitted(found, network, str(where), "wanted the PASE+ encoder alone, such as FE_e199.ckpt", named)
