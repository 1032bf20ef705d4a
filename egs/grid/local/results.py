"""A table of results as it is stored, and every number that is printed of it.

`results/TABLE.yaml` says what a table is made of, `results/TABLE.tsv` has the scores of every clip, and
`results/TABLE.origin.yaml` how they were made. The tables that people read stand in Markdown files between markers and
are rendered from these three alone.

    python local/results.py results/shipped.yaml ...    # compares what is printed with what the clips give
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import series
from clip_scores import Line, read_clips
from printed import between, differences
from series import Difference

from lipsound2.data.shapes import checked
from lipsound2.data.yaml_files import parse_flow, read_yaml
from lipsound2.errors import LipsoundError
from lipsound2.metrics import rates
from lipsound2.metrics.bootstrap import Interval, intervals
from lipsound2.metrics.registry import METRICS, PRIMARY, SPEECH
from lipsound2.metrics.summary import Row, Summary, summarize

ROOT = Path(__file__).resolve().parents[3]
# What lip readers read: the videos of the clips, and as their control those of other sentences.
READ, READ_MISMATCHED = "lips/video", "lips/mismatched"
GAIN = "gain"  # the column of the paired difference that the verdict stands on


@dataclass(frozen=True)
class Training:
    """What is trained before it speaks, on the set train of the protocol.

    Attributes:
        config: of the training.
        init: a training further up with the first weights, else experiment, pack or its name; empty: fresh ones.
        override: keys of the config with other values.
    """

    config: str
    init: str = ""
    override: str = ""


@dataclass(frozen=True)
class Speech:
    """What speaks: a model, by the name of a training of this table, else by its own or a folder; and a vocoder.

    `controls`, empty: those of synthesize; `[""]`: none.
    """

    model: str
    vocoder: str
    controls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recognizer:
    """What hears, or reads lips.

    Attributes:
        asr: as `lipsound2 decode` takes it.
        title: of its column.
        search: its options for the search, such as "--grammar grid"; empty: none.
        homophones: whether words that sound alike count as equal.
        systems: that it hears; empty: all.
        lips: whether it is a lip reader, which is given `lips/video` and `lips/mismatched` alone.
    """

    asr: str
    title: str
    search: str = ""
    homophones: bool = False
    systems: tuple[str, ...] = ()
    lips: bool = False

    def hears(self, system: str) -> bool:
        """Whether it is to hear a system, or to read it."""
        if self.lips or system in (READ, READ_MISMATCHED):
            return self.lips and system in (READ, READ_MISMATCHED)
        return not self.systems or system in self.systems


@dataclass(frozen=True)
class Printed:
    """A table between the markers of a file.

    Attributes:
        file: from the top of the checkout.
        columns: metrics, recognizers, and `gain`.
        rows: systems and differences; empty: all systems.
        intervals: whether they are printed.
        bold: cells as `system column`.
        made: whether a line below says when, where and by which command it was made.
    """

    file: str
    columns: tuple[str, ...]
    rows: tuple[str, ...] = ()
    intervals: bool = True
    bold: tuple[str, ...] = ()
    made: bool = False


@dataclass(frozen=True)
class Table:
    """`results/TABLE.yaml`.

    Attributes:
        set: of clips.
        speakers: whom the intervals speak for, see `lipsound2 score`.
        regions: crops that the models read.
        mel: that they generate.
        metrics: beside STOI, ESTOI and PESQ.
        speech: name -> what speaks. Its systems are `name/generated` and its controls, such as `name/mismatched`.
        recognizers: name -> what hears.
        systems: system -> title of its row.
        printed: name -> a table that people read.
        trainings: name -> what is trained first.
        sync: pack or training that tells how far audio and video of the training clips are apart, for later trainings
            with `correct_av_offset: true`.
        differences: name -> systems that are compared clip by clip, in a row of their own.
    """

    set: str
    speakers: Literal["same", "unseen"]
    regions: str
    mel: str
    metrics: tuple[str, ...]
    speech: Mapping[str, Speech]
    recognizers: Mapping[str, Recognizer]
    systems: Mapping[str, str]
    printed: Mapping[str, Printed] = field(default_factory=dict)
    trainings: Mapping[str, Training] = field(default_factory=dict)
    sync: str = ""
    differences: Mapping[str, Difference] = field(default_factory=dict)


@dataclass(frozen=True)
class Origin:
    """What is printed of `results/TABLE.origin.yaml`: when a table was made, and on what."""

    date: str
    hardware: str


def read_table(path: Path) -> Table:
    """Read `results/TABLE.yaml`.

    Raises:
        LipsoundError: it is no such file, or names what is not there.
    """
    table: Table = checked(read_yaml(path), Table, str(path))
    systems, columns = {*table.systems}, {*SPEECH, *table.recognizers, GAIN}
    named: list[tuple[str, tuple[str, ...], set[str]]] = [
        (f"differences: {name}", (each.of, each.to), systems) for name, each in table.differences.items()
    ]
    for name, printed in table.printed.items():
        named.append((f"printed: {name}: columns", printed.columns, columns))
        named.append((f"printed: {name}: rows", printed.rows, systems | {*table.differences}))
    for what, found, known in named:
        if unknown := [one for one in found if one not in known]:
            raise LipsoundError(f"{path}: {what}: found '{unknown[0]}', wanted some of {', '.join(sorted(known))}")
    if twice := sorted(systems & {*table.differences}):
        raise LipsoundError(f"{path}: differences: found '{twice[0]}', which is a system, wanted a name of its own")
    synced = table.sync not in {"", *table.trainings}
    for name, training in table.trainings.items():
        override = parse_flow(training.override, f"{path}: trainings: {name}: override")
        if override.get("correct_av_offset") and not synced:
            raise LipsoundError(
                f"{path}: trainings: {name}: has 'correct_av_offset', wanted 'sync: MODEL' beside it, of a pack or a "
                "training before"
            )
        synced = synced or name == table.sync
    return table


class Numbers:
    """Every number of a table, from the scores of its clips.

    Args:
        table: what it is made of.
        lines: every clip of every system.
    """

    def __init__(self, table: Table, lines: Sequence[Line]) -> None:
        self._unseen, self._differences = table.speakers == "unseen", table.differences
        self._lines: dict[str, list[Line]] = {}
        for line in lines:
            self._lines.setdefault(line.row.system, []).append(line)

    @cached_property
    def ids(self) -> list[str]:
        """Of the clips."""
        return list(dict.fromkeys(line.row.id for lines in self._lines.values() for line in lines))

    @cached_property
    def speakers(self) -> dict[str, str]:
        """Clip -> speaker: GRID's ids begin with him or her."""
        return {name: name.partition("-")[0] for name in self.ids}

    @cached_property
    def _speech(self) -> dict[str, Summary]:
        """Scores of speech, by what spoke: the systems of each are compared with one another."""
        groups: dict[str, list[Row]] = {}
        for system, lines in self._lines.items():
            spoken, _, control = system.rpartition("/")
            groups.setdefault(spoken, []).extend(Row(line.row.id, control, line.row.scores) for line in lines)
        return {
            spoken: summarize(rows, self.speakers, unseen=self._unseen)
            for spoken, rows in groups.items()
            if any(row.scores.values for row in rows)
        }

    def interval(self, system: str, column: str) -> Interval | None:
        """Mean or rate of a system, or a difference, with its 95 % interval; None: not measured.

        A row that is new in the YAML file has no clips yet, so nothing of it is measured.
        """
        if system in self._differences:
            return self._difference(self._differences[system], column)
        spoken, _, control = system.rpartition("/")
        lines, summary = self._lines.get(system, []), self._speech.get(spoken)
        if column in SPEECH:
            return summary.systems[control].scores.get(column) if summary and lines else None
        if column == GAIN:
            return summary.verdict.difference if summary and control == "generated" else None
        if not lines or column not in lines[0].errors:
            return None
        errors, words = ([[line.errors[column]] for line in lines], [[line.words] for line in lines])
        return rates.rates(np.array(errors), np.array(words), self._who(lines))[0]

    def _difference(self, compared: Difference, column: str) -> Interval | None:
        """What one system has less another, paired by clips; None: one of them is not measured."""
        ours, theirs = (
            {line.row.id: line for line in self._lines.get(name, [])} for name in (compared.of, compared.to)
        )
        pairs = [(ours[name], theirs[name]) for name in self.ids if name in ours and name in theirs]
        who = self._who([line for line, _ in pairs])
        if column in SPEECH:
            both = [[line.row.scores.values.get(column) for line in pair] for pair in pairs]
            gains = [[ours - theirs] for ours, theirs in both if ours is not None and theirs is not None]
            if not gains or len(gains) < len(pairs):
                return None
            return rates.means(np.array(gains), who)[0] if who else intervals(np.array(gains))[0]
        if not all(column in line.errors for pair in pairs for line in pair):
            return None
        gains = [[ours.errors[column] - theirs.errors[column]] for ours, theirs in pairs]
        return (
            rates.differences(np.array(gains), np.array([[ours.words] for ours, _ in pairs]), who)[0] if gains else None
        )

    def _who(self, lines: Sequence[Line]) -> list[str] | None:
        """Speakers of clips, where intervals are about speakers."""
        return [self.speakers[line.row.id] for line in lines] if self._unseen else None

    def cell(self, system: str, column: str, intervals: bool = True) -> str:
        """As it is printed; empty: not measured."""
        found = self.interval(system, column)
        if found is None:
            return ""
        digits = 1
        if column == GAIN:
            digits = METRICS[PRIMARY].digits
        elif column in SPEECH:
            digits = METRICS[column].digits
        else:
            found = Interval(100 * found.mean, 100 * found.low, 100 * found.high)
        return found.format(digits) if intervals else f"{found.mean:.{digits}f}"


