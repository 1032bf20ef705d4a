"""The models by name: what `model:` in a config may say. A new one is a file and a line here (docs/add-a-model.md).

Nothing is imported before it is asked for. The tasks *classify*, *language* and *pase* have one network each, and no
key `model`.
"""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from typing import Any, Literal

from lipsound2.errors import LipsoundError


@dataclass(frozen=True)
class Model:
    """A network that a config can name.

    Attributes:
        name: what the config says.
        task: the task it serves; what its networks are made of and asked for is described there.
        reads: what goes in.
        network: its module below `lipsound2.models`, and its class in it.
        config: the dataclass of its sizes, in the same module: each field is a key of the config.
    """

    name: str
    task: str
    reads: Literal["video", "audio", "mel"]
    network: str
    config: str

    def network_class(self) -> type[Any]:
        """The class of the network, imported."""
        return self._attribute(self.network.partition(":")[2])

    def config_class(self) -> type[Any]:
        """The dataclass of its sizes, imported."""
        return self._attribute(self.config)

    def _attribute(self, name: str) -> type[Any]:
        found: type[Any] = getattr(importlib.import_module(f"lipsound2.models.{self.network.partition(':')[0]}"), name)
        return found


MODELS = [
    Model("parallel", "regress", "video", "parallel:Parallel", "ParallelConfig"),
    Model("lipsound2", "regress", "video", "lipsound2:LipSound2", "LipSound2Config"),
    Model("lira", "regress", "video", "lira:Lira", "LiraConfig"),
    Model("lips", "recognize", "video", "asr.lip_reader:LipEncoder", "LipReaderConfig"),
    Model("conformer", "recognize", "audio", "asr.speech_encoder:SpeechConformer", "SpeechConformerConfig"),
    Model("jasper", "recognize", "audio", "asr.jasper:Jasper", "JasperConfig"),
    Model("hifigan", "vocode", "mel", "vocoders.hifigan:HifiGan", "HifiGanConfig"),
    Model("vocos", "vocode", "mel", "vocoders.vocos:Vocos", "VocosConfig"),
    Model("waveglow", "vocode", "mel", "vocoders.waveglow:WaveGlow", "WaveGlowConfig"),
]


def find(task: str, name: object, where: str = "model") -> Model:
    """The model of a task by its name.

    Args:
        task: the value of `task:` in the config.
        name: the value of `model:`.
        where: the file, for messages.

    Raises:
        LipsoundError: the task has no such model; the nearest one is named.
    """
    known = {model.name: model for model in MODELS if model.task == task}
    if isinstance(name, str) and name in known:
        return known[name]
    shown = f"'{name}'" if str(name).isprintable() else f"{name!r:.60}"
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"one of: {', '.join(known)}"
    other = next((model.task for model in MODELS if model.name == name), "")
    hint = f"it is one of the task '{other}'; {hint}" if other else hint
    raise LipsoundError(f"{where}: the task '{task}' has no model {shown}; {hint}")
