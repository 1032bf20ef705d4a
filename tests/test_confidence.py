"""How sure a text is: against sums over every path and every sentence, and on real audio."""

from __future__ import annotations

import itertools
import math
import re
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from test_beam import TOKENS, random_log_probs, summed

from lipsound2 import experiment, model_names
from lipsound2.audio.io import load_audio, write_wav
from lipsound2.cli import main
from lipsound2.data.datadir import DataDir
from lipsound2.data.yaml_files import write_yaml
from lipsound2.decoding.beam import NoModel, greedy_hypothesis, search
from lipsound2.decoding.calibration import Calibration, Platt, facts, load, save
from lipsound2.decoding.confidence import by_text, with_doubt
from lipsound2.decoding.ctc import Graph, greedy, hypothesis, viterbi
from lipsound2.decoding.grammar import Grammar
from lipsound2.decoding.graph_posterior import graph_n_best, word_posteriors
from lipsound2.decoding.hypothesis import Alternative, Hypothesis, Word, read_words, write_words
from lipsound2.decoding.phrases import forward_scores
from lipsound2.decoding.pretrained_asr import PocketSphinx
from lipsound2.decoding.search_options import SearchOptions
from lipsound2.errors import LipsoundError
from lipsound2.inference.fold_calibration import calibrate_by_folds
from lipsound2.inference.lip_to_speech import windows_of
from lipsound2.inference.recognizers import TrainedRecognizer
from lipsound2.inference.vocoders import LoadedVocoder
from lipsound2.metrics.confidence import Judged, judge, reliability, summary
from lipsound2.tasks.regress import Regress
from lipsound2.text.tokenizer import Characters
from lipsound2.training import average
from lipsound2.training.average import Evaluated
from lipsound2.video.cropper import Cropper


@given(st.integers(0, 10_000))
@settings(max_examples=10)
def test_the_probability_of_a_text_is_the_sum_over_its_paths(seed):
    log_probs = random_log_probs(5, seed)
    texts = summed(log_probs)
    chosen = list(texts)[:40]
    assert forward_scores(log_probs, [*chosen, ()])[:-1] == pytest.approx([texts[text] for text in chosen], abs=1e-4)
    assert forward_scores(log_probs, [()])[0] == pytest.approx(texts[()], abs=1e-4)
    assert forward_scores(log_probs, [(2,) * 4])[0] == -math.inf  # five frames do not hold it


GRAMMAR = Grammar("small", (("a", "b", "ab"), ("a", "ba"), ("b", "aa")))


@given(st.integers(0, 10_000), st.integers(9, 14))
@settings(max_examples=15)
def test_sentences_of_a_grammar_have_their_exact_shares(seed, frames):
    log_probs = random_log_probs(frames, seed)
    graph = Graph.of(GRAMMAR, TOKENS)
    words = [[tuple(word) for word in slot] for slot in graph.slots]
    sentences = [tuple(itertools.chain(*chosen)) for chosen in itertools.product(*words)]
    scores = forward_scores(log_probs, sentences)
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
@settings(max_examples=25)
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


def test_greedy_decoding_of_a_large_vocabulary_looks_at_likely_tokens_alone():
    """Of each frame the 64 best: a beam over thousands of equal tokens would take seconds a clip."""
    rng = np.random.default_rng(0)
    many = Characters([chr(0x4E00 + number) for number in range(1000)])
    log_probs = np.log(rng.dirichlet(np.full(len(many), 10.0), 20)).astype(np.float32)
    found = greedy_hypothesis(log_probs, many, 0.04)
    assert found.text == hypothesis(greedy(log_probs), many, 0.04).text
    assert found.confidence is not None
    tokens = [token.token for token in greedy(log_probs)]
    assert found.confidence == pytest.approx(math.exp(forward_scores(log_probs, [tokens])[0]), rel=1e-6)
    assert len(found.alternatives) == 10


# Calibration


def test_calibration_finds_the_numbers_that_made_the_errors():
    rng = np.random.default_rng(0)
    claimed = rng.uniform(0.02, 0.98, 20_000)
    made = Platt(0.5, -0.8)
    right = rng.uniform(size=len(claimed)) < [made(share) for share in claimed]
    found = Platt.fit(claimed, right)
    assert (found.slope, found.offset) == pytest.approx((0.5, -0.8), abs=0.08)
    assert Judged(np.array([found(share) for share in claimed]), right).ece < 0.02 < Judged(claimed, right).ece


