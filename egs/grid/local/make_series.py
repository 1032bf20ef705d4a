"""Gather the experiments of a table of trainings, and print it.

    python local/make_series.py results/lira.yaml --recipe             # script and options that train, a word a line
    python local/make_series.py results/lira.yaml --out exp/lira.tsv   # what is stored, and experiments that are there
    python local/make_series.py results/lira.yaml --publish            # into results/ and the printed tables

Experiments that are gathered take the place of those stored; others stay.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from clip_scores import read_clips, write_clips
from printed import put
from results import each_printed
from series import Trainings, gather, markdown, read_series

from lipsound2.errors import LipsoundError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--recipe", action="store_true")
    what.add_argument("--out", type=Path)
    what.add_argument("--publish", action="store_true")
    options = parser.parse_args()
    stored: Path = options.table.with_suffix(".tsv")
    try:
        series = read_series(options.table)
        if options.recipe:
            print(*shlex.split(series.recipe), sep="\n")
            return 0
        lines = gather(series, read_clips(stored) if stored.exists() else [])
        write_clips(stored if options.publish else options.out, lines)
        for name, printed in series.printed.items():
            print(f"\n{name}\n\n{markdown(series, Trainings(series, lines), printed)}")
        if options.publish:
            each_printed(options.table, put)
    except LipsoundError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
