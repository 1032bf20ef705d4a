"""What a recogniser heard, as HTML of the report: error rates, GRID's slots, confusions, and the texts themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lipsound2.errors import require
from lipsound2.metrics.alignment import NOTHING
from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.grid_slots import CHANCE, NAME
from lipsound2.metrics.registry import TEXT
from lipsound2.metrics.wer import Confusion, TextSummary
from lipsound2.metrics.wer_summary import TextLine
from lipsound2.report import charts
from lipsound2.report.markup import escape, ink
from lipsound2.report.view import EXPLAINED, SHORT, TextView

_PAIRS = 8  # confused pairs a list
_OPEN = 8  # utterances in view where none can be heard
_FOLDED = 200  # utterances in the fold-out below them
CLIP = "clip"  # the column of ids

Players = Mapping[str, str]  # column, `CLIP` or a system -> HTML to hear the clip by


def section(view: TextView, players: Mapping[str, Players], where: str) -> str:
    """One recogniser's section.

    Args:
        view: what it heard.
        players: by clip id; the texts of these clips are in view, others fold out.
        where: folder that holds the texts of every clip, for the reader.

    Raises:
        LipsoundError: jiwer is not installed.
    """
    return "\n".join(
        [
            f"<h2>Words, heard by <code>{escape(view.recogniser)}</code></h2>",
            _rates(view),
            _slots(view.systems),
            _confusions(view),
            _utterances(view, players, where),
        ]
    )


def marked(line: TextLine) -> str:
    """A hypothesis with its differences from the reference: <del> for what was missed, <ins> for what was put in.

    Both are words to a screen reader ("said", "heard"), a stroke and a line to the eye, and colours besides.

    Raises:
        LipsoundError: jiwer is not installed.
    """
    jiwer = require("jiwer", "metrics")
    process = jiwer.process_words if line.by_word else jiwer.process_characters
    said, heard = (text.split() if line.by_word else list(text) for text in (line.reference, line.hypothesis))
    blank = " " if line.by_word else ""
    pieces = []
    for chunk in process([line.reference], [line.hypothesis]).alignments[0]:
        missed = escape(blank.join(said[chunk.ref_start_idx : chunk.ref_end_idx]))
        got = escape(blank.join(heard[chunk.hyp_start_idx : chunk.hyp_end_idx]))
        if chunk.type == "equal":
            pieces.append(got)
            continue
        if missed:
            pieces.append(f'<del><span class="unseen">said: </span>{missed}</del>')
        if got:
            pieces.append(f'<ins><span class="unseen">heard: </span>{got}</ins>')
    return " ".join(pieces)


def _rates(view: TextView) -> str:
    shown = [name for name in TEXT if any(name in one.rates for one in view.systems.values())]
    clips = max(one.total.clips for one in view.systems.values())
    heads = "".join(f"<th>{TEXT[name].title} <small>%</small></th>" for name in shown)
    rows = "".join(
        f"<tr>{_system(name)}{''.join(_rate(TEXT[rate].title, one.rates.get(rate), name) for rate in shown)}"
        f'<td class="soft" data-title="Errors">{_errors(one)}</td></tr>'
        for name, one in view.systems.items()
    )
    rules = "".join(f"<li>{escape(line)}</li>" for line in view.rule)
    return (
        '<section class="panel"><div class="wide"><table class="scores stack" style="--across:2">'
        f"<thead><tr><th>{clips} clips</th>{heads}<th>Errors</th></tr></thead><tbody>{rows}</tbody></table></div>"
        f"<details><summary>Rates and 95 % intervals; how they were measured</summary>"
        f"<ul>{rules}</ul></details></section>"
    )


def _system(name: str) -> str:
    return (
        f'<td style="{ink(name)}"><b class="swatch">{escape(SHORT.get(name, name))}</b>'
        f'<span class="soft">{escape(EXPLAINED.get(name, ""))}</span></td>'
    )


def _rate(title: str, rate: Interval | None, system: str) -> str:
    if rate is None:
        return f'<td class="metric" data-title="{title} %">–</td>'
    return (
        f'<td class="metric" data-title="{title} %"><b>{100 * rate.mean:.1f}</b>'
        f"<small>{100 * rate.low:.1f} to {100 * rate.high:.1f}</small>{charts.bar(rate, 0, 1, system)}</td>"
    )


def _errors(one: TextSummary) -> str:
    """`57 of 300 words wrong`, with left out, put in and missing where there are any."""
    total = one.total
    counts, unit = (total.characters, "characters") if total.words is None else (total.words, "words")
    more = {
        "left out": counts.deletions,
        "put in": counts.insertions,
        f"clip{'s' * (total.missing > 1)} without a text": total.missing,
    }
    said = [f"{counts.substitutions} of {counts.units} {unit} wrong"]
    return ", ".join([*said, *(f"{count} {what}" for what, count in more.items() if count)])


def _slots(systems: Mapping[str, TextSummary]) -> str:
    """Error rates by GRID's slots, with a guess's; nothing for other sentences."""
    having = {name: one.further[NAME].slots for name, one in systems.items() if NAME in one.further}
    if not having:
        return ""
    names = next(iter(having.values()))
    heads = "".join(f'<th class="num">{escape(name)}</th>' for name in names)
    rows = []
    for name, slots in having.items():
        cells = "".join(
            f'<td class="num" data-title="{escape(place)}">{100 * slot.rate.mean:.0f} '
            f"<small>{100 * slot.rate.low:.0f} to {100 * slot.rate.high:.0f}</small></td>"
            for place, slot in slots.items()
        )
        rows.append(f"<tr><td>{escape(SHORT.get(name, name))}</td>{cells}</tr>")
    guess = "".join(
        f'<td class="num" data-title="{escape(place)}">{100 * slot.chance:.0f}</td>' for place, slot in names.items()
    )
    return (
        '<section class="panel"><h3>Errors by place in the sentence, %</h3><div class="wide">'
        '<table class="plain stack" style="--across:3">'
        f"<thead><tr><th></th>{heads}</tr></thead><tbody>{''.join(rows)}"
        f'<tr class="soft"><td>A guess</td>{guess}</tr></tbody></table></div>'
        f'<p class="note">A guess drawn uniformly in each slot has a WER of {100 * CHANCE:.0f} %: rates of a '
        "recogniser that knows GRID's sentences are to be read against that, not against 100 %.</p></section>"
    )


def _confusions(view: TextView) -> str:
    """The most frequent errors of the systems that are compared; GRID's letters apart from its words."""
    blocks = []
    for name in view.compared:
        one = view.systems[name]
        unit = "characters" if one.total.words is None else "words"
        found = one.further[NAME].letters if NAME in one.further else {}
        words = [pair for pair in one.confusions if pair.reference not in found]
        letters = [
            Confusion(letter, other, count)
            for letter, others in found.items()
            for other, count in others.items()
            if other != letter
        ]
        letters.sort(key=lambda pair: -pair.count)
        title = SHORT.get(name, name)
        blocks += [_pairs(f"{title}: {unit}", words), _pairs(f"{title}: letters", letters)]
    if not any(blocks):
        return ""
    return f'<section class="panel"><h3>Most frequent errors</h3><div class="pairs">{"".join(blocks)}</div></section>'