@pytest.mark.parametrize("right", [np.ones(40, bool), np.zeros(40, bool), np.arange(40) < 20])
def test_calibration_is_finite_and_never_turns_the_order_round(right):
    for claimed in (np.linspace(0.1, 0.9, 40), np.full(40, 0.7), np.repeat([0.0, 1.0], 20)):
        found = Platt.fit(claimed, right)
        assert found.slope >= 0
        shares = [found(share) for share in (0.0, 0.3, 0.7, 1.0)]
        assert shares == sorted(shares)
        assert shares[0] > 0
        assert shares[-1] < 1


def test_what_is_left_goes_to_the_alternatives():
    what = Hypothesis(
        "a b", [Word("a", 0, 1, 0.9), Word("b", 1, 2, None)], 0.0, 0.8, [Alternative("a", 0.15), Alternative("b", 0.05)]
    )
    sure = Calibration(Platt(1.0, 0.0), Platt(1.0, -math.log(4)))(what)
    assert [word.confidence for word in sure.words] == [pytest.approx(0.9), None]
    assert sure.confidence == pytest.approx(0.5)
    assert [each.probability for each in sure.alternatives] == pytest.approx([0.375, 0.125])
    assert (sure.text, sure.score) == (what.text, what.score)
    assert Calibration(Platt(1.0, 0.0), Platt(2.0, 1.0))(Hypothesis("a")) == Hypothesis("a")


def test_calibrations_are_kept_for_each_way_of_decoding(tmp_path):
    assert load(tmp_path, "greedy") is None
    first, second = Calibration(Platt(1.5, 0.25), Platt(0.5, -1.0)), Calibration(Platt(1.0, 0.0), Platt(2.0, 0.0))
    save(tmp_path, "greedy", first, {"clips": 50})
    save(tmp_path, SearchOptions(grammar="grid").filled().way, second, {"clips": 40})
    assert load(tmp_path, SearchOptions().filled().way) == first
    assert load(tmp_path, "grammar grid") == second
    assert load(tmp_path, SearchOptions(beam=8).filled().way) is None
    assert facts(tmp_path) == {"Confidences": "calibrated for greedy (50 clips), grammar grid (40 clips)"}
    for broken in ({"words": [1, 2]}, {"words": [1], "text": [1, 2]}, {"words": [-1, 0], "text": [1, 0]}, 7):
        write_yaml(tmp_path / "calibration.yaml", {"greedy": broken})
        with pytest.raises(LipsoundError, match=r"calibration.yaml: expected '\w+' with a slope and an offset"):
            load(tmp_path, "greedy")


@pytest.mark.parametrize(
    "pair", ["[.nan, 0]", "[1, .nan]", "[.inf, 0]", "[1, -.inf]", "[1.0e+308, 1]", f"[1{'0' * 400}, 0]", "[1, 1001]"]
)
def test_fault_numbers_that_no_fit_gives_are_refused(pair, tmp_path):
    (tmp_path / "calibration.yaml").write_text(f"greedy:\n  words: {pair}\n  text: [1.0, 0.0]\n")
    for read in (lambda: load(tmp_path, "greedy"), lambda: facts(tmp_path)):
        with pytest.raises(LipsoundError, match=r"calibration.yaml: expected 'words' .* found .{,62}; remove the file"):
            read()


def test_fault_a_way_without_numbers_is_told(tmp_path):
    (tmp_path / "calibration.yaml").write_text("greedy:\n")
    with pytest.raises(LipsoundError, match=r"expected 'words' .* found None; remove the file and calibrate again"):
        load(tmp_path, "greedy")
    assert load(tmp_path, "beam") is None


@pytest.mark.parametrize("name", ["grid-s1-asr", "grid-s1-vsr"])
def test_the_card_of_a_recognizer_that_ships_says_what_it_was_calibrated_for(name):
    folder = model_names.find(name)
    (told,) = facts(folder).values()
    assert f"* Confidences: {told}" in (folder / "card.md").read_text().splitlines()


def test_a_calibration_goes_with_the_weights_it_was_made_for(tmp_path):
    rows = [Evaluated(number, number, 0.5) for number in (1, 2)]
    (tmp_path / "checkpoints").mkdir()
    for row in rows:
        save_file({"a": torch.full((3,), float(row.update))}, tmp_path / "checkpoints" / row.file)
    average.write_average(tmp_path, rows[:1], tmp_path / average.MODEL)
    save(tmp_path, "greedy", Calibration(Platt(1.0, 0.0), Platt(1.0, 0.0)), {"clips": 50})
    average.write_average(tmp_path, rows[:1], tmp_path / average.MODEL)
    assert load(tmp_path, "greedy") is not None, "the same weights again"
    average.write_average(tmp_path, rows, tmp_path / average.MODEL)
    assert load(tmp_path, "greedy") is None


