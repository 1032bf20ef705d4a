"""Closed grammars: a fixed number of slots, each with its words, as in GRID's sentences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lipsound2.corpora.sentences import SLOTS
from lipsound2.data.texts import read_text
from lipsound2.errors import LipsoundError


@dataclass(frozen=True)
class Grammar:
    """Sentences with one word for each slot.

    Attributes:
        name: for messages.
        slots: the words of each slot.
    """

    name: str
    slots: tuple[tuple[str, ...], ...]

    def jsgf(self, spell: dict[str, str] | None = None) -> str:
        """The grammar in the Java Speech Grammar Format; `spell` replaces words by names in a dictionary."""
        names = spell or {}
        slots = (" | ".join(names.get(word, word) for word in slot) for slot in self.slots)
        return f"#JSGF V1.0;\ngrammar {self.name};\npublic <sentence> = {' '.join(f'({slot})' for slot in slots)};\n"


GRID = Grammar("grid", tuple(tuple(slot.values()) for slot in SLOTS))


def grammar(name: str) -> Grammar:
    """A grammar by name, or from a file with a slot per line, words separated by `|`.

    Raises:
        LipsoundError: neither, or a line without words.
    """
    if name == "grid":
        return GRID
    path = Path(name)
    if not path.is_file():
        raise LipsoundError(f"--grammar: '{name}' is neither 'grid' nor a file (a slot per line: bin | lay | place)")
    slots = []
    for number, line in enumerate(read_text(path).removesuffix("\n").split("\n"), start=1):
        words = tuple(word.strip() for word in line.split("|"))
        if not all(words) or any(len(word.split()) != 1 for word in words):
            raise LipsoundError(f"{path}:{number}: expected words separated by '|', found '{line}'")
        slots.append(words)
    if not any(slots):
        raise LipsoundError(f"{path}: holds no slot; wanted one per line, such as: bin | lay | place | set")
    return Grammar(path.stem, tuple(slots))
