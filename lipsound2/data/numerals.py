"""Numbers in text: plain digits, finite, in a range. Python's own `int` and `float` take far more than files mean."""

from __future__ import annotations

import math
import re

from lipsound2.data.texts import shown

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_LONGEST = 64  # characters of a number that anybody means
MOST = 10**15  # no count, size or place is larger
SECONDS = 10**7  # four months: no recording is longer


def whole(text: str, least: int = 0, most: int = MOST) -> int:
    """A whole number.

    Raises:
        ValueError: it is none, or outside of the range; the message says what was wanted and found.
    """
    number = int(text) if _WHOLE.fullmatch(text) else None
    if number is None or not least <= number <= most:
        raise ValueError(f"expected a whole number from {least} to {most}, found {shown(text)}")
    return number


def real(text: str, least: float = -math.inf, most: float = math.inf) -> float:
    """A finite number.

    Raises:
        ValueError: it is none, not finite, or outside of the range; the message says what was wanted and found.
    """
    number = float(text) if len(text) <= _LONGEST and _REAL.fullmatch(text) else math.nan
    if not (math.isfinite(number) and least <= number <= most):
        limits = "" if math.isinf(least) and math.isinf(most) else f" from {least:g} to {most:g}"
        raise ValueError(f"expected a number{limits}, found {shown(text)}")
    return number


def seconds(text: str) -> float:
    """A time in seconds, not negative.

    Raises:
        ValueError: it is none.
    """
    return real(text, 0, SECONDS)
