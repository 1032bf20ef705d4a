"""Own sentences: scores against torch's CTC loss, rankings, readers."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.video_making import write_clip

import lipsound2
from lipsound2 import experiment
from lipsound2.audio.io import write_wav
from lipsound2.decoding.hypothesis import Hypothesis, joined, to_json
from lipsound2.decoding.phrases import PhraseCalibration, forward_scores, rank, sentence_scores
from lipsound2.decoding.search_options import SearchOptions
from lipsound2.errors import LipsoundError
from lipsound2.inference.lip_words import LipWordReader, lip_ranker
from lipsound2.inference.phrase_lines import phrase_lines
from lipsound2.inference.phrases import Phrases, ranked
from lipsound2.inference.recognizers import recognizer
from lipsound2.inference.transcribe import transcribe
from lipsound2.inference.transcriber import Transcriber
from lipsound2.tasks.regress import Regress
from lipsound2.text.piece_table import PieceTable
from lipsound2.text.tokenizer import Characters, Pieces
from lipsound2.text.tokens import _train_pieces

PLAIN = PhraseCalibration(1.0, 1.0)


def random_log_probs(frames: int, classes: int, seed: int = 0) -> np.ndarray:
    return np.log(np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), frames)).astype(np.float32)


def spoken(tokens: list[int], classes: int, frames: int = 4, sure: float = 0.95) -> np.ndarray:
    """Log-probabilities of a clip in which each token lasts some frames, with a blank between."""
    path = [token for each in tokens for token in [each] * frames + [0]]
    found = np.full((len(path), classes), (1 - sure) / (classes - 1))
    found[np.arange(len(path)), path] = sure
    return np.log(found)


def test_scores_are_those_of_torchs_ctc_loss():
    """Any lengths, repeated tokens, the empty text, and texts for which the clip is too short."""
    rng = np.random.default_rng(1)
    log_probs = random_log_probs(12, 7)
    texts = [rng.integers(1, 7, rng.integers(0, 15)).tolist() for _ in range(200)] + [[2] * 6, [2] * 7, [], [3]]
    wanted = [
        -torch.nn.functional.ctc_loss(
            torch.tensor(log_probs).double()[:, None],
            torch.tensor([text], dtype=torch.long).reshape(1, -1),
            (len(log_probs),),
            (len(text),),
            reduction="sum",
        ).item()
        for text in texts
    ]
    found = forward_scores(log_probs, texts)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert np.isneginf(found).any()
    assert np.isfinite(found).any()


def test_all_texts_together_have_probability_one():
    log_probs = random_log_probs(4, 3)
    texts: list[list[int]] = [[]]
    for text in texts:
        if len(text) < 4:
            texts += [[*text, 1], [*text, 2]]
    assert np.exp(forward_scores(log_probs, texts)).sum() == pytest.approx(1)


def test_two_hundred_sentences_take_well_under_a_second():
    texts = [np.random.default_rng(n).integers(1, 53, 6).tolist() for n in range(200)]
    log_probs, best = random_log_probs(75, 53), np.inf
    for _ in range(3):
        started = time.perf_counter()
        forward_scores(log_probs, texts)
        best = min(best, time.perf_counter() - started)
    assert best < 0.5


def test_a_ranking_does_not_depend_on_the_order_of_the_list():
    rng = np.random.default_rng(2)
    texts = [rng.integers(1, 9, 4).tolist() for _ in range(40)]
    names = [" ".join(map(str, text)) for text in texts]
    log_probs = random_log_probs(30, 9)
    first = rank(log_probs, names, [[text] for text in texts], PLAIN)
    order = rng.permutation(40)
    second = rank(log_probs, [names[n] for n in order], [[texts[n]] for n in order], PLAIN)
    assert [each.text for each in first.choices] == [each.text for each in second.choices]
    assert first.none == pytest.approx(second.none)
    assert sum(each.probability for each in first.choices) + first.none == pytest.approx(1)
    scores = [each.score for each in first.choices]
    assert scores == sorted(scores, reverse=True)


def test_what_was_said_is_found_and_anything_else_is_none_of_these():
    texts = [[1, 2, 3], [1, 4, 3], [5, 6, 7]]
    names = ["one two three", "one four three", "five six seven"]
    found = rank(spoken([1, 4, 3], 9), names, [[text] for text in texts], PLAIN)
    assert found.text == "one four three"
    assert found.confidence == found.choices[0].probability > 0.9
    garbage = rank(spoken([8, 8, 8, 8], 9), names, [[text] for text in texts], PLAIN)
    assert garbage.text == ""
    assert garbage.confidence == garbage.none > 0.9
    # Too short for any of them, or no frame at all.
    for log_probs in (spoken([1], 9, 1), np.zeros((0, 9))):
        assert rank(log_probs, names, [[text] for text in texts], PLAIN).text == ""
    assert rank(spoken([1], 9), [], [], PLAIN).none == 1


def test_a_longer_list_needs_a_clearer_clip():
    log_probs = spoken([1, 2, 3], 60, sure=0.6)
    few = rank(log_probs, ["a"], [[[1, 2, 3]]], PLAIN)
    others = [[[n, n + 1, n + 2]] for n in range(10, 50)]
    many = rank(log_probs, ["a", *map(str, range(10, 50))], [[[1, 2, 3]], *others], PLAIN)
    assert many.none > few.none
    assert many.choices[0].text == "a"


def test_ways_to_cut_a_sentence_count_together():
    log_probs = random_log_probs(10, 6)
    one, other = forward_scores(log_probs, [[1, 2], [3]])
    (both, single) = sentence_scores(log_probs, [[[1, 2], [3]], [[4]]])
    assert both == pytest.approx(np.logaddexp(one, other))
    assert single == pytest.approx(forward_scores(log_probs, [[4]])[0])


def test_unigram_pieces_have_several_ways_and_other_tokenizers_one():
    pytest.importorskip("sentencepiece")
    texts = ["bin blue", "blue bin bin", "in blue bins", "lubin"] * 5
    unigram = Pieces(_train_pieces(texts, "unigram", 14), "unigram")
    ways = unigram.segmentations("blue bin", 4)
    assert 1 < len(ways) <= 4
    assert ways[0] == unigram.encode("blue bin")
    assert {unigram.decode(way) for way in ways} == {"blue bin"}
    assert Pieces(_train_pieces(texts, "word", 6), "words").segmentations("blue bin", 4) != []
    characters = Characters.of(texts)
    assert characters.segmentations("blue bin", 4) == [characters.encode("blue bin")]
    assert characters.segmentations("blue xyz", 4) == []


def test_ten_thousand_lines(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["".join(rng.choice([*"abcdefgh "], 12)) for _ in range(10_000)]
    (tmp_path / "mine.txt").write_text("\n".join(lines))
    letters = Characters.of(["abcdefgh "])
    phrases = Phrases.read(tmp_path / "mine.txt")
    texts = phrases.spelled(lambda text: letters.segmentations(text, 4), lambda text: [], "reader")
    truth = 77
    found = ranked(spoken(texts[truth][0], len(letters)), 0.04, phrases, texts, PLAIN)
    assert found.text == phrases.texts[truth]
    assert len(found.phrases[0].choices) == len(phrases.texts) > 9000
    assert len(found.alternatives) == 20


def test_rankings_of_stretches_are_joined_with_their_times():
    phrases = Phrases.of(["a b", "b a"])
    letters = Characters.of(["ab "])
    texts = phrases.spelled(lambda text: letters.segmentations(text, 1), lambda text: [], "reader")
    parts = [ranked(spoken(texts[n][0], len(letters)), 0.1, phrases, texts, PLAIN) for n in (0, 1)]
    whole = joined([(0.0, parts[0]), (3.0, parts[1])])
    assert isinstance(whole, Hypothesis)
    assert whole.text == "a b b a"
    assert [round(each.start, 2) for each in whole.phrases] == [0.0, 3.0]
    row = to_json(whole)["phrases"][1]
    assert row["choices"][0]["text"] == "b a"
    assert row["none"] + sum(each["probability"] for each in row["choices"]) == pytest.approx(1, abs=0.001)
    assert "phrases" not in to_json(Hypothesis("a"))
    lines = phrase_lines(whole.phrases).splitlines()
    assert lines[0] == "0.00 to 1.50 s"
    assert lines[1].endswith("%  a b")
    assert "(none of these)" in phrase_lines(parts[0].phrases[:1])


def test_words_of_the_best_sentence_have_their_times_whatever_the_tokens_are():
    pytest.importorskip("sentencepiece")
    texts = ["bin blue", "blue bin bin", "in blue bins", "lubin"] * 5
    tables = [PieceTable([*"BLUEIN", "\u2581", "\u2581B"]), Characters.of(texts)]
    tables += [Pieces(_train_pieces(texts, *how), how[0]) for how in (("unigram", 14), ("word", 6))]
    for table in tables:
        phrases = Phrases.of(["Bin, blue!", "in blue"])
        spelled = phrases.spelled(lambda text, table=table: table.segmentations(text, 4), lambda text: [], "reader")
        log_probs = spoken(spelled[0][-1], len(table))  # an unusual way, where there are several
        found = ranked(log_probs, 0.1, phrases, spelled, PLAIN, table)
        assert found.text == "Bin, blue!"
        assert [word.text for word in found.words] == ["bin", "blue"]
        first, second = found.words
        assert 0 <= first.start < first.end < second.start
        assert second.end == pytest.approx(len(log_probs) / 10 - 0.1)


def test_lips_are_read_with_statistics_of_the_clip_and_of_its_mirror_image(grid):
    """The stored statistics, and so the speech of the same model, stay as they are."""
    loaded = experiment.load("grid-s1-parallel", task=Regress)
    reader = LipWordReader(loaded)
    clip = np.random.default_rng(0).integers(60, 200, (30, 96, 96), dtype=np.uint8)
    before = {key: each.clone() for key, each in loaded.model.state_dict().items()}
    found = reader.log_probs(clip)
    assert found.shape == (30, len(loaded.assets.words) + 1)
    np.testing.assert_allclose(np.exp(found).sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(reader.log_probs(clip[:, :, ::-1]), found, atol=1e-4)
    np.testing.assert_array_equal(reader.log_probs(clip), found)
    assert all(torch.equal(each, before[key]) for key, each in loaded.model.state_dict().items())
    # Another light changes little; below a second the clip has no statistics of its own.
    clip = lipsound2.crop(grid / "s1" / "bbaf3s.mp4")[24:72]
    brighter = (clip * 0.8 + 40).astype(np.uint8)
    own = np.abs(reader.log_probs(brighter) - reader.log_probs(clip)).mean()
    assert own < np.abs(reader.log_probs(brighter[:24]) - reader.log_probs(clip[:24])).mean()


def test_readers_tell_what_they_cannot_rank():
    phrases = Phrases.of(["bin blue at f two now", "open the door"])
    lips = LipWordReader(experiment.load("grid-s1-parallel", task=Regress))
    assert lip_ranker("grid-s1-parallel", "cpu", phrases) is None
    assert lip_ranker("grid-s1-parallel", "cpu", Phrases.of(phrases.texts[:1])) is not None
    with pytest.raises(LipsoundError, match=r"phrases\[1\]: grid-s1-parallel cannot write 'open', 'the', 'door' in "):
        lips.texts_of(phrases)
    with pytest.raises(LipsoundError, match="ranks given sentences straight from the lips"):
        lips.recognize([])
    pytest.importorskip("sentencepiece")
    with pytest.raises(LipsoundError, match=r"phrases\[1\]: grid-s1-asr cannot write 'open', 'the', 'door' in "):
        recognizer("grid-s1-asr").texts_of(phrases)  # type: ignore[attr-defined]

    class Foreign:
        name = "foreign"

        def recognize(self, waveforms):
            return [Hypothesis("") for _ in waveforms]

    with pytest.raises(LipsoundError, match="foreign: cannot rank sentences; give one that was trained"):
        Transcriber(Foreign())(np.ones(16000, np.float32), rate=16000, phrases=["bin"])


def test_options_that_do_not_go_with_phrases_are_told_before_anything_is_loaded(tmp_path):
    (tmp_path / "mine.txt").write_text("bin blue at f two now\n")
    write_wav(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32))
    with pytest.raises(LipsoundError, match="only its sentences are ranked; leave the options of the search out"):
        transcribe(tmp_path / "a.wav", phrases=tmp_path / "mine.txt", search=SearchOptions(beam=4))
    with pytest.raises(LipsoundError, match=r"there is no file '.*nothing.txt'"):
        transcribe(tmp_path / "a.wav", phrases=tmp_path / "nothing.txt")
    write_clip(tmp_path / "a.mp4", [np.zeros((64, 64), np.uint8)] * 5, [n / 25 for n in range(5)])
    for clip in ("a.wav", "a.mp4"):  # also where the lips could be ranked without it
        with pytest.raises(LipsoundError, match="pocketsphinx:grid: cannot rank sentences"):
            transcribe(tmp_path / clip, phrases=tmp_path / "mine.txt", asr="pocketsphinx:grid")


def test_noise_is_none_of_these(tmp_path, capsys):
    pytest.importorskip("sentencepiece")
    write_wav(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 48000).astype(np.float32))
    (tmp_path / "mine.txt").write_text("bin blue at f two now\nlay red by a one soon\n")
    transcribe(tmp_path / "a.wav", phrases=tmp_path / "mine.txt")
    assert capsys.readouterr().out.splitlines()[0].endswith("%  (none of these)")
    transcribe(tmp_path / "a.wav", phrases=tmp_path / "mine.txt", json=True)
    row = json.loads(capsys.readouterr().out)
    assert row["text"] == ""
    assert row["phrases"][0]["none"] == row["confidence"] > 0.5


@pytest.mark.real
def test_the_sentence_that_was_said_is_found_by_lips_and_by_audio(grid: Path, tmp_path, capsys):
    """A held-out clip of the speaker whom the models know, and one of a speaker whom they do not."""
    rows = [line.split("\t") for line in (grid / "lists" / "test.tsv").read_text().splitlines()]
    texts = [text for _, _, text in rows[:20]]
    (tmp_path / "mine.txt").write_text("\n".join(texts))
    clip = grid / rows[3][1]
    for given in ({}, {"audio": True}, {"asr": "grid-s1-asr"}):
        transcribe(clip, phrases=tmp_path / "mine.txt", **given)
        assert capsys.readouterr().out.splitlines()[0].endswith(f"%  {texts[3]}")
    transcribe(clip, grid / rows[5][1], phrases=tmp_path / "mine.txt", srt=True, output_dir=tmp_path / "out")
    assert [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()] == [texts[3], texts[5]]
    assert texts[3].split()[0] in (tmp_path / "out" / f"{clip.stem}.srt").read_text()
    hears = lipsound2.load("grid-s1-asr")
    chosen, read = hears(clip, phrases=texts).words, hears(clip).words
    assert [word.text for word in chosen] == texts[3].split()
    for word, other in zip(chosen, read, strict=True):  # its words come when they are said, whoever chose them
        assert (word.start, word.end) == pytest.approx((other.start, other.end), abs=0.1)
    reader = lipsound2.phrase_reader()
    text = reader(clip, phrases=texts[:3])  # not among them
    assert text.text == ""
    assert text.phrases[0].none > 0.5
    assert text.warnings == []
    unseen = sorted((grid / "s4").glob("*.mp4"))[0]
    assert "unlike those that grid-s1-parallel learned from" in reader(unseen, phrases=texts).warnings[0]


@pytest.mark.real
def test_a_lip_reader_is_less_sure_of_a_stranger(grid: Path):
    """Of two sentences that were never said: the face that it does not know is not told with certainty."""
    reader = lipsound2.load("grid-s1-vsr")
    phrases = ["bin blue at f two now", "lay red by a one soon"]
    known, unseen = (reader(sorted((grid / name).glob("*.mp4"))[0], phrases=phrases) for name in ("s1", "s4"))
    assert known.phrases[0].none > 0.99
    assert unseen.confidence < 0.9
    assert "however sure it seems" in unseen.warnings[0]
