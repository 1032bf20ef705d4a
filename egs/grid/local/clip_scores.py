"""The scores of every clip that a table of results stands on: `results/TABLE.tsv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lipsound2.data.numerals import real, whole
from lipsound2.data.tsv import read_tsv
from lipsound2.errors import LipsoundError
from lipsound2.files import write_text
from lipsound2.metrics.registry import SPEECH
from lipsound2.metrics.speech import ClipScores
from lipsound2.metrics.summary import Row

NONE = "-"
AGAIN = "make it again with run_results.sh"


@dataclass(frozen=True)
class Line:
    """One clip of one system.

    Attributes:
        row: its id and scores of speech.
        words: that were said.
        errors: in words, by recognizer.
    """

    row: Row
    words: int
    errors: Mapping[str, int]


def write_clips(path: Path, lines: Sequence[Line]) -> None:
    """`results/TABLE.tsv`: a line a clip and system."""
    metrics = [name for name in SPEECH if any(name in line.row.scores.values for line in lines)]
    recognizers = list(dict.fromkeys(name for line in lines for name in line.errors))
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["id", "system", *metrics, "failures", "words", *recognizers])
    for line in lines:
        scores = line.row.scores
        values = [f"{scores.values[name]:.5f}" if name in scores.values else NONE for name in metrics]
        failures = ",".join(f"{name}={reason}" for name, reason in scores.failures.items()) or NONE
        errors = [line.errors.get(name, NONE) for name in recognizers]
        writer.writerow([line.row.id, line.row.system, *values, failures, line.words, *errors])
    write_text(path, text.getvalue())


def read_clips(path: Path) -> list[Line]:
    """Read what `write_clips` wrote.

    Raises:
        LipsoundError: it is another file.
    """
    header, rows = read_tsv(path, AGAIN)
    if header[:2] != ["id", "system"] or not {"failures", "words"} <= {*header}:
        raise LipsoundError(f"{path}: found the columns {' '.join(header)[:200]}, wanted id system ...; {AGAIN}")
    metrics, recognizers = header[2 : header.index("failures")], header[header.index("words") + 1 :]
    lines = []
    for number, cells in rows:
        line = dict(zip(header, cells, strict=True))
        reasons = dict(item.split("=", 1) for item in line["failures"].split(",") if "=" in item)
        try:
            values = {name: real(line[name], -1e6, 1e6) for name in metrics if line[name] != NONE}
            errors = {name: whole(line[name]) for name in recognizers if line[name] != NONE}
            words = whole(line["words"], 1)
        except ValueError as error:
            raise LipsoundError(f"{path}:{number}: {error}; {AGAIN}") from error
        lines.append(Line(Row(line["id"], line["system"], ClipScores(values, reasons)), words, errors))
    return lines
