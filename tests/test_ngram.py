"""n-gram models: against a slow direct Kneser-Ney, sums of one, back-off, KenLM, the verb."""

from __future__ import annotations

import itertools
import logging
import math
import random
import time
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lipsound2 import cli
from lipsound2.corpora.sentences import SLOTS
from lipsound2.data.datadir import DataDir
from lipsound2.decoding.arpa import END, START, UNKNOWN, LanguageModel
from lipsound2.decoding.ngram import FALLBACK, discounts, estimate, read_sentences, split
from lipsound2.errors import LipsoundError

SENTENCES = st.lists(st.lists(st.sampled_from("abcd"), max_size=6), min_size=1, max_size=30)


def grid_sentences(count: int, seed: int = 0) -> list[list[str]]:
    """Sentences of GRID's grammar whose last word follows from the two before it, so that trigrams have something."""
    generator = random.Random(seed)
    sentences = []
    for _ in range(count):
        codes = [generator.choice(list(slot)) for slot in SLOTS[:-1]]
        last = list(SLOTS[5])[sum(map(ord, codes[3:5])) % 4]
        sentences.append([slot[code] for slot, code in zip(SLOTS, [*codes, last], strict=True)])
    return sentences


class DirectKneserNey:
    """Interpolated modified Kneser-Ney as the formulas say it, by counting everything anew for every probability."""

    def __init__(self, sentences: list[list[str]], order: int) -> None:
        padded = [[START, *sentence, END] for sentence in sentences]
        self.order = min(order, max(map(len, padded)))
        self.words = sorted({word for sentence in sentences for word in sentence} | {END, UNKNOWN})
        occurrences = [
            tuple(sentence[i : i + n])
            for sentence in padded
            for n in range(1, self.order + 1)
            for i in range(len(sentence) - n + 1)
        ]
        seen = Counter(occurrences)
        before: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for ngram in seen:
            before[ngram[1:]].add(ngram[0])
        self.counts = {
            ngram: seen[ngram] if len(ngram) == self.order or ngram[0] == START else len(before[ngram])
            for ngram in seen
            if ngram != (START,)
        }
        self.discounts = {n: self._discounts(n) for n in range(1, self.order + 1)}

    def _discounts(self, n: int) -> tuple[float, ...]:
        of = Counter(count for ngram, count in self.counts.items() if len(ngram) == n)
        if not all(of[k] for k in (1, 2, 3, 4)):
            return FALLBACK
        y = of[1] / (of[1] + 2 * of[2])
        found = (1 - 2 * y * of[2] / of[1], 2 - 3 * y * of[3] / of[2], 3 - 4 * y * of[4] / of[3])
        return found if min(found) > 0 else FALLBACK

    def probability(self, history: tuple[str, ...], word: str) -> float:
        history = history[max(0, len(history) - self.order + 1) :]
        lower = self.probability(history[1:], word) if history else 1 / len(self.words)
        after = {n[-1]: c for n, c in self.counts.items() if n[:-1] == history}
        if not after:
            return lower
        taken = self.discounts[len(history) + 1]
        discount = {w: taken[min(c, 3) - 1] for w, c in after.items()}
        total = sum(after.values())
        own = (after[word] - discount[word]) / total if word in after else 0.0
        return own + sum(discount.values()) / total * lower


def histories(model: LanguageModel) -> set[tuple[str, ...]]:
    """Every context the model knows, and the empty one."""
    return {(), *(ngram[:-1] for table in model.tables for ngram in table)}


def one_probability_each(model: LanguageModel, context: tuple[str, ...]) -> float:
    return sum(10 ** model.score(context, token) for token in model.vocabulary)