def _pairs(title: str, pairs: Sequence[Confusion]) -> str:
    if not pairs:
        return ""
    lines = "".join(f"<li>{_pair(pair)} <small>{pair.count}×</small></li>" for pair in pairs[:_PAIRS])
    return f"<div><h4>{escape(title)}</h4><ul>{lines}</ul></div>"


def _pair(pair: Confusion) -> str:
    if pair.hypothesis == NOTHING:
        return f"<b>{escape(pair.reference)}</b> left out"
    if pair.reference == NOTHING:
        return f"<b>{escape(pair.hypothesis)}</b> put in"
    return (
        f'<b>{escape(pair.reference)}</b> <span aria-hidden="true">→</span><span class="unseen">heard as</span> '
        f"{escape(pair.hypothesis)}"
    )


def _utterances(view: TextView, players: Mapping[str, Players], where: str) -> str:
    """The texts: those of clips that can be heard in view, the others in a fold-out, by rising share of errors."""
    ranked = view.ranked()
    if not ranked:
        return ""
    columns = [name for name in view.compared if name in view.clips]
    texts = {name: {line.id: line for line in view.clips[name]} for name in columns}
    audible = players.keys() & {line.id for line in ranked}
    open_ids = audible or {line.id for line in _spread(ranked, _OPEN)}
    first = [line for line in ranked if line.id in open_ids]
    rest = [line for line in ranked if line.id not in open_ids]
    folded = _spread(rest, _FOLDED)
    more = ""
    if folded:
        heard = "that cannot be heard here" if audible else "more"
        count = f"{len(folded)} utterances" if len(folded) > 1 else "1 utterance"
        part = f", spread evenly over {len(rest)}" if len(folded) < len(rest) else ""
        more = f"<details><summary>{count} {heard}{part}</summary>{_table(folded, columns, texts, {})}</details>"
    return (
        '<section class="panel said"><h3>What was said and what was heard</h3><p class="note">From the fewest errors '
        f"to the most. <del>Struck out</del> was said and not heard, <ins>underlined</ins> was heard instead. "
        f"Every clip: <code>{escape(where)}</code>.</p>{_table(first, columns, texts, players)}{more}</section>"
    )


def _spread(lines: Sequence[TextLine], count: int) -> list[TextLine]:
    """Some of the lines, evenly."""
    places = sorted({round(place) for place in np.linspace(0, len(lines) - 1, min(count, len(lines)))})
    return [lines[place] for place in places]


def _table(
    lines: Sequence[TextLine],
    columns: Sequence[str],
    texts: Mapping[str, Mapping[str, TextLine]],
    players: Mapping[str, Players],
) -> str:
    titles = [SHORT.get(name, name) for name in columns]
    heads = "".join(f'<th scope="col">{escape(title)}</th>' for title in ("Clip", "Said", *titles))
    rows = "".join(
        f'<tr><th scope="row"><code>{escape(line.id)}</code>{players.get(line.id, {}).get(CLIP, "")}</th>'
        f'<td data-title="Said">{escape(line.reference)}</td>'
        f"{''.join(_heard(texts[name].get(line.id), name, players.get(line.id, {})) for name in columns)}</tr>"
        for line in lines
    )
    return f'<table class="texts"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'


def _heard(line: TextLine | None, system: str, players: Players) -> str:
    title = escape(SHORT.get(system, system))
    if line is None:
        return f'<td data-title="{title}">–</td>'
    wrong = f"{line.errors} wrong" if line.errors else "all right"
    nothing = "" if line.hypothesis else '<small class="soft">nothing heard</small> '
    text = f'{nothing}{marked(line)} <small class="soft">{wrong}</small>'
    return f'<td data-title="{title}"><div class="heard">{players.get(system, "")}<span>{text}</span></div></td>'
