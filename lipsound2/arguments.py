"""Parsing the command line: a mistake is one line with what was found, what is wanted and the nearest known name."""

from __future__ import annotations

import argparse
import difflib
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

_NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")  # argparse itself knows no exponents
_KINDS: dict[Any, str] = {int: "a whole number", float: "a number"}


def number(text: str) -> float:
    """A finite number: `nan` would pass every limit, since no number is above or below it.

    Raises:
        ValueError: it is no number, or not finite.
    """
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


_KINDS[number] = _KINDS[float]


@dataclass(frozen=True)
class Within:
    """Declares the range of a verb's parameter; the command line checks it before the verb begins.

        def crop(dir: Path, *, min_face_ratio: Annotated[float, Within(0, 1)] = 0.3) -> None:

    Of a field of a dataclass `data.shapes` checks it, when a config is read.

    Attributes:
        least: the smallest.
        most: the largest.
    """

    least: float
    most: float = math.inf

    def __str__(self) -> str:
        return f"of at least {self.least:g}" if math.isinf(self.most) else f"from {self.least:g} to {self.most:g}"


@dataclass(frozen=True)
class Choices:
    """Declares that a verb's parameter is a name in a registry; the command line reads the registry.

        def prepare(corpus: Annotated[str, Choices(corpora)], root: Path) -> None:

    Attributes:
        names: returns the names; called whenever the command line is parsed.
    """

    names: Callable[[], Iterable[str]]


@dataclass(frozen=True)
class OptionalFile:
    """Declares that the file of a verb's option may be left out: `--srt`, or `--srt FILE`. Its value is then True.

    Attributes:
        suffix: of an option that once took no file: the word after it is its file only if it ends so, or is `-`.
    """

    suffix: str = ""


AtLeast0 = Annotated[int, Within(0)]
AtLeast1 = Annotated[int, Within(1)]
Share = Annotated[float, Within(0, 1)]
NotNegative = Annotated[float, Within(0)]
Dropout = Annotated[float, Within(0, 0.9)]  # of 1 nothing would be left to scale


class Ranged:
    """Reads a number that lies within a range.

    Args:
        kind: parses any number.
        within: the range.
    """

    def __init__(self, kind: Callable[[str], float], within: Within) -> None:
        self.kind = kind
        self.within = within
        self.wanted = f"{_KINDS[kind]} {within}"

    def __call__(self, text: str) -> float:
        """The number.

        Raises:
            ValueError: it is no number, or out of range.
        """
        value = self.kind(text)
        if not self.within.least <= value <= self.within.most:
            raise ValueError(text)
        return value


def by_todays_names(
    words: Sequence[str], renamed: Mapping[str, str], values: Mapping[str, Mapping[str, str]]
) -> tuple[list[str], list[str]]:
    """A command line with today's names of its options.

    Args:
        words: of the command line, after the verb.
        renamed: old name -> name today, of the verb's options.
        values: old name -> a value of this option -> the value today.

    Returns:
        The words, and a line of notice for each old name among them.
    """
    found, notices = [], {}
    options = True
    then: Mapping[str, str] = {}  # of the value that comes next
    for word in words:
        options = options and word != "--"
        flag, equals, value = word.partition("=")
        word, then = then.get(word, word), {}
        for prefix in ("--no-", "--"):
            old = flag.removeprefix(prefix).replace("_", "-")
            if options and flag.startswith(prefix) and old in renamed:
                today = values.get(old, {})
                word = f"{prefix}{renamed[old]}{equals}{today.get(value, value)}"
                notices[flag] = f"{flag} is now called {prefix}{renamed[old]}; the old name is still read"
                then = {} if equals else today
                break
        found.append(word)
    return found, list(notices.values())


def near(word: str, words: Iterable[str]) -> str:
    """`; did you mean 'that'?` with the nearest of some words, in capitals or not; empty if none is near.

    Of words that are equally near the first is told.
    """
    small, given = {other.lower(): other for other in reversed([*words])}, word.lower()
    order = [*reversed(small)]
    found = difflib.get_close_matches(given, order, n=len(order) or 1, cutoff=0.6)
    if found:
        best = _likeness(given, found[0])
        found = [other for other in order if other in found and _likeness(given, other) == best]
    elif len(given) > 3:
        found = [other for other in order if other.startswith(given)]
    return f"; did you mean '{small[found[0]]}'?" if found else ""


def _likeness(word: str, other: str) -> float:
    """How near `get_close_matches` finds a word, 0 to 1."""
    return difflib.SequenceMatcher(None, other, word).ratio()


def near_file(path: Path) -> str:
    """What to look at when a file is not there: `; did you mean that.mp4?`, else whether its folder is."""
    try:
        names = [each.name for each in path.parent.iterdir()]
    except OSError:
        return f"; there is no folder '{path.parent}'; is the name right?"
    found = difflib.get_close_matches(path.name, names, n=1, cutoff=0.75)
    if found:
        return f"; did you mean {path.with_name(found[0])}?"
    return f" in {path.parent.resolve()}; is the name right?"


class Several:
    """Reads values that commas separate.

    Args:
        kind: parses one of them.
    """

    def __init__(self, kind: Callable[[str], Any]) -> None:
        self.kind = kind
        one = getattr(kind, "wanted", None) or _KINDS.get(kind, "a value")
        self.wanted = f"{one}, or several with commas between"

    def __call__(self, text: str) -> tuple[Any, ...]:
        """The values; none of an empty text.

        Raises:
            ValueError: commas alone, or a value of another kind.
        """
        parts = [part for part in text.split(",") if part]
        if text and not parts:
            raise ValueError(text)
        return tuple(self.kind(part) for part in parts)