def test_confidences_of_folds_are_those_of_the_model_of_all_clips(tmp_path, capsys, caplog):
    """What overstates how often it is right is brought down, also in clips that the numbers were not fitted on."""
    rng = np.random.default_rng(0)
    said = {f"c{number:02}": "bin blue now" for number in range(40)}
    found = {
        name: words_of(
            " ".join(word if rng.uniform() < 0.6 else "set" for word in text.split()), (0.99, 0.97, 0.95), 0.9
        )
        for name, text in said.items()
    }
    write_words(tmp_path / "read" / "words.jsonl", found)
    assert read_words(tmp_path / "read" / "words.jsonl") == found
    data = DataDir.write(tmp_path / "data", utt2spk=dict.fromkeys(said, "s"), text=said).path
    model = tmp_path / "model"
    model.mkdir()
    write_yaml(model / "config.yaml", {"task": "recognize"})
    calibrate_by_folds(model, data, tmp_path / "read", language="en")
    fitted = load(model, "greedy")
    assert fitted is not None
    wrong = sum(word.text == "set" for what in found.values() for word in what.words)
    assert fitted.words(0.97) == pytest.approx(1 - wrong / 120, abs=0.05)
    before, after = (
        float(row.split("|")[-2]) for row in capsys.readouterr().out.splitlines() if re.search(r"\| words \|", row)
    )
    assert after < 0.1 < 0.3 < before
    assert not caplog.text
    write_words(tmp_path / "read" / "words.jsonl", dict.fromkeys(said, Hypothesis("")))
    with pytest.raises(LipsoundError, match="no clip has a text with confidences"):
        calibrate_by_folds(model, data, tmp_path / "read", language="en")
    (tmp_path / "read" / "words.jsonl").write_text('{"id": "c00", "text": 3}\n')
    with pytest.raises(LipsoundError, match=r"words.jsonl, line 1.*text.*found 3"):
        read_words(tmp_path / "read" / "words.jsonl")


def test_how_well_confidences_tell_right_from_wrong():
    judged = Judged(np.array([0.95, 0.85, 0.85, 0.15]), np.array([True, True, False, False]))
    assert judged.auroc == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert judged.ece == pytest.approx((0.05 + 2 * 0.35 + 0.15) / 4)
    assert math.isnan(Judged(np.array([0.5]), np.array([True])).auroc)
    sure = Judged(np.array([0.5]), np.array([True]))
    assert "| a | words | 1 | 1.000 | 0.500 | - | 0.500 |" in summary({"a": (sure, sure)})
    assert "| 0.8 to 0.9 | 0.50 of 2 |" in reliability({"a": judged})
    words, texts = judge({"c": words_of("bin blue soon now", (0.9, 0.8, 0.2, 0.7), 0.3)}, {"c": "Bin blue now"}, "en")
    assert words.right.tolist() == [True, True, False, True]
    assert texts.right.tolist() == [False]
    assert "| clips | words | 4 | 0.750 |" in summary({"clips": (words, texts)})
    with pytest.raises(LipsoundError, match="no clip has a text with confidences"):
        judge({"c": Hypothesis("bin")}, {"c": "bin"}, "en")


def words_of(text: str, confidences: tuple[float, ...], sure: float) -> Hypothesis:
    rows = [Word(word, n, n + 1, confidences[n]) for n, word in enumerate(text.split())]
    return Hypothesis(text, rows, 0.0, sure)


# With the recognizer that ships


@pytest.fixture(scope="module")
def said(grid) -> dict[str, np.ndarray]:
    """Real audio of some validation clips, by their text."""
    rows = [line.split("\t") for line in (grid / "lists/valid.tsv").read_text().splitlines()[:12]]
    return {text: load_audio(grid / file) for _, file, text in rows}


