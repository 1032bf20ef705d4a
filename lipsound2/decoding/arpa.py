"""Back-off n-gram language models, read from ARPA files and written to them.

An ARPA file lists, order by order, the log10 probability of each n-gram's last token after the others, and the log10
back-off weight by which lower orders are scaled when an n-gram that begins so is not listed (Katz 1987).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from lipsound2.data.numerals import real, whole
from lipsound2.errors import LipsoundError
from lipsound2.files import atomic_path
from lipsound2.progress import progress

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
RESERVED = frozenset({START, END, UNKNOWN})
LOG_ZERO = -99.0  # logarithm of zero in ARPA files: the first token of a sentence is never predicted

Ngram = tuple[str, ...]

_FIELD = re.compile(r"[^ \t]+")  # str.split would also cut at other blanks, which words may hold
_COUNT = re.compile(r"ngram\s+(\d+)\s*=\s*(\d+)")
_FARTHEST = 1e6  # largest log10 of a probability or weight in a file
_ZERO = ("-inf", "-infinity")
_SLACK = 1e-3  # a log10 probability may be above zero by rounding, no further


class LanguageModel:
    """A back-off n-gram language model.

    A *state* is what the model needs of the tokens so far: the longest run of last tokens, at most order - 1, with
    which an n-gram begins, or which has a back-off weight. Equal states have equal futures, so a beam search may merge
    what ends in the same state. A token that is not in the vocabulary counts as `<unk>`.

    Args:
        tables: log10 probability of each n-gram, one table an order, from 1 up.
        backoffs: log10 back-off weights; contexts that are not listed have weight 0.
    """

    def __init__(self, tables: Sequence[Mapping[Ngram, float]], backoffs: Mapping[Ngram, float]) -> None:
        self.tables = tables
        self._contexts = dict(backoffs)
        for table in tables[1:]:
            for ngram in table:
                context = ngram[:-1]
                # All prefixes too: a file may lack a context of a context, and a state grows token by token.
                while context and context not in self._contexts:
                    self._contexts[context] = 0.0
                    context = context[:-1]

    @classmethod
    def read(cls, path: Path | str) -> LanguageModel:
        """Read an ARPA file of any tool.

        Raises:
            LipsoundError: no such file, or it is damaged: file, line, wanted, found.
        """
        return cls(*_Reader(Path(path)).read())

    def write(self, path: Path | str) -> None:
        """Write an ARPA file, whole or not at all."""
        total = sum(map(len, self.tables))
        with (
            atomic_path(path) as temporary,
            temporary.open("w", encoding="utf-8", newline="\n") as file,
            progress(total=total, desc="write", unit="n-gram", delay=1, leave=False) as bar,
        ):
            file.write("\\data\\\n")
            file.writelines(f"ngram {n}={len(table)}\n" for n, table in enumerate(self.tables, 1))
            for n, table in enumerate(self.tables, 1):
                file.write(f"\n\\{n}-grams:\n")
                file.writelines(map(self._line, table))
                bar.update(len(table))
            file.write("\n\\end\\\n")

    def _line(self, ngram: Ngram) -> str:
        """An n-gram's line. Contexts that nothing follows have no weight, as SRILM writes them."""
        number = f"{max(self.tables[len(ngram) - 1][ngram], LOG_ZERO):z.7f}"
        weight = self._contexts.get(ngram)
        return f"{number}\t{' '.join(ngram)}" + ("\n" if weight is None else f"\t{weight:z.7f}\n")

    @property
    def order(self) -> int:
        """The longest n-gram's number of tokens."""
        return len(self.tables)

    @property
    def vocabulary(self) -> frozenset[str]:
        """What can be predicted: all tokens but `<s>`; `</s>` among them, and `<unk>` when the file has it."""
        return frozenset(token for (token,) in self.tables[0]) - {START}

    @property
    def start(self) -> Ngram:
        """The state at the start of a sentence."""
        return self.state((START,))

    def state(self, history: Sequence[str]) -> Ngram:
        """The state after some tokens; they begin with `<s>` when nothing stands before them."""
        return self._shorten(tuple(map(self._known, history[max(0, len(history) - self.order + 1) :])))

    def score(self, history: Sequence[str], token: str) -> float:
        """log10 probability of a token after others.

        Args:
            history: the tokens before it, or a state; with `<s>` first when they begin the sentence.
            token: a token, or `</s>` for the sentence's end.

        Returns:
            log10 probability; -99 and less for an unknown token when the file has no `<unk>`.
        """
        return self._score(self.state(history), self._known(token))

    def advance(self, state: Ngram, token: str) -> tuple[float, Ngram]:
        """One step of a search: the token's log10 probability after `state`, and the state after the token."""
        token = self._known(token)
        return self._score(state, token), self._shorten((*state, token))

    def sentence(self, tokens: Iterable[str], *, end: bool = True) -> float:
        """log10 probability of a whole sentence.

        Args:
            tokens: without `<s>` and `</s>`.
            end: whether the sentence ends here, so that `</s>` counts too.
        """
        total, state = 0.0, self.start
        for token in tokens:
            score, state = self.advance(state, token)
            total += score
        return total + self._score(state, END) if end else total

    def _known(self, token: str) -> str:
        return token if (token,) in self.tables[0] else UNKNOWN

    def _shorten(self, history: Ngram) -> Ngram:
        history = history[max(0, len(history) - self.order + 1) :]
        while history and history not in self._contexts:
            history = history[1:]
        return history

    def _score(self, state: Ngram, token: str) -> float:
        weight = 0.0
        while (found := self.tables[len(state)].get((*state, token))) is None:
            if not state:
                return weight + LOG_ZERO
            weight += self._contexts.get(state, 0.0)
            state = state[1:]
        return weight + found


