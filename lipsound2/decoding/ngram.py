"""N-gram language models from text: interpolated Kneser-Ney smoothing with modified discounts.

Chen and Goodman, "An empirical study of smoothing techniques for language modeling", TR-10-98, Harvard 1998, sections
3.2 and 4.1.2. With h the context, h' the context without its first token, and a(hw) a count,

    p(w | h) = (a(hw) - D(a(hw))) / a(h.) + g(h) p(w | h'),    g(h) = sum_w D(a(hw)) / a(h.)

a is how often the n-gram stands in the text at the highest order, and at a lower one how many different tokens stand
before it, because that is what the lower order is used for; only n-grams that begin with <s>, which nothing precedes,
keep their count. D has three values an order, for a of 1, 2, and 3 or more. Below order 1 all tokens are
alike, which is what gives <unk> its probability.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from lipsound2.arguments import AtLeast1
from lipsound2.data.datadir import DataDir
from lipsound2.data.texts import read_lines
from lipsound2.decoding.arpa import END, LOG_ZERO, RESERVED, START, UNKNOWN, LanguageModel, Ngram
from lipsound2.errors import LipsoundError
from lipsound2.outputs import Output
from lipsound2.progress import progress
from lipsound2.text.normalize import normalization, normalize

log = logging.getLogger(__name__)

Unit = Literal["words", "characters"]
SPACE = "|"  # the token between words when tokens are characters
FALLBACK = (0.5, 1.0, 1.5)  # discounts where a text is too small to estimate them: half of each count up to 3


def ngram(
    text: Path,
    out: Annotated[Path, Output((".arpa", ".lm"))],
    *,
    order: AtLeast1 = 3,
    unit: Unit | None = None,
    prune: tuple[int, ...] | None = None,
    language: str = "",
) -> None:
    """Estimate an n-gram language model and write an ARPA file: interpolated Kneser-Ney with modified discounts.

    Without --language, text is not normalized: upper and lower case differ. Blank lines are skipped.

    Args:
        text: a file with one sentence a line, in UTF-8, or a data dir, whose table 'text' is read without the ids.
        out: the ARPA file.
        order: tokens in the longest n-grams; 3 is a trigram model.
        unit: words or characters; with characters, the blank between words is the token '|'. By default what errors of
            the language are counted in, and words without --language.
        prune: for each order, the count up to which n-grams are left out; the last number holds for all higher orders.
            0,0,1 leaves out trigrams and longer n-grams that occur once. Numbers begin with 0 and do not decrease.
        language: normalize the text first, as recognizers of this language (en, zh) do.

    Raises:
        LipsoundError: no such text, none in it, not UTF-8, reserved words in it, or an order or prune that cannot be.
    """
    counts = prune or (0,)
    _check(order, counts)
    by_language: Unit = "characters" if language and normalization(language).unit == "character" else "words"
    sentences = progress(
        read_sentences(text, unit or by_language, language), desc="count", unit="sentence", delay=1, leave=False
    )
    model = estimate(sentences, order, counts)
    model.write(out)
    sizes = ", ".join(f"{len(table)} {n}-grams" for n, table in enumerate(model.tables, 1))
    log.info("%s: %s", out, sizes)


def split(sentence: str, unit: Unit) -> list[str]:
    """The tokens of a sentence: its words, or its characters (code points) with `|` for the blanks between words."""
    words = sentence.split()
    return words if unit == "words" else list(SPACE.join(words))


def read_sentences(path: Path, unit: Unit = "words", language: str = "") -> Iterator[list[str]]:
    """The sentences of a text, as tokens.

    Args:
        path: a file with one sentence a line; or a data dir, or its table `text`, whose ids are no words.
        unit: what a token is.
        language: sentences are normalized as recognizers of this language learn them; empty: not at all.

    Raises:
        LipsoundError: no such text, none in it, not UTF-8, or words in it that the model needs for itself.
    """
    found = False
    for where, line in _lines(path):
        line = normalize(line, language) if language else line
        words = line.split()
        if not words:
            continue
        if not RESERVED.isdisjoint(words):
            word = next(word for word in words if word in RESERVED)
            raise LipsoundError(f"{where}: expected words, found '{word}', which the model needs for itself; remove it")
        if unit == "characters" and SPACE in line:
            raise LipsoundError(
                f"{where}: expected no '{SPACE}', which stands for the blanks between words, "
                f"found '{' '.join(words)[:80]}'"
            )
        found = True
        yield split(line, unit)
    if not found:
        raise LipsoundError(f"{path}: expected one sentence a line, found none")


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """The place of each line of a text (for messages), and the line."""
    # The table `text` of a data dir begins its lines with ids, which are no words.
    folder = path.parent if path.name == "text" and (path.parent / "utt2spk").is_file() else path
    if folder.is_dir():
        table = DataDir(folder).text
        if not table:
            raise LipsoundError(f"{folder}: expected a table 'text', found a data dir without one")
        yield from ((f"{folder / 'text'}: {id}", text) for id, text in table.items())
        return
    for number, line in read_lines(path):
        yield f"{path}:{number}", line


def estimate(sentences: Iterable[Sequence[str]], order: int = 3, prune: Sequence[int] = (0,)) -> LanguageModel:
    """Estimate an interpolated, modified Kneser-Ney model.

    Where an order has no n-grams with one of the counts 1 to 4, or they give a discount that is not positive, its
    discounts are `FALLBACK`. The log says so. An order above the longest sentence is lowered.

    Args:
        sentences: their tokens, without `<s>` and `</s>`.
        order: the longest n-gram's number of tokens.
        prune: for each order, up to which count in the text n-grams are left out; the last number holds for all above.
            What they lose goes to the lower order.

    Raises:
        LipsoundError: no sentences, reserved words in them, or an order or prune that cannot be.
    """
    _check(order, prune)
    vocabulary, tokens, places = _encode(sentences)
    levels = _count(tokens, places, order, vocabulary.index(START), len(vocabulary))
    if len(levels) < order:
        log.info("the longest sentence has %d tokens with <s> and </s>, so the order is that", len(levels))
    thresholds = [*prune, *[prune[-1]] * order]
    names: list[Ngram] = [()]
    lower = np.full(1, 1 / (len(vocabulary) - 1))  # <s> is never predicted
    tables: list[dict[Ngram, float]] = []
    backoffs: dict[Ngram, float] = {}
    guessed = []
    for n, level in enumerate(levels, 1):
        counts = _adjusted(level, levels[n] if n < len(levels) else None)
        estimated = discounts(counts)
        if estimated is None:
            guessed.append(n)
        kept = level.seen > thresholds[n - 1] if n > 1 else np.ones(len(level.seen), bool)
        lower, weights = _interpolate(level, counts, kept, estimated or FALLBACK, lower)
        followed = np.unique(level.prefix[kept]).tolist()
        if n > 1:
            backoffs.update(zip([names[i] for i in followed], np.log10(weights[followed]).tolist(), strict=True))
        names = [(*names[i], vocabulary[w]) for i, w in zip(level.prefix.tolist(), level.token.tolist(), strict=True)]
        found = np.log10(lower).tolist()
        tables.append({names[i]: found[i] for i in np.flatnonzero(kept).tolist()})
    tables[0][(START,)] = LOG_ZERO
    if guessed:
        shown = ", ".join(map(str, guessed))
        log.info("too little text to estimate the discounts of order %s: they are %g, %g and %g", shown, *FALLBACK)
    return LanguageModel(tables, backoffs)


def discounts(counts: np.ndarray) -> tuple[float, float, float] | None:
    """The modified discounts of one order, for counts of 1, 2, and 3 or more (Chen and Goodman 1998, equation 26).

    Args:
        counts: (K,) whole numbers, of the order's n-grams.

    Returns:
        The discounts; None when some of the counts 1 to 4 does not occur, or a discount would not be positive.
    """
    t = np.bincount(counts[(counts >= 1) & (counts <= 4)], minlength=5)[1:].tolist()
    if not all(t):
        return None
    y = t[0] / (t[0] + 2 * t[1])
    one, two, more = (i - (i + 1) * y * t[i] / t[i - 1] for i in (1, 2, 3))
    return (one, two, more) if min(one, two, more) > 0 else None


@dataclass(frozen=True)
class _Level:
    """The different n-grams of one order, sorted by their tokens.

    Attributes:
        prefix: (K,) where all but the last token stand in the order below; below order 1 is the one empty n-gram.
        suffix: (K,) where all but the first token stand there.
        token: (K,) the last token.
        seen: (K,) how often it stands in the text; 0 for <s> alone, which is never predicted.
        first: (K,) bool, whether it begins with <s>.
    """

    prefix: np.ndarray
    suffix: np.ndarray
    token: np.ndarray
    seen: np.ndarray
    first: np.ndarray


def _check(order: int, prune: Sequence[int]) -> None:
    if order < 1:
        raise LipsoundError(f"expected an order of at least 1, found {order}")
    if not 1 <= len(prune) <= order or prune[0] != 0 or list(prune) != sorted(prune):
        raise LipsoundError(
            f"expected up to {order} counts to prune by, one an order, that begin with 0 and do not fall, such as "
            f"{','.join('001'[:order])}; found '{','.join(map(str, prune))}'"
        )


def _encode(sentences: Iterable[Sequence[str]]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The text as numbers.

    Returns:
        The vocabulary, sorted, with the three reserved tokens; (T,) tokens of all sentences, each between <s> and </s>;
        (T,) each token's place in its sentence, from 0.
    """
    index: dict[str, int] = {}
    flat, lengths = array("i"), array("i")
    for sentence in sentences:
        flat.append(0)
        flat.extend(index.setdefault(token, len(index) + 3) for token in sentence)
        flat.append(1)
        lengths.append(len(sentence) + 2)
    if not lengths:
        raise LipsoundError("expected at least one sentence, found none")
    if not RESERVED.isdisjoint(index):
        raise LipsoundError(f"expected sentences without reserved tokens, found '{min(RESERVED & index.keys())}'")
    if odd := [token for token in index if token.split() != [token]]:
        raise LipsoundError(f"expected tokens without blanks, which end a token in an ARPA file, found {odd[0]!r}")
    words = [START, END, UNKNOWN, *index]
    by_name = sorted(range(len(words)), key=words.__getitem__)
    rank = np.empty(len(words), np.int64)
    rank[by_name] = np.arange(len(words))
    counts = np.asarray(lengths)
    places = np.arange(len(flat)) - np.repeat(np.cumsum(counts) - counts, counts)
    return [words[i] for i in by_name], rank[np.asarray(flat)], places


