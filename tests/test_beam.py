"""CTC prefix beam search: against the sum over every path, and with language models of words and of characters."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lipsound2.decoding.beam import (
    CharacterModel,
    Fusion,
    NoModel,
    WordBonus,
    WordModel,
    forced_align,
    fusion,
    search,
)
from lipsound2.decoding.joint import joint_search
from lipsound2.decoding.ngram import estimate, split
from lipsound2.errors import LipsoundError
from lipsound2.text.tokenizer import BLANK, Characters

TOKENS = Characters.of(["ab "])


def random_log_probs(frames: int, seed: int, tokens: Characters = TOKENS) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.log(rng.dirichlet(np.full(len(tokens), 0.5), frames) + 1e-6).astype(np.float32)


def summed(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """Log-probability of every text: the sum over all paths that say it."""
    texts: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        said = tuple(token for token, _ in itertools.groupby(path) if token != BLANK)
        score = float(sum(log_probs[frame, token] for frame, token in enumerate(path)))
        texts[said] = float(np.logaddexp(texts.get(said, -math.inf), score))
    return texts


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_a_wide_beam_finds_the_most_probable_text(seed):
    log_probs = random_log_probs(5, seed)
    texts = summed(log_probs)
    found = search(log_probs, NoModel(), beam=2000)
    assert found[0][1] == pytest.approx(max(texts.values()), abs=1e-3)
    assert texts[found[0][0]] == pytest.approx(found[0][1], abs=1e-3)
    assert len({tokens for tokens, _ in found}) == len(found)


@given(st.integers(0, 10_000))
@settings(max_examples=10)
def test_with_a_model_every_text_has_its_own_score(seed):
    """The search's score is CTC's sum plus the model's word by word, for whatever text it ends with."""
    model = estimate([["a", "b"], ["b", "a"], ["ab", "a"]], 2)
    log_probs = random_log_probs(5, seed)
    texts = summed(log_probs)
    for tokens, score in search(log_probs, WordModel(model, TOKENS, 0.7, 0.3), beam=2000)[:20]:
        words = TOKENS.decode(tokens).split()
        expected = texts[tokens] + 0.7 * math.log(10) * model.sentence(words) + 0.3 * len(words)
        assert score == pytest.approx(expected, abs=1e-3)


def test_a_character_model_weighs_every_character():
    model = estimate([split(text, "characters") for text in ("a b", "ab a", "b b")], 3)
    log_probs = random_log_probs(5, 3)
    texts = summed(log_probs)
    for tokens, score in search(log_probs, CharacterModel(model, TOKENS, 0.5, 0.1), beam=2000)[:20]:
        characters = ["|" if c == " " else c for c in TOKENS.decode(tokens)]
        expected = texts[tokens] + 0.5 * math.log(10) * model.sentence(characters) + 0.1 * (len(characters) + 1)
        assert score == pytest.approx(expected, abs=1e-3)


def test_a_model_decides_between_words_that_audio_alike():
    tokens = Characters.of(["bluered abcdefghijklmnopqrstuvwxyz"])
    model = estimate([["lay", "red", "now"], ["lay", "blue", "now"], ["set", "red", "now"]], 3)
    path = [t for c in tokens.encode("lay rad now") for t in (c, BLANK)]
    probabilities = np.full((len(path), len(tokens)), 0.001)
    probabilities[np.arange(len(path)), path] = 0.9
    heard = path.index(tokens.encode("a")[0], path.index(tokens.encode("r")[0]))
    probabilities[heard, tokens.encode("e")[0]] = 0.6  # nearly as probable as the wrong "a"
    log_probs = np.log(probabilities / probabilities.sum(1, keepdims=True))
    assert tokens.decode(search(log_probs, NoModel())[0][0]) == "lay rad now"
    found = search(log_probs, WordModel(model, tokens, 0.8, 0.0))[0][0]
    assert tokens.decode(found) == "lay red now"
    spoken = forced_align(found, log_probs)
    assert [token.token for token in spoken] == list(found)
    assert all(earlier.end <= later.start for earlier, later in itertools.pairwise(spoken))


def test_the_kind_of_a_model_is_seen(tmp_path: Path):
    words = estimate([["ab", "a"]], 2)
    letters = estimate([split("ab a", "characters")], 2)
    assert isinstance(fusion(words, TOKENS, 1, 0, "x.arpa"), WordModel)
    assert isinstance(fusion(letters, TOKENS, 1, 0, "x.arpa"), CharacterModel)
    with pytest.raises(LipsoundError, match=r"x\.arpa: none of its words can be written by the recognizer"):
        fusion(estimate([["好", "你好"]], 2), TOKENS, 1, 0, "x.arpa")


def test_fault_B1_a_bonus_needs_no_language_model():
    model = WordBonus(TOKENS, 0.7)
    log_probs = random_log_probs(5, 3)
    texts = summed(log_probs)
    for tokens, score in search(log_probs, model, beam=2000)[:20]:
        assert score == pytest.approx(texts[tokens] + 0.7 * len(TOKENS.decode(tokens).split()), abs=1e-3)


