"""What a model of each task is, and the command that uses it. Torch is not imported.

`lipsound2 models`, packs, converters and messages about a model of another task all take it from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipsound2.old_names import value_of_today


@dataclass(frozen=True)
class Use:
    """What a model is for.

    Attributes:
        kind: what it is, in words.
        command: that uses it, with `{}` for its folder or name; empty: none is known.
    """

    kind: str
    command: str

    def of(self, name: Path | str) -> str:
        """The command that uses the model of this folder or name."""
        return self.command.format(name)


LIP_TO_SPEECH = Use("lip-to-speech", "lipsound2 speak CLIP --model {}")
LIP_READER = Use("lip reader", "lipsound2 transcribe CLIP --model {}")
RECOGNIZER = Use("recognizer of audio", "lipsound2 transcribe CLIP --asr {}")
# Neither of these takes a clip: one reads states that were dumped, the other predicts no mel to speak with.
STATE_READER = Use("recognizer of trunk states", "lipsound2 decode {} DIR OUT --dump DUMP")
PRETEXT = Use("pretext of lip reading", "lipsound2 features {} DIR DUMP")
# Of each task; of regress and recognize for the input and the target that their configs have by default.
USES: dict[str, Use] = {
    "regress": LIP_TO_SPEECH,
    "recognize": RECOGNIZER,
    "classify": Use("word classifier", "lipsound2 decode {} DIR OUT --dump DUMP"),
    "language": Use("language model", "lipsound2 transcribe CLIP --model READER --lm {}"),
    "pase": Use("acoustic targets", "lipsound2 targets DIR DUMP --target pase:{}"),
    "vocode": Use("vocoder", "lipsound2 speak CLIP --vocoder {}"),
    "trunk": Use("trunk", 'lipsound2 train CONFIG --init {} --override "init_only: [trunk]"'),
}
_AUDIO, _STATES, _TARGETS = "audio", "features-", "targets-"  # what kinds of features are called, or begin with


def use_of(task: str, config: Mapping[str, Any]) -> Use:
    """What a model is for.

    Args:
        task: that it was trained for.
        config: keys of its config.
    """
    reads, predicts = str(value_of_today("input", config.get("input", ""))), str(config.get("target", ""))
    if task == "recognize" and reads.startswith(_STATES):
        return STATE_READER
    if task == "recognize" and reads not in ("", _AUDIO):
        return LIP_READER
    if task == "regress" and predicts.startswith((_STATES, _TARGETS)):
        return PRETEXT
    return USES.get(task) or Use(task, "")
