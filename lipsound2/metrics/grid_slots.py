"""GRID's sentences: errors by slot, and confusions of letters.

A sentence has one word for each slot, and no word is in two slots. So an inserted word shifts no slot and belongs to
none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lipsound2.corpora.sentences import SLOTS
from lipsound2.data.shapes import checked
from lipsound2.metrics import rates
from lipsound2.metrics.alignment import NOTHING, TextRow
from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.summary import markdown as markdown_table
from lipsound2.metrics.summary_files import check_interval
from lipsound2.old_names import GRID_SLOTS, keys_of_today

NAME = "grid"
SLOT_NAMES = ("command", "color", "preposition", "letter", "digit", "adverb")
SLOT_CHANCE = tuple(1 - 1 / len(slot) for slot in SLOTS)  # errors of a word drawn uniformly among a slot's words
CHANCE = sum(SLOT_CHANCE) / len(SLOTS)  # WER of such words: substitutions alone
RULE = f"""\
GRID's slots, where every reference is one of its sentences: share of the clips in which the slot's word was \
substituted or deleted; an inserted word shifts no slot and belongs to none. A guess drawn uniformly in each slot has \
a WER of {100 * CHANCE:.0f} %."""


@dataclass(frozen=True)
class Slot:
    """One slot of the sentence.

    Attributes:
        rate: share of the clips in which its word was substituted or deleted.
        chance: that share of a word drawn uniformly among the slot's words.
        substitutions: how many.
        deletions: how many.
    """

    rate: Interval
    chance: float
    substitutions: int
    deletions: int


@dataclass(frozen=True)
class GridErrors:
    """What is measured of GRID's sentences.

    Attributes:
        slots: by `SLOT_NAMES`, in the order of the sentence.
        letters: letter -> what was recognized in its place -> count, with the hits; `NOTHING` where it was deleted.
    """

    slots: Mapping[str, Slot]
    letters: Mapping[str, Mapping[str, int]]


def is_grid_sentence(text: str) -> bool:
    """Whether a normalized text is one of GRID's sentences: a word of each slot, in order."""
    words = text.split()
    return len(words) == len(SLOTS) and all(word in slot.values() for word, slot in zip(words, SLOTS, strict=True))


def measure(rows: Sequence[TextRow], speakers: Sequence[str] | None) -> GridErrors | None:
    """Errors by slot and letter; None unless every reference is a GRID sentence."""
    if not all(row.words is not None and is_grid_sentence(row.reference) for row in rows):
        return None
    pairs = [row.of_reference() for row in rows]
    wrong = np.array([[reference != hypothesis for reference, hypothesis in clip] for clip in pairs], np.float64)
    deleted = np.array([[hypothesis == NOTHING for _, hypothesis in clip] for clip in pairs])
    intervals = rates.rates(wrong, np.ones_like(wrong), speakers)
    slots = {
        name: Slot(
            intervals[place], SLOT_CHANCE[place], int((wrong - deleted)[:, place].sum()), int(deleted[:, place].sum())
        )
        for place, name in enumerate(SLOT_NAMES)
    }
    letters: dict[str, dict[str, int]] = {}
    place = SLOT_NAMES.index("letter")
    for (letter, hypothesis), count in sorted(Counter(clip[place] for clip in pairs).items()):
        letters.setdefault(letter, {})[hypothesis] = count
    return GridErrors(slots, letters)


def to_json(found: GridErrors | None) -> dict[str, Any]:
    """The keys of a summary; empty mappings for other sentences."""
    if found is None:
        return {"slots": {}, "letters": {}}
    slots = {
        name: {
            "rate": slot.rate.rounded(),
            "chance": slot.chance,
            "substitutions": slot.substitutions,
            "deletions": slot.deletions,
        }
        for name, slot in found.slots.items()
    }
    return {"slots": slots, "letters": {letter: dict(counts) for letter, counts in found.letters.items()}}


def from_json(content: Mapping[str, Any], where: str) -> GridErrors | None:
    """The inverse of `to_json`; None without slots.

    Raises:
        LipsoundError: a value that is no count and no rate.
    """
    slots = checked(content.get("slots", {}), Mapping[str, Slot], f"{where}: slots")
    letters = checked(content.get("letters", {}), Mapping[str, Mapping[str, int]], f"{where}: letters")
    for name, slot in slots.items():
        check_interval(slot.rate, f"{where}: {name[:40]}")
    if not slots:
        return None
    return GridErrors(keys_of_today(slots, GRID_SLOTS), letters)


def markdown(systems: Mapping[str, GridErrors]) -> list[str]:
    """Error rates by slot, a row a system, the chance level last."""
    body = [[name, *(slot.rate.percent() for slot in found.slots.values())] for name, found in systems.items()]
    slots = next(iter(systems.values())).slots
    chance = ["chance level", *(f"{100 * slot.chance:.1f}" for slot in slots.values())]
    return ["Errors by slot, %:", markdown_table(["errors %", *slots], [*body, chance])]