# Joint with a decoder


def uniform(vocabulary: int):
    """A decoder that knows nothing: all that may follow is equally probable."""
    return lambda last, rows, memory: (torch.full((len(last), vocabulary + 1), -math.log(vocabulary + 1)), None)


def fused(model: Fusion, text: tuple[int, ...], ends: bool) -> float:
    """What a language model says of a whole text, asked token by token."""
    state, score = model.start(), 0.0
    for token in text:
        state, added = model.extend(state, token)
        model.select([state])
        score += added
    return score + (model.end(state) if ends else 0.0)


@given(st.integers(0, 10_000))
@settings(max_examples=15)
def test_ctc_alone_finds_the_most_probable_text(seed):
    log_probs = random_log_probs(5, seed)
    texts = summed(log_probs)
    tokens, score = joint_search(uniform(log_probs.shape[1]), torch.from_numpy(log_probs), beam=500, ctc_weight=1.0)
    assert score == pytest.approx(max(texts.values()), abs=1e-3)
    assert texts[tuple(tokens)] == pytest.approx(score, abs=1e-3)


@given(st.integers(0, 10_000))
@settings(max_examples=15)
def test_both_scores_are_weighed_for_every_text(seed):
    """Against every text CTC can say in so many frames, scored one by one with a decoder that looks one token back."""
    log_probs = random_log_probs(4, seed)
    vocabulary = log_probs.shape[1]
    table = torch.log_softmax(torch.randn(vocabulary + 1, vocabulary + 1, generator=torch.manual_seed(seed)), -1)
    texts = summed(log_probs)

    def expected(text: tuple[int, ...]) -> float:
        end = [vocabulary] if len(text) < 4 else []  # what fills all frames has to end, and nobody is asked
        attention = sum(float(table[a, b]) for a, b in itertools.pairwise([vocabulary, *text, *end]))
        return 0.6 * attention + 0.4 * texts[text]

    best = max(texts, key=expected)
    tokens, score = joint_search(
        lambda last, rows, memory: (table[last], None), torch.from_numpy(log_probs), beam=500, ctc_weight=0.4
    )
    assert score == pytest.approx(expected(best), abs=1e-3)
    assert expected(tuple(tokens)) == pytest.approx(score, abs=1e-3)


class Strict(WordModel):
    """A model that may be asked only about what was kept, as a network must be."""

    def __init__(self, model: WordModel) -> None:
        super().__init__(model.model, model.tokenizer, model.weight, model.bonus)
        self.kept = [self.start()]

    def extend(self, state, token):
        assert state in self.kept
        return super().extend(state, token)

    def select(self, states):
        self.kept = list(states)

    def end(self, state):
        assert state in self.kept or state == self.start()
        return super().end(state)


def test_searches_ask_only_about_what_they_kept():
    model = WordModel(estimate([["a", "b"], ["b", "a"], ["ab", "a"]], 2), TOKENS, 0.7, 0.3)
    log_probs = random_log_probs(6, 1)
    assert search(log_probs, Strict(model), beam=3) == search(log_probs, model, beam=3)
    decode_step = uniform(log_probs.shape[1])
    found = joint_search(decode_step, torch.from_numpy(log_probs), beam=3, model=Strict(model))
    assert found == joint_search(decode_step, torch.from_numpy(log_probs), beam=3, model=model)


WORDS = estimate([["a", "b"], ["b", "a"], ["ab", "a"]], 2)
CHARACTERS = estimate([split(text, "characters") for text in ("a b", "ab a", "b b")], 3)


@pytest.mark.parametrize(
    "model",
    [WordModel(WORDS, TOKENS, 0.7, 0.1), CharacterModel(CHARACTERS, TOKENS, 0.7, 0.1), WordBonus(TOKENS, 1.5)],
    ids=["words", "characters", "bonus"],
)
@given(st.integers(0, 10_000))
@settings(max_examples=8)
def test_fault_B1_a_model_and_a_bonus_count_beside_both(model, seed):
    log_probs = random_log_probs(4, seed)
    vocabulary = log_probs.shape[1]
    texts = summed(log_probs)

    def expected(text: tuple[int, ...]) -> float:
        ends = len(text) < 4
        attention = -(len(text) + ends) * math.log(vocabulary + 1)
        return 0.6 * attention + 0.4 * texts[text] + fused(model, text, ends)

    tokens, score = joint_search(
        uniform(vocabulary), torch.from_numpy(log_probs), beam=500, ctc_weight=0.4, model=model
    )
    assert score == pytest.approx(max(map(expected, texts)), abs=1e-3)
    assert expected(tuple(tokens)) == pytest.approx(score, abs=1e-3)


