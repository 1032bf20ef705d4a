"""Rankings of own sentences as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence

from lipsound2.decoding.phrases import Ranking

NOBODY = "(none of these)"
_SHOWN = 5


def phrase_lines(rankings: Sequence[Ranking]) -> str:
    """Rankings as a person reads them: per cent and sentence, the most probable first, a few of each."""
    blocks = []
    for ranking in rankings:
        rows = [(each.probability, each.text) for each in ranking.choices[:_SHOWN]] + [(ranking.none, NOBODY)]
        rows.sort(key=lambda row: -row[0])
        lines = [f"{100 * share:5.1f} %  {text}" for share, text in rows]
        left = len(ranking.choices) - _SHOWN
        if left > 0:
            rest = 100 * sum(each.probability for each in ranking.choices[_SHOWN:])
            lines.append(f"{rest:5.1f} %  {left} more")
        times = [f"{ranking.start:.2f} to {ranking.end:.2f} s"] if len(rankings) > 1 else []
        blocks.append("\n".join([*times, *lines]))
    return "\n".join(blocks)
