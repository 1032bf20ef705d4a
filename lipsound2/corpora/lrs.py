"""The text file beside a clip of LRS2 or LRS3: what is said, and for some clips when.

`Text:  WORDS IN CAPITALS`, `Conf:  4`, then parts with a blank line before each. LRS3 has a face track
(`FRAME X Y W H`). The pretrain parts of both have a table below `WORD START END ASDSCORE`, in seconds from the clip's
start.
"""

from __future__ import annotations

import re
from pathlib import Path

from lipsound2.corpora.recordings import Problem, Recordings
from lipsound2.data.numerals import real
from lipsound2.data.tables import parse_words

_MARK = re.compile(r"\{[^}]*\}?")  # {NS}, {LAUGH}: no words
_TABLE = "WORD START END"


def read_text(id: str, path: Path, found: Recordings) -> tuple[str, str] | None:
    """Text and word times, the value of a `word_times` table (empty: none), of one file.

    A table that cannot be read, or says other words than the text, is noted and left out.

    Returns:
        None, and a problem, when there is no text.
    """
    if not path.exists():
        found.problems.append(Problem(id, path, "no-transcript", "no .txt beside the video"))
        return None
    content = found.read(id, path, "unreadable-transcript", dropped=True)
    if content is None:
        return None
    lines = content.split("\n")
    text = next((line.partition(":")[2] for line in lines if line.startswith("Text:")), "")
    text = " ".join(_MARK.sub(" ", text).split())
    if not text:
        found.problems.append(Problem(id, path, "empty-transcript", "no words behind 'Text:'"))
        return None
    start = next((number for number, line in enumerate(lines, start=1) if line.startswith(_TABLE)), len(lines))
    rows = [fields for line in lines[start:] if (fields := _MARK.sub(" ", line).split())]
    rows = [fields for fields in rows if not (len(fields) == 3 and _is_number(fields[0]))]  # a mark was its word
    times = " ".join(f"{fields[1]} {fields[2]} {fields[0]}" for fields in rows if len(fields) == 4)
    try:
        if any(len(fields) != 4 for fields in rows):
            raise ValueError("expected rows 'WORD start end score'")
        spoken = [word for _, _, word in parse_words(times)]
    except ValueError as error:
        found.problems.append(Problem(id, path, "bad-word-times", str(error), dropped=False))
        return text, ""
    if rows and spoken != text.split():
        detail = f"the text says '{text}', the table '{' '.join(spoken)}'"
        found.problems.append(Problem(id, path, "transcript-mismatch", detail, dropped=False))
        return text, ""
    return text, times


def _is_number(field: str) -> bool:
    try:
        real(field)
    except ValueError:
        return False
    return True
