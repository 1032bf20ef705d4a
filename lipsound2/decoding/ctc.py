"""Best paths through CTC's probabilities (Graves et al., 2006), free or through a grammar, and forced alignment.

A path has a token or the blank (0) at every frame. Without repetitions and blanks it is a text.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

import numpy as np

from lipsound2.decoding.confidence import with_opinion
from lipsound2.decoding.grammar import Grammar
from lipsound2.decoding.hypothesis import Hypothesis, Word
from lipsound2.errors import LipsoundError
from lipsound2.text.tokenizer import BLANK, UNKNOWN, Tokenizer

log = logging.getLogger(__name__)


class AlignedToken(NamedTuple):
    """A token of a path with its frames.

    Attributes:
        token: its number.
        start: first frame.
        end: frame after the last.
        confidence: mean probability over these frames.
    """

    token: int
    start: int
    end: int
    confidence: float


def greedy(log_probs: np.ndarray) -> list[AlignedToken]:
    """The tokens of the most probable path.

    Args:
        log_probs: (T, V) natural log-probabilities.
    """
    return tokens_of_path(log_probs.argmax(1), log_probs)


def tokens_of_path(path: np.ndarray, log_probs: np.ndarray) -> list[AlignedToken]:
    """The tokens of a path (T,), repetitions joined and blanks left out."""
    result, frame = [], 0
    for token, run in groupby(path.tolist()):
        length = sum(1 for _ in run)
        if token != BLANK:
            confidence = float(np.exp(log_probs[frame : frame + length, token]).mean())
            result.append(AlignedToken(token, frame, frame + length, confidence))
        frame += length
    return result


def hypothesis(tokens: Sequence[AlignedToken], tokenizer: Tokenizer, seconds: float, score: float = 0.0) -> Hypothesis:
    """Words with times from tokens with frames.

    Args:
        tokens: in order.
        tokenizer: of the tokens.
        seconds: length of a frame.
        score: of the hypothesis.
    """
    words: list[Word] = []
    for parts in tokens_of_words(tokens, tokenizer):
        text = tokenizer.decode(part.token for part in parts).strip()
        if text:
            confidence = float(np.mean([part.confidence for part in parts]))
            words.append(Word(text, parts[0].start * seconds, parts[-1].end * seconds, confidence))
    return Hypothesis(" ".join(word.text for word in words), words, score)


def tokens_of_words(tokens: Sequence[AlignedToken], tokenizer: Tokenizer) -> list[list[AlignedToken]]:
    """The tokens of each word, without blanks between words."""
    words: list[list[AlignedToken]] = [[]]
    for token in tokens:
        if tokenizer.begins_word(token.token):
            words.append([])
        if not tokenizer.is_blank(token.token):
            words[-1].append(token)
    return [word for word in words if word]


def align_words(what: Hypothesis, log_probs: np.ndarray, words: Sequence[str], seconds: float) -> Hypothesis:
    """The same text with times by forced alignment to the word head of the network, a second opinion of each word.

    CTC may emit a token anywhere between its neighbors, and a whole word may be one token, so its times are loose.

    Args:
        what: a hypothesis; one with unknown words, or with too many for the states, stays as it is.
        log_probs: (T, words + 1) natural log-probabilities of the word at each state, class 0 silence.
        words: names of the classes 1, 2, ...
        seconds: length of a state.
    """
    classes = {word: number for number, word in enumerate(words, start=1)}
    texts = what.text.split()
    if not texts or 2 * len(texts) > len(log_probs) or any(word not in classes for word in texts):
        return what
    path, _ = viterbi(Graph.linear([classes[word] for word in texts]), log_probs)
    words_in_time = [
        replace(word, start=found.start * seconds, end=found.end * seconds)
        for word, found in zip(what.words, path, strict=True)
    ]
    return with_opinion(replace(what, words=words_in_time), [found.confidence for found in path])


@dataclass(frozen=True)
class Graph:
    """A grammar in tokens: the states that a CTC path runs through.

    Attributes:
        tokens: (N,) token of each state, blanks between them.
        before: (N, P) states that lead to each state in one frame, itself first; padded with N.
        begins: (N,) bool, states a path can begin in.
        ends: (N,) bool, states it can end in.
        slots: the words of each slot, as tokens.
        first: likewise, the state of the first token of each word.
    """

    tokens: np.ndarray
    before: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    slots: Sequence[Sequence[Sequence[int]]]
    first: Sequence[Sequence[int]]

    @classmethod
    def of(cls, grammar: Grammar, tokenizer: Tokenizer) -> Graph:
        """Encode a grammar. Words that the tokenizer cannot encode are left out, with a warning.

        Raises:
            LipsoundError: the tokenizer can encode no word of a slot.
        """
        slots: list[list[list[int]]] = []
        unknown: list[str] = []
        for place, words in enumerate(grammar.slots):
            spelled = {word: tokenizer.spell(word, first=place == 0) for word in words}
            slots.append([tokens for tokens in spelled.values() if UNKNOWN not in tokens])
            unknown += [word for word, tokens in spelled.items() if UNKNOWN in tokens]
            if not slots[-1]:
                raise LipsoundError(
                    f"grammar {grammar.name}: this recognizer's tokens write none of {' | '.join(words)}; "
                    "it was not trained for it"
                )
        if unknown:
            log.warning(
                "grammar %s: words left out, which this recognizer's tokens cannot write: %s",
                grammar.name,
                ", ".join(dict.fromkeys(unknown)),
            )
        return cls._of_spelled(slots)

    @classmethod
    def linear(cls, tokens: Sequence[int]) -> Graph:
        """A single text, for forced alignment."""
        return cls._of_spelled([[tokens]])

    @classmethod
    def _of_spelled(cls, slots: Sequence[Sequence[Sequence[int]]]) -> Graph:
        """Slots in order, each with the tokens of its words."""
        tokens: list[int] = []
        before: list[list[int]] = []
        begins: list[bool] = []
        first: list[list[int]] = []
        reached: list[int] = []  # last tokens of the words of the slot before
        for place, slot in enumerate(slots):
            ends = []
            first.append([])
            for spelled in slot:
                first[-1].append(len(tokens) + 1)
                for number, token in enumerate(spelled):
                    into = reached if number == 0 else [len(tokens) - 1]
                    blank = len(tokens)
                    tokens += [BLANK, token]
                    # Equal neighbors need the blank between them.
                    direct = [state for state in into if tokens[state] != token]
                    before += [[blank, *into], [blank + 1, blank, *direct]]
                    begins += [place == 0 and number == 0] * 2
                ends.append(len(tokens) - 1)
            reached = ends
        # One blank after the last word.
        before.append([len(tokens), *reached])
        tokens.append(BLANK)
        begins.append(False)
        count, width = len(tokens), max(map(len, before))
        table = np.full((count, width), count)
        for state, states in enumerate(before):
            table[state, : len(states)] = states
        last = np.zeros(count, bool)
        last[[*reached, count - 1]] = True
        return cls(np.array(tokens), table, np.array(begins), last, slots, first)


def viterbi(graph: Graph, log_probs: np.ndarray) -> tuple[list[AlignedToken], float]:
    """The most probable path through a grammar (Viterbi).

    Args:
        graph: the grammar in tokens.
        log_probs: (T, V).

    Returns:
        Its tokens and its log-probability.

    Raises:
        LipsoundError: the audio is too short for any sentence.
    """
    frames, count = len(log_probs), len(graph.tokens)
    emitted = log_probs[:, graph.tokens]
    # An additional last state stands for "no predecessor".
    score = np.append(np.where(graph.begins, emitted[0], -np.inf), -np.inf)
    choices = np.zeros((frames, count), np.int32)
    rows = np.arange(count)
    for frame in range(1, frames):
        candidates = score[graph.before]
        choices[frame] = candidates.argmax(1)
        score[:count] = candidates[rows, choices[frame]] + emitted[frame]
    last = np.where(graph.ends, score[:count], -np.inf)
    state = int(last.argmax())
    if not np.isfinite(last[state]):
        raise LipsoundError(f"{frames} frames are too few for any sentence of the grammar")
    states = np.empty(frames, np.int64)
    for frame in range(frames - 1, -1, -1):
        states[frame] = state
        state = int(graph.before[state, choices[frame, state]])
    # Equal tokens on a path always have a blank between them, so joining runs is right.
    return tokens_of_path(graph.tokens[states], log_probs), float(last.max())