def test_small_example_by_hand():
    # Bigrams: <s> a 3, a b 2, b </s> 2, a c 1, c </s> 1. Before a, b, c stands one word each, before </s> two.
    # Too small for discounts: .5 of a count of 1, 1 of 2, 1.5 of 3. Five things can be predicted.
    model = estimate([["a", "b"], ["a", "b"], ["a", "c"]], order=2)
    share = (0.5 + 0.5 + 0.5 + 1) / 5 / 5
    expected = {
        ("a",): 0.5 / 5 + share,
        (END,): 1 / 5 + share,
        (UNKNOWN,): share,
        ("a", "b"): (2 - 1) / 3 + 0.5 * 0.2,
        ("a", "c"): (1 - 0.5) / 3 + 0.5 * 0.2,
        (START, "a"): (3 - 1.5) / 3 + 0.5 * 0.2,
        ("b", END): (2 - 1) / 2 + 0.5 * 0.3,
    }
    for ngram, probability in expected.items():
        assert 10 ** model.score(ngram[:-1], ngram[-1]) == pytest.approx(probability, abs=1e-9), ngram
    assert 10 ** model.score(["a"], "a") == pytest.approx(0.5 * 0.2)  # never seen: weight of "a" times the lower order
    assert 10 ** model.score(["a"], "zebra") == pytest.approx(0.5 * 0.1)
    assert 10 ** model.sentence(["a", "b"]) == pytest.approx(0.6 * (1 / 3 + 0.1) * 0.65)


def test_modified_discounts_by_hand():
    # Four things seen once (</s> is one), two twice, one three times, one four times: Y = 4 / (4 + 2 x 2) = 1/2.
    found = [*"abc", *"dd", *"ee", *"fff", *"gggg"]
    model = estimate([found], order=1)
    taken = {1: 1 - 2 * 0.5 * 2 / 4, 2: 2 - 3 * 0.5 * 1 / 2, 3: 3 - 4 * 0.5 * 1 / 1}
    assert taken == {1: 0.5, 2: 1.25, 3: 1.0}
    share = (4 * 0.5 + 2 * 1.25 + 1 + 1) / 15 / 9
    for token, count in {**Counter(found), END: 1}.items():
        assert 10 ** model.score([], token) == pytest.approx((count - taken[min(count, 3)]) / 15 + share)
    assert 10 ** model.score([], UNKNOWN) == pytest.approx(share)


@pytest.mark.parametrize("counts", [[], [1, 1, 2, 3], [2, 2, 3, 4], [1, 2, 3, 3, 3, 3, 4, 5]])
def test_discounts_that_cannot_be_estimated(counts):
    assert discounts(np.array(counts, int)) is None  # the last gives a negative one


def test_fallback_is_said_in_one_line(caplog):
    with caplog.at_level(logging.INFO, "lipsound2"):
        estimate([["a", "b"]], order=3)
    assert caplog.messages == ["too little text to estimate the discounts of order 1, 2, 3: they are 0.5, 1 and 1.5"]


def test_a_text_with_enough_counts_estimates_its_discounts(caplog):
    generator = random.Random(1)
    text = [[f"w{min(int(generator.paretovariate(0.6)), 400)}" for _ in range(6)] for _ in range(400)]
    with caplog.at_level(logging.INFO, "lipsound2"):
        model = estimate(text, order=2)
    assert not caplog.messages
    direct = DirectKneserNey(text, 2)
    assert FALLBACK not in direct.discounts.values()
    for history, word in itertools.product([(), ("w1",), (START,), ("w399",)], ["w1", "w2", END, UNKNOWN]):
        assert 10 ** model.score(history, word) == pytest.approx(direct.probability(history, word), abs=1e-9)


@settings(max_examples=60)
@given(SENTENCES, st.integers(1, 4))
def test_probabilities_are_those_of_the_formulas(sentences, order):
    model, direct = estimate(sentences, order), DirectKneserNey(sentences, order)
    assert model.vocabulary == set(direct.words)
    # Contexts that were never seen, too.
    for history in {*histories(model), ("a", "b", "c"), (START, "d"), ("d", "d", "d", "d")}:
        for word in direct.words:
            assert 10 ** model.score(history, word) == pytest.approx(direct.probability(history, word), abs=1e-6)


@settings(max_examples=60)
@given(SENTENCES, st.integers(1, 4), st.lists(st.integers(0, 4), max_size=3))
def test_probabilities_sum_to_one_in_every_context(sentences, order, prune):
    model = estimate(sentences, order, [0, *sorted(prune)][:order])
    for context in histories(model):
        assert one_probability_each(model, context) == pytest.approx(1, abs=1e-6)


