"""How sure a text is, and what else it could be: probabilities over the n best texts of a search.

A word is as probable as those of the n best texts together that agree with it when they are aligned; what the n best
leave out is not counted. How well such numbers predict errors is measured
in docs/decoding.md; `calibration` brings them nearer to how often a recognizer is right.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher

import numpy as np

from lipsound2.decoding.calibration import with_confidence
from lipsound2.decoding.hypothesis import Hypothesis, ranked

N_BEST = 16  # texts that are compared
MOST = 10  # alternatives that are kept
_LEAST = 1e-6  # confidence of a word that no text has


def by_text(scores: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Log-probabilities of texts; where several lists of tokens say one text, they are added up."""
    found: dict[str, float] = {}
    for text, score in scores:
        words = " ".join(text.split())
        found[words] = float(np.logaddexp(found.get(words, -math.inf), score))
    return found


def with_doubt(best: Hypothesis, scores: Mapping[str, float], *, normalized: bool = False) -> Hypothesis:
    """The same text with confidences of its words and of the whole, and with alternatives.

    Args:
        best: the text that was chosen.
        scores: natural log-probabilities of texts, that of `best` among them.
        normalized: whether they are such already, and what they lack to 1 belongs to texts that were not found. If
            not, only the texts that were found are compared.
    """
    texts = [text for text, score in scores.items() if score > -math.inf]
    if best.text not in texts:
        return best
    weights = np.array([scores[text] for text in texts])
    shares = np.exp(weights - weights.max())
    shares /= shares.sum()
    words = [word.text for word in best.words]
    agreeing = np.zeros(len(words))
    for text, share in zip(texts, shares.tolist(), strict=True):
        blocks = SequenceMatcher(None, words, text.split(), autojunk=False).get_matching_blocks()
        for block in blocks:
            agreeing[block.a : block.a + block.size] += share
    sure = [
        replace(word, confidence=min(share, 1.0)) for word, share in zip(best.words, agreeing.tolist(), strict=True)
    ]
    # Probabilities of single precision may sum to slightly more than 1.
    probabilities = np.exp(weights) / max(1.0, np.exp(weights).sum()) if normalized else shares
    found = dict(zip(texts, probabilities.tolist(), strict=True))
    confidence = found.pop(best.text)
    return replace(best, words=sure, confidence=confidence, alternatives=ranked(found)[:MOST])


def with_opinion(what: Hypothesis, confidences: Sequence[float]) -> Hypothesis:
    """The same text, after a second opinion of each of its words.

    A word's confidence becomes the geometric mean of both. That of the whole changes by the same factors, to 1 at most.

    Args:
        what: a text whose words have confidences.
        confidences: the second opinion, in [0, 1].
    """
    words, factor = [], 1.0
    for word, other in zip(what.words, confidences, strict=True):
        before = max(word.confidence or 0.0, _LEAST)
        confidence = math.sqrt(before * other)
        factor *= confidence / before
        words.append(replace(word, confidence=confidence))
    sure = None if what.confidence is None else min(1.0, what.confidence * factor)
    return with_confidence(replace(what, words=words), sure)
