"""Texts as they are compared, and their scores: by hand, against jiwer, and by what must always hold."""

from __future__ import annotations

import json
import sys
import unicodedata
from pathlib import Path

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipsound2.errors import LipsoundError
from lipsound2.metrics.alignment import NOTHING, Counts
from lipsound2.metrics.grid_slots import SLOT_NAMES
from lipsound2.metrics.wer import Confusion, TextScores, confusions, difference, score_texts
from lipsound2.metrics.wer_summary import (
    TEXT_RULE,
    confusion_table,
    from_json,
    further_tables,
    page,
    read_summary,
    table,
    to_json,
    write_clips,
    write_summary,
)
from lipsound2.text.normalize import NORMALIZATIONS, normalization, normalize, spell

WORDS = st.sampled_from(["bin", "at", "f", "two", "now", "the", "don't"])
SENTENCES = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)
HEARD = st.lists(WORDS, max_size=7).map(" ".join)
GRID = "bin blue at f two now"


def scores(references: list[str], hypotheses: list[str | None], language: str = "en") -> TextScores:
    """Scores of clips of two speakers; None is a clip without a hypothesis."""
    ids = [f"s{1 + number % 2}-c{number:03}" for number in range(len(references))]
    return score_texts(
        dict(zip(ids, references, strict=True)),
        {key: text for key, text in zip(ids, hypotheses, strict=True) if text is not None},
        {key: key.split("-")[0] for key in ids},
        language,
    )


# --- normalization


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Bin BLUE at F two, now.", "bin blue at f two now"),
        ("Don\u2019t - ‘stop’!", "don't stop"),
        ("don\u00b4t don`t don\uff07t", "don't don't don't"),
        ("rock 'n' roll, the dogs' o''clock", "rock n roll the dogs o clock"),
        ("25", "twenty five"),
        ("0 10 19 20 100 105 1000", "zero ten nineteen twenty one hundred one hundred five one thousand"),
        ("999,999 or 999999", " or ".join(["nine hundred ninety nine thousand nine hundred ninety nine"] * 2)),
        ("1,2", "one two"),
        ("007 3.14", "zero zero seven three point one four"),
        ("the 1st, 22nd, 12th and 30TH", "the first twenty second twelfth and thirtieth"),
        ("at f2. 3", "at f two three"),
        ("２５ ½ \u0662", "twenty five one two two"),
        ("caf\u00e9 cafe\u0301", "caf\u00e9 caf\u00e9"),
        ("soft\u00adly zero\u200bwidth", "softly zero width"),
        ("e-mail\tto\nyou", "e mail to you"),
        ("?! \u0301", ""),
    ],
)
def test_english_is_written_in_one_way(text: str, expected: str) -> None:
    assert normalize(text, "en") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("你好，世界！", "你好世界"),
        (" 今天 二〇二四年 。", "今天二〇二四年"),
        ("ＡＢＣ 25 度", "abc25度"),
        ("国 國", "国國"),
        ("……", ""),
    ],
)
def test_mandarin_is_characters(text: str, expected: str) -> None:
    assert normalize(text, "zh") == expected
    assert NORMALIZATIONS["zh"].units(expected) == list(expected)


def test_numbers_are_told_apart_by_their_words() -> None:
    numbers = [*range(2000), *range(2000, 1_000_000, 997), 999_999, 10**6, 10**9, 10**12 - 1]
    assert len({spell(number) for number in numbers}) == len(set(numbers))
    assert spell(1_000_001) == "one million one"
    assert normalize(str(10**12), "en").split() == ["one", *["zero"] * 12]
    assert len(normalize("9" * 5000, "en").split()) == 5000
    with pytest.raises(ValueError, match="found -1"):
        spell(-1)


@given(number=st.integers(0, 999_999))
def test_a_number_is_its_parts(number: int) -> None:
    thousands, rest = divmod(number, 1000)
    parts = [f"{spell(thousands)} thousand"] * (thousands > 0) + [spell(rest)] * (rest > 0 or not thousands)
    assert normalize(str(number), "en") == normalize(f"{number:,}", "en") == spell(number) == " ".join(parts)


@pytest.mark.parametrize("language", list(NORMALIZATIONS))
@given(text=st.text(st.characters(exclude_categories=())))
@settings(max_examples=500)
def test_normalizing_twice_changes_nothing(language: str, text: str) -> None:
    once = normalize(text, language)
    assert normalize(once, language) == once
    assert unicodedata.is_normalized("NFKC", once)
    assert once == once.strip()
    assert "  " not in once


