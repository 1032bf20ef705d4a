"""Word error rows: what recognisers made of an experiment's speech, kept in a table of a Markdown file.

The table stands beside that of `results`, between markers of its own; a row is replaced when the same recogniser hears
the same system of the same experiment and set again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from lipsound2.scoring.marked_table import MarkedTable
from lipsound2.scoring.results import Provenance
from lipsound2.scoring.text import CHANCE, SLOT_NAMES
from lipsound2.scoring.text_summary import TITLES, percent
from lipsound2.scoring.view import TextView

BEGIN = "<!-- word errors: rows between these two lines are written by `lipsound2 report --publish` -->"
END = "<!-- end of word errors -->"
_SLOTS = {name: f"{name} slot %" for name in SLOT_NAMES}
_COLUMNS = (
    *("experiment", "set", "recogniser", "system", "clips"),
    *TITLES.values(),
    *_SLOTS.values(),
    *("date", "commit", "command"),
)
_NOTES = {
    "system": "Per cent, with 95 % bootstrap intervals; SER: sentences with an error. `real` is the true sound: "
    "what the recogniser is worth.",
    _SLOTS["letter"]: f"A guess drawn uniformly in each of GRID's slots has a WER of {100 * CHANCE:.0f} %.",
}


def word_rows(experiment: str, name: str, texts: Iterable[TextView], origin: Provenance) -> list[dict[str, str]]:
    """The rows of an experiment's text scores on the set `name`: title of a column -> cell; a row a system."""
    rows = []
    for view in texts:
        for system, summary in view.systems.items():
            row = {"experiment": experiment, "set": name, "recogniser": view.recogniser, "system": system}
            row["clips"] = str(summary.total.clips)
            row |= {TITLES[rate]: percent(value) for rate, value in summary.rates.items()}
            row |= {_SLOTS[slot]: f"{100 * found.rate.mean:.1f}" for slot, found in summary.slots.items()}
            row |= {"date": origin.date, "commit": origin.commit}
            row["command"] = f"`{origin.command}`" if origin.command != "-" else "-"
            rows.append(row)
    return rows


def publish_words(path: Path, rows: Iterable[Mapping[str, str]], title: str = "Results") -> None:
    """Put rows into the table of word errors of a Markdown file.

    Args:
        path: the file; made with a heading when it is absent; the table is added at its end when it has none.
        rows: of `word_rows`.
        title: heading of a new file.

    Raises:
        LipsoundError: the file has only one of the two markers.
    """
    MarkedTable(BEGIN, END, _COLUMNS, keys=4, heading="## Word errors", notes=_NOTES).put(path, rows, title)