@settings(max_examples=40)
@given(SENTENCES, st.integers(1, 4), st.integers(0, 2))
def test_a_state_is_all_of_the_past_that_matters(sentences, order, threshold):
    model = estimate(sentences, order, [0, threshold][:order])
    for sentence in sentences:
        state = model.start
        past = [START]
        for token in [*sentence, "never-seen", *sentence]:
            score, state = model.advance(state, token)
            assert score == pytest.approx(model.score(past, token), abs=1e-12)
            past.append(token)
            assert state == model.state(past)
            assert len(state) < max(order, 1)
            full = model.state(past[-1:])
            assert state[len(state) - len(full) :] == full  # the longest known one, not a shorter


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SENTENCES, st.integers(1, 4), st.integers(0, 2))
def test_a_file_read_back_scores_the_same(tmp_path, sentences, order, threshold):
    model = estimate(sentences, order, [0, threshold][:order])
    first, second = tmp_path / "first.arpa", tmp_path / "second.arpa"
    model.write(first)
    again = LanguageModel.read(first)
    again.write(second)
    assert second.read_bytes() == first.read_bytes()
    assert again.order == model.order
    assert again.vocabulary == model.vocabulary
    for sentence in [*sentences, ["d", "never-seen", "a"]]:
        assert again.sentence(sentence) == pytest.approx(model.sentence(sentence), abs=1e-5)
    for context in histories(again):
        assert one_probability_each(again, context) == pytest.approx(1, abs=1e-6)


def test_back_off_is_weight_times_lower_order():
    model = estimate(grid_sentences(300), order=3)
    trigrams, words = model.tables[2], sorted(model.vocabulary)
    contexts = sorted({ngram[:-1] for ngram in trigrams})
    assert contexts
    for context in contexts:
        weights = [
            model.score(context, w) - model.score(context[1:], w) for w in words if (*context, w) not in trigrams
        ]
        assert max(weights) - min(weights) < 1e-9
        listed = sum(10 ** model.score(context, w) for w in words if (*context, w) in trigrams)
        lower = sum(10 ** model.score(context[1:], w) for w in words if (*context, w) in trigrams)
        assert 10 ** weights[0] == pytest.approx((1 - listed) / (1 - lower), abs=1e-6)
    assert model.score(["zebra", "bin"], "blue") == model.score(["bin"], "blue")


def test_an_order_1_model():
    sentences = grid_sentences(50)
    model = estimate(sentences, order=1)
    assert model.order == 1
    assert model.start == model.state(["bin", "blue"]) == ()
    assert model.score(["bin"], "blue") == model.score([], "blue") == model.advance((), "blue")[0]
    assert model.sentence(sentences[0]) == pytest.approx(sum(model.score([], w) for w in [*sentences[0], END]))
    assert one_probability_each(model, ()) == pytest.approx(1, abs=1e-6)


def test_an_order_above_the_longest_sentence_is_lowered(caplog):
    with caplog.at_level(logging.INFO, "lipsound2"):
        model = estimate([["a"], ["b"]], order=7)
    assert model.order == 3
    assert "so the order is that" in caplog.messages[0]
    assert model.sentence(["a"]) == estimate([["a"], ["b"]], order=3).sentence(["a"])


def perplexity(model: LanguageModel, sentences: list[list[str]]) -> float:
    tokens = sum(len(sentence) + 1 for sentence in sentences)
    return float(10 ** (-sum(map(model.sentence, sentences)) / tokens))


def test_perplexity_falls_with_the_order():
    sentences = grid_sentences(1000)
    held_out = grid_sentences(200, seed=1)
    one, two, three = (perplexity(estimate(sentences, order), held_out) for order in (1, 2, 3))
    assert two < 0.3 * one
    assert three < 0.9 * two
    assert 1.02 * perplexity(estimate(sentences, 3), sentences) < three


