"""Text normalization by language, before texts are compared or learned.

Error rates depend on it: "25" against "twenty five" is one substitution and one insertion, or no error. So the steps
have a version, and every score names that version. Any change of the steps gets a new version.

Unicode's normal forms and character categories: Unicode Standard Annex 15, and `unicodedata`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from lipsound2.errors import LipsoundError

Unit = Literal["word", "character"]


@dataclass(frozen=True)
class Normalization:
    """How texts of one language are written before they are compared.

    Attributes:
        name: of the language, for people.
        version: language and a number that grows with every change; scores name it.
        unit: unit of errors: words, or characters for languages without blanks between words.
        rule: the steps in words.
        apply: the steps; idempotent, for any Unicode text.
    """

    name: str
    version: str
    unit: Unit
    rule: str
    apply: Callable[[str], str]

    def units(self, text: str) -> list[str]:
        """The words or characters of a normalized text."""
        return text.split() if self.unit == "word" else list(text)


def languages() -> list[str]:
    """The languages whose texts can be normalized, as `--language` takes them."""
    return list(NORMALIZATIONS)


def normalization(language: str) -> Normalization:
    """The normalization of a language.

    Args:
        language: one of `languages()`.

    Raises:
        LipsoundError: a language without one.
    """
    try:
        return NORMALIZATIONS[language]
    except KeyError:
        raise LipsoundError(
            f"texts of the language '{language}' cannot be normalized; known are {', '.join(NORMALIZATIONS)}"
        ) from None


def normalize(text: str, language: str) -> str:
    """`text` normalized by the rules of `language`; empty if it has no word.

    Raises:
        LipsoundError: a language without a normalization.
    """
    return normalization(language).apply(text)


_TO_NINETEEN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_BY_TEN = "zero ten twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL, _TENS = _TO_NINETEEN.split(), _BY_TEN.split()
_GROUPS = ("", "thousand", "million", "billion")
_LONGEST = 3 * len(_GROUPS)  # digits of a number that is read as one
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def spell(number: int) -> str:
    """An English cardinal, without hyphens and without "and": 125 is "one hundred twenty five".

    Args:
        number: 0 to 999,999,999,999.

    Raises:
        ValueError: outside of that.
    """
    if not 0 <= number < 10**_LONGEST:
        raise ValueError(f"expected 0 to 10**{_LONGEST} - 1, found {number}")
    words: list[str] = []
    for power, name in reversed(list(enumerate(_GROUPS))):
        if group := number // 1000**power % 1000:
            words += [*_hundreds(group), name]
    return " ".join(filter(None, words)) or _SMALL[0]


def _hundreds(number: int) -> list[str]:
    """The words of 1 to 999."""
    words = [_SMALL[number // 100], "hundred"] if number >= 100 else []
    tens, ones = divmod(number % 100, 10)
    if tens < 2:
        return words + ([_SMALL[10 * tens + ones]] if tens or ones else [])
    return [*words, _TENS[tens], *([_SMALL[ones]] if ones else [])]


def _ordinal(cardinal: str) -> str:
    before, blank, last = cardinal.rpartition(" ")
    word = _ORDINALS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return before + blank + word


# Thousands may be parted by commas; decimals or the ending of an ordinal may follow.
_NUMBER = re.compile(r"(\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.(\d+)|(?:st|nd|rd|th)(?!\w))?")


def _read_out(match: re.Match[str]) -> str:
    """The words of a number, between blanks, so that "f2" are two words."""
    number, decimals = match[1].replace(",", ""), match[2]
    # A number with a zero before it ("007") is a row of digits; so is one that is too long to have a name.
    if len(number) > _LONGEST or (len(number) > 1 and unicodedata.decimal(number[0]) == 0):
        words = _digits(number)
    else:
        words = spell(int(number))
    if decimals:
        words += f" point {_digits(decimals)}"
    elif match[0][-1].isalpha():
        words = _ordinal(words)
    return f" {words} "


def _digits(number: str) -> str:
    return " ".join(_SMALL[unicodedata.decimal(digit)] for digit in number)


# Marks that are used for an apostrophe: quotation marks, the modifier letter, prime, acute and grave accent.
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u201b\u02bc\u02b9\u2032\u00b4\u0060", "'"))
_LONE_APOSTROPHE = re.compile(r"(?<![^ '])'|'(?![^ '])")  # one without a letter on both sides
# Two "variation selectors" blocks choose a letter's look; like format characters they are no part of a text.
_SELECTORS = frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
_ZERO_WIDTH_SPACE = "\u200b"  # a format character by category, but it parts words


def _folded(text: str) -> str:
    """NFKC and lower case, without what cannot be seen.

    NFKC is taken twice, as lower case can bring a letter together with an accent that its capital cannot bear.
    """
    text = "".join(
        " " if mark == _ZERO_WIDTH_SPACE else mark
        for mark in text
        if mark == _ZERO_WIDTH_SPACE or not (mark in _SELECTORS or unicodedata.category(mark) == "Cf")
    )
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())


def _only(text: str, other: str, *, categories: Collection[str] = (), also: str = "") -> str:
    """`text` with everything but letters replaced by `other`.

    Args:
        text: NFKC.
        other: a blank, or nothing.
        categories: kept beside letters.
        also: characters that are kept. An accent stays after a letter or one of `categories`, not after these.
    """
    marks: list[str] = []
    bears = False  # whether an accent may follow
    for mark in text:
        category = unicodedata.category(mark)
        if category[0] == "M":
            marks.append(mark if bears else other)
        else:
            bears = category[0] == "L" or category in categories
            marks.append(mark if bears or mark in also else other)
    return "".join(marks)


def _english(text: str) -> str:
    # The acute accent is a mark to NFKC, so apostrophes are made straight before; and after, as NFKC makes some more.
    text = _folded(text.translate(_APOSTROPHES)).translate(_APOSTROPHES)
    text = _only(_NUMBER.sub(_read_out, text), " ", also="'")
    return " ".join(_LONE_APOSTROPHE.sub(" ", text).split())


def _mandarin(text: str) -> str:
    # Where something was removed, letter and accent may have come together: hence the last step.
    return unicodedata.normalize("NFKC", _only(_folded(text), "", categories=("Nd", "Nl")))


NORMALIZATIONS: Mapping[str, Normalization] = {
    "en": Normalization(
        name="English",
        version="en-1",
        unit="word",
        rule="Unicode NFKC, lower case; apostrophes straight, and kept between letters only; numbers in words, without "
        '"and" (25: "twenty five"; 1st: "first"; 3.5: "three point five"; 007: digit by digit; years as any number); '
        "all that is neither letter nor accent is a blank; blanks joined",
        apply=_english,
    ),
    "zh": Normalization(
        name="Mandarin",
        version="zh-1",
        unit="character",
        rule="Unicode NFKC, Latin letters in lower case; punctuation, symbols and blanks removed; digits stay digits, "
        "traditional and simplified characters stay different",
        apply=_mandarin,
    ),
}
