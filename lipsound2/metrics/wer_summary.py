"""Text scores as files and tables, and the rule of how they are measured."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lipsound2.data.json_text import parse_json
from lipsound2.data.numerals import whole
from lipsound2.data.shapes import checked
from lipsound2.data.texts import read_text
from lipsound2.data.tsv import read_tsv
from lipsound2.errors import LipsoundError
from lipsound2.files import write_text
from lipsound2.metrics.alignment import NOTHING, TextRow
from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.registry import TEXT, judging
from lipsound2.metrics.sentence_tables import TABLES
from lipsound2.metrics.summary import GAINS, difference_text, markdown
from lipsound2.metrics.summary_files import AGAIN, check_interval, check_name
from lipsound2.metrics.wer import Confusion, Tally, TextScores, TextSummary, difference
from lipsound2.old_names import SUMMARY_KEYS, keys_of_today
from lipsound2.text.normalize import NORMALIZATIONS

SHOWN = 10  # confused pairs in a table
RULE_HEADING = "How it was scored:"
_COLUMNS = ("id", "reference", "hypothesis", "errors")
_UNITS = ("words", "characters")

_WANTED = "expected a summary of text scores"

_RATES_RULE = "\n".join(family.rule for family in judging("text"))
_NORMALIZATIONS = "\n".join(f"{one.name} ({one.version}): {one.rule}." for one in NORMALIZATIONS.values())
TEXT_RULE = f"""\
Normalization, of references and hypotheses alike, {_NORMALIZATIONS}
{_RATES_RULE}
Missing texts: a clip without a hypothesis counts as an empty one, all of its words deleted, and is counted; no clip \
is left out. An empty reference is refused.
Intervals, 95 %, computed: of WER and CER that of a count of errors in bunches, a bunch a clip (gamma; Fay and Feuer), \
of SER and slots that of a binomial share (Clopper and Pearson); of a difference of two systems from what either alone \
got wrong, clip by clip. Where no speaker was trained on, how much speakers differ counts too, with Student's t.
""" + "\n".join(table.RULE for table in TABLES.values())


@dataclass(frozen=True)
class TextLine:
    """One clip of one system, as a table of clips keeps it.

    Attributes:
        id: of the clip.
        reference: normalized, never empty.
        hypothesis: normalized; empty when nothing was recognized.
        errors: in words, or in characters for a language without words.
        units: words or characters of the reference.
        by_word: whether they are words.
    """

    id: str
    reference: str
    hypothesis: str
    errors: int
    units: int
    by_word: bool


def table(systems: Mapping[str, TextSummary]) -> str:
    """Rates and errors as a Markdown table, a row a system; errors in words, or in characters for Mandarin."""
    rates = [name for name in TEXT if any(name in one.rates for one in systems.values())]
    header = ["system", "clips", *(TEXT[name].heading for name in rates), "sub", "del", "ins", "of", "missing"]
    body = []
    for name, one in systems.items():
        total = one.total
        counts = total.characters if total.words is None else total.words
        cells = [one.rates[rate].percent() if rate in one.rates else "-" for rate in rates]
        errors = (counts.substitutions, counts.deletions, counts.insertions)
        unit = "characters" if total.words is None else "words"
        row = [name, total.clips, *cells, *errors, f"{counts.units} {unit}", total.missing]
        body.append([str(cell) for cell in row])
    return markdown(header, body)


def further_tables(systems: Mapping[str, TextSummary]) -> list[str]:
    """Tables of the corpus' sentences as paragraphs of Markdown; none for most corpora."""
    shown = []
    for name, table in TABLES.items():
        having = {system: one.further[name] for system, one in systems.items() if name in one.further}
        shown += table.markdown(having) if having else []
    return shown


def confusion_table(systems: Mapping[str, TextSummary], shown: int = SHOWN) -> str:
    """The most frequent errors as a Markdown table, a column a system: `f -> s 12`, `at deleted 3`, `uh inserted 1`."""
    columns = [[_shown(confusion) for confusion in one.confusions[:shown]] for one in systems.values()]
    length = max(map(len, columns), default=0)
    if not length:
        return ""
    filled = [[*column, *[""] * (length - len(column))] for column in columns]
    return markdown(list(systems), [list(row) for row in zip(*filled, strict=True)])


def gains(systems: Mapping[str, TextScores], against: Sequence[str], utt2spk: Mapping[str, str] | None = None) -> str:
    """How much higher the rates of the other systems are than those of some, as a Markdown table with a caption.

    Args:
        systems: name -> scores, of the same clips.
        against: the systems that the others are compared with; each two are compared once.
        utt2spk: id -> speaker, when the intervals are about speakers like these.
    """
    names = list(systems[against[0]].summary.rates)
    body = []
    for place, base in enumerate(against):
        for name, one in systems.items():
            if name != base and name not in against[:place]:
                found = difference(one, systems[base], utt2spk)
                body.append([f"{name} - {base}", *(difference_text(TEXT[rate], found[rate]) for rate in names)])
    return f"{markdown(['system', *(TEXT[name].heading for name in names)], body)}\n\n{GAINS}"


def page(systems: Mapping[str, TextSummary], which: str, apart: str = "") -> str:
    """The tables, and the rule below them, as a file shows them; a terminal shows them `without_rule`.

    Args:
        systems: name -> summary, in the order of the rows.
        which: what clips these are, for the caption.
        apart: the table of `gains`, if one is wanted.
    """
    versions = ", ".join(sorted({one.normalization for one in systems.values()}))
    rule = "\n".join(f"- {line}" for line in TEXT_RULE.splitlines())
    parts = [
        table(systems),
        f"Rates in per cent with 95 % intervals over {which}; normalization {versions}.",
    ]
    parts += [apart] if apart else []
    parts += further_tables(systems)
    if pairs := confusion_table(systems):
        parts += ["Most frequent errors, with how often:", pairs]
    return "\n\n".join([*parts, RULE_HEADING, rule]) + "\n"


