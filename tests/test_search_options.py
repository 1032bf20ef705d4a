"""What the options of a search promise holds for every search of the recognizer that ships, or is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lipsound2.decoding.search_options import SearchOptions
from lipsound2.errors import LipsoundError
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
        ({"beam": -1}, "--beam: expected 0 or more, found -1"),
        ({"lm_weight": -1}, "--lm-weight: expected 0 or more, found -1"),
        ({"word_bonus": math.nan}, "--word-bonus: expected a number, found nan"),
        ({"ctc_weight": 1.5}, "--ctc-weight: expected 0 to 1, found 1.5"),
    ],
)
def test_fault_B1_numbers_that_mean_nothing_are_refused(numbers, says):
    with pytest.raises(LipsoundError, match=says):
        SearchOptions(**numbers)


def test_fault_B1_what_a_search_cannot_heed_is_refused():
    with pytest.raises(LipsoundError, match="scored by CTC alone; leave --word-bonus and --ctc-weight out"):
        TrainedRecognizer(NAME, SearchOptions(grammar="grid", word_bonus=1.0))
    with pytest.raises(LipsoundError, match="are for recognizers trained with lipsound2; leave them out"):
        recognizer("pocketsphinx:grid", SearchOptions(word_bonus=1.0))