@pytest.mark.real
@pytest.mark.parametrize(
    "options",
    [SearchOptions(), SearchOptions(beam=8), SearchOptions(grammar="grid"), SearchOptions(ctc_weight=0.3, beam=8)],
    ids=lambda options: options.filled().way,
)
def test_garbled_audio_is_less_sure_than_what_was_said(said, options):
    pytest.importorskip("sentencepiece")
    recognizer = TrainedRecognizer("grid-s1-asr", options)
    assert recognizer.calibration is not None
    rng = np.random.default_rng(0)
    for text, waveform in [*said.items()][:4]:
        noise = rng.standard_normal(len(waveform)) * waveform.std()
        whole, garbled, reversed_ = recognizer.recognize(
            [waveform, (waveform + 2 * noise).astype(np.float32), waveform[::-1].copy()]
        )
        assert whole.text == text
        for found in (whole, garbled, reversed_):
            assert found.confidence is not None
            assert 0 <= found.confidence <= 1
            shares = [each.probability for each in found.alternatives]
            assert shares == sorted(shares, reverse=True)
            assert found.confidence + sum(shares) <= 1 + 1e-9
            texts = [found.text, *(each.text for each in found.alternatives)]
            assert len(set(texts)) == len(texts)
            assert all(word.confidence is not None and 0 <= word.confidence <= 1 for word in found.words)
        assert whole.confidence > 2 * max(garbled.confidence, reversed_.confidence)
        lowest = [min((word.confidence for word in found.words), default=0.0) for found in (whole, garbled, reversed_)]
        assert lowest[0] > max(lowest[1:])


@pytest.mark.real
def test_the_verb_calibrates_and_texts_stay(said, tmp_path, capsys, caplog):
    pytest.importorskip("sentencepiece")
    exp = tmp_path / "asr"
    shutil.copytree(model_names.find("grid-s1-asr"), exp)
    (exp / "calibration.yaml").unlink()
    ids = {f"s1-{number:02}": text for number, text in enumerate(said)}
    for name, text in ids.items():
        write_wav(tmp_path / f"{name}.wav", said[text])
    wavs = {name: str(tmp_path / f"{name}.wav") for name in ids}
    wrong = {**ids, "s1-00": "set white with z nine please"}
    data = DataDir.write(tmp_path / "data", utt2spk=dict.fromkeys(ids, "s1"), wav=wavs, text=wrong).path
    before = TrainedRecognizer(str(exp)).recognize([*said.values()])
    assert main(["calibrate", str(exp), str(data), "--test", str(data)]) == 0
    shown = capsys.readouterr().out
    assert "| AUROC |" in shown
    assert "wrong words: the numbers are loose; take more clips" in caplog.text
    assert "way of decoding 'greedy'" in shown
    after = TrainedRecognizer(str(exp)).recognize([*said.values()])
    assert [what.text for what in after] == [what.text for what in before]
    assert [what.confidence for what in after] != [what.confidence for what in before]
    assert TrainedRecognizer(str(exp), SearchOptions(beam=4)).calibration is None
    DataDir.write(tmp_path / "bare", utt2spk=dict.fromkeys(ids, "s1"), wav=wavs)
    for words, told in (
        ([str(exp), str(tmp_path / "bare")], "has no 'text' to compare with"),
        (["pocketsphinx:grid", str(data)], "only recognizers trained with lipsound2 are calibrated"),
    ):
        assert main(["calibrate", *words]) == 1
        assert told in capsys.readouterr().err


@pytest.mark.real
def test_pocketsphinx_has_probabilities_of_its_own(said):
    pytest.importorskip("pocketsphinx")
    recognizer = PocketSphinx("grid")
    clips = [*said.values()][:6]
    rng = np.random.default_rng(0)
    noisy = [(clip + 0.3 * clip.std() * rng.standard_normal(len(clip))).astype(np.float32) for clip in clips]
    sure, doubtful = ([recognizer.recognize([clip])[0] for clip in found] for found in (clips, noisy))
    means = [np.mean([word.confidence for what in found for word in what.words]) for found in (sure, doubtful)]
    assert 1 > means[0] > means[1] + 0.1
    for what in sure:
        assert what.confidence == pytest.approx(math.prod(word.confidence for word in what.words))


@pytest.mark.real
def test_lips_that_run_backwards_are_less_sure(grid):
    pytest.importorskip("mediapipe")
    clip = grid / "s1/bbil3s.mp4"
    frames = Cropper(("mouth",))(clip).regions["mouth"]
    spoken = generate_speech(frames), generate_speech(frames[::-1].copy())
    whole, backwards = TrainedRecognizer("grid-s1-asr").recognize(spoken)
    assert whole.text == "bin blue in l three soon"
    assert whole.confidence > 0.5 > 2 * backwards.confidence
    assert np.mean([word.confidence for word in whole.words]) > np.mean([word.confidence for word in backwards.words])


def generate_speech(crops: np.ndarray) -> np.ndarray:
    """Speech of mouth crops by the model that ships, with Griffin-Lim."""
    loaded = experiment.load("grid-s1-parallel", task=Regress)
    return LoadedVocoder("griffin-lim")(windows_of(loaded, len(crops)).whole(crops))
