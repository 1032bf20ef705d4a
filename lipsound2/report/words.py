"""What a recognizer made of a set, as a section of the report: rates, confusions, references and hypotheses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from markupsafe import Markup

from lipsound2.errors import require
from lipsound2.metrics import grid_slots
from lipsound2.metrics.alignment import NOTHING
from lipsound2.metrics.registry import TEXT
from lipsound2.metrics.wer import Confusion, TextSummary
from lipsound2.metrics.wer_summary import TextLine
from lipsound2.report import markup
from lipsound2.report.choice import evenly
from lipsound2.report.view import NAMES, TextView

_PAIRS = 8  # confused pairs a list
_OPEN = 8  # utterances in view where none can be played
_FOLDED = 200  # utterances in the fold-out below them


def section(
    view: TextView,
    part_name: str,
    where: str = "",
    *,
    players: Mapping[str, Markup] | None = None,
    buttons: Mapping[str, Mapping[str, str]] | None = None,
) -> Markup:
    """One recognizer's section.

    Args:
        view: what it made of the clips.
        part_name: the set's name.
        where: file that holds the texts of every clip, for the reader.
        players: clip id -> its player; texts of clips with a player or buttons are in view, others fold out.
        buttons: clip id -> system -> the id of a player elsewhere on the page.

    Raises:
        LipsoundError: jiwer is not installed.
    """
    ranked = view.ranked()
    players, buttons = players or {}, buttons or {}
    audible = (players.keys() | buttons.keys()) & {line.id for line in ranked}
    in_view = audible or {line.id for line in evenly(ranked, _OPEN)}
    rest = [line for line in ranked if line.id not in in_view]
    key = grid_slots.NAME
    return markup.render(
        "words.html",
        view=view,
        part_name=part_name,
        where=where,
        players=players,
        buttons=buttons,
        audible=bool(audible),
        metrics={name: TEXT[name] for name in TEXT if any(name in one.rates for one in view.systems.values())},
        errors=_errors,
        grid={name: one.further[key] for name, one in view.systems.items() if key in one.further},
        chance=grid_slots.CHANCE,
        confusions=_confusions(view),
        nothing=NOTHING,
        columns={name: {line.id: line for line in view.clips[name]} for name in view.compared if name in view.clips},
        shown=[line for line in ranked if line.id in in_view],
        folded=evenly(rest, _FOLDED),
        rest_count=len(rest),
        pieces=pieces,
    )


def pieces(line: TextLine) -> Iterator[tuple[str, str]]:
    """A hypothesis beside its reference: (`equal`, `deleted` or `inserted`; text); a substitution is both.

    Raises:
        LipsoundError: jiwer is not installed.
    """
    jiwer = require("jiwer", "metrics")
    process = jiwer.process_words if line.by_word else jiwer.process_characters
    reference, hypothesis = (text.split() if line.by_word else list(text) for text in (line.reference, line.hypothesis))
    blank = " " if line.by_word else ""
    for chunk in process([line.reference], [line.hypothesis]).alignments[0]:
        missed = blank.join(reference[chunk.ref_start_idx : chunk.ref_end_idx])
        got = blank.join(hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx])
        if chunk.type == "equal":
            yield "equal", got
            continue
        if missed:
            yield "deleted", missed
        if got:
            yield "inserted", got


def _errors(one: TextSummary) -> str:
    """`57 of 300 words substituted`, with deletions, insertions and clips without a text where there are any."""
    total = one.total
    counts, unit = (total.characters, "characters") if total.words is None else (total.words, "words")
    more = {
        "deleted": counts.deletions,
        "inserted": counts.insertions,
        f"clip{'s' * (total.missing > 1)} without a text": total.missing,
    }
    said = [f"{counts.substitutions} of {counts.units} {unit} substituted"]
    return ", ".join([*said, *(f"{count} {what}" for what, count in more.items() if count)])


def _confusions(view: TextView) -> dict[str, list[Confusion]]:
    """The most frequent errors of the systems that are compared; GRID's letters apart from its words."""
    lists: dict[str, list[Confusion]] = {}
    for name in view.compared:
        one = view.systems[name]
        grid = one.further.get(grid_slots.NAME)
        letters = grid.letters if grid is not None else {}
        title = NAMES.get(name, name)
        unit = "characters" if one.total.words is None else "words"
        lists[f"{title}: {unit}"] = [pair for pair in one.confusions if pair.reference not in letters]
        confused = [
            Confusion(letter, other, count)
            for letter, others in letters.items()
            for other, count in others.items()
            if other != letter
        ]
        lists[f"{title}: letters"] = sorted(confused, key=lambda pair: -pair.count)
    return {title: pairs[:_PAIRS] for title, pairs in lists.items() if pairs}
