"""GRID's slots and letters: by the alignment, for GRID's sentences alone, and out of files of before."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lipsound2.corpora.sentences import SLOTS
from lipsound2.errors import LipsoundError
from lipsound2.metrics.alignment import NOTHING
from lipsound2.metrics.grid_slots import CHANCE, NAME, SLOT_CHANCE, SLOT_NAMES, is_grid_sentence
from lipsound2.metrics.wer import Confusion, TextScores, score_texts
from lipsound2.metrics.wer_summary import TEXT_RULE, read_summary, write_summary

GRID = "bin blue at f two now"


def scores(references: list[str], hypotheses: list[str | None]) -> TextScores:
    """Scores of clips of one speaker; None is a clip without a hypothesis."""
    ids = [f"s1-c{number:03}" for number in range(len(references))]
    return score_texts(
        dict(zip(ids, references, strict=True)),
        {key: text for key, text in zip(ids, hypotheses, strict=True) if text is not None},
        dict.fromkeys(ids, "s1"),
        "en",
    )


def test_chance_level_is_81_per_cent() -> None:
    assert pytest.approx(0.81) == CHANCE
    assert pytest.approx((0.75, 0.75, 0.75, 0.96, 0.9, 0.75)) == SLOT_CHANCE
    assert "has a WER of 81 %" in TEXT_RULE
    random = np.random.default_rng(0)

    def guesses() -> list[str]:
        return [" ".join(random.choice(list(slot.values())) for slot in SLOTS) for _ in range(2000)]

    found = scores(guesses(), guesses()).summary
    assert found.total.words is not None
    assert found.total.words.deletions == found.total.words.insertions == 0
    assert found.rates["wer"].mean == pytest.approx(CHANCE, abs=0.01)
    assert [slot.rate.mean for slot in found.further[NAME].slots.values()] == pytest.approx(SLOT_CHANCE, abs=0.04)


def test_no_word_is_in_two_slots() -> None:
    words = [word for slot in SLOTS for word in slot.values()]
    assert len(words) == len(set(words))
    assert len(SLOT_NAMES) == len(SLOTS)


@pytest.mark.parametrize(
    ("heard", "wrong"),
    [
        ("bin blue at f two now", []),
        ("uh bin blue at f two now", []),  # an inserted word shifts no slot
        ("bin blue at the f two now please", []),
        ("blue at f two now", ["command"]),
        ("bin blue at two now", ["letter"]),
        ("bin blue at s two now", ["letter"]),
        ("bin uh red at f two now", ["color"]),
        ("lay blue by f nine soon", ["command", "preposition", "digit", "adverb"]),
        ("now", ["command", "color", "preposition", "letter", "digit"]),
        ("", list(SLOT_NAMES)),
    ],
)
def test_slots_follow_the_alignment(heard: str, wrong: list[str]) -> None:
    found = scores([GRID], [heard]).summary
    assert [name for name, slot in found.further[NAME].slots.items() if slot.rate.mean == 1] == wrong
    assert all(slot.rate.mean == 0 for name, slot in found.further[NAME].slots.items() if name not in wrong)
    assert found.total.words is not None
    slots = sum(slot.substitutions + slot.deletions for slot in found.further[NAME].slots.values())
    assert slots + found.total.words.insertions == found.total.words.errors


def test_letters_are_confused() -> None:
    references = [GRID] * 4 + [GRID.replace(" f ", " z ")]
    hypotheses: list[str | None] = [GRID, GRID.replace(" f ", " s "), GRID.replace(" f ", " s "), None, GRID]
    found = scores(references, hypotheses).summary
    assert found.further[NAME].letters == {"f": {"f": 1, "s": 2, NOTHING: 1}, "z": {"f": 1}}
    assert (found.further[NAME].slots["letter"].substitutions, found.further[NAME].slots["letter"].deletions) == (3, 1)
    assert found.further[NAME].slots["letter"].rate.mean == pytest.approx(4 / 5)
    assert found.confusions[0] == Confusion("f", "s", 2)


def test_slots_are_for_grid_alone() -> None:
    assert is_grid_sentence("set white with z zero again")
    for other in ("bin blue at w two now", "bin blue at f two", GRID + " now", "blue bin at f two now", ""):
        assert not is_grid_sentence(other)
    assert scores([GRID, "hello there"], [GRID, GRID]).summary.further == {}
    assert scores(["Bin blue at F 2, now."], [GRID]).summary.further[NAME].slots["digit"].rate.mean == 0


def test_a_summary_of_before_is_read(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    found = scores([GRID, GRID], ["bin red at s two now", None]).summary
    write_summary(path, {"generated": found})
    content = json.loads(path.read_text())
    entry = content["systems"]["generated"]
    assert list(entry["slots"]) == list(SLOT_NAMES)
    assert entry["letters"] == {"f": {NOTHING: 1, "s": 1}}
    entry["slots"] = {name.replace("color", "color"): slot for name, slot in entry["slots"].items()}
    path.write_text(json.dumps(content))
    assert read_summary(path)["generated"].further[NAME].slots["color"].substitutions == 1
    entry["slots"]["letter"]["rate"]["mean"] = 1e308
    path.write_text(json.dumps(content))
    with pytest.raises(LipsoundError, match="letter"):
        read_summary(path)
