"""Files of people and of strangers: one reader a format, and one line that says what, where, found, wanted."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.ark_entries import read_entry

from lipsound2.audio.segment import read_timeline
from lipsound2.config import from_mapping
from lipsound2.data.archive import Archive
from lipsound2.data.checks import fix, validate
from lipsound2.data.json_text import read_json
from lipsound2.data.lookup import Lookup
from lipsound2.data.npy import read_npy
from lipsound2.data.numerals import real, seconds, whole
from lipsound2.data.tables import parse_words, read_table
from lipsound2.data.texts import read_lines, read_text
from lipsound2.data.tsv import read_tsv
from lipsound2.data.yaml_files import parse_flow, read_yaml
from lipsound2.decoding.arpa import LanguageModel
from lipsound2.decoding.grammar import grammar
from lipsound2.errors import LipsoundError
from lipsound2.jobs.shards import Shard
from lipsound2.metrics.audio_sources import read_origin
from lipsound2.tasks import find
from lipsound2.text.tokenizer import Characters, Pieces
from lipsound2.train_config import TrainConfig
from lipsound2.training import checkpoint
from lipsound2.training.monitor import Curves


def written(folder: Path, content: str | bytes, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"good\ncaf\xe9 au lait\n", r":2: expected UTF-8 text, found b'caf\\xe9 au lait'"),
        (b"good\n\nbad \0 here", r":3: expected UTF-8 text, found b'bad \\x00 here'"),
        ("wide".encode("utf-16"), "found UTF-16"),
    ],
)
def test_fault_F1_text_that_is_none_is_told_with_its_line(tmp_path, content, told):
    with pytest.raises(LipsoundError, match=told):
        read_text(written(tmp_path, content))
    with pytest.raises(LipsoundError, match=told):
        list(read_lines(tmp_path / "file"))


def test_fault_F1_marks_and_line_ends_of_other_systems_are_read(tmp_path):
    path = written(tmp_path, b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_text(path) == "a\nb\nc\n"
    assert next(read_lines(path)) == (1, "a")


def test_lines_end_as_on_any_system(tmp_path):
    (tmp_path / "file").write_bytes(b"unix\nwindows\r\nold mac\r\rlast")
    lines = ["unix", "windows", "old mac", "", "last"]
    assert list(read_lines(tmp_path / "file")) == list(enumerate(lines, start=1))


@pytest.mark.parametrize("text", ["9" * 4301, "1_000", "nan", "", " 1", "\u0661", "1e3", "-1", "1" + "0" * 17])
def test_fault_F2_only_plain_digits_are_a_whole_number(text):
    with pytest.raises(ValueError, match="expected a whole number from 0 to"):
        whole(text)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400", "1_0", "", "0x1", "1" * 65, "\u0661.5"])
def test_fault_F2_only_finite_numbers_are_read(text):
    with pytest.raises(ValueError, match="expected a number, found"):
        real(text)
    assert [real("-1.5e3"), real(".5"), real("2."), whole("+7")] == [-1500, 0.5, 2, 7]


@pytest.mark.parametrize("offset", ["1" * 19, "-1", "9" * 5000])
def test_fault_F2_an_offset_that_is_none_is_told(tmp_path, offset):
    path = written(tmp_path, f"a x.ark:5\nb x.ark:{offset}\n", "feats.scp")
    with pytest.raises(LipsoundError, match=r"feats.scp:2: 'b': expected an offset of up to 18 digits"):
        Archive(path)


@pytest.mark.parametrize("row", ["a :5", "a\0 x:5", "b\0b x.ark:5", "a x\0y.ark:5", "caf\xe9\x0bx y.ark:5"])
def test_fault_F5_an_index_with_odd_bytes_is_told(tmp_path, row):
    with pytest.raises(LipsoundError, match=r"feats\.scp:2: "):
        Archive(written(tmp_path, f"0 x.ark:1\n{row}\n", "feats.scp"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("ok: 1\na: 0b_", r":2: not a YAML file: '0b_' is no int"),
        ("a: 2026-13-45", ":1: not a YAML file: '2026-13-45' is no timestamp"),
        ("a: !!int x", "'x' is no int"),
        ("a: !!timestamp x", "'x' is no timestamp"),
        ("a: !!bool x", "'x' is no bool"),
        ("a: !!python/object/apply:os.system [ls]", ":1: not a YAML file: could not determine a constructor"),
        ("a: " + "9" * 5000, "is no int"),
        ("a: " + "[" * 20000, "more than 200 brackets"),
        ("a: " + "[" * 40 + "]" * 40, "more than 30 levels"),
        ("a: 1\nb: 2\na: 3", ":3: not a YAML file: the key 'a' twice"),
        ("a: {b: 1, b: 2}", "the key 'b' twice"),
        ("a: &a [*a]", "an alias of what it is part of"),
        ("a: &a [1,1]\n" + "".join(f"a{n}: &b{n} [{', '.join([f'*b{n - 1}' if n else '*a'] * 9)}]\n" for n in range(9)),
         "more than 1,000,000 values"),
        ("1: a", "expected str, found 1"),
        ("[a, b]", "expected 'key: value' lines, found list"),
        ("", "expected 'key: value' lines, found NoneType"),
        ("a: \x07", "special characters are not allowed"),
        (b"a: caf\xe9", "expected UTF-8 text"),
    ],
)  # fmt: skip
def test_fault_F3_yaml_that_the_loader_trips_over_is_told_with_its_line(tmp_path, content, told):
    begun = time.process_time()
    with pytest.raises(LipsoundError, match="file") as error:
        read_yaml(written(tmp_path, content))
    assert told in str(error.value)
    assert time.process_time() - begun < 5


def test_fault_F3_a_key_of_override_stands_once():
    with pytest.raises(LipsoundError, match="the key 'lr' twice"):
        parse_flow("lr: 1, lr: 2", "--override")
    assert parse_flow("lr: 1e-3, crop: 80", "--override") == {"lr": "1e-3", "crop": 80}


@pytest.mark.parametrize("number", ["010", "-0_7", "1:30", "1:30.5"])
def test_fault_F3_numbers_that_yaml_reads_as_others_are_refused(tmp_path, number):
    with pytest.raises(LipsoundError, match=rf"file:2: .*'{number}' is no plain number"):
        read_yaml(written(tmp_path, f"lr: 0.5\nmax_updates: {number}\n"))
    with pytest.raises(LipsoundError, match="no plain number"):
        parse_flow(f"max_updates: {number}", "--override")
    plain = written(tmp_path, "a: 0\nb: 0.10\nc: '010'\nd: 0x10\ne: -10\n")
    assert read_yaml(plain) == {"a": 0, "b": 0.1, "c": "010", "d": 16, "e": -10}


def test_yaml_may_still_use_anchors_and_merges(tmp_path):
    path = written(tmp_path, "a: &x {b: 1, c: [1, 2]}\nd: {<<: *x, b: 2}\n")
    assert read_yaml(path) == {"a": {"b": 1, "c": [1, 2]}, "d": {"b": 2, "c": [1, 2]}}


def npy(header: str, body: bytes = b"") -> bytes:
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode("latin-1") + body


_GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n"


@pytest.mark.parametrize(
    "content",
    [
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,"),
        npy("(" * 3000),
        npy("{'descr': [1], 'fortran_order': False, 'shape': (2,)}", bytes(99)),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", bytes(99)),
        npy("{'descr': '<f3', 'fortran_order': False, 'shape': (2,)}", bytes(99)),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", bytes(99)),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 18 + ",9)}", bytes(99)),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1," * 33 + ")}", bytes(99)),
        npy(_GOOD, bytes(7)),
        npy(_GOOD, bytes(8))[:40],
        b"",
        b"\x93NUMPY",
    ],
)
def test_fault_F4_a_damaged_npy_header_is_told(tmp_path, content):
    with pytest.raises(LipsoundError, match="train again"):
        read_npy(written(tmp_path, content), "train again")
    entry = b"NPY\2" + len(content).to_bytes(2, "little") + content
    with pytest.raises(LipsoundError, match="damaged NPY entry"):
        read_entry(written(tmp_path, entry), 0)


def test_every_plain_array_is_read_as_numpy_writes_it(tmp_path):
    for array in (
        *(np.arange(6, dtype="<i2").reshape(2, 3), np.asfortranarray(np.ones((3, 4))), np.array(5), np.zeros((0, 3))),
        *(np.array(["a", "bc"]), np.array([True, False]), np.array([1j]), np.array([1], ">i4")),
    ):
        file = io.BytesIO()
        np.save(file, array)
        found = read_npy(written(tmp_path, file.getvalue()), "")
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert np.array_equal(found, array)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": NaN}', "expected a finite number, found NaN"),
        ('{"a": 1e999}', "expected a number, found '1e999'"),
        ('{"a": ' + "9" * 5000 + "}", "expected a whole number"),
        ('{"a": 1, "a": 2}', "the key 'a' stands there twice"),
        ("[" * 100_000, "too many brackets"),
        ('{"a": ', ":1: not JSON"),
        ('{"a": "x"}', "a: expected float, found 'x'"),
        ('{"a": [1]}', "a: expected float, found list of 1"),
        ("[1]", "expected 'key: value', found list of 1"),
        ('{"\\ud800": 1}', "half a character"),
    ],
)
def test_fault_F6_json_of_another_shape_is_told(tmp_path, text, told):
    with pytest.raises(LipsoundError) as error:
        read_json(written(tmp_path, text), Mapping[str, float], "score again")
    assert told in str(error.value)
    assert str(error.value).endswith("; score again")
    assert read_json(written(tmp_path, json.dumps({"a": 1})), Mapping[str, float], "") == {"a": 1.0}


def test_fault_F6_a_table_that_was_cut_is_told_with_its_line(tmp_path):
    with pytest.raises(LipsoundError, match=r"file:3: expected 2 cells between tabs, found 1; score again"):
        read_tsv(written(tmp_path, "a\tb\n1\t2\n3"), "score again")
    with pytest.raises(LipsoundError, match="found an empty file"):
        read_tsv(written(tmp_path, ""), "score again")


def test_fault_A12_a_byte_order_mark_in_a_table_is_no_part_of_its_first_key(tmp_path, capsys):
    rows = "a-1 {0}\na-2 {0}\n"
    tables = {"utt2spk": "a-1 a\na-2 a\n", "spk2utt": "a a-1 a-2\n", "video.scp": rows.format(tmp_path / "v.mp4")}
    (tmp_path / "v.mp4").touch()
    for name, content in tables.items():
        written(tmp_path, b"\xef\xbb\xbf" + content.encode(), name)
    assert list(read_table(tmp_path / "utt2spk")) == ["a-1", "a-2"]
    assert Lookup(tmp_path / "video.scp").get("a-1") == str(tmp_path / "v.mp4")
    fix(tmp_path)
    assert "dropped" not in capsys.readouterr().out
    assert validate(tmp_path) == 0
    assert (tmp_path / "utt2spk").read_bytes() == tables["utt2spk"].encode()
    written(tmp_path, b"\xef\xbb\xbfa-1 0 x.ark:5\n", "feats.scp")
    assert list(Archive(tmp_path / "feats.scp")) == ["a-1"]


@pytest.mark.parametrize("time", ["nan", "inf", "1e20", "2147483648", "-0.1", "1_0"])
def test_fault_G2_word_times_are_seconds_of_a_recording(time):
    with pytest.raises(ValueError, match="expected a number from 0 to 1e"):
        parse_words(f"0.1 {time} blue")
    with pytest.raises(ValueError, match="expected a number"):
        seconds(time)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("a\tnan\t75", "expected a number from"),
        ("a\tinf\t75", "expected a number from"),
        ("a\t0\t0", "expected a whole number from 1 to"),
        ("a\t0\t-1", "expected a whole number from 1 to"),
        ("a\t0\t1000000000000", "expected a whole number from 1 to"),
        ("a\t0", "expected a whole number from 1 to"),
        ("a", "expected a number from"),
        ("caf\xe9", "expected UTF-8 text"),
    ],
)
def test_fault_G3_a_time_line_holds_times_of_recordings(tmp_path, row, told):
    (tmp_path / "landmarks").mkdir()
    (tmp_path / "landmarks/timeline.tsv").write_bytes(f"0\t0.5\t75\tx\n{row}\n".encode("latin-1"))
    with pytest.raises(LipsoundError, match=told) as error:
        read_timeline(tmp_path)
    assert "run stage 1 again" in str(error.value)


@pytest.mark.parametrize("weight", ["inf", "+inf", "nan", "1e400", "1_0"])
def test_fault_G4_weights_of_a_language_model_are_finite(tmp_path, weight):
    model = f"\\data\\\nngram 1=3\n\n\\1-grams:\n-99 <s> 0\n-0.5 a {weight}\n-0.5 </s>\n\n\\end\\\n"
    with pytest.raises(LipsoundError, match=f":6: expected a number instead of '{weight.replace('+', '.')}'"):
        LanguageModel.read(written(tmp_path, model))


def test_fault_F2_counts_of_a_language_model_are_digits(tmp_path):
    with pytest.raises(LipsoundError, match=":2: expected counts of n-grams"):
        LanguageModel.read(written(tmp_path, "\\data\\\nngram 1=" + "9" * 5000 + "\n"))


def test_fault_B9_G5_a_config_holds_finite_numbers():
    for value in (float("nan"), float("inf"), "nan", "1e999", 10**400):
        with pytest.raises(LipsoundError, match="lr: expected"):
            from_mapping(TrainConfig, {"lr": value}, "c.yaml")
    with pytest.raises(LipsoundError, match="task"):
        find({"a": 1}, "c.yaml")


def test_fault_F9_tokens_and_grammars_that_are_none_are_told(tmp_path):
    with pytest.raises(LipsoundError, match="no sentencepiece model"):
        Pieces(b"", "tokens.model")
    with pytest.raises(LipsoundError, match="expected UTF-8 text"):
        Characters.load(written(tmp_path, b"a\n\xe9\n"))
    with pytest.raises(LipsoundError, match="expected characters, each once"):
        Characters.load(written(tmp_path, "a\na\n"))
    with pytest.raises(LipsoundError, match=":2: expected UTF-8 text"):
        grammar(str(written(tmp_path, b"a|b\ncaf\xe9\n")))


def test_fault_F8_a_checkpoint_whose_content_is_none_is_passed_over(tmp_path):
    good = checkpoint.save(tmp_path, {"update": 1, "x": torch.zeros(2)})
    for update, content in enumerate((b"", b"none", b"\x80\x02]q\x00.", b"PK\x03\x04" + bytes(40)), start=2):
        digest = hashlib.sha256(content).hexdigest()[:16]
        written(tmp_path, content, f"update-{update:08d}.{digest}.pt")
    buffer = io.BytesIO()
    torch.save([1, 2], buffer)
    written(tmp_path, buffer.getvalue(), f"update-00000009.{hashlib.sha256(buffer.getvalue()).hexdigest()[:16]}.pt")
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found["update"] == 1
    assert good.exists()
    assert len(list(tmp_path.glob("*.broken"))) == 5


@pytest.mark.parametrize(
    "content", [b"", b"update\tloss\n1\t0.5\n2\t0.4\n3", b"upd", b"update\tloss\n1\t.5\n\xff\t1\n"]
)
def test_fault_F6_a_training_goes_on_though_its_curves_were_cut(tmp_path, content):
    curves = Curves(written(tmp_path, content, "curves.tsv"), 5)
    kept = [row["update"] for row in curves.rows]
    curves.add({"update": 6, "loss": 0.25})
    again = Curves(tmp_path / "curves.tsv", 9)
    assert [row["update"] for row in again.rows] == [*kept, "6"]


def test_fault_F5_what_synthesis_noted_is_text(tmp_path):
    written(tmp_path, "dump: 1_000\n", "origin.yaml")
    with pytest.raises(LipsoundError, match=r"origin\.yaml: dump: expected str, found 1000"):
        read_origin(tmp_path)
    written(tmp_path, 'data: "a\\0b"\n', "origin.yaml")
    with pytest.raises(LipsoundError, match="zero byte"):
        read_origin(tmp_path)


def test_fault_F7_sizes_of_what_is_no_file_of_the_shard_are_not_believed(tmp_path):
    (tmp_path / "mel/shards").mkdir(parents=True)
    for name in ("a/b", "..", "", "/etc/passwd"):
        head = {"hash": "h", "failures": [], "sizes": {name: 1}}
        written(tmp_path / "mel/shards", json.dumps(head) + "\n{}", "00000.done")
        assert Shard(tmp_path, 0, ("a",), {"mel": {}}, {"mel": "h"}).failures() is None