def named_path(text: str) -> Path:
    """A file or a folder. `Path` would read an empty name, such as an unset variable of a shell, as `.`.

    `Path` reads `./-` as `-`, which is standard input or output; the file of this name gets its whole path.

    Raises:
        ArgumentTypeError: the name is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError("found an empty name, wanted that of a file or folder ('.' is this folder)")
    path = Path(text)
    return path.absolute() if str(path) == "-" != text else path


class Parser(argparse.ArgumentParser):
    """An argument parser whose error messages are one line each, with status 2."""

    _words: Sequence[str] = ()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._negative_number_matcher = _NEGATIVE
        self.optional_files: dict[str, OptionalFile] = {}  # by the option

    def parse_args(self, words: Sequence[str]) -> argparse.Namespace:  # type: ignore[override]
        """The options; an unknown argument ends the program."""
        self._words = words
        self._check_options()
        # Else argparse takes an argument that may be left out as left out, as soon as an option stands before it.
        mixed = any(not action.option_strings and action.nargs == "?" for action in self._actions)
        parse = self.parse_known_intermixed_args if mixed else self.parse_known_args
        # With mixed arguments argparse looks for options first, and would tell of nothing else that is missing.
        needed = [action for action in self._actions if action.required]
        for action in needed:
            action.required = False
        options, left = parse(self._apart(words))
        for action in needed:
            action.required = True
        if missing := [action for action in needed if getattr(options, action.dest, None) is None]:
            self.error(self._told_missing(missing))
        if left:
            self.error(f"unexpected argument '{left[0]}'; {self._places()}")
        return options

    def _check_options(self) -> None:
        """Refuse a word that looks like an option and is none, before argparse takes it as part of another one."""
        for word in self._words:
            if word == "--":
                return
            flag = word.partition("=")[0]
            if not word.startswith("-") or word == "-" or " " in word or _NEGATIVE.match(word):
                continue
            if flag in self._option_string_actions:
                continue
            if word.startswith("--") and sum(known.startswith(flag) for known in self._option_string_actions) == 1:
                continue  # the beginning of one option's name
            hint = self._outputs() if flag in ("-o", "--output") else ""
            hint = hint or near("--" + flag.lstrip("-"), [*self._option_string_actions])
            if Path(word).exists():
                self.error(f"{word}: begins as an option does; to name the file, write ./{word}")
            if not hint and word[:2] in self._option_string_actions and word[2:3] != "-":
                hint = f"; did you mean '{word[:2]} {word[2:]}'?"
            self.error(f"unknown option '{flag}'{hint}")

    def _apart(self, words: Sequence[str]) -> list[str]:
        """The same words; options that are not followed by their file come last, where nothing follows them."""
        end = [*words, "--"].index("--")
        found: list[str] = []
        alone: list[str] = []
        for number, word in enumerate(words[:end]):
            following = words[number + 1] if number + 1 < end else "-"
            suffix = self._optional_file(word).suffix
            apart = suffix and not following.startswith("-") and not following.lower().endswith(suffix)
            (alone if apart else found).append(word)
        return [*found, *alone, *words[end:]]

    def _optional_file(self, word: str) -> OptionalFile:
        """What is declared of an option, by its name or the beginning of it; nothing of other words."""
        named = [flag for flag in self._option_string_actions if flag == word] or [
            flag for flag in self._option_string_actions if word.startswith("--") and flag.startswith(word)
        ]
        return self.optional_files.get(named[0], OptionalFile()) if len(named) == 1 else OptionalFile()

    def _outputs(self) -> str:
        """`; outputs are ...` with the options that write, of a verb that has one for each format; else empty."""
        names = [*self.optional_files, *({"--output-dir"} & self._option_string_actions.keys())]
        return f"; outputs are {', '.join(names)}" if self.optional_files else ""

    def _places(self) -> str:
        names = [str(action.metavar) for action in self._actions if not action.option_strings]
        return f"what is taken without an option: {' '.join(names) or 'nothing'}"

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError as error:
            wanted = getattr(action.type, "wanted", None) or _KINDS.get(action.type)
            raise argparse.ArgumentError(
                action, f"found '{arg_string}', wanted {wanted}" if wanted else error.message
            ) from None

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            names = [str(choice) for choice in action.choices]
            raise argparse.ArgumentError(
                action, f"found '{value}', wanted one of: {', '.join(names)}{near(str(value), names)}"
            )

    def error(self, message: str) -> NoReturn:
        """Print a mistake in the command in one line, and end with status 2."""
        message = re.sub(r"^argument ([^:]+): ", lambda match: f"{match[1].split('/')[-1]}: ", message)
        message = re.sub(r"expected (one|at least one) argument$", "needs a value", message)
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)

    def _told_missing(self, missing: Sequence[argparse.Action]) -> str:
        """All that is missing, and how to write it."""
        message = "missing: " + ", ".join(map(_described, missing))
        if forms := re.findall(rf"`({re.escape(self.prog)} [^`]+)`", self.description or ""):
            message += f"; write {', or '.join(forms)}"
        for word, following in zip(self._words, self._words[1:], strict=False):
            if word in self.optional_files and not following.startswith("-"):
                message += f"; {word} took '{following}' as its file: write the clip first"
        return message


def _described(action: argparse.Action) -> str:
    """An argument, and the beginning of its help."""
    flags = "/".join(action.option_strings)
    shown = f"{flags} {action.metavar}" if flags else str(action.metavar)
    first = re.split(r"[;:(]|\.(?!\S)", (action.help or "").replace("%%", "%"))[0].strip()
    return f"{shown} ({first})" if first else shown
