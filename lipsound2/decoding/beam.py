"""CTC prefix beam search (Hannun et al., 2014), with a language model beside it: n-grams here, or any other `Fusion`.

A prefix's probability is that of all paths that say it, kept apart by whether they end in the blank, because only then
may its last token be said again. A word model weighs each word when it is complete; a character model every character.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from lipsound2.decoding.arpa import END, START, UNKNOWN, LanguageModel
from lipsound2.decoding.ctc import AlignedToken, Graph, viterbi
from lipsound2.decoding.ngram import SPACE
from lipsound2.errors import LipsoundError
from lipsound2.text.tokenizer import BLANK, Characters, Tokenizer
from lipsound2.text.tokenizer import UNKNOWN as UNKNOWN_TOKEN

_LN10 = math.log(10)
_UNLIKELY = -12.0  # tokens so much less probable than the best of their frame are not tried (natural logarithm)


class Fusion(Protocol):
    """What a language model says of growing prefixes. States are opaque.

    A search extends each prefix by every token that may follow, keeps a beam of what that gives, and says which: a
    network is then asked about all of them at once, and not about the many that were dropped.

    Attributes:
        most: that a token, or the end, may add: the bonus, because a logarithm of a probability adds nothing.
    """

    max_gain: float = 0.0

    def start(self) -> Any:
        """State of the empty prefix, which counts as kept."""

    def extend(self, state: Any, token: int) -> tuple[Any, float]:
        """State and additional score once a token follows a prefix that was kept."""

    def scores(self, states: Sequence[Any], tokens: np.ndarray) -> np.ndarray:
        """(B, K) additional scores if one of the (B, K) tokens followed each of B prefixes that were kept."""
        rows = zip(states, tokens.tolist(), strict=True)
        return np.array([[self.extend(state, token)[1] for token in row] for state, row in rows])

    def select(self, states: Sequence[Any]) -> None:
        """The search goes on with these; only now may they be extended or ended."""
        return  # n-grams need not know

    def end(self, state: Any) -> float:
        """Additional score when nothing follows a prefix that was kept."""


class NoModel(Fusion):
    """Without a language model."""

    def start(self) -> None:
        """There is no state."""

    def extend(self, state: None, token: int) -> tuple[None, float]:
        """Nothing is added."""
        return None, 0.0

    def scores(self, states: Sequence[None], tokens: np.ndarray) -> np.ndarray:
        """Nothing is added."""
        return np.zeros(tokens.shape)

    def end(self, state: None) -> float:
        """Nothing is added."""
        return 0.0


class WordBonus(Fusion):
    """Without a language model, but with a bonus.

    Args:
        tokenizer: of the prefixes.
        bonus: added for every word, against the likeliness of short texts.
    """

    def __init__(self, tokenizer: Tokenizer, bonus: float) -> None:
        self.tokenizer, self.bonus = tokenizer, bonus
        self.max_gain = max(bonus, 0.0)

    def start(self) -> bool:
        """A state is whether a prefix stands within a word."""
        return False

    def extend(self, state: bool, token: int) -> tuple[bool, float]:
        """A word counts once it begins."""
        if self.tokenizer.is_blank(token):
            return False, 0.0
        begins = not state or self.tokenizer.begins_word(token)
        return True, self.bonus if begins else 0.0

    def end(self, state: bool) -> float:
        """Nothing is added."""
        return 0.0


class WordModel(Fusion):
    """A model over words.

    Args:
        model: the n-grams.
        tokenizer: of the prefixes.
        weight: of its log-probabilities.
        bonus: added for every word, against the model's liking for few of them.
    """

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer, weight: float, bonus: float) -> None:
        self.model, self.tokenizer, self.weight, self.bonus = model, tokenizer, weight, bonus
        self.max_gain = max(bonus, 0.0)

    def start(self) -> Any:
        """Before the first word."""
        return (self.model.start, ())

    def extend(self, state: Any, token: int) -> tuple[Any, float]:
        """A word is weighed when the next one begins."""
        before, letters = state
        score = 0.0
        if letters and self.tokenizer.begins_word(token):
            before, score = self._close(before, letters)
            letters = ()
        if not self.tokenizer.is_blank(token):
            letters = (*letters, token)
        return (before, letters), score

    def scores(self, states: Sequence[Any], tokens: np.ndarray) -> np.ndarray:
        """As `extend`; a prefix's last word is looked up once, whichever word begins behind it."""
        found = np.zeros(tokens.shape)
        for row, (before, letters) in enumerate(states):
            begins = [bool(letters) and self.tokenizer.begins_word(token) for token in tokens[row].tolist()]
            if any(begins):
                found[row, begins] = self._close(before, letters)[1]
        return found

    def end(self, state: Any) -> float:
        """The last word, and the end of the sentence."""
        before, letters = state
        score = 0.0
        if letters:
            before, score = self._close(before, letters)
        return score + self.weight * _LN10 * self.model.advance(before, END)[0]

    def _close(self, before: Any, letters: Sequence[int]) -> tuple[Any, float]:
        log10, after = self.model.advance(before, self.tokenizer.decode(letters).strip())
        return after, self.weight * _LN10 * log10 + self.bonus