@pytest.mark.parametrize("order", [1, 2, 3])
def test_held_out_perplexity_beats_add_one(order):
    sentences, held_out = grid_sentences(300), grid_sentences(200, seed=1)
    held_out[0][2] = "never-seen"
    model = estimate(sentences, order)
    seen: Counter[tuple[str, ...]] = Counter()
    for sentence in sentences:
        padded = [START] * (order - 1) + [*sentence, END]
        for i in range(order - 1, len(padded)):
            seen[tuple(padded[i - order + 1 : i + 1])] += 1
    contexts: Counter[tuple[str, ...]] = Counter()
    for ngram, count in seen.items():
        contexts[ngram[:-1]] += count
    total, tokens = 0.0, 0
    for sentence in held_out:
        padded = [START] * (order - 1) + [w if (w,) in model.tables[0] else UNKNOWN for w in sentence] + [END]
        for i in range(order - 1, len(padded)):
            ngram = tuple(padded[i - order + 1 : i + 1])
            total += math.log10((seen[ngram] + 1) / (contexts[ngram[:-1]] + len(model.vocabulary)))
            tokens += 1
    add_one = 10 ** (-total / tokens)
    # A unigram model of a text with few words, all frequent, leaves nothing to smooth.
    assert perplexity(model, held_out) < (add_one * 1.01 if order == 1 else 0.9 * add_one)


def test_pruned_ngrams_are_gone_and_the_rest_stands():
    sentences = grid_sentences(300)
    whole, pruned = estimate(sentences, 3), estimate(sentences, 3, [0, 0, 1])
    seen = Counter(t for s in sentences for p in [[START, *s, END]] for t in itertools.pairwise(itertools.pairwise(p)))
    expected = {(a, b, c) for ((a, b), (_, c)), count in seen.items() if count > 1}
    assert pruned.tables[2].keys() == expected
    assert pruned.tables[:2] == whole.tables[:2]
    assert len(expected) < len(whole.tables[2])


@pytest.mark.parametrize(("order", "unit", "prune"), [(2, "words", "0"), (3, "words", "0,0,1"), (5, "characters", "0")])
def test_kenlm_reads_our_files_and_agrees(tmp_path, order, unit, prune):
    kenlm = pytest.importorskip("kenlm")
    model = estimate([split(" ".join(s), unit) for s in grid_sentences(300)], order, [int(n) for n in prune.split(",")])
    path = tmp_path / "lm.arpa"
    model.write(path)
    theirs = kenlm.LanguageModel(str(path))
    assert theirs.order == order
    held_out = [split(" ".join(s), unit) for s in grid_sentences(100, seed=1)]
    for tokens in [*held_out, [], ["never-seen"], ["a", "never-seen", "now", "now", "bin"]]:
        assert model.sentence(tokens) == pytest.approx(theirs.score(" ".join(tokens)), abs=1e-4)
        unended = theirs.score(" ".join(tokens), eos=False)
        assert model.sentence(tokens, end=False) == pytest.approx(unended, abs=1e-4)


# --- text and the verb


def test_words_and_characters():
    assert split(" bin  blue\t", "words") == ["bin", "blue"]
    assert split(" bin  blue\t", "characters") == [*"bin|blue"]


def test_a_file_is_sentences_and_a_data_dir_is_its_text_table(tmp_path):
    plain = tmp_path / "sentences.txt"
    plain.write_bytes("\ufeffbin blue\r\n\n  \nlay gr\u00fcn\u00a0now".encode())
    assert list(read_sentences(plain)) == [["bin", "blue"], ["lay", "gr\u00fcn", "now"]]
    DataDir.write(tmp_path / "data", utt2spk={"s1-a": "s1", "s1-b": "s1"}, text={"s1-a": "bin blue", "s1-b": "lay"})
    for path in (tmp_path / "data", tmp_path / "data" / "text"):
        assert list(read_sentences(path)) == [["bin", "blue"], ["lay"]]
    alone = tmp_path / "text"
    alone.write_text("bin blue\n")
    assert list(read_sentences(alone)) == [["bin", "blue"]]


