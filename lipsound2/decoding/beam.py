"""CTC prefix beam search (Hannun et al., 2014) with shallow fusion: n-grams here, or any other `Fusion`.

A prefix's probability is that of all paths that collapse to it. Paths that end in the blank are kept apart, because
only after a blank may the last token be repeated. A word model scores each complete word, a character model every
character.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from lipsound2.decoding.arpa import END, START, UNKNOWN, LanguageModel
from lipsound2.decoding.confidence import N_BEST, by_text, with_doubt
from lipsound2.decoding.ctc import AlignedToken, Graph, greedy, hypothesis, viterbi
from lipsound2.decoding.hypothesis import Hypothesis
from lipsound2.decoding.ngram import SPACE
from lipsound2.decoding.phrases import forward_scores
from lipsound2.errors import LipsoundError
from lipsound2.text.tokenizer import BLANK, Characters, Tokenizer
from lipsound2.text.tokenizer import UNKNOWN as UNKNOWN_TOKEN

_LN10 = math.log(10)
_LIKELY = 64  # tokens of each frame that are tried beside greedy decoding
_UNLIKELY = -12.0  # tokens below the best of their frame by more than this are not tried (natural logarithm)


class Fusion(Protocol):
    """Language model scores of growing prefixes. States are opaque.

    A search extends each prefix by every token that may follow, keeps a beam of these, and calls `select` with it. A
    network then computes them as one batch, and none that were dropped.

    Attributes:
        max_gain: the most that a token, or the end, may add: the bonus, since a log-probability is at most 0.
    """

    max_gain: float = 0.0

    def start(self) -> Any:
        """State of the empty prefix, which counts as selected."""

    def extend(self, state: Any, token: int) -> tuple[Any, float]:
        """State and additional score of a selected prefix with one more token."""

    def scores(self, states: Sequence[Any], tokens: np.ndarray) -> np.ndarray:
        """(B, K) additional scores of B selected prefixes, each with one of its K tokens from (B, K)."""
        rows = zip(states, tokens.tolist(), strict=True)
        return np.array([[self.extend(state, token)[1] for token in row] for state, row in rows])

    def select(self, states: Sequence[Any]) -> None:
        """The search continues with these prefixes; only now may they be extended or ended."""
        return  # n-grams have nothing to prepare

    def end(self, state: Any) -> float:
        """Additional score of a selected prefix when the text ends there."""


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
        bonus: added for every word, since short texts are more probable.
    """

    def __init__(self, tokenizer: Tokenizer, bonus: float) -> None:
        self.tokenizer, self.bonus = tokenizer, bonus
        self.max_gain = max(bonus, 0.0)

    def start(self) -> bool:
        """The state: whether a prefix ends within a word."""
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


class TokenBonus(NoModel):
    """Without a language model, but with a bonus for every token and for the end, as published searches have it."""

    def __init__(self, bonus: float) -> None:
        self.bonus, self.max_gain = bonus, max(bonus, 0.0)

    def extend(self, state: None, token: int) -> tuple[None, float]:
        """The bonus."""
        return None, self.bonus

    def scores(self, states: Sequence[None], tokens: np.ndarray) -> np.ndarray:
        """The bonus for each."""
        return np.full(tokens.shape, self.bonus)

    def end(self, state: None) -> float:
        """The bonus."""
        return self.bonus


class WordModel(Fusion):
    """A model over words.

    Args:
        model: the n-grams.
        tokenizer: of the prefixes.
        weight: of its log-probabilities.
        bonus: added for every word, since the model favors few words.
    """

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer, weight: float, bonus: float) -> None:
        self.model, self.tokenizer, self.weight, self.bonus = model, tokenizer, weight, bonus
        self.max_gain = max(bonus, 0.0)

    def start(self) -> Any:
        """Before the first word."""
        return (self.model.start, ())

    def extend(self, state: Any, token: int) -> tuple[Any, float]:
        """A word is scored when the next one begins."""
        before, letters = state
        score = 0.0
        if letters and self.tokenizer.begins_word(token):
            before, score = self._close(before, letters)
            letters = ()
        if not self.tokenizer.is_blank(token):
            letters = (*letters, token)
        return (before, letters), score

    def scores(self, states: Sequence[Any], tokens: np.ndarray) -> np.ndarray:
        """As `extend`; a prefix's last word is looked up once, whichever word follows."""
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
        """Every character is scored at once."""
        text = SPACE if self.tokenizer.is_blank(token) else self.tokenizer.decode([token])
        log10, after = self.model.advance(state, text)
        return after, self.weight * _LN10 * log10 + self.bonus

    def end(self, state: Any) -> float:
        """The end of the sentence."""
        return self.weight * _LN10 * self.model.advance(state, END)[0] + self.bonus