class _Reader:
    """One ARPA file, read line by line, so that a message can name the line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = 0
        self._tokens: dict[str, str] = {}  # one string object a token, however often the file has it

    def read(self) -> tuple[list[dict[Ngram, float]], dict[Ngram, float]]:
        """Tables and back-off weights."""
        try:
            with self._path.open(encoding="utf-8", newline="\n") as file:
                return self._read(self._lines(file))
        except FileNotFoundError as error:
            raise LipsoundError(f"{self._path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise LipsoundError(
                f"{self._path}: expected an ARPA file in UTF-8, found the byte {error.object[error.start]:#04x} after "
                f"line {self._number}; a packed file must be unpacked first, KenLM's binary files cannot be read"
            ) from error

    def _lines(self, file: Iterable[str]) -> Iterator[str]:
        """The lines that are not blank, without blanks around them; a last empty one stands for the file's end."""
        for number, line in enumerate(progress(file, desc="read", unit="line", delay=1, leave=False), 1):
            self._number = number
            if text := line.strip(" \t\r\n"):
                yield text
        self._number += 1
        yield ""

    def _read(self, lines: Iterator[str]) -> tuple[list[dict[Ngram, float]], dict[Ngram, float]]:
        counts, line = self._counts(lines)
        tables: list[dict[Ngram, float]] = []
        backoffs: dict[Ngram, float] = {}
        for n, count in enumerate(counts, 1):
            if line != f"\\{n}-grams:":
                self._wrong(rf"'\{n}-grams:'", line)
            tables.append(self._section(lines, n, count, backoffs))
            line = next(lines)
            if not line.startswith("\\"):
                self._wrong(f"a new section after the {count} {n}-grams that the head of the file promises", line)
        if line != "\\end\\":
            self._wrong(r"'\end\'", line)
        for needed in (START, END):
            if (needed,) not in tables[0]:
                self._wrong(f"'{needed}' among the 1-grams", line)
        for context in [key for key in backoffs if len(key) == len(tables)]:
            del backoffs[context]  # nothing can follow the longest n-grams, whatever the file says
        return tables, backoffs

    def _counts(self, lines: Iterator[str]) -> tuple[list[int], str]:
        """How many n-grams of each order the head promises, and the line after it."""
        line = next(lines)
        while line and line != "\\data\\":  # tools write remarks above it
            line = next(lines)
        if not line:
            self._wrong(r"a line '\data\'", line)
        counts: list[int] = []
        while match := _COUNT.fullmatch(line := next(lines)):
            try:
                order, count = whole(match[1]), whole(match[2])
            except ValueError:
                self._wrong("counts of n-grams", line)
            if order != len(counts) + 1:
                self._wrong(f"'ngram {len(counts) + 1}=COUNT'", line)
            counts.append(count)
        if not counts:
            self._wrong("'ngram 1=COUNT'", line)
        return counts, line

    def _section(self, lines: Iterator[str], n: int, count: int, backoffs: dict[Ngram, float]) -> dict[Ngram, float]:
        """The n-grams of one order; those with a back-off weight other than 0 go into `backoffs`."""
        table: dict[Ngram, float] = {}
        for _ in range(count):
            line = next(lines)
            fields = _FIELD.findall(line)
            if len(fields) not in (n + 1, n + 2):
                self._wrong(f"'log10 probability, {n} token{'s' * (n > 1)}, back-off' ({len(table)} of {count})", line)
            ngram = self._ngram(fields[1 : n + 1], line)
            if ngram in table:
                self._wrong("each n-gram once", line)
            table[ngram] = self._log10(fields[0], line)
            if table[ngram] > _SLACK:
                self._wrong("a log10 probability, which is at most 0", line)
            if len(fields) == n + 2 and (weight := self._log10(fields[-1], line)):
                backoffs[ngram] = weight
        return table

    def _ngram(self, fields: list[str], line: str) -> Ngram:
        if len(fields) == 1:
            token = UNKNOWN if fields[0] == "<UNK>" else fields[0]
            self._tokens[fields[0]] = token
            return (token,)
        try:
            return tuple([self._tokens[field] for field in fields])
        except KeyError as error:
            self._wrong(f"tokens that stand among the 1-grams (not so {error.args[0]!r})", line)

    def _log10(self, field: str, line: str) -> float:
        if field.lower() in _ZERO:  # as some tools write it
            return -math.inf
        try:
            return real(field, -_FARTHEST, _FARTHEST)
        except ValueError:
            self._wrong(f"a number instead of '{field[:40]}'", line)

    def _wrong(self, wanted: str, line: str) -> NoReturn:
        found = f"'{line[:80]}'" if line else "the end of the file"
        raise LipsoundError(f"{self._path}:{self._number}: expected {wanted}, found {found}")