def title(table: Table, column: str) -> str:
    """Of a column."""
    if column == GAIN:
        return f"{METRICS[PRIMARY].title}, gain over mismatched"
    return METRICS[column].title if column in SPEECH else table.recognizers[column].title


def rendered(table: Table, numbers: Numbers, printed: Printed) -> str:
    """The Markdown between the markers."""
    lines = [["", *(title(table, column) for column in printed.columns)], ["---"] * (1 + len(printed.columns))]
    titles = {**table.systems, **{name: each.title for name, each in table.differences.items()}}
    for system in printed.rows or table.systems:
        cells = [numbers.cell(system, column, printed.intervals) for column in printed.columns]
        bold = [f"{system} {column}" in printed.bold for column in printed.columns]
        cells = [f"**{cell}**" if strong and cell else cell for cell, strong in zip(cells, bold, strict=True)]
        lines.append([titles[system], *cells])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def stored(path: Path) -> tuple[Table, Numbers]:
    """A table and its numbers, from the YAML file and the TSV file beside it."""
    table = read_table(path)
    return table, Numbers(table, read_clips(path.with_suffix(".tsv")))


def each_printed(path: Path, do: Callable[[Path, str, str], None], root: Path = ROOT) -> None:
    """Call `do(file, name, text)` for every printed table of a stored one."""
    for name, file, text in series.rendered(path) if series.is_series(path) else _rendered(path):
        do(root / file, f"{path.stem}/{name}", text)