@pytest.mark.parametrize("language", list(NORMALIZATIONS))
def test_every_character_is_normalized_for_good(language: str) -> None:
    apply = NORMALIZATIONS[language].apply
    for code in range(sys.maxunicode + 1):
        mark = chr(code)
        if unicodedata.category(mark) not in ("Cn", "Co"):  # unassigned, for private use
            once = apply(f"a{mark}\u0301'{mark}b")  # between letters and beside an accent, where marks come together
            assert apply(once) == once, hex(code)


@given(text=st.text())
def test_english_has_letters_accents_apostrophes_and_blanks_alone(text: str) -> None:
    for word in normalize(text, "en").split(" "):
        for part in word.split("'") if word else []:
            assert part, word
            assert unicodedata.category(part[0])[0] == "L"
            assert all(unicodedata.category(mark)[0] in "LM" for mark in part)


def test_an_unknown_language_is_one_clear_line() -> None:
    with pytest.raises(LipsoundError, match="'fr' cannot be normalized; known are en, zh"):
        normalization("fr")


def test_versions_are_unlike() -> None:
    assert {name: entry.version.split("-")[0] for name, entry in NORMALIZATIONS.items()} == {"en": "en", "zh": "zh"}
    assert all(entry.rule in TEXT_RULE and entry.version in TEXT_RULE for entry in NORMALIZATIONS.values())


# --- rates


def test_a_small_example_by_hand() -> None:
    found = scores(
        ["The cat sat.", "on the mat", "a b c d"],
        ["the hat sat", "on mat", "a b c d e f"],
    ).summary
    assert found.total.words == Counts(hits=8, substitutions=1, deletions=1, insertions=2)
    assert found.rates["wer"].mean == pytest.approx(4 / 10)
    # "the cat sat" 11, "on the mat" 10, "a b c d" 7 characters with blanks; errors 1, 4 ("the "), 4 (" e f").
    assert (found.total.characters.units, found.total.characters.errors) == (28, 9)
    assert found.rates["cer"].mean == pytest.approx(9 / 28)
    assert found.rates["ser"].mean == 1.0
    assert found.speakers["s1"].words == Counts(hits=6, substitutions=1, insertions=2)
    assert found.speakers["s2"].rates == {"wer": 1 / 3, "cer": 4 / 10, "ser": 1.0}
    assert set(found.confusions) == {
        Confusion("cat", "hat", 1),
        Confusion("the", NOTHING, 1),
        Confusion(NOTHING, "e", 1),
        Confusion(NOTHING, "f", 1),
    }
    assert (found.language, found.normalization) == ("en", "en-1")
    assert found.further == {}


@given(pairs=st.lists(st.tuples(SENTENCES, HEARD), min_size=1, max_size=8))
@settings(max_examples=100)
def test_rates_are_jiwers(pairs: list[tuple[str, str]]) -> None:
    references, hypotheses = map(list, zip(*pairs, strict=True))
    found = scores(references, hypotheses)
    assert found.summary.rates["wer"].mean == pytest.approx(jiwer.wer(references, hypotheses))
    assert found.summary.rates["cer"].mean == pytest.approx(jiwer.cer(references, hypotheses))
    total = jiwer.process_words(references, hypotheses)
    counts = Counts(total.hits, total.substitutions, total.deletions, total.insertions)
    assert found.summary.total.words == counts
    assert [row.counts.errors for row in found.rows] == [
        round(jiwer.wer(row.reference, row.hypothesis) * len(row.reference.split())) for row in found.rows
    ]
    for row in found.rows:
        assert " ".join(said for said, _ in row.alignment if said != NOTHING) == row.reference
        assert " ".join(heard for _, heard in row.alignment if heard != NOTHING) == row.hypothesis
        assert sum(said != heard for said, heard in row.alignment) == row.counts.errors


@given(references=st.lists(SENTENCES, min_size=1, max_size=8))
def test_perfect_is_zero(references: list[str]) -> None:
    found = scores(references, list(references)).summary
    assert all((rate.mean, rate.low) == (0, 0) and rate.high > 0 for rate in found.rates.values())
    assert found.confusions == []
    assert found.total.wrong == found.total.missing == 0


@given(pairs=st.lists(st.tuples(SENTENCES, HEARD), min_size=1, max_size=8), data=st.data())
def test_the_order_of_clips_changes_nothing(pairs: list[tuple[str, str]], data: st.DataObject) -> None:
    ids = [f"s-{number}" for number in range(len(pairs))]
    order = data.draw(st.permutations(ids))
    speakers = dict.fromkeys(ids, "s")
    texts = [{key: pairs[ids.index(key)][side] for key in keys} for keys in (ids, order) for side in (0, 1)]
    first = score_texts(texts[0], texts[1], speakers, "en")
    assert score_texts(texts[2], texts[3], dict(reversed(speakers.items())), "en") == first


