"""How sure a text is: against sums over every path and every sentence."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_beam import TOKENS, random_log_probs, summed

from lipsound2.decoding.beam import NoModel, search
from lipsound2.decoding.confidence import by_text, text_log_probs, with_doubt
from lipsound2.decoding.ctc import Graph, viterbi
from lipsound2.decoding.grammar import Grammar
from lipsound2.decoding.graph_posterior import graph_n_best, word_posteriors
from lipsound2.decoding.hypothesis import Hypothesis, Word


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_the_probability_of_a_text_is_the_sum_over_its_paths(seed):
    log_probs = random_log_probs(5, seed)
    texts = summed(log_probs)
    chosen = list(texts)[:40]
    assert text_log_probs(log_probs, [*chosen, ()])[:-1] == pytest.approx([texts[text] for text in chosen], abs=1e-4)
    assert text_log_probs(log_probs, [()])[0] == pytest.approx(texts[()], abs=1e-4)
    assert text_log_probs(log_probs, [(2,) * 4])[0] == -math.inf  # five frames do not hold it


GRAMMAR = Grammar("small", (("a", "b", "ab"), ("a", "ba"), ("b", "aa")))


@given(st.integers(0, 10_000), st.integers(9, 14))
@settings(max_examples=15, deadline=None)
def test_sentences_of_a_grammar_have_their_exact_shares(seed, frames):
    log_probs = random_log_probs(frames, seed)
    graph = Graph.of(GRAMMAR, TOKENS)
    words = [[tuple(word) for word in slot] for slot in graph.slots]
    sentences = [tuple(itertools.chain(*chosen)) for chosen in itertools.product(*words)]
    scores = text_log_probs(log_probs, sentences)
    total = np.logaddexp.reduce(scores)
    shares, found = word_posteriors(graph, log_probs)
    assert found == pytest.approx(total, abs=1e-6)
    for place, slot in enumerate(words):
        for number, word in enumerate(slot):
            chosen = [combo[place] == word for combo in itertools.product(*words)]
            assert shares[place][number] == pytest.approx(np.exp(scores[chosen] - total).sum(), abs=1e-6)
    best = graph_n_best(graph, log_probs, 100)
    assert len(best) == len(sentences) == 12
    assert sum(math.exp(score) for _, score in best) == pytest.approx(1, abs=1e-6)
    assert best[0][1] == pytest.approx(scores.max() - total, abs=1e-6)
    path = tuple(token.token for token in viterbi(graph, log_probs)[0])
    assert path in dict(graph_n_best(graph, log_probs, 1, also=path))


def words(text: str) -> Hypothesis:
    return Hypothesis(text, [Word(word, n, n + 1) for n, word in enumerate(text.split())])


def test_a_word_is_as_sure_as_all_texts_that_have_it():
    scores = {"bin blue now": math.log(0.5), "bin red now": math.log(0.25), "bin now": math.log(0.05)}
    known = with_doubt(words("bin blue now"), scores, normalized=True)
    assert known.confidence == pytest.approx(0.5)
    assert [(each.text, round(each.probability, 6)) for each in known.alternatives] == [
        ("bin red now", 0.25),
        ("bin now", 0.05),
    ]
    assert [word.confidence for word in known.words] == pytest.approx([1, 0.5 / 0.8, 1])
    compared = with_doubt(words("bin blue now"), {text: score - 7 for text, score in scores.items()})
    assert compared.confidence == pytest.approx(0.5 / 0.8)
    # The text that was chosen need not be the most probable one.
    other = with_doubt(words("bin now"), scores, normalized=True)
    assert other.confidence == pytest.approx(0.05)
    assert other.alternatives[0].probability == pytest.approx(0.5)
    assert with_doubt(words("set"), scores) == words("set")


@given(st.integers(0, 10_000), st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_probabilities_are_probabilities(seed, frames):
    log_probs = random_log_probs(frames, seed)
    scores = by_text((TOKENS.decode(tokens), score) for tokens, score in search(log_probs, NoModel()))
    for text in scores:
        found = with_doubt(words(text), scores, normalized=True)
        assert found.confidence is not None
        shares = [each.probability for each in found.alternatives]
        assert shares == sorted(shares, reverse=True)
        assert 0 <= min([found.confidence, *shares]) <= found.confidence + sum(shares) <= 1 + 1e-9
        assert len({found.text, *(each.text for each in found.alternatives)}) == 1 + len(shares)
        assert all(word.confidence is not None and 0 <= word.confidence <= 1 for word in found.words)
