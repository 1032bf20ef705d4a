"""ARPA files of language models: as SRILM and KenLM write them, and damaged ones."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lipsound2.decoding.arpa import END, START, UNKNOWN, LanguageModel
from lipsound2.errors import LipsoundError

SRILM = """
\\data\\
ngram 1=5
ngram 2=3
ngram 3=1

\\1-grams:
-0.6\t</s>
-99\t<s>\t-0.3
-0.5\ta\t-0.2
-0.7\tb\t-0.1
-1.5\tc

\\2-grams:
-0.2\t<s> a\t0.1
-0.4\ta b
-0.3\tb </s>

\\3-grams:
-0.05\t<s> a b

\\end\\
"""

KENLM = """# a remark
\\data\\
ngram 1 = 5
ngram  2=3

\\1-grams:
-1.2 <unk> 0
0 <s> -0.3
-0.6 </s> 0
-0.5 a -0.2
-0.7 Stra\u00dfe\u00a0x 0

\\2-grams:
-0.2 <s> a 0
-0.4 a Stra\u00dfe\u00a0x 0
-0.3 <unk> a 0

\\end\\
trailing remarks are nobody's
"""


def test_a_file_as_srilm_writes_it(tmp_path):
    path = tmp_path / "lm.arpa"
    path.write_text(SRILM)
    model = LanguageModel.read(path)
    assert model.order == 3
    assert model.vocabulary == {"a", "b", "c", END}
    assert model.sentence(["a", "b"]) == pytest.approx(-0.2 - 0.05 - 0.3)
    assert model.score([START, "a"], "c") == pytest.approx(0.1 - 0.2 - 1.5)  # a weight may be above zero
    assert model.score(["b", "a"], "c") == pytest.approx(-0.2 - 1.5)
    assert model.score([START], "b") == pytest.approx(-0.3 - 0.7)
    assert model.score([], "zebra") == -99  # no <unk> in the file
    assert model.state([START, "a", "b"]) == ("b",)  # nothing begins with "a b"
    assert model.state([START, "c"]) == ()


def test_a_file_as_kenlm_writes_it(tmp_path):
    path = tmp_path / "lm.arpa"
    path.write_bytes(KENLM.replace("\n", "\r\n").encode())
    model = LanguageModel.read(path)
    assert model.sentence(["a", "Stra\u00dfe\u00a0x"]) == pytest.approx(-0.2 - 0.4 - 0.6)
    assert model.score([START, "zebra"], "a") == pytest.approx(-0.3)
    assert model.score([START], "zebra") == pytest.approx(-0.3 - 1.2)
    assert model.state(["zebra"]) == (UNKNOWN,)
    path.write_text(KENLM.replace("<unk>", "<UNK>"))
    assert LanguageModel.read(path).score([START, "zebra"], "a") == pytest.approx(-0.3)


def test_a_file_without_some_contexts(tmp_path):
    path = tmp_path / "lm.arpa"
    text = SRILM.replace("ngram 2=3", "ngram 2=2").replace("-0.2\t<s> a\t0.1\n", "")
    path.write_text(text.replace("-99\t<s>\t-0.3", "-99\t<s>"))
    model = LanguageModel.read(path)
    assert model.sentence(["a", "b"]) == pytest.approx(-0.5 - 0.05 - 0.3)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("\\data\\", "data", 23, r"expected a line '\data\', found the end of the file"),
        ("ngram 1=5\nngram 2", "ngram 2", 3, "expected 'ngram 1=COUNT', found 'ngram 2=3'"),
        ("ngram 1=5\nngram 2=3\nngram 3=1\n", "", 4, "expected 'ngram 1=COUNT', found '\\1-grams:'"),
        ("ngram 2=3\nngram 3=1", "ngram 3=3\nngram 2=1", 4, "expected 'ngram 2=COUNT', found 'ngram 3=3'"),
        ("ngram 1=5", "ngram 1=6", 14, "expected 'log10 probability, 1 token, back-off' (5 of 6), found '\\2-grams:'"),
        ("ngram 1=5", "ngram 1=4", 12, "expected a new section after the 4 1-grams that the head of the file promises"),
        ("\\2-grams:", "\\3-grams:", 14, "expected '\\2-grams:', found '\\3-grams:'"),
        ("<s> a\t0.1", "<s>", 15, "expected 'log10 probability, 2 tokens, back-off' (0 of 3), found '-0.2\t<s>'"),
        ("-0.4\ta b", "x0.4\ta b", 16, "expected a number instead of 'x0.4', found 'x0.4\ta b'"),
        ("-0.4\ta b", "nan\ta b", 16, "expected a number instead of 'nan'"),
        ("-0.4\ta b", "-0.4\ta b\t-.1.", 16, "expected a number instead of '-.1.'"),
        ("-0.4\ta b", "0.4\ta b", 16, "expected a log10 probability, which is at most 0, found '0.4\ta b'"),
        ("-0.4\ta b", "-0.4\ta zebra", 16, "expected tokens that stand among the 1-grams (not so 'zebra')"),
        ("-0.4\ta b", "-0.2\t<s> a", 16, "expected each n-gram once, found '-0.2\t<s> a'"),
        ("</s>", "d", 17, "expected tokens that stand among the 1-grams (not so '</s>')"),
        ("\\end\\\n", "", 22, r"expected a new section after the 1 3-grams"),
        ("\\end\\\n", "\\4-grams:\n", 22, r"expected '\end\', found '\4-grams:'"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, old, new, line, message):
    assert SRILM.count(old) >= 1
    path = tmp_path / "lm.arpa"
    path.write_text(SRILM.replace(old, new, 1))
    with pytest.raises(LipsoundError) as error:
        LanguageModel.read(path)
    assert str(error.value).startswith(f"{path}:{line}: {message}")
    assert "\n" not in str(error.value)


def test_files_that_are_no_models(tmp_path):
    with pytest.raises(LipsoundError, match="No such file"):
        LanguageModel.read(tmp_path / "nowhere.arpa")
    binary = tmp_path / "lm.arpa.gz"
    binary.write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(LipsoundError, match="found the byte 0x8b after line 0; a packed file must be unpacked first"):
        LanguageModel.read(binary)
    bare = tmp_path / "lm.arpa"
    bare.write_text("\\data\\\nngram 1=1\n\\1-grams:\n-1 a\n\\end\\\n")
    with pytest.raises(LipsoundError, match="expected '<s>' among the 1-grams"):
        LanguageModel.read(bare)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(SRILM) - 1), st.integers(0, len(SRILM) - 1), st.sampled_from(["", " ", "\n", "x", "-", "\\"]))
def test_damage_anywhere_is_one_line_or_harmless(tmp_path, start, stop, put):
    path = tmp_path / "lm.arpa"
    path.write_text(SRILM[: min(start, stop)] + put + SRILM[max(start, stop) :])
    message = ""
    try:
        assert math.isfinite(LanguageModel.read(path).sentence(["a", "b"]))
    except LipsoundError as error:
        message = str(error)
    assert "\n" not in message
