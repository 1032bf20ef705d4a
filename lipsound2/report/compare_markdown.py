"""A comparison as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from lipsound2.metrics.summary import interval_text, markdown
from lipsound2.report.changed_words import ChangedClip
from lipsound2.report.choice import evenly
from lipsound2.report.compared import Comparison, ScoreLine, SetComparison, WordChanges
from lipsound2.report.config_keys import ABSENT

SHOWN = 20  # clips whose words changed, of each recognizer
ON_PAGE = 200  # likewise, that the page shows


def render(comparison: Comparison, clips: int = SHOWN) -> str:
    """The text; a table's columns are aligned, so that it reads well on a terminal too.

    Args:
        comparison: what to show.
        clips: whose words changed, of each recognizer, evenly from the best change to the worst.
    """
    labels = [one.label for one in comparison.experiments]
    parts = [f"# {' vs '.join(labels)}"]
    parts += [f"- {note}" for note in comparison.notes]
    for part in comparison.sets:
        parts += _set(part, labels, clips)
    parts += ["## Config keys that differ", _config(comparison, labels)]
    parts += ["## Training", _training(comparison)]
    return "\n\n".join(parts) + "\n"


def _set(part: SetComparison, labels: Sequence[str], clips: int) -> list[str]:
    found = [f"## Set {part.name}", scores(part.lines, labels)]
    found.append(
        f"Over {part.which}. In brackets 95 % intervals, of a difference the paired one, **bold** where it leaves "
        "out 0."
    )
    if part.verdicts:
        told = ", ".join(f"{label} {verdict.word}" for label, verdict in zip(labels, part.verdicts, strict=True))
        found.append(f"Lips are read: {told}.")
    for words in part.words:
        found += _words(words, labels, clips)
    return found


def scores(lines: Sequence[ScoreLine], labels: Sequence[str]) -> str:
    """A row a score: every experiment's value, and how the others differ from the first."""
    header = ["score", *labels, *(f"{label} - {labels[0]}" for label in labels[1:])]
    body = []
    for line in lines:
        title = f"{line.metric.heading}, {line.recognizer}" if line.recognizer else line.metric.heading
        apart = []
        for number, difference in enumerate(line.differences[1:], 1):
            text = "-" if difference is None else interval_text(line.metric, difference, sign=True)
            apart.append(text if line.finding(number) == "unclear" else f"**{text}** {line.finding(number)}")
        body.append([title, *(interval_text(line.metric, value) for value in line.values), *apart])
    return _table(header, body)


def _words(words: WordChanges, labels: Sequence[str], clips: int) -> list[str]:
    found = [f"### Words that changed, {words.recognizer}", changes(words, labels)]
    if words.clips and clips:
        found.append("Wrong words are **bold**, missed ones ~~struck out~~.")
    for clip in evenly(words.clips, clips):
        found.append(f"`{clip.id}`, errors {' / '.join(map(str, clip.errors))}:")
        found.append(_aligned(clip, labels))
    if (total := len(words.clips)) > clips:
        found.append(
            f"... and {total - clips} more in the page."
            if total <= ON_PAGE
            else f"... and {total - clips} more; the page shows {ON_PAGE} of the {total}."
        )
    return found


def changes(words: WordChanges, labels: Sequence[str]) -> str:
    """How many clips changed, and which way, in a sentence."""
    if not words.clips:
        return f"None of {words.total} clips."
    told = []
    for number, label in enumerate(labels[1:], 1):
        counts = words.count(number)
        than = f" than {labels[0]}" if number == 1 else ""
        fewer, more, same = (counts[change] for change in ("fewer", "more", "same"))
        told.append(f"{label} has fewer errors{than} in {fewer}, more in {more}, as many in {same}")
    return f"{len(words.clips)} of {words.total} clips: {'; '.join(told)}."


def _aligned(clip: ChangedClip, labels: Sequence[str]) -> str:
    """The words under one another: wrong ones bold, missed ones struck out."""
    shown = {"right": "{}", "substituted": "**{}**", "inserted": "**{}**", "deleted": "~~{}~~", "none": ""}
    rows = [["reference", *(column.reference for column in clip.columns)]]
    for number, label in enumerate(labels):
        cells = [shown[column.kind(number)].format(column.words[number] or column.reference) for column in clip.columns]
        rows.append([label, *cells])
    return _table(rows[0], rows[1:])


def _config(comparison: Comparison, labels: Sequence[str]) -> str:
    if not comparison.config:
        return "None."
    text = _table(["key", *labels], [[key, *values] for key, values in comparison.config])
    absent = any(ABSENT in values for _, values in comparison.config)
    return text + (f"\n\n`{ABSENT}`: the config does not have the key." if absent else "")


def _training(comparison: Comparison) -> str:
    labels = [one.label for one in comparison.experiments]
    rows = dict(training(comparison))
    commands = zip(labels, rows.pop("command", []), strict=False)
    table = _table(["", *labels], [[title, *values] for title, values in rows.items()])
    return "\n".join([table, "", *(f"- {label}: `{command}`" for label, command in commands)]).rstrip()


def training(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """How each was trained: title -> what is known of each, where anything is."""
    origins = [one.origin for one in comparison.experiments]
    rows = [
        ("folder", [str(one.path) for one in comparison.experiments]),
        ("model", [origin.config for origin in origins]),
        ("training clips", ["-" if one.clips is None else str(one.clips) for one in comparison.experiments]),
        *((key, [getattr(origin, key) for origin in origins]) for key in ("hours", "hardware", "commit", "date")),
        ("command", [origin.command for origin in origins]),
    ]
    return [(title, values) for title, values in rows if {*values} != {"-"}]


def _table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    return markdown(_cells(header), [_cells(row) for row in body])


def _cells(row: Sequence[str]) -> list[str]:
    return [" ".join(cell.replace("|", "\\|").split()) for cell in row]
