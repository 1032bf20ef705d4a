"""What a corpus' sentences allow to measure beyond error rates: one module a kind of sentence, named in `TABLES`.

Such a module looks at the aligned clips, and answers None where the sentences are of another kind. What it finds lies
in `wer.TextSummary.further` under its name, and among the keys of a summary's file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lipsound2.metrics import grid_slots
from lipsound2.metrics.alignment import TextRow


class SentenceTable(Protocol):
    """What such a module holds. RULE: how its numbers are measured, a line."""

    RULE: str

    def measure(self, rows: Sequence[TextRow], speakers: Sequence[str] | None) -> Any | None:
        """What it finds in all clips of a system; None for other sentences.

        Args:
            rows: the clips, at least one.
            speakers: of the clips, when intervals are about speakers like these.
        """

    def to_json(self, found: Any | None) -> dict[str, Any]:
        """Keys of a summary's file, and their values."""

    def from_json(self, content: Mapping[str, Any], where: str) -> Any | None:
        """The inverse; LipsoundError, which begins with `where`, for what is no such value."""

    def markdown(self, systems: Mapping[str, Any]) -> list[str]:
        """Paragraphs of a page of scores: of the systems that have this table, what was found."""


TABLES: Mapping[str, SentenceTable] = {grid_slots.NAME: grid_slots}