@given(pairs=st.lists(st.tuples(SENTENCES, HEARD), min_size=1, max_size=12))
def test_the_interval_holds_the_rate(pairs: list[tuple[str, str]]) -> None:
    references, hypotheses = map(list, zip(*pairs, strict=True))
    for rate in scores(references, hypotheses).summary.rates.values():
        assert 0 <= rate.low <= rate.mean <= rate.high


def test_missing_texts_count_as_empty_and_are_counted() -> None:
    missing, empty = scores(["a b", "c d e"], ["a b", None]), scores(["a b", "c d e"], ["a b", ""])
    assert missing.summary.rates == empty.summary.rates
    assert missing.summary.rates["wer"].mean == pytest.approx(3 / 5)
    assert missing.summary.total.words == Counts(hits=2, deletions=3)
    assert (missing.summary.total.missing, empty.summary.total.missing) == (1, 0)
    assert [row.missing for row in missing.rows] == [False, True]
    assert missing.summary.speakers["s2"].missing == 1
    nothing = scores(["a b", "c d e"], [None, None]).summary
    assert all(rate.mean == 1 and rate.low < 1 for rate in nothing.rates.values())


def test_what_cannot_be_scored_is_one_clear_line() -> None:
    def score(references: dict[str, str], hypotheses: dict[str, str], speakers: dict[str, str]) -> None:
        score_texts(references, hypotheses, speakers, "en")

    known = {"a": "one", "b": "two"}
    many = {f"x{number}": "word" for number in range(8)}
    with pytest.raises(LipsoundError, match=r"no reference text: x0, x1, x2, x3, x4 and 3 more; are both"):
        score(known, {**known, **many}, dict.fromkeys(known, "s"))
    with pytest.raises(LipsoundError, match=r"empty once normalized \(en-1\): a, c; give"):
        score({"b": "two", "c": "", "a": "?!"}, {}, dict.fromkeys("abc", "s"))
    with pytest.raises(LipsoundError, match="no speaker in utt2spk: b"):
        score(known, {}, {"a": "s"})
    with pytest.raises(LipsoundError, match="no reference texts"):
        score({}, {}, {})
    with pytest.raises(LipsoundError, match="'fr'"):
        score_texts(known, known, dict.fromkeys(known, "s"), "fr")


def test_both_texts_are_normalized() -> None:
    assert scores(["Don’t read 25 books!"], ["don't READ twenty-five books"]).summary.total.wrong == 0


def test_mandarin_is_scored_by_characters() -> None:
    found = scores(["今天天气很好。", "你 好"], ["今天 天汽很", "你，好 吗"], "zh")
    assert "wer" not in found.summary.rates
    assert found.summary.total.words is None
    assert found.summary.total.characters == Counts(hits=6, substitutions=1, deletions=1, insertions=1)
    assert found.summary.rates["cer"].mean == pytest.approx(
        jiwer.cer(["今天天气很好", "你好"], ["今天天汽很", "你好吗"])
    )
    assert set(found.summary.confusions) == {
        Confusion("气", "汽", 1),
        Confusion("好", NOTHING, 1),
        Confusion(NOTHING, "吗", 1),
    }
    assert found.summary.further == {}


# --- intervals and differences


def test_a_difference_is_paired() -> None:
    random = np.random.default_rng(1)
    references = [" ".join(random.choice(list("abcdef"), random.integers(2, 9))) for _ in range(60)]
    poor = [text.replace("a", "x").replace("b", "y") for text in references]
    better = [text.replace("a", "x") for text in references]
    first, second = scores(references, better), scores(references, poor)
    found = difference(first, second)
    for name, gain in found.items():
        assert gain.mean == pytest.approx(first.summary.rates[name].mean - second.summary.rates[name].mean)
        assert gain.low <= gain.mean <= gain.high < 0
    # Pairing takes away what clips have in common; unpaired, the variances of both add up.
    apart = [part.high - part.low for part in (first.summary.rates["wer"], second.summary.rates["wer"])]
    assert found["wer"].high - found["wer"].low < np.hypot(*apart)
    mirrored = difference(second, first)
    assert mirrored["wer"].low == pytest.approx(-found["wer"].high)
    same = difference(first, first)
    assert all(part.mean == 0 and part.low == pytest.approx(-part.high) for part in same.values())


