"""`python -m lipsound2` is the command `lipsound2`."""

import sys

from lipsound2.cli import main

if __name__ == "__main__":
    sys.exit(main())
