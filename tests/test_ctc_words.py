"""Words of a CTC output: greedily, through a grammar, and where they are named."""

from __future__ import annotations

import numpy as np
import pytest

from lipsound2.decoding.ctc import Graph, align_words, greedy, hypothesis, viterbi
from lipsound2.decoding.grammar import GRID, Grammar, grammar
from lipsound2.decoding.hypothesis import Hypothesis, Word
from lipsound2.errors import LipsoundError
from lipsound2.text.tokenizer import BLANK, Characters
from lipsound2.text.tokens import of_texts


def path_of(made: Characters, text: str, frames: int = 2) -> np.ndarray:
    """Log-probabilities of a CTC path that says a text, every token so many frames long and a blank behind it."""
    path = [token for character in made.encode(text) for token in [character] * frames + [BLANK]]
    probabilities = np.full((len(path), len(made)), 0.02)
    probabilities[np.arange(len(path)), path] = 0.9
    return np.log(probabilities / probabilities.sum(1, keepdims=True)).astype(np.float32)


def test_greedy_words_have_times_and_confidences():
    made = Characters.of(["abcdefghijklmnopqrstuvwxyz "])
    heard = hypothesis(greedy(path_of(made, "bin  too")), made, 0.04)
    assert heard.text == "bin too"
    assert [(word.text, round(word.start, 2), round(word.end, 2)) for word in heard.words] == [
        ("bin", 0.0, 0.32),
        ("too", 0.6, 0.92),
    ]
    assert all(0.5 < word.confidence < 1 for word in heard.words)
    assert hypothesis(greedy(path_of(made, " ")), made, 0.04).text == ""


def test_a_grammar_allows_its_sentences_alone():
    made = Characters.of([" ".join(word for slot in GRID.slots for word in slot)])
    graph = Graph.of(GRID, made)
    for text in ("bin blue at f two now", "set white with z zero again", "lay green by e three please"):
        found, score = viterbi(graph, path_of(made, text))
        assert hypothesis(found, made, 0.04).text == text
        assert -np.inf < score < 0
    # What is no sentence becomes the nearest one, and a missing word is filled in.
    found, _ = viterbi(graph, path_of(made, "bun blue at f two now"))
    assert hypothesis(found, made, 0.04).text == "bin blue at f two now"
    found, _ = viterbi(graph, path_of(made, "bin blue f two now", frames=4))
    words = hypothesis(found, made, 0.04).text.split()
    assert [word in slot for word, slot in zip(words, GRID.slots, strict=True)] == [True] * 6
    with pytest.raises(LipsoundError, match="4 frames are too few"):
        viterbi(graph, path_of(made, "bi")[:4])


def test_the_best_path_through_a_grammar_is_the_best_of_all():
    """Against every path of a small grammar, one by one."""
    made = Characters.of(["ab "])
    small = Grammar("small", (("a", "bb"), ("b", "ab")))
    rng = np.random.default_rng(0)
    log_probs = np.log(rng.dirichlet(np.ones(len(made)), 7)).astype(np.float32)
    best: dict[str, float] = {}
    for number in range(len(made) ** 7):
        path = [number // len(made) ** i % len(made) for i in range(7)]
        said = [t for i, t in enumerate(path) if t != BLANK and (i == 0 or t != path[i - 1])]
        text = made.decode(said)
        if text in ("a b", "a ab", "bb b", "bb ab"):
            score = float(log_probs[np.arange(7), path].sum())
            best[text] = max(best.get(text, -np.inf), score)
    found, score = viterbi(Graph.of(small, made), log_probs)
    assert score == pytest.approx(max(best.values()), abs=1e-4)
    assert hypothesis(found, made, 1.0).text == max(best, key=lambda text: best[text])


def test_a_grammar_does_without_words_that_were_never_taught(caplog):
    known = of_texts("words", ["yes please", "no please"])
    found = Graph.of(Grammar("small", (("yes", "no", "maybe"), ("please", "now"))), known)
    assert sorted(set(found.tokens.tolist()) - {0}) == sorted(known.encode("yes no please"))
    assert "words left out, which this recognizer's tokens cannot write: maybe, now" in caplog.text


def test_words_lie_where_they_are_named():
    """CTC says both words at once, in the silence before; the network that names words knows better."""
    named = np.full((20, 3), -5.0)
    for state in range(20):
        named[state, 1 if 4 <= state < 9 else 2 if 12 <= state < 15 else 0] = -0.01
    what = Hypothesis("bin now", [Word("bin", 0.0, 0.04, 0.9), Word("now", 0.04, 0.08, 0.9)], -1.0)
    forced_align = align_words(what, named, ["bin", "now"], 0.04)
    assert (forced_align.text, forced_align.score) == ("bin now", -1.0)
    assert [(word.text, round(word.start / 0.04), round(word.end / 0.04)) for word in forced_align.words] == [
        ("bin", 4, 9),
        ("now", 12, 15),
    ]
    assert all(word.confidence == pytest.approx((0.9 * np.exp(-0.01)) ** 0.5) for word in forced_align.words)
    assert align_words(what, named, ["bin"], 0.04) is what, "a word that is never named"
    assert align_words(what, named[:3], ["bin", "now"], 0.04) is what, "too few states"


def test_grammars_come_by_name_or_file(tmp_path):
    assert grammar("grid") is GRID
    (tmp_path / "g.txt").write_text("yes | no\nplease | now\n")
    assert grammar(str(tmp_path / "g.txt")).slots == (("yes", "no"), ("please", "now"))
    (tmp_path / "g.txt").write_text("yes | no\n|\n")
    with pytest.raises(LipsoundError, match=r"g.txt:2: expected words separated by '\|'"):
        grammar(str(tmp_path / "g.txt"))
    with pytest.raises(LipsoundError, match="neither 'grid' nor a file"):
        grammar("nothing")
    with pytest.raises(LipsoundError, match=r"tokens write none of bin \| lay \| place \| set"):
        Graph.of(GRID, Characters.of(["xyz"]))
