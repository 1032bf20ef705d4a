"""The report as HTML: one file that holds its style, its script, every sound and every picture."""

from __future__ import annotations

import base64
import importlib.resources
import string
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from lipsound2.metrics.audio_sources import SYSTEMS
from lipsound2.metrics.registry import METRICS, in_order
from lipsound2.metrics.score_text import FOLDER
from lipsound2.metrics.summary import THRESHOLD, Summary, failures
from lipsound2.report import charts, text_page
from lipsound2.report.images import Sheet
from lipsound2.report.markup import escape, ink, policy
from lipsound2.report.results import CONTROLS
from lipsound2.report.view import EXPLAINED, REAL, SHORT, ClipView, Report, SetView

_STRIP_EVERY = 8
_SPEAKERS_SHOWN = 40


def render(content: Report, budget: int) -> str:
    """The page.

    Args:
        content: what to show.
        budget: characters the page may have; clips that do not fit are left out, the page says how many.
    """
    template = string.Template(importlib.resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    room = budget
    drawn: list[str] = []
    for part in content.sets:
        drawn.append(_set(part, room // (len(content.sets) - len(drawn)), alone=len(content.sets) == 1))
        room -= len(drawn[-1])
    body = "\n".join(
        [
            _header(content),
            *drawn,
            "" if content.sets else _note(_nothing(content)),
            _training(content),
            _reproduce(content),
            "<footer>Made by lipsound2. When you show clips of a corpus, name the corpus; show faces only of people "
            "who agreed to it.</footer>",
        ]
    )
    title = escape(f"{content.experiment} · lipsound2")
    own = [_crop_style(part.name, clip) for part in content.sets for clip in part.clips if clip.crops is not None]
    rules = policy(_between(template.template, "script"), [_between(template.template, "style"), *own])
    return template.substitute(title=title, body=body, policy=rules)


def _between(template: str, tag: str) -> str:
    """What stands in the page's one element of a kind."""
    return template.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]


def _hears(content: Report) -> bool:
    """Whether the experiment is a recogniser."""
    return content.config.get("task") == "recognise"


def _nothing(content: Report) -> str:
    if _hears(content):
        return "Nothing was recognised yet: run stage 4 (lipsound2 decode) and stage 5 (lipsound2 score)."
    return "Nothing was spoken yet: run stage 4 (lipsound2 synthesize)."


def _header(content: Report) -> str:
    origin = content.origin
    facts = {
        "Model": origin.config,
        "Size": f"{content.weights / 1e6:.1f} M weights" if content.weights else "",
        "Sets": ", ".join(f"{part.name} ({_clips(part)})" for part in content.sets),
        "Trained": " · ".join(text for text in (origin.date, f"{origin.hours} h") if text.strip("- h")),
        "Hardware": origin.hardware,
        "Commit": origin.commit,
    }
    rows = "".join(
        f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items() if value not in ("", "-")
    )
    what = "speech to words" if _hears(content) else "silent video to speech"
    return (
        f'<p class="eyebrow">lipsound2 · {what}</p><h1>{escape(content.experiment)}</h1><dl class="facts">{rows}</dl>'
    )


def _clips(part: SetView) -> str:
    if part.summary is not None:
        return f"{max(system.clips for system in part.summary.systems.values())} clips"
    if part.texts:
        return f"{max(one.total.clips for text in part.texts for one in text.systems.values())} clips"
    return "not scored"


def _set(part: SetView, room: int, *, alone: bool) -> str:
    """One set in some `room` characters: verdict, table, every clip as a dot, speakers, words, cards."""
    words = sum(len(text_page.section(view, {}, "")) for view in part.texts)
    draw = _card if part.spoken else _player
    drawn, dropped = _fitting(part, {clip.id: draw(part.name, clip) for clip in part.clips}, room - words)
    pieces = [] if alone else [f"<h2>Set {escape(part.name)}</h2>"]
    notes = list(part.notes)
    if part.summary is not None:
        pieces += [_verdict(part.summary), "<h2>Scores</h2>", _scores(part), _speakers(part.summary)]
    pieces += _words(part, drawn)
    if dropped:
        clips = "1 clip was" if dropped == 1 else f"{dropped} clips were"
        notes.append(f"{clips} left out to keep this page small.")
    if drawn and part.spoken:
        note = (
            "From the best to the worst by ESTOI. Mels of a clip share one scale; click into one to listen from there."
        )
        pieces += ["<h2>Clips</h2>", _note(note), *drawn.values()]
    return "\n".join([*pieces, *map(_note, notes)])


def _verdict(summary: Summary) -> str:
    verdict = summary.verdict
    title = {True: "Lips are read", False: "Not shown to read lips", None: "No verdict"}[verdict.lips_are_read]
    line = charts.gain_line(verdict.difference, THRESHOLD) if verdict.difference is not None else ""
    return (
        f'<section class="panel verdict" style="--ink:var(--{verdict.word.lower()});margin-top:2rem">'
        f"<strong>{verdict.word}</strong><div><h3>{title}</h3><p>{escape(verdict.sentence)}</p></div>{line}</section>"
    )


def _scores(part: SetView) -> str:
    assert part.summary is not None
    assert part.facts is not None
    scores = in_order(system.scores for system in part.summary.systems.values())
    heads = "".join(f"<th>{METRICS[key].title} <small>{METRICS[key].scale}</small></th>" for key in scores)
    rows = []
    for name, system in part.summary.systems.items():
        cells = []
        for key in scores:
            if key not in system.scores:
                cells.append("<td></td>")
                continue
            metric, value = METRICS[key], system.scores[key]
            cells.append(
                f'<td class="metric" data-title="{metric.title}"><b>{value.mean:.{metric.digits}f}</b>'
                f"<small>{value.low:.{metric.digits}f} to {value.high:.{metric.digits}f}</small>"
                f"{charts.bar(value, metric.low, metric.high, name)}</td>"
            )
        rows.append(
            f'<tr><td style="{ink(name)}">'
            f'<b class="swatch">{escape(SHORT.get(name, name))}</b>'
            f'<span class="soft">{escape(EXPLAINED.get(name, ""))}</span></td>'
            f'{"".join(cells)}<td class="soft" data-title="Failures">{escape(failures(system))}</td></tr>'
        )
    values = {
        name: [row.scores.values["estoi"] for row in part.rows if row.system == name and "estoi" in row.scores.values]
        for name, system in part.summary.systems.items()
        if "estoi" in system.scores
    }
    rules = "".join(f"<li>{escape(line)}</li>" for line in [*part.facts.rule, part.facts.verdict_rule])
    level = f"{100 * part.facts.level:.0f}"
    return (
        '<section class="panel"><div class="wide"><table class="scores stack" style="--across:2">'
        f"<thead><tr><th>{escape(_clips(part))}</th>{heads}<th>Failures</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        f"<details><summary>Mean and {level} % interval over {escape(part.facts.clips)}; "
        f"how it was measured</summary><ul>{rules}</ul></details></section>"
        f'<section class="panel"><h3>Every clip</h3>{charts.dots(values, SHORT)}</section>'
    )


def _speakers(summary: Summary) -> str:
    if len(summary.speakers) < 2:
        return ""
    shown = list(summary.speakers.items())[:_SPEAKERS_SHOWN]
    controls = [name for name in ("mismatched", "real_mel") if name in summary.systems]
    scores = in_order(system.scores for system in summary.systems.values())
    heads = "".join(f'<th class="num">{METRICS[key].title}</th>' for key in scores)
    heads += "".join(f'<th class="num">ESTOI, {SHORT[name].lower()}</th>' for name in controls)
    rows = []
    for speaker, entry in shown:
        own = entry.get("generated", {})
        cells = [f"{own[key]:.{METRICS[key].digits}f}" if key in own else "–" for key in scores]
        cells += [f"{entry[name]['estoi']:.3f}" if "estoi" in entry.get(name, {}) else "–" for name in controls]
        numbers = "".join(f'<td class="num">{cell}</td>' for cell in (str(entry["clips"]), *cells))
        rows.append(f"<tr><td>{escape(speaker)}</td>{numbers}</tr>")
    more = f" (the first {len(shown)} of {len(summary.speakers)})" if len(shown) < len(summary.speakers) else ""
    return (
        f'<h2>Speakers{more}</h2><section class="panel wide"><table class="plain"><thead><tr><th>Speaker</th>'
        f'<th class="num">Clips</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></section>'
    )


def _fitting(part: SetView, drawn: Mapping[str, str], room: int) -> tuple[dict[str, str], int]:
    """What fits into `room` characters, best, median and worst before the others, and how many clips do not fit."""
    chosen: set[str] = set()
    for clip in sorted(part.clips, key=lambda clip: not clip.place.startswith(("best", "median", "worst"))):
        if drawn[clip.id] and (len(drawn[clip.id]) <= room or not chosen):
            chosen.add(clip.id)
            room -= len(drawn[clip.id])
    kept = {clip.id: drawn[clip.id] for clip in part.clips if clip.id in chosen}
    return kept, sum(map(bool, drawn.values())) - len(kept)


def _words(part: SetView, drawn: Mapping[str, str]) -> list[str]:
    """The sections of the recognisers. A sound is on the page once: on its card, else in the first section's table."""
    sections = []
    for number, view in enumerate(part.texts):
        if part.spoken or number:
            players = {clip.id: _buttons(part, clip) for clip in part.clips if clip.id in drawn}
        else:
            players = {clip: {text_page.CLIP: player} for clip, player in drawn.items()}
        where = f"scores/{part.name}/{FOLDER}/{view.recogniser}/{view.compared[0]}.tsv"
        sections.append(text_page.section(view, players, where))
    return sections


def _buttons(part: SetView, clip: ClipView) -> dict[str, str]:
    """By system, a button for its sound of a clip, whose player stands elsewhere on the page."""
    sounds = {"generated": "generated", REAL: "true"} if part.spoken else {"heard": "true"}
    return {
        system: f'<button type="button" data-player="{_anchor(part.name, clip.id, sound)}" aria-pressed="false" '
        f'aria-label="{escape(f"Play {SHORT[system]}, {clip.id}")}"></button>'
        for system, sound in sounds.items()
        if sound in clip.sounds
    }


def _player(part: str, clip: ClipView) -> str:
    """The sound of a clip that has no card."""
    return _audio(part, clip, "true", "What was heard") if "true" in clip.sounds else ""


def _audio(part: str, clip: ClipView, key: str, title: str) -> str:
    return (
        f'<audio controls preload="metadata" id="{_anchor(part, clip.id, key)}" '
        f'src="{_data("audio/flac", clip.sounds[key])}" aria-label="{escape(f"{title}, {clip.id}")}"></audio>'
    )


def _anchor(*names: str) -> str:
    """An id, and name of a class, out of any names: different names, different ids."""
    return "at-" + "--".join("".join(c if c.isalnum() else f"-{ord(c):x}-" for c in name) for name in names)


def _card(part: str, clip: ClipView) -> str:
    name = _anchor(part, clip.id)
    own = clip.scores.get("generated", {})
    tracks = [
        _track(part, clip, "true", "True", clip.scores.get(REAL, {})),
        _track(part, clip, "generated", SHORT["generated"], own),
    ]
    controls = "".join(_track(part, clip, key, SHORT[key], clip.scores.get(key, {})) for key in CONTROLS)
    more = f"<details><summary>Controls on this clip</summary>{controls}</details>" if controls else ""
    place = f'<span class="place">{escape(clip.place)}</span>' if clip.place else ""
    live = film = style = ""
    if clip.crops is not None:
        style = f"<style>{_crop_style(part, clip)}</style>"
        live = f'<div class="left">{_crop(clip.crops, 0, name, "live")}<p class="soft">follows the sound</p></div>'
        film = _film(clip.crops, name)
    axis = _time_axis(clip.seconds) if clip.mels else ""
    return (
        f'<article class="panel clip" data-seconds="{clip.seconds:.3f}">{style}<header><h3>'
        f'{escape(clip.text or clip.id)}</h3>{place}<span class="who"><code>{escape(clip.id)}</code> · speaker '
        f"{escape(clip.speaker)} · {clip.seconds:.1f} s</span></header>"
        f'<div class="body{"" if live else " blind"}">{live}<div class="tracks">'
        f"{film}{''.join(tracks)}{axis}{_attention(clip)}{more}</div></div></article>"
    )


def _crop_style(part: str, clip: ClipView) -> str:
    """The rule that shows a clip's crops wherever they stand."""
    assert clip.crops is not None
    return f".{_anchor(part, clip.id)}{{background-image:url({_data('image/jpeg', clip.crops.jpeg)})}}"


def _track(part: str, clip: ClipView, key: str, title: str, scores: Mapping[str, float]) -> str:
    """A system's sound, mel and scores on one clip; nothing when there is neither sound nor mel."""
    if key not in clip.sounds and key not in clip.mels:
        return ""
    chips = "".join(
        f"<span>{metric.title} <em>{scores[name]:.{metric.digits}f}</em></span>"
        for name, metric in METRICS.items()
        if name in scores
    )
    sound = picture = ""
    if key in clip.sounds:
        sound = _audio(part, clip, key, title)
    if key in clip.mels:
        alt = f"Mel-spectrogram, {title}, {clip.id}"
        picture = (
            f'<div class="mel"><img src="{_data("image/png", clip.mels[key])}" alt="{escape(alt)}">'
            '<i class="hi">8 kHz</i><i class="lo">0</i><u></u></div>'
        )
    said = f' title="{escape(SYSTEMS[key])}"' if key in SYSTEMS else ""
    return (
        f'<div class="track"><div class="bartop"><b{said}>{escape(title)}</b><span class="chips">{chips}</span>'
        f"{sound}</div>{picture}</div>"
    )


def _attention(clip: ClipView) -> str:
    if clip.attention is None:
        return ""
    return (
        '<div class="track attention"><div class="bartop"><b>Attention</b><span class="chips">which picture each '
        f'moment of speech looks at</span></div><div class="mel"><img src="{_data("image/png", clip.attention)}" '
        f'alt="Attention of {escape(clip.id)}"><i class="hi">last picture</i><i class="lo">first</i><u></u></div></div>'
    )


def _film(crops: Sheet, name: str) -> str:
    """Every eighth crop, each as wide as the time it stands for, so that the strip lies over the mels."""
    pieces = []
    for index in range(0, crops.count, _STRIP_EVERY):
        width = 100 * min(_STRIP_EVERY, crops.count - index) / crops.count
        # The last one stands for less time: it is left out when it would be a sliver.
        if crops.count - index >= _STRIP_EVERY // 2:
            full = 100 * _STRIP_EVERY / crops.count
            pieces.append(_crop(crops, min(index + _STRIP_EVERY // 2, crops.count - 1), name, "", min(full, width)))
    return f'<div class="film" aria-hidden="true">{"".join(pieces)}</div>'


def _crop(crops: Sheet, index: int, name: str, kind: str, width: float | None = None) -> str:
    """One crop, cut out of the sheet by the style."""
    row, column = divmod(index, crops.columns)
    across = 100 * column / (crops.columns - 1) if crops.columns > 1 else 0
    down = 100 * row / (crops.rows - 1) if crops.rows > 1 else 0
    size = f"width:{width:.3f}%;" if width is not None else ""
    facts = (
        f' data-count="{crops.count}" data-columns="{crops.columns}" data-rows="{crops.rows}"' if kind == "live" else ""
    )
    return (
        f'<div class="crop {kind} {name}"{facts} style="{size}'
        f"background-size:{100 * crops.columns}% {100 * crops.rows}%;"
        f'background-position:{across:.3f}% {down:.3f}%"></div>'
    )


def _time_axis(seconds: float) -> str:
    step = next(step for step in (0.5, 1, 2, 5, 10, 30, 60, 3600) if seconds / step <= 8)
    count = int(seconds / step + 1e-6)
    ticks = [step * index for index in range(count + 1) if step * index <= 0.97 * seconds]
    marks = "".join(
        f'<i style="left:{100 * tick / seconds:.2f}%">{tick:g}{" s" if index == 0 else ""}</i>'
        for index, tick in enumerate(ticks)
    )
    return f'<div class="axis-t">{marks}</div>'


def _training(content: Report) -> str:
    drawn = charts.curves(content.curves)
    if not drawn:
        return "<h2>Training</h2>" + _note("There are no curves: curves.tsv is absent or has fewer than two rows.")
    return f'<h2>Training</h2><section class="panel charts">{drawn}</section>'


def _reproduce(content: Report) -> str:
    origin = content.origin
    pieces: list[str] = []
    if origin.command != "-":
        commit = f" at commit <code>{escape(origin.commit)}</code>" if origin.commit != "-" else ""
        pieces.append(f"<p>Trained{commit} with</p><pre>{escape(origin.command)}</pre>")
    else:
        pieces.append(_note("How it was trained is not recorded: versions.yaml is absent or has no command."))
    pieces.append(_fold("Config, every key", content.config))
    if content.runs:
        title = f"Record of training, {len(content.runs)} run{'s' * (len(content.runs) > 1)}"
        pieces.append(_fold(title, content.runs))
    measured = {
        part.name: dict(part.facts.measured_with) for part in content.sets if part.facts and part.facts.measured_with
    }
    if measured:
        pieces.append(_fold("Packages that measured", measured))
    return f'<h2>How to do it again</h2><section class="panel">{"".join(pieces)}</section>'


def _fold(title: str, values: Mapping[str, Any] | Iterable[Any]) -> str:
    plain = dict(values) if isinstance(values, Mapping) else list(values)
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
