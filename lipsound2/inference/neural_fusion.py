"""Neural language models in a search, whatever runs them: torch, or onnxruntime without it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lipsound2.decoding.beam import Fusion
from lipsound2.errors import LipsoundError
from lipsound2.text.tokenizer import UNKNOWN, Tokenizer


@dataclass(eq=False)
class Ahead:
    """A prefix; probabilities of the next token are known once it was selected.

    Attributes:
        token: its last.
        past: (layers, 2, heads, P, width / heads) keys and values of the tokens before its last; once selected, of all.
        follows: (tokens + 1,) natural log-probabilities.
    """

    token: int
    past: Any
    follows: np.ndarray | None = None


class NeuralFusion(Fusion):
    """A language model over the recognizer's own tokens.

    Args:
        boundary: the token that begins and ends a text.
        nothing: keys and values before any token.
        weight: of its log-probabilities.
        bonus: added for every token, the end too.
    """

    def __init__(self, boundary: int, nothing: Any, weight: float, bonus: float) -> None:
        self.boundary, self.weight, self.bonus = boundary, weight, bonus
        self.max_gain = max(bonus, 0.0)
        self._start = Ahead(boundary, nothing)
        self.select([self._start])

    def start(self) -> Ahead:
        """Before the first token."""
        return self._start

    def extend(self, state: Ahead, token: int) -> tuple[Ahead, float]:
        """The network's score of this token after the prefix; the longer prefix is not computed yet."""
        assert state.follows is not None
        return Ahead(token, state.past), self.weight * float(state.follows[token]) + self.bonus

    def scores(self, states: Sequence[Ahead], tokens: np.ndarray) -> np.ndarray:
        """As `extend`."""
        follows = np.stack([state.follows for state in states if state.follows is not None])
        return self.weight * np.take_along_axis(follows, tokens, 1) + self.bonus

    def end(self, state: Ahead) -> float:
        """The end of the sentence."""
        assert state.follows is not None
        return self.weight * float(state.follows[self.boundary]) + self.bonus

    def select(self, states: Sequence[Ahead]) -> None:
        """One step of the network for all prefixes it has not computed yet."""
        if fresh := [state for state in states if state.follows is None]:
            self.compute(fresh)

    @abstractmethod
    def compute(self, states: Sequence[Ahead]) -> None:
        """One step of the network: set `past` and `follows` of these prefixes, which may differ in length."""


def check_tokens(lm: object, theirs: Tokenizer, tokenizer: Tokenizer) -> None:
    """Check that a language model has the recognizer's tokens.

    Raises:
        LipsoundError: it was built for others.
    """
    if _tokens(theirs) != _tokens(tokenizer):
        raise LipsoundError(
            f"{lm}: its {len(theirs)} tokens are not the {len(tokenizer)} of the recognizer; take the one that "
            "was published with it, or train one with the recognizer's experiment as its key 'tokens'"
        )


def _tokens(tokenizer: Tokenizer) -> list[tuple[str, bool, bool]]:
    """All tokens but CTC's blank, in order. Files may differ in what else they hold."""
    return [
        (tokenizer.decode([token]), tokenizer.begins_word(token), tokenizer.is_blank(token))
        for token in range(UNKNOWN, len(tokenizer))
    ]