def _rendered(path: Path) -> Iterator[tuple[str, str, str]]:
    table, numbers = stored(path)
    for name, printed in table.printed.items():
        text = rendered(table, numbers, printed)
        yield name, printed.file, f"{text}\n\n{made(path)}" if printed.made else text


def made(path: Path) -> str:
    """When, where and how a table was made, in a line."""
    file = path.with_suffix(".origin.yaml")
    origin: Origin = checked(read_yaml(file), Origin, str(file))
    return f"`./run_results.sh {path.stem}`, {origin.date}, {origin.hardware}."


def check(path: Path, root: Path = ROOT) -> list[str]:
    """A line for each printed number that is not what the clips give."""
    told: list[str] = []

    def compare(file: Path, name: str, text: str) -> None:
        before, inside, _ = between(file, name)
        first = before.count("\n") + 2
        told.extend(f"{file.relative_to(root)}:{first + line}: {what}" for line, what in differences(inside, text))

    each_printed(path, compare, root)
    return told


def main() -> int:
    try:
        paths = [Path(name) for name in sys.argv[1:]]
        told = [line for path in paths for line in check(path)]
    except LipsoundError as error:
        print(error, file=sys.stderr)
        return 1
    for line in told:
        print(line)
    if not told:
        print(f"{' '.join(path.stem for path in paths)}: every printed number is what the clips give")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
