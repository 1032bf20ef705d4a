"""GRID's sentence grammar: six words, each named by one character of the file name (Cooke et al. 2006).

`bbaf2n` is "bin blue at f two now": command, color, preposition, letter, digit, adverb.
"""

from __future__ import annotations

from string import ascii_lowercase

from lipsound2.data.numerals import SECONDS, real

LETTERS = ascii_lowercase.replace("w", "")  # the only letter whose name has more than one syllable

SLOTS: tuple[dict[str, str], ...] = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter for letter in LETTERS},
    {
        **{"z": "zero", "1": "one", "2": "two", "3": "three", "4": "four"},
        **{"5": "five", "6": "six", "7": "seven", "8": "eight", "9": "nine"},
    },
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)
PAUSES = frozenset({"sil", "sp"})  # what `.align` files hold between the words
UNITS_PER_SECOND = 25000  # of `.align` times: 1000 units are one video frame


def words_of(name: str) -> list[str] | None:
    """The six words a file name stands for, or None when it is not a GRID name."""
    if len(name) != len(SLOTS) or any(code not in slot for code, slot in zip(name, SLOTS, strict=True)):
        return None
    return [slot[code] for code, slot in zip(name, SLOTS, strict=True)]


def shared_words(first: str, second: str) -> int:
    """In how many of the six places two file names hold the same word."""
    return sum(a == b for a, b in zip(first, second, strict=True))


def read_align(text: str) -> list[tuple[float, float, str]]:
    """Parse an `.align` file.

    Args:
        text: lines `start end word`, times in 1/25000 s.

    Returns:
        Start and end in seconds, and the word or pause.

    Raises:
        ValueError: a line is not of this form, or its times run backwards.
    """
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        fields = line.split()
        if len(fields) != 3:
            raise ValueError(f"line {number}: expected 'start end word', found '{line.strip()}'")
        try:
            start, end = (real(field, 0, SECONDS * UNITS_PER_SECOND) for field in fields[:2])
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
        if end < start:
            raise ValueError(f"line {number}: ends before it starts: '{line.strip()}'")
        rows.append((start / UNITS_PER_SECOND, end / UNITS_PER_SECOND, fields[2]))
    return rows


def format_align(rows: list[tuple[float, float, str]]) -> str:
    """The text of an `.align` file: the inverse of `read_align`, times rounded to whole units."""
    return "".join(f"{round(a * UNITS_PER_SECOND)} {round(b * UNITS_PER_SECOND)} {word}\n" for a, b, word in rows)
