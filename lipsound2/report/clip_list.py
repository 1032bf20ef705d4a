"""The list of all clips of a set: who speaks, what is said, how the model did."""

from __future__ import annotations

from collections.abc import Sequence

from lipsound2.metrics.registry import PRIMARY
from lipsound2.metrics.summary import Row
from lipsound2.report.material import Material
from lipsound2.report.view import ClipLine, TextView


def listed(rows: Sequence[Row], texts: Sequence[TextView], material: Material) -> list[ClipLine]:
    """Every clip that was scored, from the best to the worst: by the primary metric, else by the first recognizer.

    Args:
        rows: speech scores of every clip and system; those of the model are listed.
        texts: text scores; those of the first system of each recognizer are listed.
        material: knows speakers and transcripts.
    """
    scores = {row.id: row.scores.values for row in rows if row.system == "generated"}
    heard = {view.recognizer: {line.id: line for line in view.ranked()} for view in texts}
    ids = dict.fromkeys([*scores, *(clip for lines in heard.values() for clip in lines)])
    lines = []
    for clip in ids:
        own = {name: found[clip] for name, found in heard.items() if clip in found}
        said = next((line.reference for line in own.values()), "")
        errors = {name: line.errors for name, line in own.items()}
        lines.append(ClipLine(clip, material.speaker(clip), material.text(clip) or said, scores.get(clip, {}), errors))
    worst = float("-inf")
    return sorted(
        lines, key=lambda line: (-line.scores.get(PRIMARY, worst), next(iter(line.errors.values()), 0), line.id)
    )