def _count(tokens: np.ndarray, places: np.ndarray, order: int, start: int, size: int) -> list[_Level]:
    """Count the n-grams of all orders up to `order`, or up to the longest sentence.

    Each n-gram is a pair: its beginning's number in the order below, and its last token. So an order costs one sort of
    whole numbers, however long its n-grams are.
    """
    everything, none = np.arange(size), np.zeros(size, np.int64)
    seen = np.bincount(tokens, minlength=size)
    seen[start] = 0
    levels = [_Level(none, none, everything, seen, everything == start)]
    ending = tokens  # the number of the n-gram that ends at each token
    for n in range(2, order + 1):
        at = np.flatnonzero(places >= n - 1)
        if not len(at):
            break
        keys, example, which, seen = np.unique(
            ending[at - 1] * size + tokens[at], return_index=True, return_inverse=True, return_counts=True
        )
        prefix = keys // size
        levels.append(_Level(prefix, ending[at][example], keys % size, seen, levels[-1].first[prefix]))
        ending = np.full(len(tokens), -1)
        ending[at] = which
    return levels


def _adjusted(level: _Level, above: _Level | None) -> np.ndarray:
    """Kneser-Ney's counts of one order: how many different tokens stand before each n-gram.

    Args:
        level: the order.
        above: the next one; None at the highest order, whose counts are those of the text.

    Returns:
        (K,) whole numbers; 0 for <s> itself and <unk>.
    """
    if above is None:
        return level.seen
    return np.where(level.first, level.seen, np.bincount(above.suffix, minlength=len(level.seen)))


def _interpolate(
    level: _Level, counts: np.ndarray, kept: np.ndarray, discount: tuple[float, float, float], lower: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of one order out of its counts and the order below.

    Args:
        level: the order.
        counts: (K,) its adjusted counts.
        kept: (K,) bool; of the others, the whole count is discounted.
        discount: for counts of 1, 2, and 3 or more.
        lower: (L,) probabilities of the order below.

    Returns:
        (K,) probabilities; (L,) back-off weights of the order below, 1 where nothing follows.
    """
    taken = np.where(kept, np.array([0.0, *discount])[np.minimum(counts, 3)], counts)
    totals = np.bincount(level.prefix, counts, minlength=len(lower))
    weights = np.bincount(level.prefix, taken, minlength=len(lower))
    weights = np.divide(weights, totals, out=np.ones(len(lower)), where=totals > 0)
    return (counts - taken) / totals[level.prefix] + weights[level.prefix] * lower[level.suffix], weights
