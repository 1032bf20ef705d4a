"""Video of a talking face to speech and words: LipSound2 and LiRA.

Use it from the command line: `lipsound2 --help`, or `python -m lipsound2 --help` if that command is not on the path
(`. .venv/bin/activate`). Each verb is also a function with the same options:

    from lipsound2.cli import load
    load("speak")(...)  # `help(load("speak"))` explains it
"""

from typing import NoReturn

__version__ = "0.2.0"


def __getattr__(name: str) -> NoReturn:
    """Say where a verb is that was looked for here.

    Raises:
        AttributeError: always.
    """
    from lipsound2.verbs import VERBS

    verb = name.replace("_", "-")
    hint = f"; it is lipsound2.cli.load('{verb}'), or `lipsound2 {verb}` at a prompt" if verb in VERBS else ""
    raise AttributeError(f"module 'lipsound2' has no attribute '{name}'{hint}")
