"""Every fault that was once found has a test that is named for it: test_fault_<row>_<what is right>.

The rows are those of the day the toolkit was tried from outside; `pytest -m fault` runs their tests.
"""

from __future__ import annotations

import re
from pathlib import Path

ROWS = {
    "A": range(1, 19),  # data of the user lost or wrong, with exit status 0
    "B": range(1, 11),  # wrong results
    "C": range(1, 9),  # security and robustness
    "D": range(1, 6),  # slow or heavy without need
    "E": range(1, 15),  # messages that misled
    "F": range(1, 10),  # exceptions that were shown raw
    "G": range(1, 7),  # nonsense that was accepted
    "H": (21, 22, 23, 25, 26, 27, 28, 33, 34, 35),  # weak
}
NAME = re.compile(r"^ *def test_fault_((?:[A-Z]\d+_)+)", re.MULTILINE)  # one test may stand for several rows


def test_every_row_has_a_test() -> None:
    tests = Path(__file__).parent.glob("test_*.py")
    named = [name for path in tests for name in NAME.findall(path.read_text(encoding="utf-8"))]
    found = {row for name in named for row in name.rstrip("_").split("_")}
    rows = {f"{letter}{number}" for letter, numbers in ROWS.items() for number in numbers}
    assert sorted(rows - found) == [], "rows without a test"
    assert sorted(found - rows) == [], "tests of rows that are not there"
