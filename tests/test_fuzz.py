"""A share of `tests/faults/fuzz.py`: the same damaged and hostile files on every run."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "faults"))

import fuzz

CASES = 2000  # of each reader, times its share: some 56,000 in all


def test_fault_C7_damaged_files_are_refused_in_our_own_words():
    found = fuzz.run(CASES, seed=1)
    told = "\n".join(f"{name}\n{content[:200]!r}\n{trace}" for name, (_, content, trace) in found.faults.items())
    assert not found.faults, told
    assert min(found.counts["read"], found.counts["refused"]) > 5 * CASES
