"""The folders of text scores below a set's scores: TEXT/<recognizer>/{summary.json,<system>.tsv}."""

from __future__ import annotations

from pathlib import Path

from lipsound2.metrics.score import SUMMARY
from lipsound2.metrics.wer_summary import read_clips, read_rule, read_summary
from lipsound2.report.view import TextView


def read_texts(folder: Path) -> tuple[list[TextView], list[str]]:
    """What every recognizer made of a set, by name, and what is missing, in sentences.

    Args:
        folder: that of the recognizers' folders; it may be absent.

    Raises:
        LipsoundError: a file that is not what scoring writes.
    """
    views, notes = [], []
    for place in sorted(path for path in folder.glob("*") if path.is_dir()):
        if not (place / SUMMARY).exists():
            notes.append(f"The word errors by {place.name} are not complete: score again.")
            continue
        systems = read_summary(place / SUMMARY)
        files = {name: place / f"{name}.tsv" for name in systems}
        if absent := [name for name, path in files.items() if not path.exists()]:
            notes.append(f"Texts of {', '.join(absent)} recognized by {place.name} are absent: score again.")
        clips = {name: read_clips(path) for name, path in files.items() if path.exists()}
        views.append(TextView(place.name, systems, clips, read_rule(place / SUMMARY)))
    return views, notes
