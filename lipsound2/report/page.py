"""The report as HTML: one file that holds its style, its script, and the audio and images of every clip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from lipsound2.metrics.audio_sources import REAL
from lipsound2.metrics.registry import METRICS, PRIMARY, SPEECH, Metric, in_order
from lipsound2.metrics.score_text import FOLDER
from lipsound2.metrics.summary import THRESHOLD, failures
from lipsound2.report import charts, markup, words
from lipsound2.report.choice import evenly
from lipsound2.report.clip_card import clip_card, crop_style
from lipsound2.report.view import CONTROLS, ClipView, ReportContent, SetView, TextView

_SPEAKERS_SHOWN = 40
_LISTED = 1000  # clips in the list of all clips
_LINE = 500  # characters of one of them, without its numbers
_SPEAKER_CONTROLS = ("mismatched", "real_mel")


def render(content: ReportContent, budget: int) -> str:
    """The page.

    Args:
        content: what to show.
        budget: characters the page may have; clips that do not fit are left out, the page says how many.
    """
    sets: list[Markup] = []
    room = budget
    for part in content.sets:
        sets.append(_set(part, room // (len(content.sets) - len(sets)), alone=len(content.sets) == 1))
        room -= len(sets[-1])
    style, script = markup.source("style.css"), markup.source("page.js")
    own = [crop_style(part.name, clip) for part in content.sets for clip in part.clips if clip.crops is not None]
    return markup.render(
        "page.html",
        content=content,
        facts=_facts(content),
        contents=_contents(content),
        sets=sets,
        panels=charts.curves(content.curves),
        folds=_folds(content),
        style=style,
        script=script,
        policy=markup.policy(script, [style, *own]),
    )


def _facts(content: ReportContent) -> dict[str, str]:
    origin = content.origin
    hours = f"{origin.hours} h" if origin.hours != "-" else "-"
    return {
        "Model": origin.config,
        "Size": f"{content.weights / 1e6:.1f} M weights" if content.weights else "",
        "Sets": ", ".join(f"{part.name} ({part.size})" for part in content.sets),
        "Trained": " · ".join(text for text in (origin.date, hours) if text != "-"),
        "Hardware": origin.hardware,
        "Commit": origin.commit,
    }


def _folds(content: ReportContent) -> dict[str, object]:
    """Title -> plain data, for those who want every detail; what is empty is not shown."""
    packages = {part.name: dict(part.facts.measured_with) for part in content.sets if part.facts is not None}
    return {
        "Config, every key": dict(content.config),
        f"Record of training, {markup.plural(len(content.runs), 'run')}": [dict(run) for run in content.runs],
        "Packages that measured": {name: versions for name, versions in packages.items() if versions},
    }


def _set(part: SetView, room: int, *, alone: bool) -> Markup:
    """One set in some `room` characters."""
    lines = evenly(part.lines, _LISTED)
    metrics = {name: SPEECH[name] for name in in_order(line.scores for line in part.lines)}
    columns = _columns(metrics.values(), part.texts)
    room -= sum(len(words.section(view, part.name)) for view in part.texts)
    room -= len(lines) * (_LINE + 30 * len(columns))
    drawn, dropped = _fitting(part, {clip.id: _drawn(part, clip) for clip in part.clips}, room)
    summary = part.summary
    systems = summary.systems if summary is not None else {}
    difference = summary.verdict.difference if summary is not None else None
    return markup.render(
        "set.html",
        part=part,
        alone=alone,
        metrics={name: SPEECH[name] for name in in_order(system.scores for system in systems.values())},
        primary=METRICS[PRIMARY],
        primary_key=PRIMARY,
        controls=[name for name in _SPEAKER_CONTROLS if name in systems],
        dots=charts.dots(part.rows, [name for name, system in systems.items() if PRIMARY in system.scores]),
        gain_ends=charts.gain_ends(difference, THRESHOLD) if difference is not None else None,
        threshold=THRESHOLD,
        failures=failures,
        speakers_shown=_SPEAKERS_SHOWN,
        words=[_words(part, view, drawn, first=number == 0) for number, view in enumerate(part.texts)],
        cards=drawn,
        lines=lines,
        list_metrics=metrics,
        columns=columns,
        shows=_shows(part, drawn),
        speakers=sorted({line.speaker for line in lines}),
        dropped=dropped,
    )


def _columns(metrics: Iterable[Metric], texts: Sequence[TextView]) -> dict[str, bool]:
    """Titles of the list of clips; whether the column is one of numbers."""
    errors = {f"errors, {view.recognizer}" if len(texts) > 1 else "errors": True for view in texts}
    return {"clip": False, "speaker": False, "words": False} | {metric.heading: True for metric in metrics} | errors


def _shows(part: SetView, drawn: Mapping[str, Markup]) -> dict[str, str]:
    """What the list of clips can be cut down to: a word of `data-show` -> what it is called."""
    playable = {"player": "with a player"} if part.spoken and len(drawn) < len(part.lines) else {}
    return {"": "all"} | playable | ({"errors": "with errors", "correct": "correct"} if part.texts else {})


def _contents(content: ReportContent) -> dict[str, str]:
    """The table of contents: id of a heading -> its title."""
    found: dict[str, str] = {}
    for part in content.sets:
        of = f", {part.name}" if len(content.sets) > 1 else ""
        titles = {"scores": "Scores"} if part.summary or part.spoken else {}
        titles |= {"speakers": "Speakers"} if part.summary and len(part.summary.speakers) > 1 else {}
        found |= {markup.anchor(part.name, key): title + of for key, title in titles.items()}
        for view in part.texts:
            found[markup.anchor(part.name, "words", view.recognizer)] = f"Words, {view.recognizer}{of}"
        if part.lines or part.spoken:
            found[markup.anchor(part.name, "clips")] = f"Clips{of}"
    return {**found, "training": "Training", "reproduce": "How to reproduce it"}


def _drawn(part: SetView, clip: ClipView) -> Markup:
    """The card of a clip; of one that a recognizer transcribed its audio alone, or nothing."""
    if part.spoken:
        return clip_card(part.name, clip, (REAL, "generated"), CONTROLS)
    systems = markup.environment().get_template("systems.html").module
    return systems.player(part.name, clip, REAL) if REAL in clip.audio else Markup("")  # type: ignore[attr-defined]


def _fitting(part: SetView, drawn: Mapping[str, Markup], room: int) -> tuple[dict[str, Markup], int]:
    """What fits into `room` characters, best, median and worst before the others, and how many clips do not fit."""
    chosen: set[str] = set()
    for clip in sorted(part.clips, key=lambda clip: not clip.place.startswith(("best", "median", "worst"))):
        if drawn[clip.id] and (len(drawn[clip.id]) <= room or not chosen):
            chosen.add(clip.id)
            room -= len(drawn[clip.id])
    kept = {clip.id: drawn[clip.id] for clip in part.clips if clip.id in chosen}
    return kept, sum(map(bool, drawn.values())) - len(kept)


def _words(part: SetView, view: TextView, drawn: Mapping[str, Markup], *, first: bool) -> Markup:
    """A recognizer's section. A clip's audio is on the page once: on its card, else in the first section's table."""
    where = f"scores/{part.name}/{FOLDER}/{view.recognizer}/{view.compared[0]}.tsv"
    if first and not part.spoken:
        return words.section(view, part.name, where, players=drawn)
    heard = {name: name for name in ("generated", REAL)} if part.spoken else {"heard": REAL}
    buttons = {
        clip.id: {name: markup.anchor(part.name, clip.id, key) for name, key in heard.items() if key in clip.audio}
        for clip in part.clips
        if clip.id in drawn
    }
    return words.section(view, part.name, where, buttons=buttons)
