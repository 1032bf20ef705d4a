"""A closed grammar: so many places, each with its words, as GRID's sentences have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lipsound2.corpora.sentences import SLOTS
from lipsound2.data.texts import read_text
from lipsound2.errors import LipsoundError


@dataclass(frozen=True)
class Grammar:
    """Sentences of one word a slot.

    Attributes:
        name: for messages.
        slots: the words of each place.
    """

    name: str
    slots: tuple[tuple[str, ...], ...]

    def jsgf(self, spell: dict[str, str] | None = None) -> str:
        """The grammar in the Java Speech Grammar Format; `spell` replaces words by names a dictionary knows."""
        names = spell or {}
        slots = (" | ".join(names.get(word, word) for word in slot) for slot in self.slots)
        return f"#JSGF V1.0;\ngrammar {self.name};\npublic <sentence> = {' '.join(f'({slot})' for slot in slots)};\n"


GRID = Grammar("grid", tuple(tuple(slot.values()) for slot in SLOTS))


def grammar(name: str) -> Grammar:
    """A grammar by name, or from a file: one place a line, its words separated by `|`.

    Raises:
        LipsoundError: neither, or a line without words.
    """
    if name == "grid":
        return GRID
    path = Path(name)
    if not path.is_file():
        raise LipsoundError(f"--grammar: '{name}' is neither 'grid' nor a file (one place a line: bin | lay | place)")
    slots = []
    for number, line in enumerate(read_text(path).removesuffix("\n").split("\n"), start=1):
        words = tuple(word.strip() for word in line.split("|"))
        if not all(words) or any(len(word.split()) != 1 for word in words):
            raise LipsoundError(f"{path}:{number}: expected words separated by '|', found '{line}'")
        slots.append(words)
    if not any(slots):
        raise LipsoundError(f"{path}: holds no place at all; one a line, such as: bin | lay | place | set")
    return Grammar(path.stem, tuple(slots))
