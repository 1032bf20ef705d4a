"""A comparison as HTML: one file, as the report is."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from lipsound2.metrics.audio_sources import REAL
from lipsound2.report import markup
from lipsound2.report.choice import evenly
from lipsound2.report.clip_card import clip_card, crop_style
from lipsound2.report.compare_markdown import ON_PAGE, changes, training
from lipsound2.report.compared import Comparison, SetComparison
from lipsound2.report.config_keys import ABSENT


def render(comparison: Comparison, budget: int) -> str:
    """The page.

    Args:
        comparison: what to show.
        budget: characters that its clips may have; the page says how many are left out.
    """
    labels = [one.label for one in comparison.experiments]
    cards, dropped = _cards(comparison, labels, budget)
    style, script = markup.source("style.css"), markup.source("page.js")
    own = [
        crop_style(part.name, clip)
        for part in comparison.sets
        for clip in part.cards
        if clip.crops is not None and clip.id in cards[part.name]
    ]
    return markup.render(
        "compare.html",
        comparison=comparison,
        labels=labels,
        title=" vs ".join(labels),
        contents=_contents(comparison),
        cards=cards,
        dropped=dropped,
        changed={
            (part.name, words.recognizer): evenly(words.clips, ON_PAGE)
            for part in comparison.sets
            for words in part.words
        },
        changes=changes,
        training=training(comparison),
        players={part.name: _players(part, labels, cards[part.name]) for part in comparison.sets},
        real=REAL,
        absent=ABSENT,
        style=style,
        script=script,
        policy=markup.policy(script, [style, *own]),
    )


def _contents(comparison: Comparison) -> dict[str, str]:
    """The table of contents: id of a heading -> its title."""
    found: dict[str, str] = {}
    for part in comparison.sets:
        of = f", {part.name}" if len(comparison.sets) > 1 else ""
        found[markup.anchor(part.name, "scores")] = f"Scores{of}"
        for words in part.words:
            found[markup.anchor(part.name, "words", words.recognizer)] = f"Words, {words.recognizer}{of}"
        if part.cards:
            found[markup.anchor(part.name, "clips")] = f"Clips{of}"
    return {**found, "config": "Config", "training": "Training"}


def _cards(comparison: Comparison, labels: list[str], room: int) -> tuple[dict[str, dict[str, Markup]], dict[str, int]]:
    """By set, the cards that fit into `room` characters, the ends of the ranks first, and how many do not fit."""
    kept: dict[str, dict[str, Markup]] = {}
    dropped = {}
    for part in comparison.sets:
        last = len(part.cards) - 1
        drawn: dict[str, Markup] = {}
        for place in sorted(range(len(part.cards)), key=lambda place: min(place, last - place)):
            card = clip_card(part.name, part.cards[place], (REAL, *labels))
            if len(card) <= room:
                drawn[part.cards[place].id] = card
                room -= len(card)
        kept[part.name] = {clip.id: drawn[clip.id] for clip in part.cards if clip.id in drawn}
        dropped[part.name] = len(part.cards) - len(drawn)
    return kept, dropped


def _players(part: SetComparison, labels: list[str], cards: Mapping[str, Markup]) -> dict[str, dict[str, str]]:
    """Clip -> system -> id of its player on the clip's card."""
    return {
        clip.id: {name: markup.anchor(part.name, clip.id, name) for name in (REAL, *labels) if name in clip.audio}
        for clip in part.cards
        if clip.id in cards
    }
