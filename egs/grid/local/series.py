"""A table of trainings: rows are shares of labels, columns ways to begin, and every cell stands for several seeds.

`results/TABLE.yaml` says which experiments it is made of; it has the key `ways`, where other tables have `speech`.
`results/TABLE.tsv` has the word errors of every clip by every experiment, as the system `row/way/seed`. Trainings take
hours, so results are gathered as they come: what is stored stays, until its experiment is gathered again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from clip_scores import Line, read_clips

from lipsound2.data.shapes import checked
from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import LipsoundError
from lipsound2.metrics import rates
from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.speech import ClipScores
from lipsound2.metrics.summary import Row
from lipsound2.metrics.wer_summary import read_clips as read_texts

ERRORS = "errors"  # the column of TABLE.tsv


@dataclass(frozen=True)
class Way:
    """A column.

    Attributes:
        title: its heading.
        scores: the word errors of an experiment's clips, with {row} and {seed} in the name of the file.
    """

    title: str
    scores: str


@dataclass(frozen=True)
class Difference:
    """Paired differences: a column of this kind of table, a row of the others.

    Attributes:
        title: its heading.
        of: way, or system, whose errors or scores they are.
        to: that whose are taken off.
    """

    title: str
    of: str
    to: str


@dataclass(frozen=True)
class Printed:
    """A table between the markers of a file: its columns, which are ways or differences."""

    file: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Series:
    """`results/TABLE.yaml`.

    Attributes:
        recipe: script and options that train all of it, besides those that name the corpus.
        rows: row -> its title.
        ways: way -> what it is.
        seeds: of the trainings.
        differences: name -> what is compared; on the clips of the seeds that both have.
        printed: name -> a table that people read.
        words_of_clips: whether single words were read, `<clip>-<number>`; those of a clip count together, since they
            are alike, and intervals are over clips.
    """

    recipe: str
    rows: Mapping[str, str]
    ways: Mapping[str, Way]
    seeds: tuple[int, ...]
    differences: Mapping[str, Difference]
    printed: Mapping[str, Printed]
    words_of_clips: bool = False


def is_series(path: Path) -> bool:
    """Whether a table is of this kind."""
    return "ways" in read_yaml(path)


def read_series(path: Path) -> Series:
    """Read `results/TABLE.yaml`.

    Raises:
        LipsoundError: it is no such file, or names what is not there.
    """
    series: Series = checked(read_yaml(path), Series, str(path))
    known = {*series.ways, *series.differences}
    named = [column for printed in series.printed.values() for column in printed.columns if column not in known]
    named += [way for each in series.differences.values() for way in (each.of, each.to) if way not in series.ways]
    if named:
        raise LipsoundError(f"{path}: found '{named[0]}', wanted some of {', '.join(sorted(known))}")
    return series


class Trainings:
    """Every number of a table.

    Args:
        series: what it is made of.
        lines: every clip of every experiment.
    """

    def __init__(self, series: Series, lines: Sequence[Line]) -> None:
        self._series = series
        self._clips: dict[str, dict[str, Line]] = {}
        for line in lines:
            self._clips.setdefault(line.row.system, {})[line.row.id] = line

    def seeds(self, row: str, *ways: str) -> list[int]:
        """Those that all of some ways have been trained with."""
        return [seed for seed in self._series.seeds if all(f"{row}/{way}/{seed}" in self._clips for way in ways)]

    def cell(self, row: str, column: str) -> str:
        """In per cent: mean over clips and seeds, interval over clips, every seed's own; empty: not trained."""
        if column in self._series.differences:
            compared = self._series.differences[column]
            seeds = self.seeds(row, compared.of, compared.to)
            if not seeds:
                return ""
            (ours, words), (theirs, _) = (self._sums(row, way, seeds) for way in (compared.of, compared.to))
            return _per_cent(rates.differences(ours - theirs, words)[0], sign=True)
        seeds = self.seeds(row, column)
        if not seeds:
            return ""
        mean = _per_cent(rates.rates(*self._sums(row, column, seeds))[0])
        each = [100 * errors.sum() / words.sum() for errors, words in (self._sums(row, column, [one]) for one in seeds)]
        return f"{mean} ({', '.join(f'{one:.1f}' for one in each)})"

    def _sums(self, row: str, way: str, seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Errors and words (clips, 1) of the clips, of some seeds together."""
        found = [self._clips[f"{row}/{way}/{seed}"] for seed in seeds]
        names = sorted(found[0])
        errors = [[sum(clips[name].errors[ERRORS] for clips in found)] for name in names]
        words = [[sum(clips[name].words for clips in found)] for name in names]
        return np.array(errors), np.array(words)


def _per_cent(found: Interval, sign: bool = False) -> str:
    low, mean, high = (100 * value for value in (found.low, found.mean, found.high))
    return f"{mean:{'+' if sign else ''}.1f} [{low:.1f}, {high:.1f}]"


def markdown(series: Series, trainings: Trainings, printed: Printed) -> str:
    """A printed table; rows of which nothing has been trained are left out."""
    titles = [
        series.ways[name].title if name in series.ways else series.differences[name].title for name in printed.columns
    ]
    lines = [["", *titles], ["---"] * (1 + len(titles))]
    for row, heading in series.rows.items():
        cells = [trainings.cell(row, column) for column in printed.columns]
        if any(cells):
            lines.append([heading, *cells])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def rendered(path: Path) -> Iterator[tuple[str, str, str]]:
    """Name, file and Markdown of every printed table of a stored one."""
    series = read_series(path)
    trainings = Trainings(series, read_clips(path.with_suffix(".tsv")))
    for name, printed in series.printed.items():
        yield name, printed.file, markdown(series, trainings, printed)


def gather(series: Series, stored: Sequence[Line]) -> list[Line]:
    """The stored lines, with those of every experiment that is there in the place of its older ones."""
    found: dict[str, list[Line]] = {}
    for line in stored:
        found.setdefault(line.row.system, []).append(line)
    for row in series.rows:
        for name, way in series.ways.items():
            for seed in series.seeds:
                scores, system = Path(way.scores.format(row=row, seed=seed)), f"{row}/{name}/{seed}"
                if scores.exists():
                    clips = _errors(scores, series.words_of_clips)
                    found[system] = [
                        Line(Row(clip, system, ClipScores({}, {})), words, {ERRORS: errors})
                        for clip, (words, errors) in clips.items()
                    ]
                    print(f"{system}: {len(found[system])} clips of {scores}")
    order = [f"{row}/{name}/{seed}" for row in series.rows for name in series.ways for seed in series.seeds]
    return [line for system in order for line in found.get(system, [])]


def _errors(scores: Path, words_of_clips: bool) -> dict[str, tuple[int, int]]:
    """Words and errors of each clip."""
    found: dict[str, tuple[int, int]] = {}
    for line in read_texts(scores):
        clip = line.id.rpartition("-")[0] if words_of_clips else line.id
        words, errors = found.get(clip, (0, 0))
        found[clip] = words + line.units, errors + line.errors
    return found
