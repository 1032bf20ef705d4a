"""Weights from a file into a network: mapped from the disk, or each layer lowered as it is read.

Nothing is held twice. Mapped weights take memory once they are used, and the system may drop them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

from lipsound2.models.modules.lowered import lowered

_DRAWS = (Tensor.uniform_, Tensor.normal_, init.uniform_, init.normal_, init.kaiming_uniform_, init.kaiming_normal_)


class Unfilled(TorchFunctionMode):
    """A block in which networks are built without drawing first weights, which a file will replace.

    Memory that was never written takes no room. (On torch's device `meta`, building takes a second longer.)
    """

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """As without the block, but for draws."""
        named = kwargs or {}
        if func in _DRAWS:
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def fill(network: nn.Module, file: Path, names: Mapping[str, str], precision: str) -> None:
    """Give a network its weights.

    Args:
        network: built in a block `Unfilled`; whatever it holds is replaced.
        file: of safetensors.
        names: each of the network's tensors -> the one in the file, of the same shape.
        precision: `fp32`: as the network was built; `bf16` or `int8`: its linear layers are replaced.
    """
    if precision == "fp32":
        with safe_open(file, framework="pt", device="cpu") as opened:
            wanted = network.state_dict().items()
            state = {name: _fitted(opened.get_tensor(names[name]), tensor) for name, tensor in wanted}
        network.load_state_dict(state, assign=True)
        return
    for path in [path for path, _ in network.named_modules()]:
        module = network.get_submodule(path)
        own = {name: names[f"{path}.{name}" if path else name] for name in _own(module)}
        lower = _filled(module, file, own, precision)
        if lower is not module:
            above, _, last = path.rpartition(".")
            setattr(network.get_submodule(above), last, lower)


def _filled(module: nn.Module, file: Path, names: Mapping[str, str], precision: str) -> nn.Module:
    """A module with its own weights, those inside it left out; or what replaces it.

    What was read of a mapped file counts as memory for as long as it is mapped. So the file is mapped for this module
    alone, and nothing that is kept lies there.
    """
    with safe_open(file, framework="pt", device="cpu") as opened:
        state = {name: _fitted(opened.get_tensor(names[name]), tensor) for name, tensor in _own(module).items()}
        module.load_state_dict(state, strict=False, assign=True)
        lower = lowered(module, precision)
        if lower is None:
            copies = {name: tensor.clone() for name, tensor in state.items()}
            module.load_state_dict(copies, strict=False, assign=True)
    return lower or module


def _own(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of a module, without those of the modules inside it."""
    return {name: tensor for name, tensor in module.state_dict().items() if "." not in name}


def _fitted(tensor: Tensor, wanted: Tensor) -> Tensor:
    """A tensor in the type that the network computes in (packs hold half precision), and in its layout."""
    tensor = tensor.to(wanted.dtype)
    return tensor if wanted.is_contiguous() else torch.empty_like(wanted).copy_(tensor)
