"""The most probable sentences of a grammar, and how probable each is among all that the grammar allows."""

from __future__ import annotations

import heapq

import numpy as np

from lipsound2.decoding.confidence import N_BEST
from lipsound2.decoding.ctc import Graph
from lipsound2.decoding.phrases import forward_scores


def graph_n_best(
    graph: Graph, log_probs: np.ndarray, count: int = N_BEST, *, also: tuple[int, ...] | None = None
) -> list[tuple[tuple[int, ...], float]]:
    """The most probable sentences, by the words that are most probable in each slot.

    Args:
        graph: the grammar in tokens.
        log_probs: (T, V) natural log-probabilities.
        count: how many sentences at most.
        also: a sentence that must be among them.

    Returns:
        Tokens of each, and its log-probability: the sum over its paths, divided by the sum over all sentences. The best
        first.
    """
    shares, total = word_posteriors(graph, log_probs)
    best: list[tuple[float, tuple[int, ...]]] = [(1.0, ())]
    for slot, probabilities in zip(graph.slots, shares, strict=True):
        chosen = heapq.nlargest(count, zip(probabilities.tolist(), slot, strict=True), key=lambda pair: pair[0])
        longer = ((before * share, (*begun, *word)) for before, begun in best for share, word in chosen)
        best = heapq.nlargest(count, longer, key=lambda pair: pair[0])
    texts = list(dict.fromkeys([*([] if also is None else [also]), *(text for _, text in best)]))
    scores = (forward_scores(log_probs, texts) - total).tolist()
    return sorted(zip(texts, scores, strict=True), key=lambda pair: -pair[1])


def word_posteriors(graph: Graph, log_probs: np.ndarray) -> tuple[list[np.ndarray], float]:
    """Probabilities of the words of each slot, over all sentences (forward-backward algorithm).

    Args:
        graph: the grammar in tokens.
        log_probs: (T, V) natural log-probabilities; T is enough for a sentence.

    Returns:
        (words,) for each slot, and the log-probability of all sentences together.
    """
    frames, count = len(log_probs), len(graph.tokens)
    emitted = log_probs[:, graph.tokens].astype(np.float64)
    # An additional last state stands for "no predecessor".
    forward = np.full((frames, count + 1), -np.inf)
    forward[0, :count] = np.where(graph.begins, emitted[0], -np.inf)
    entered = np.full((frames, count), -np.inf)  # paths that come from another state
    entered[0] = forward[0, :count]
    for frame in range(1, frames):
        before = forward[frame - 1][graph.before]
        entered[frame] = np.logaddexp.reduce(before[:, 1:], 1) + emitted[frame]
        forward[frame, :count] = np.logaddexp(entered[frame], before[:, 0] + emitted[frame])
    # The same edges the other way round, sorted by where they begin; each state has one to itself.
    places, columns = np.nonzero(graph.before < count)
    sources = graph.before[places, columns]
    order = np.argsort(sources, kind="stable")
    targets, starts = places[order], np.searchsorted(sources[order], np.arange(count))
    backward = np.where(graph.ends, 0.0, -np.inf)
    total = float(np.logaddexp.reduce(forward[-1, :count] + backward))
    passing = entered[-1] + backward
    for frame in range(frames - 1, 0, -1):
        backward = np.logaddexp.reduceat((backward + emitted[frame])[targets], starts)
        passing = np.logaddexp(passing, entered[frame - 1] + backward)
    return [np.exp(passing[list(states)] - total) for states in graph.first], total