@given(st.integers(0, 10_000))
@example(5250)
@settings(max_examples=10)
def test_a_decoder_goes_on_from_its_own_text(seed):
    """It looks two tokens back, and knows the earlier one only by what it returned before."""
    log_probs = random_log_probs(4, seed)
    boundary = log_probs.shape[1]
    shape = (boundary + 1,) * 3
    table = torch.log_softmax(torch.randn(shape, generator=torch.manual_seed(seed)), -1)

    def decode_step(last, rows, memory):
        before = torch.full((1,), boundary) if memory is None else memory[rows]
        return table[before, last], last

    def expected(text: tuple[int, ...]) -> float:
        said = [boundary, boundary, *text, *([boundary] if len(text) < 4 else [])]
        return sum(float(table[three]) for three in zip(said, said[1:], said[2:], strict=False))

    tokens, score = joint_search(decode_step, torch.from_numpy(log_probs), beam=500, ctc_weight=0.0)
    # Without a share CTC forbids nothing: not even the same token four times in four frames.
    texts = [text for length in range(5) for text in itertools.product(range(1, boundary), repeat=length)]
    assert score == pytest.approx(expected(tuple(tokens)), abs=1e-3)
    assert score == pytest.approx(max(map(expected, texts)), abs=1e-3)


def uncertain(text: list[int], vocabulary: int, right: float, early: float):
    """A decoder that knows how many tokens were said: the next is `right`, the end far too early, or there."""

    def decode_step(last, rows, said):
        said = 0 if said is None else said
        over = said >= len(text)
        follows = torch.full((len(last), vocabulary + 1), (0.5 if over else 1 - right - early) / (vocabulary - 2))
        follows[:, BLANK] = 1e-12
        follows[:, vocabulary] = 0.5 if over else early
        if not over:
            follows[:, text[said]] = right
        return follows.log(), said + 1

    return decode_step


@pytest.mark.parametrize("vocabulary", [12, 40, 300])
@pytest.mark.parametrize("seed", range(2))
def test_fault_B1_long_uncertain_sentences_are_read_to_their_end(vocabulary, seed):
    """60 tokens that the decoder gives .5 each: nothing would be more probable than saying none, were that allowed."""
    rng = np.random.default_rng(seed)
    text = [int(token) for token in rng.integers(2, vocabulary, 60)]
    log_probs = torch.full((150, vocabulary), 0.1 / (vocabulary - 1))
    log_probs[:, BLANK] = 0.9
    spoken = torch.arange(60) * 2 + 10
    log_probs[spoken] = 0.5 / (vocabulary - 1)
    log_probs[spoken, text] = 0.5
    decode_step = uncertain(text, vocabulary, right=0.5, early=1e-5)
    tokens, score = joint_search(decode_step, log_probs.log(), beam=8, ctc_weight=0.1)
    assert tokens == text
    said = summed_line(log_probs.log(), text)
    assert score == pytest.approx(0.9 * 61 * math.log(0.5) + 0.1 * said, abs=1e-3)


def summed_line(log_probs: torch.Tensor, text: list[int]) -> float:
    """CTC's log-probability of one text, as the loss sums it."""
    frames = torch.tensor([len(log_probs)])
    loss = torch.nn.functional.ctc_loss(
        log_probs[:, None], torch.tensor([text]), frames, torch.tensor([len(text)]), reduction="sum"
    )
    return -float(loss)


def test_fault_B1_the_search_stops_once_ends_fall_behind():
    """ESPnet's rule: the best of three lengths in a row are 10 below the best of all, whatever bonuses may come."""
    vocabulary, steps = len(TOKENS), []

    def decode_step(last, rows, said):
        steps.append(len(last))
        follows = torch.full((len(last), vocabulary + 1), -4.0)
        follows[:, vocabulary] = -0.5
        return follows, None

    log_probs = torch.full((400, vocabulary), 1 / vocabulary).log()
    tokens, _ = joint_search(decode_step, log_probs, beam=4, ctc_weight=0.0, model=WordBonus(TOKENS, 1.0))
    assert tokens == []
    assert 6 < len(steps) < 16


def test_fault_B2_only_what_the_decoder_names_is_scored():
    """A beam and a half of tokens for each text: not one array of the search has the vocabulary beside frames."""
    asked: list[tuple[int, ...]] = []

    class Noting(NoModel):
        def scores(self, states, tokens):
            asked.append(tokens.shape)
            return super().scores(states, tokens)

    vocabulary, beam = 400, 6
    table = torch.log_softmax(torch.randn(vocabulary + 1, vocabulary + 1, generator=torch.manual_seed(0)), -1)
    log_probs = torch.log_softmax(torch.randn(30, vocabulary, generator=torch.manual_seed(1)), -1)
    found = joint_search(lambda last, rows, memory: (table[last], None), log_probs, beam=beam, model=Noting())
    assert len(asked) > 3
    assert {width for _, width in asked} == {9}
    assert max(texts for texts, _ in asked) <= beam
    assert len(found[0]) > 0
