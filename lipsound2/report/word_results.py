"""Word error rows: what recognisers made of an experiment's speech, kept in a table of a Markdown file.

The table stands beside that of `results`, between markers of its own; a row is replaced when the same recogniser hears
the same set of the same experiment again. A row is what the model says (or, for a recogniser, what it heard); the word
errors of the controls stand in one cell beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from lipsound2.metrics.grid_slots import CHANCE, NAME, SLOT_NAMES
from lipsound2.metrics.registry import TEXT
from lipsound2.metrics.wer import TextSummary
from lipsound2.report.marked_table import MarkedTable
from lipsound2.report.results import Provenance
from lipsound2.report.view import REAL, TextView

BEGIN = "<!-- word errors: rows between these two lines are written by `lipsound2 report --publish` -->"
END = "<!-- end of word errors -->"
CONTROLS = "WER % of true sound / true mel / another sentence / mean mel"
_SLOTS = {name: f"{name} slot %" for name in SLOT_NAMES}
_CONTROLS = (REAL, "real_mel", "mismatched", "mean_mel")
_COLUMNS = (
    *("experiment", "set", "recogniser", "clips"),
    *(metric.heading for metric in TEXT.values()),
    CONTROLS,
    *_SLOTS.values(),
    *("date", "commit", "command"),
)
_NOTES = {
    "clips": "Per cent, with 95 % intervals; SER: sentences with an error. The true sound tells what the "
    "recogniser is worth.",
    _SLOTS["letter"]: f"A guess drawn uniformly in each of GRID's slots has a WER of {100 * CHANCE:.0f} %.",
}


def word_rows(experiment: str, name: str, texts: Iterable[TextView], origin: Provenance) -> list[dict[str, str]]:
    """The rows of an experiment's text scores on the set `name`: title of a column -> cell; a row a recogniser."""
    rows = []
    for view in texts:
        own = next((view.systems[system] for system in ("generated", "heard") if system in view.systems), None)
        if own is None:
            continue  # nothing of the model's was heard
        row = {"experiment": experiment, "set": name, "recogniser": view.recogniser}
        row["clips"] = str(own.total.clips)
        row |= {TEXT[rate].heading: value.percent() for rate, value in own.rates.items()}
        if any(system in view.systems for system in _CONTROLS):
            row[CONTROLS] = " / ".join(_rate(view.systems.get(system)) for system in _CONTROLS)
        slots = own.further[NAME].slots if NAME in own.further else {}
        row |= {_SLOTS[slot]: f"{100 * found.rate.mean:.1f}" for slot, found in slots.items()}
        row |= {"date": origin.date, "commit": origin.commit}
        row["command"] = f"`{origin.command}`" if origin.command != "-" else "-"
        rows.append(row)
    return rows


def _rate(summary: TextSummary | None) -> str:
    """Word errors, or a language's without words character errors."""
    if summary is None:
        return "-"
    rates = summary.rates
    return f"{100 * (rates['wer'] if 'wer' in rates else rates['cer']).mean:.1f}"


def publish_words(path: Path, rows: Iterable[Mapping[str, str]], title: str = "Results") -> None:
    """Put rows into the table of word errors of a Markdown file.

    Args:
        path: the file; made with a heading when it is absent; the table is added at its end when it has none.
        rows: of `word_rows`.
        title: heading of a new file.

    Raises:
        LipsoundError: the file has only one of the two markers.
    """
    MarkedTable(BEGIN, END, _COLUMNS, keys=3, heading="## Word errors", notes=_NOTES).put(path, rows, title)
