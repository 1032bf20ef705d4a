#!/usr/bin/env python3
"""Texts of standard input, one a line, as recognisers learn them and are scored on them: what n-grams are made of.

usage: normalise_text.py LANGUAGE < texts > normalised
"""

from __future__ import annotations

import sys

from lipsound2.errors import LipsoundError
from lipsound2.recognition.normalise import normalise


def main() -> int:
    """Returns the exit status, as those of `lipsound2`."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    sys.stdin.reconfigure(encoding="utf-8")  # whatever the locale says
    sys.stdout.reconfigure(encoding="utf-8")
    try:
        for line in sys.stdin:
            if text := normalise(line, sys.argv[1]):
                print(text)
    except (LipsoundError, UnicodeDecodeError) as error:
        print(f"normalise_text.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
