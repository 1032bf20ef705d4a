"""Which of some given sentences was said: CTC forward scores of all of them in one pass, and their probabilities.

A word head, which names the word at each frame, has the same form as CTC: its class 0 (silence) takes the place of the
blank, and a word goes on for some frames. So one function scores sentences by either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lipsound2.text.tokenizer import BLANK

_TOGETHER = 1 << 16  # states of sentences that are scored at once: some MB, whatever the number of sentences
NONE = ""  # the text that stands for "none of these"


@dataclass(frozen=True)
class PhraseCalibration:
    """What turns scores into probabilities; fitted on clips that the reader was not trained on.

    Attributes:
        sharpness: factor of the scores. Neighboring frames say the same, so scores differ too much by themselves.
        margin: score, per frame, that a sentence may stay behind the best path of all texts before "none of these" is
            as probable as a sentence.
    """

    sharpness: float
    margin: float


@dataclass(frozen=True)
class Choice:
    """One of the given sentences.

    Attributes:
        text: as it was given.
        probability: in [0, 1] that it was said; with those of all others and of "none of these" 1 together.
        score: natural log-probability of the text; minus infinity if the clip is too short for it.
    """

    text: str
    probability: float
    score: float


@dataclass(frozen=True)
class Ranking:
    """The given sentences for one utterance.

    Attributes:
        choices: all sentences, the most probable first.
        none: probability in [0, 1] that none of them was said.
        start: second at which the utterance begins.
        end: second at which it ends.
    """

    choices: list[Choice] = field(default_factory=list)
    none: float = 1.0
    start: float = 0.0
    end: float = 0.0

    @property
    def text(self) -> str:
        """The most probable sentence; empty if "none of these" is more probable than each of them."""
        return self.choices[0].text if self.choices and self.choices[0].probability >= self.none else NONE

    @property
    def confidence(self) -> float:
        """Probability of `text`."""
        return max(self.none, self.choices[0].probability) if self.choices else self.none

    def moved(self, seconds: float) -> Ranking:
        """The same of an utterance so much later."""
        return replace(self, start=self.start + seconds, end=self.end + seconds)


def forward_scores(log_probs: np.ndarray, texts: Sequence[Sequence[int]]) -> np.ndarray:
    """Log-probabilities of texts: the sum over all CTC paths that collapse to each.

    Args:
        log_probs: (T, V) natural log-probabilities, class 0 the blank.
        texts: tokens of each.

    Returns:
        (N,) float64; minus infinity where a text has no path, because it has too many tokens.
    """
    scores = np.full(len(texts), -np.inf)
    if not len(log_probs):
        scores[[number for number, tokens in enumerate(texts) if not len(tokens)]] = 0.0
        return scores
    # Texts of similar lengths together, the longest first: little padding.
    order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
    while order:
        count = max(1, _TOGETHER // (2 * len(texts[order[0]]) + 1))
        some, order = order[:count], order[count:]
        scores[some] = _forward(np.asarray(log_probs, np.float64), [texts[number] for number in some])
    return scores


def _forward(log_probs: np.ndarray, texts: Sequence[Sequence[int]]) -> np.ndarray:
    lengths = np.array([len(tokens) for tokens in texts])
    labels = np.full((len(texts), 2 * int(lengths.max()) + 1), BLANK)  # blanks around the tokens
    for row, tokens in enumerate(texts):
        labels[row, 1 : 2 * len(tokens) : 2] = tokens
    # The blank between two tokens may be left out, unless they are equal.
    skips = np.where((labels[:, 2:] != BLANK) & (labels[:, 2:] != labels[:, :-2]), 0.0, -np.inf)
    paths = np.full(labels.shape, -np.inf)
    paths[:, :2] = log_probs[0][labels[:, :2]]
    for frame in log_probs[1:]:
        longer = paths.copy()
        longer[:, 1:] = np.logaddexp(longer[:, 1:], paths[:, :-1])
        longer[:, 2:] = np.logaddexp(longer[:, 2:], paths[:, :-2] + skips)
        paths = longer + frame[labels]
    rows, last = np.arange(len(texts)), 2 * lengths
    ends: np.ndarray = np.logaddexp(
        paths[rows, last], np.where(lengths > 0, paths[rows, np.maximum(last - 1, 0)], -np.inf)
    )
    return ends


def rank(
    log_probs: np.ndarray,
    sentences: Sequence[str],
    texts: Sequence[Sequence[Sequence[int]]],
    calibration: PhraseCalibration,
    start: float = 0.0,
    end: float = 0.0,
) -> Ranking:
    """Rank sentences by the probability that they were said.

    "None of these" competes with its share of the prior, a half: its score is that of the best path of all texts, less
    the margin. The other half is shared by the sentences, so a longer list needs a clearer clip.

    Args:
        log_probs: (T, V) natural log-probabilities, class 0 the blank or silence.
        sentences: each once.
        texts: for each sentence its tokens; several ways to cut it into tokens count together.
        calibration: of these log-probabilities.
        start: second at which the utterance begins.
        end: second at which it ends.
    """
    if not sentences:
        return Ranking([], 1.0, start, end)
    scores = sentence_scores(log_probs, texts)
    best_path = float(log_probs.max(1).sum()) if len(log_probs) else 0.0
    probabilities, none = probabilities_of(scores, best_path, len(log_probs), calibration)
    order = np.lexsort((np.array(sentences), -probabilities, -scores))
    choices = [Choice(sentences[each], float(probabilities[each]), float(scores[each])) for each in order]
    return Ranking(choices, none, start, end)


def sentence_scores(log_probs: np.ndarray, texts: Sequence[Sequence[Sequence[int]]]) -> np.ndarray:
    """(N,) log-probabilities of sentences, each given by the ways to cut it into tokens."""
    flat = forward_scores(log_probs, [tokens for ways in texts for tokens in ways])
    begins = np.cumsum([0, *(len(ways) for ways in texts[:-1])])
    sums: np.ndarray = np.logaddexp.reduceat(flat, begins)
    return sums


def probabilities_of(
    scores: np.ndarray, best_path: float, frames: int, calibration: PhraseCalibration
) -> tuple[np.ndarray, float]:
    """Probabilities from scores.

    Args:
        scores: (N,) of the sentences.
        best_path: score of the best path of all texts.
        frames: number of frames T.
        calibration: see there.

    Returns:
        (N,) of the sentences, and that of none of them.
    """
    # With prior 1/2 for none and 1/2N for each sentence.
    none = calibration.sharpness * (best_path - calibration.margin * frames) + np.log(len(scores))
    every = np.append(calibration.sharpness * scores, none)
    shares = np.exp(every - every.max())
    shares /= shares.sum()
    return shares[:-1], float(shares[-1])