class CharacterModel(Fusion):
    """A model over characters, for tokenizers of characters; see `WordModel`. The end gets the bonus, too."""

    def __init__(self, model: LanguageModel, tokenizer: Characters, weight: float, bonus: float) -> None:
        self.model, self.tokenizer, self.weight, self.bonus = model, tokenizer, weight, bonus
        self.max_gain = max(bonus, 0.0)

    def start(self) -> Any:
        """Before the first character."""
        return self.model.start

    def extend(self, state: Any, token: int) -> tuple[Any, float]:
        """Every character is weighed at once."""
        text = SPACE if self.tokenizer.is_blank(token) else self.tokenizer.decode([token])
        log10, after = self.model.advance(state, text)
        return after, self.weight * _LN10 * log10 + self.bonus

    def end(self, state: Any) -> float:
        """The end of the sentence."""
        return self.weight * _LN10 * self.model.advance(state, END)[0] + self.bonus


def fusion(model: LanguageModel, tokenizer: Tokenizer, weight: float, bonus: float, where: str) -> Fusion:
    """The right fusion for a model: over characters when all it knows are single characters.

    Raises:
        LipsoundError: the model was built for other tokens than the recognizer writes.
    """
    known = {word for word in model.vocabulary if word not in (START, END, UNKNOWN)}
    over_characters = bool(known) and all(len(word) == 1 for word in known) and SPACE in known
    if over_characters and not isinstance(tokenizer, Characters):
        raise LipsoundError(f"{where}: a model over characters, the recognizer writes pieces; build one over words")
    if over_characters:
        assert isinstance(tokenizer, Characters)
        fitting = {SPACE if c == " " else c for c in tokenizer.characters} & known
        if not fitting:
            raise LipsoundError(f"{where}: none of its characters is one of the recognizer's; another language?")
        return CharacterModel(model, tokenizer, weight, bonus)
    if not any(UNKNOWN_TOKEN not in tokenizer.encode(word) for word in sorted(known)[:1000]):
        raise LipsoundError(f"{where}: none of its words can be written by the recognizer; another language?")
    return WordModel(model, tokenizer, weight, bonus)


@dataclass
class _Prefix:
    """Log-probabilities of the paths that say a prefix, and what the language model adds to them."""

    blank: float
    spoken: float
    model: float
    state: Any

    @classmethod
    def begin(cls, model: float, state: Any) -> _Prefix:
        """A prefix that no path has said yet."""
        return cls(-math.inf, -math.inf, model, state)

    @property
    def total(self) -> float:
        return _add(self.blank, self.spoken)


def _add(a: float, b: float) -> float:
    """Logarithm of the sum of two numbers given by theirs; NumPy's takes several times as long for single numbers."""
    if a < b:
        a, b = b, a
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))


def search(log_probs: np.ndarray, model: Fusion, beam: int = 16) -> list[tuple[tuple[int, ...], float]]:
    """The best texts, the best first.

    Args:
        log_probs: (T, V) natural log-probabilities.
        model: language model, `NoModel()` for none.
        beam: prefixes that are kept.

    Returns:
        Tokens and score of each.
    """
    prefixes: dict[tuple[int, ...], _Prefix] = {(): _Prefix(0.0, -math.inf, 0.0, model.start())}
    for frame in log_probs:
        tried = np.flatnonzero(frame > frame.max() + _UNLIKELY)
        heard = list(zip(tried.tolist(), frame[tried].tolist(), strict=True))
        # What is in the beam has its state already, also where it is reached once more from a shorter prefix.
        after = {tokens: _Prefix.begin(prefix.model, prefix.state) for tokens, prefix in prefixes.items()}
        for tokens, prefix in prefixes.items():
            total, same = prefix.total, after[tokens]
            last = tokens[-1] if tokens else BLANK
            for token, log_prob in heard:
                if token == BLANK:
                    same.blank = _add(same.blank, total + log_prob)
                    continue
                before = total
                if token == last:  # said on, or said again after a blank
                    same.spoken = _add(same.spoken, prefix.spoken + log_prob)
                    before = prefix.blank
                longer = (*tokens, token)
                grown = after.get(longer)
                if grown is None:
                    state, added = model.extend(prefix.state, token)
                    grown = after[longer] = _Prefix.begin(prefix.model + added, state)
                grown.spoken = _add(grown.spoken, before + log_prob)
        best = heapq.nlargest(beam, after.items(), key=lambda item: item[1].total + item[1].model)
        prefixes = {tokens: prefix for tokens, prefix in best if prefix.total > -math.inf}
        model.select([prefix.state for prefix in prefixes.values()])
    scored = [(tokens, prefix.total + prefix.model + model.end(prefix.state)) for tokens, prefix in prefixes.items()]
    return sorted(scored, key=lambda pair: pair[1], reverse=True)


def forced_align(tokens: Sequence[int], log_probs: np.ndarray) -> list[AlignedToken]:
    """When each token of a text is said: its most probable path."""
    return viterbi(Graph.linear(tokens), log_probs)[0] if tokens else []