def without_rule(text: str) -> str:
    """A page without the rule, for the terminal."""
    return text.partition(f"\n\n{RULE_HEADING}\n")[0] + "\n"


def write_clips(path: Path | str, rows: Sequence[TextRow]) -> None:
    """`clips.tsv`: a line a clip; the last column is `words`, or `characters` for a language without words.

    Texts are the normalized ones, so that the line explains its errors.
    """
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    unit = "characters" if rows and rows[0].words is None else "words"
    writer.writerow([*_COLUMNS, unit])
    for row in rows:
        writer.writerow([row.id, row.reference, row.hypothesis, row.counts.errors, row.counts.units])
    write_text(path, text.getvalue())


def read_clips(path: Path | str) -> list[TextLine]:
    """Read what `write_clips` wrote.

    Raises:
        LipsoundError: no such file, or another kind of file.
    """
    header, lines = read_tsv(path, AGAIN)
    if tuple(header[:-1]) != _COLUMNS or header[-1] not in _UNITS:
        wanted = f"{' '.join(_COLUMNS)} and {' or '.join(_UNITS)}"
        raise LipsoundError(f"{path}: expected the columns {wanted}, found {' '.join(header)[:200]}; {AGAIN}")
    found = []
    for number, line in lines:
        try:
            errors, units = whole(line[3]), whole(line[4], 1)
        except ValueError as error:
            raise LipsoundError(f"{path}:{number}: {error}; {AGAIN}") from error
        if not line[1].strip():
            raise LipsoundError(f"{path}:{number}: expected a reference, found none; {AGAIN}")
        found.append(TextLine(line[0], line[1], line[2], errors, units, header[-1] == "words"))
    return found


def write_summary(path: Path | str, systems: Mapping[str, TextSummary]) -> None:
    """Every system's summary and the rule, as JSON."""
    content = {"systems": {name: to_json(one) for name, one in systems.items()}, "rule": TEXT_RULE.splitlines()}
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_summary(path: Path | str) -> dict[str, TextSummary]:
    """Read what `write_summary` wrote.

    Raises:
        LipsoundError: no such file, or another kind of file.
    """
    systems = _read(path, "systems", Mapping[str, Mapping[str, Any]])
    if not systems:
        raise LipsoundError(f"{path}: {_WANTED}, found no system; {AGAIN}")
    for name in systems:
        check_name(name, f"{path}: systems")
    return {name: from_json(one, f"{path}: {_WANTED}; {name}") for name, one in systems.items()}


def read_rule(path: Path | str) -> list[str]:
    """The rule that a summary was measured by, a sentence or two a line; raises as `read_summary`."""
    return list(_read(path, "rule", list[str]))


def _read(path: Path | str, key: str, shape: Any) -> Any:
    """One key of the file, as the type `shape`."""
    content = parse_json(read_text(path, AGAIN), f"{path}: {_WANTED}")
    if not isinstance(content, dict) or key not in content:
        raise LipsoundError(f"{path}: {_WANTED}, found no '{key}' in it; {AGAIN}")
    return checked(content[key], shape, f"{path}: {_WANTED}; {key}")


def to_json(summary: TextSummary) -> dict[str, Any]:
    """The summary as plain data; rates are fractions, rounded to five digits."""
    return {
        "language": summary.language,
        "normalization": summary.normalization,
        **{name: rate.rounded() for name, rate in summary.rates.items()},
        "total": asdict(summary.total),
        "speakers": {speaker: asdict(tally) for speaker, tally in summary.speakers.items()},
        "confusions": [[pair.reference, pair.hypothesis, pair.count] for pair in summary.confusions],
        **{
            key: value
            for name, table in TABLES.items()
            for key, value in table.to_json(summary.further.get(name)).items()
        },
    }


@dataclass(frozen=True)
class _Entry:
    """A system as `to_json` writes it, but for its rates."""

    language: str
    normalization: str
    total: Tally
    speakers: Mapping[str, Tally]
    confusions: list[tuple[str, str, int]]


def from_json(content: Mapping[str, Any], where: str = "summary.json") -> TextSummary:
    """The inverse of `to_json`.

    Args:
        content: of the file, whoever wrote it.
        where: the file, for messages.

    Raises:
        LipsoundError: a key is missing, or holds what is no score.
    """
    content = keys_of_today(content, SUMMARY_KEYS)
    found: _Entry = checked(content, _Entry, where)
    rates = {name: checked(content[name], Interval, f"{where}: {name}") for name in TEXT if name in content}
    if "cer" not in rates:
        raise LipsoundError(f"{where}: the key 'cer' is missing; {AGAIN}")
    for name, rate in rates.items():
        check_interval(rate, f"{where}: {name[:40]}")
    return TextSummary(
        language=found.language,
        normalization=found.normalization,
        total=found.total,
        rates=rates,
        speakers=dict(found.speakers),
        confusions=[Confusion(*pair) for pair in found.confusions],
        further={name: got for name, table in TABLES.items() if (got := table.from_json(content, where)) is not None},
    )


def _shown(pair: Confusion) -> str:
    if pair.hypothesis == NOTHING:
        return f"{pair.reference} deleted {pair.count}"
    if pair.reference == NOTHING:
        return f"{pair.hypothesis} inserted {pair.count}"
    return f"{pair.reference} -> {pair.hypothesis} {pair.count}"