def fusion(model: LanguageModel, tokenizer: Tokenizer, weight: float, bonus: float, where: str) -> Fusion:
    """The fusion for a model: over characters when its vocabulary is single characters.

    Raises:
        LipsoundError: the model was built for other tokens than the recognizer writes.
    """
    known = {word for word in model.vocabulary if word not in (START, END, UNKNOWN)}
    over_characters = bool(known) and all(len(word) == 1 for word in known) and SPACE in known
    if over_characters and not isinstance(tokenizer, Characters):
        raise LipsoundError(
            f"{where}: this model is over characters, the recognizer's tokens are pieces; build one over words"
        )
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
    """Log-probabilities of the paths that collapse to a prefix, and the language model's score."""

    blank: float
    nonblank: float
    model: float
    state: Any

    @classmethod
    def begin(cls, model: float, state: Any) -> _Prefix:
        """A prefix that no path has reached yet."""
        return cls(-math.inf, -math.inf, model, state)

    @property
    def total(self) -> float:
        return _add(self.blank, self.nonblank)


def _add(a: float, b: float) -> float:
    """log(exp(a) + exp(b)); NumPy's logaddexp takes several times as long for single numbers."""
    if a < b:
        a, b = b, a
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))


def search(log_probs: np.ndarray, model: Fusion, beam: int = 16) -> list[tuple[tuple[int, ...], float]]:
    """CTC prefix beam search: the best texts, the best first.

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
        emissions = list(zip(tried.tolist(), frame[tried].tolist(), strict=True))
        # A prefix of the beam keeps its state, also where it is reached again from a shorter prefix.
        after = {tokens: _Prefix.begin(prefix.model, prefix.state) for tokens, prefix in prefixes.items()}
        for tokens, prefix in prefixes.items():
            total, same = prefix.total, after[tokens]
            last = tokens[-1] if tokens else BLANK
            for token, log_prob in emissions:
                if token == BLANK:
                    same.blank = _add(same.blank, total + log_prob)
                    continue
                before = total
                if token == last:  # the same token continues, or is repeated after a blank
                    same.nonblank = _add(same.nonblank, prefix.nonblank + log_prob)
                    before = prefix.blank
                longer = (*tokens, token)
                grown = after.get(longer)
                if grown is None:
                    state, added = model.extend(prefix.state, token)
                    grown = after[longer] = _Prefix.begin(prefix.model + added, state)
                grown.nonblank = _add(grown.nonblank, before + log_prob)
        best = heapq.nlargest(beam, after.items(), key=lambda item: item[1].total + item[1].model)
        prefixes = {tokens: prefix for tokens, prefix in best if prefix.total > -math.inf}
        model.select([prefix.state for prefix in prefixes.values()])
    scored = [(tokens, prefix.total + prefix.model + model.end(prefix.state)) for tokens, prefix in prefixes.items()]
    return sorted(scored, key=lambda pair: pair[1], reverse=True)


def forced_align(tokens: Sequence[int], log_probs: np.ndarray) -> list[AlignedToken]:
    """Times of the tokens of a text: its most probable path."""
    return viterbi(Graph.linear(tokens), log_probs)[0] if tokens else []


def greedy_hypothesis(log_probs: np.ndarray, tokenizer: Tokenizer, seconds: float) -> Hypothesis:
    """The text of the most probable path. A small beam beside it finds what else it could be, and does not change it.

    Args:
        log_probs: (T, V) natural log-probabilities.
        tokenizer: of the tokens.
        seconds: length of a frame.
    """
    path = greedy(log_probs)
    tokens = tuple(token.token for token in path)
    n_best = dict(search(_likely(log_probs), NoModel(), N_BEST))
    n_best[tokens] = float(forward_scores(log_probs, [tokens])[0])
    scores = by_text((tokenizer.decode(each), score) for each, score in n_best.items())
    return with_doubt(hypothesis(path, tokenizer, seconds, float(log_probs.max(1).sum())), scores, normalized=True)


def _likely(log_probs: np.ndarray) -> np.ndarray:
    """The same log-probabilities, minus infinity where a token is none of the likely ones of its frame."""
    if log_probs.shape[1] <= _LIKELY:
        return log_probs
    least = np.partition(log_probs, -_LIKELY, axis=1)[:, -_LIKELY, None]
    return np.where(log_probs >= least, log_probs, -np.inf)
