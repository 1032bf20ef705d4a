"""What the options of a search promise holds for every search of the recognizer that ships, or is refused."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest

from lipsound2 import experiment, model_names
from lipsound2.data.yaml_files import write_yaml
from lipsound2.decoding.search_options import SearchOptions, own_search
from lipsound2.errors import LipsoundError
from lipsound2.inference.decode import check_name
from lipsound2.inference.recognizers import TrainedRecognizer, recognizer

NAME = "grid-s1-asr"


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    """A second of nothing that was ever said: a bonus decides."""
    return np.random.default_rng(0).normal(0, 0.05, 16000).astype(np.float32)


@pytest.mark.parametrize("ways", [{"beam": 1}, {"beam": 4}, {"beam": 4, "ctc_weight": 0.3}], ids=str)
def test_fault_B1_a_bonus_holds_without_a_language_model(noise, ways):
    few, many = (
        TrainedRecognizer(NAME, SearchOptions(word_bonus=bonus, **ways)).recognize([noise])[0].text.split()
        for bonus in (-20.0, 20.0)
    )
    assert len(few) < len(many)


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ({"beam": -1}, "--beam: expected a whole number from 0 to 10000, found -1"),
        ({"beam": 10_001}, "--beam: expected a whole number from 0 to 10000, found 10001"),
        ({"beam": 10**5000}, "--beam: expected a whole number from 0 to 10000, found one of 16610 bits"),
        ({"beam": 2.5}, "--beam: expected a whole number from 0 to 10000, found 2.5"),
        ({"beam": "x"}, "--beam: expected a whole number from 0 to 10000, found 'x'"),
        ({"beam": True}, "--beam: expected a whole number from 0 to 10000, found True"),
        ({"lm_weight": -1}, "--lm-weight: expected a number from 0 to 1000, found -1"),
        ({"lm_weight": math.inf}, "--lm-weight: expected a number from 0 to 1000, found inf"),
        ({"word_bonus": math.nan}, "--word-bonus: expected a number from -1000 to 1000, found nan"),
        ({"word_bonus": -1e9}, "--word-bonus: expected a number from -1000 to 1000, found -1000000000.0"),
        ({"ctc_weight": 1.5}, "--ctc-weight: expected a number from 0 to 1, found 1.5"),
        ({"ctc_weight": [1]}, r"--ctc-weight: expected a number from 0 to 1, found \[1\]"),
        ({"lm": 5}, "--lm: expected a name or file, found 5"),
        ({"grammar": 5}, "--grammar: expected a name or file, found 5"),
    ],
)
def test_fault_B1_numbers_that_mean_nothing_are_refused(numbers, says):
    with pytest.raises(LipsoundError, match=says):
        SearchOptions(**numbers)


def test_numbers_of_numpy_are_numbers():
    assert SearchOptions(beam=np.int64(4), word_bonus=np.float32(1), lm_weight=1).filled().width == 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty, expected lines such as 'beam: 16'; copy the pack again"),
        (
            "beam: 1000000000000\n",
            "--beam: expected a whole number from 0 to 10000, found 1000000000000; copy",
        ),
        ("lm_weight: 1000000.0\n", "--lm-weight: expected a number from 0 to 1000, found 1000000.0; copy the pack"),
    ],
)
def test_fault_the_search_of_a_pack_is_checked(text, says, tmp_path):
    (tmp_path / "search.yaml").write_text(text)
    with pytest.raises(LipsoundError, match=rf"search.yaml: {says}"):
        own_search(tmp_path)


def test_fault_a_pack_that_asks_for_a_decoder_it_lacks_is_told(noise, tmp_path, monkeypatch):
    pack = tmp_path / "pack"
    shutil.copytree(model_names.find(NAME, "recognize"), pack)
    (pack / "search.yaml").write_text("ctc_weight: 0.1\n")
    load = experiment.load

    def without_decoder(*given, **options):
        loaded = load(*given, **options)
        loaded.model.decoder = None
        return loaded

    monkeypatch.setattr(experiment, "load", without_decoder)
    with pytest.raises(LipsoundError, match=r"search.yaml: asks for a decoder .*copy the pack again, or give --ctc-w"):
        TrainedRecognizer(str(pack))
    with pytest.raises(LipsoundError, match="leave --ctc-weight out"):
        TrainedRecognizer(str(pack), SearchOptions(ctc_weight=0.1))
    TrainedRecognizer(str(pack), SearchOptions(ctc_weight=1.0))


def test_fault_B1_what_a_search_cannot_heed_is_refused():
    with pytest.raises(LipsoundError, match="scored by CTC alone; leave --word-bonus and --ctc-weight out"):
        TrainedRecognizer(NAME, SearchOptions(grammar="grid", word_bonus=1.0))


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("pocketsphinx:grid", {"word_bonus": 1.0}, "found --word-bonus, but .* leave them out$"),
        ("pocketsphinx:grid", {"grammar": "grid"}, "found --grammar, but .* leave them out$"),
        ("pocketsphinx:grid", {"grammar": "/other.txt"}, "found --grammar, .* leave them out$"),
        ("whisper:base", {"grammar": "grid"}, "found --grammar, but .* or give pocketsphinx:grid as the recognizer$"),
        ("whisper:base", {"beam": 4, "lm_weight": 0.3}, "found --lm-weight, --beam, but .* leave them out$"),
        ("faster-whisper:tiny.en", {"beam": 1}, "found --beam, but .* leave them out$"),
        ("torchaudio:X", {"ctc_weight": 1.0}, "found --ctc-weight, but .* leave them out$"),
    ],
)
def test_fault_what_a_pretrained_recognizer_does_not_take_is_refused_before_it_is_loaded(name, options, says):
    """Also what would change nothing, and also where the outputs of an earlier call lie there already."""
    for refuses in (recognizer, lambda asr, search: check_name(asr, None, search)):
        with pytest.raises(LipsoundError, match=f"^{name}: {says}"):
            refuses(name, SearchOptions(**options))
    check_name(name, None, SearchOptions())


def test_fault_a_word_classifier_takes_no_search_options(tmp_path):
    write_yaml(tmp_path / "config.yaml", {"task": "classify", "input": "mouth"})
    check_name(str(tmp_path), tmp_path, SearchOptions())
    for options in ({"beam": 4}, {"lm_weight": 0.3}):
        with pytest.raises(LipsoundError, match="reads single words, one of a list; leave out --grammar, --lm, --lm-w"):
            check_name(str(tmp_path), tmp_path, SearchOptions(**options))