def test_only_like_is_compared_with_like() -> None:
    first = scores(["a b", "c"], ["a b", "c"])
    with pytest.raises(LipsoundError, match=r"references; these differ: s2-c001"):
        difference(first, scores(["a b", "d"], ["a b", "c"]))
    with pytest.raises(LipsoundError, match="en-1 and zh-1"):
        difference(first, scores(["好"], ["好"], "zh"))


# --- confusions


def test_confusions_are_counted_and_cut_by_kind() -> None:
    rows = scores(["a b c"] * 3 + ["d d"], ["a x c", "a x c e", "a y c", "d"]).rows
    assert confusions(rows) == [
        Confusion("b", "x", 2),
        Confusion(NOTHING, "e", 1),
        Confusion("b", "y", 1),
        Confusion("d", NOTHING, 1),
    ]
    assert [pair for pair in confusions(rows, most=1) if NOTHING not in (pair.reference, pair.hypothesis)] == [
        Confusion("b", "x", 2)
    ]
    assert len(confusions(rows, most=1)) == 3


# --- files and tables


def test_files_hold_what_was_found(tmp_path: Path) -> None:
    found = scores([GRID, "Lay red in Z 1 soon."], ["bin blue at s two uh now", None])
    write_clips(tmp_path / "clips.tsv", found.rows)
    assert (tmp_path / "clips.tsv").read_text() == (
        "id\treference\thypothesis\terrors\twords\n"
        f"s1-c000\t{GRID}\tbin blue at s two uh now\t2\t6\n"
        "s2-c001\tlay red in z one soon\t\t6\t6\n"
    )
    other = scores(["你好"], ["你"], "zh")
    write_clips(tmp_path / "zh.tsv", other.rows)
    assert (
        tmp_path / "zh.tsv"
    ).read_text() == "id\treference\thypothesis\terrors\tcharacters\ns1-c000\t你好\t你\t1\t2\n"
    write_summary(tmp_path / "summary.json", {"generated": found.summary, "zh": other.summary})
    content = json.loads((tmp_path / "summary.json").read_text())
    assert content["rule"] == TEXT_RULE.splitlines()
    assert content["systems"]["generated"]["wer"]["mean"] == round(8 / 12, 5)
    assert content["systems"]["generated"]["normalization"] == "en-1"
    back = read_summary(tmp_path / "summary.json")
    assert list(back) == ["generated", "zh"]
    for name, summary in (("generated", found.summary), ("zh", other.summary)):
        assert to_json(back[name]) == to_json(summary)
        assert (back[name].total, back[name].speakers) == (summary.total, summary.speakers)
        assert from_json(to_json(back[name])) == back[name]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_another_file_is_no_summary(tmp_path: Path) -> None:
    for text in ("{}", "[]", "no json", '{"systems": {"a": {"language": "en"}}}'):
        (tmp_path / "summary.json").write_text(text)
        with pytest.raises(LipsoundError, match="expected a summary of text scores"):
            read_summary(tmp_path / "summary.json")
    with pytest.raises(LipsoundError, match="no such file"):
        read_summary(tmp_path / "absent.json")


def test_tables_say_rates_slots_pairs_and_the_rule() -> None:
    systems = {
        "generated": scores([GRID, GRID], ["bin blue at s two uh now", None]).summary,
        "real_mel": scores([GRID, GRID], [GRID, GRID]).summary,
    }
    first = [cell.strip() for cell in table(systems).splitlines()[2].split("|")[1:-1]]
    assert first[:2] == ["generated", "2"]
    assert first[2].startswith("66.7 [")
    assert first[5:] == ["1", "6", "1", "12 words", "1"]
    slots = [[cell.strip() for cell in line.split("|")[1:-1]] for line in further_tables(systems)[1].splitlines()]
    assert slots[0] == ["errors %", *SLOT_NAMES]
    assert slots[2][4].startswith("100.0 [")
    assert slots[-1] == ["chance level", "75.0", "75.0", "75.0", "96.0", "90.0", "75.0"]
    text = page(systems, "2 clips")
    for part in ("over 2 clips; normalization en-1", "f -> s 1", "at deleted 1", "uh inserted 1", table(systems)):
        assert part in text
    assert all(f"- {line}" in text for line in TEXT_RULE.splitlines())
    perfect = {"real_mel": scores(["你好"], ["你好"], "zh").summary}
    assert "WER" not in table(perfect)
    assert "2 characters" in table(perfect)
    assert confusion_table(perfect) == ""
    assert further_tables(perfect) == []
    both = table({**systems, **perfect})
    assert "| -  " in both


def test_the_rule_stands_in_the_documentation() -> None:
    documentation = (Path(__file__).parents[1] / "docs/scores.md").read_text()
    assert all(f"- {line}" in documentation for line in TEXT_RULE.splitlines())