def test_texts_are_normalized_as_a_recognizer_learns_them(tmp_path):
    path = tmp_path / "texts"
    path.write_text("'TIS THE OLD MAN'S BOAT\n\n!\n", encoding="utf-8")
    assert list(read_sentences(path, language="en")) == [["tis", "the", "old", "man's", "boat"]]
    path.write_text("换 一 首 歌 A\n", encoding="utf-8")
    assert list(read_sentences(path, "characters", "zh")) == [["换", "一", "首", "歌", "a"]]
    with pytest.raises(LipsoundError, match="texts of the language 'xx' cannot be normalized"):
        list(read_sentences(path, language="xx"))


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        (b"", "words", "expected one sentence a line, found none"),
        (b" \n\n", "words", "expected one sentence a line, found none"),
        (b"a\nb \xff\n", "words", ":2: expected UTF-8 text, found b'b \\xff'"),
        (b"a\nb <s> c\n", "words", ":2: expected words, found '<s>', which the model needs for itself; remove it"),
        (b"a </s>\n", "characters", ":1: expected words, found '</s>'"),
        (b"<unk>\n", "words", ":1: expected words, found '<unk>'"),
        (b"a|b\n", "characters", ":1: expected no '|', which stands for the blanks between words, found 'a|b'"),
    ],
)
def test_texts_that_cannot_be_used(tmp_path, text, unit, message):
    path = tmp_path / "text.txt"
    path.write_bytes(text)
    with pytest.raises(LipsoundError) as error:
        list(read_sentences(path, unit))
    assert message in str(error.value)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_texts_that_are_not_there(tmp_path):
    with pytest.raises(LipsoundError, match=r"nowhere\.txt: no such file"):
        list(read_sentences(tmp_path / "nowhere.txt"))
    with pytest.raises(LipsoundError, match="not a data dir"):
        list(read_sentences(tmp_path))
    DataDir.write(tmp_path / "data", utt2spk={"s1-a": "s1"})
    with pytest.raises(LipsoundError, match="expected a table 'text'"):
        list(read_sentences(tmp_path / "data"))


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ([], "at least one sentence"),
        ([["a", START]], "without reserved tokens, found '<s>'"),
        ([["a b"]], "without blanks"),
        ([[""]], "without blanks"),
    ],
)
def test_sentences_that_cannot_be_used(sentences, message):
    with pytest.raises(LipsoundError, match=message):
        estimate(sentences)


@pytest.mark.parametrize(
    ("order", "prune"), [(0, (0,)), (-1, (0,)), (2, ()), (2, (1, 1)), (3, (0, 2, 1)), (2, (0, 0, 1))]
)
def test_orders_and_prunings_that_cannot_be(order, prune):
    with pytest.raises(LipsoundError, match=r"^expected"):
        estimate([["a"]], order, prune)


def test_the_verb(tmp_path, capsys):
    text, out = tmp_path / "text.txt", tmp_path / "lm" / "grid.arpa"
    sentences = grid_sentences(100)
    text.write_text("".join(f"{' '.join(sentence)}\n" for sentence in sentences))
    assert cli.main(["ngram", str(text), str(out), "--order", "2", "--prune", "0,1"]) == 0
    assert LanguageModel.read(out).tables[1].keys() == estimate(sentences, 2, [0, 1]).tables[1].keys()
    assert cli.main(["ngram", str(text), str(out), "--unit", "characters", "--order", "4"]) == 0
    model = LanguageModel.read(out)
    assert "|" in model.vocabulary
    assert model.score([*"bin"], "|") > math.log10(0.5)
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    before = out.read_bytes()
    capsys.readouterr()
    assert cli.main(["ngram", str(text), str(out), "--prune", "1"]) == 1
    assert capsys.readouterr().err.startswith("lipsound2 ngram: expected")
    assert out.read_bytes() == before


def test_a_thousand_sentences_take_no_time(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{' '.join(sentence)}\n" for sentence in grid_sentences(1000)))
    start = time.process_time()
    cli.main(["ngram", str(text), str(tmp_path / "lm.arpa")])
    LanguageModel.read(tmp_path / "lm.arpa")
    assert time.process_time() - start < 10  # far from what a slow search of n-grams would take
