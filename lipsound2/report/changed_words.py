"""What several systems understood of a clip, aligned word by word with the reference and with one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lipsound2.metrics.alignment import NOTHING, TextRow


@dataclass(frozen=True)
class Column:
    """Words that stand under one another.

    Attributes:
        reference: of the reference; empty where a system inserted a word.
        words: of each system; empty where it has none.
    """

    reference: str
    words: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether the systems differ here."""
        return len(set(self.words)) > 1

    def kind(self, system: int) -> str:
        """What a system's word is: `right`, `substituted`, `deleted`, `inserted`, or `none` beside another's one."""
        word = self.words[system]
        if word == self.reference:
            return "right" if word else "none"
        if not word:
            return "deleted"
        return "substituted" if self.reference else "inserted"


@dataclass(frozen=True)
class ChangedClip:
    """A clip of which the systems understood different words.

    Attributes:
        id: clip id.
        columns: the aligned words.
        errors: of each system.
    """

    id: str
    columns: tuple[Column, ...]
    errors: tuple[int, ...]

    def change(self, system: int = -1) -> str:
        """`fewer` or `more` errors of a system, by default the last, than of the first, or as many (`same`)."""
        gain = self.errors[0] - self.errors[system]
        return "fewer" if gain > 0 else "more" if gain < 0 else "same"


def changed_clips(systems: Sequence[Mapping[str, TextRow]]) -> list[ChangedClip]:
    """Clips whose words differ: from those where the last system gains most over the first to where it loses most.

    Args:
        systems: clip id -> what was made of it; the same clips in each, with the same references.
    """
    changed = []
    for clip in systems[0]:
        rows = [system[clip] for system in systems]
        if len({row.hypothesis for row in rows}) > 1:
            changed.append(ChangedClip(clip, columns(rows), tuple(row.counts.errors for row in rows)))
    return sorted(changed, key=lambda one: (one.errors[-1] - one.errors[0], one.id))


def columns(rows: Sequence[TextRow]) -> tuple[Column, ...]:
    """The words of one clip under one another; insertions before the same word of the reference share columns.

    Args:
        rows: of each system, aligned with one reference.
    """
    reference = [word for word, _ in rows[0].of_reference()]
    parts = [_parts(row) for row in rows]
    found = []
    for place in range(len(reference) + 1):
        inserted = [part[place][0] for part in parts]
        for number in range(max(map(len, inserted))):
            found.append(Column("", tuple(words[number] if number < len(words) else "" for words in inserted)))
        if place < len(reference):
            found.append(Column(reference[place], tuple(part[place][1] for part in parts)))
    return tuple(found)


def _parts(row: TextRow) -> list[tuple[list[str], str]]:
    """For each word of the reference, and for its end: the words inserted before it, and what stands for it."""
    found: list[tuple[list[str], str]] = []
    inserted: list[str] = []
    for wanted, got in row.alignment:
        if wanted == NOTHING:
            inserted.append(got)
        else:
            found.append((inserted, "" if got == NOTHING else got))
            inserted = []
    return [*found, (inserted, "")]
