"""Progress: a bar on a terminal; in a file or a pipe, a plain line a minute and one at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TextIO

from tqdm import tqdm

_LINE = "{desc}: {n_fmt} of {total_fmt} {unit}s, {elapsed} spent, {remaining} to go, {rate_fmt}{postfix}"
_COUNT = "{desc}: {n_fmt} {unit}s, {elapsed} spent, {rate_fmt}{postfix}"  # where nobody knows how many there are
_SECONDS = 60  # between two lines


class _Lines:
    """Takes what tqdm draws over and over, and writes each state as a line of its own."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._last = ""

    def write(self, drawn: str) -> None:
        """One state, or what wipes it away."""
        line = drawn.strip()
        if line and line != self._last:
            self._file.write(f"{line}\n")
        self._last = line or self._last

    def flush(self) -> None:
        """Hand on what was written."""
        self._file.flush()


def progress(
    each: Iterable[Any] | None = None, *, total: int | None = None, desc: str, unit: str, **options: Any
) -> tqdm:
    """A tqdm bar about some work, on standard error.

    Args:
        each: what is worked on, to iterate over; None: the caller counts with `update`.
        total: how many there are, where `each` does not tell.
        desc: the work, in a word.
        unit: one of what is counted.
        options: further ones of tqdm.
    """
    if not sys.stderr.isatty():
        # No line before something is done: a delay so short that it is over at once leaves the first one out.
        line = _COUNT if total is None and not hasattr(each, "__len__") else _LINE
        options |= {"file": _Lines(sys.stderr), "bar_format": line, "mininterval": _SECONDS, "delay": 1e-9}
    return tqdm(each, total=total, desc=desc, unit=unit, **options)
