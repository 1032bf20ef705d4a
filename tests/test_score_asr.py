"""The verb `score` on what `decode` wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lipsound2.data.datadir import DataDir, write_table
from lipsound2.decoding.hypothesis import DETAILS, TEXT, Hypothesis, write_words
from lipsound2.errors import LipsoundError
from lipsound2.inference.score_asr import label, score


def decoded(folder: Path, heard: dict[str, str]) -> Path:
    """A folder as `decode` leaves it."""
    write_table(folder / TEXT, {name: text for name, text in heard.items() if text})
    write_words(folder / DETAILS, {name: Hypothesis(text, [], 0.0) for name, text in heard.items()})
    return folder


def transcripts(path: Path) -> Path:
    texts = {"s1-a": "bin blue at b two now", "s1-b": "lay red in c four again", "s2-c": "set white by d six soon"}
    return DataDir.write(path, utt2spk={name: name[:2] for name in texts}, text=texts).path


def test_a_clip_that_was_not_heard_counts_with_all_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = transcripts(tmp_path / "data")
    heard = decoded(
        tmp_path / "greedy", {"s1-a": "bin blue at v two now", "s1-b": "", "s2-c": "set white by d six soon"}
    )
    score(data, heard, out=tmp_path / "scores", resamples=100)
    folder = tmp_path / "scores" / "text" / "greedy"
    summary = json.loads((folder / "summary.json").read_text())["systems"]["heard"]
    assert summary["wer"]["mean"] == pytest.approx(7 / 18, abs=1e-4)
    assert summary["total"]["missing"] == 1
    rows = (folder / "heard.tsv").read_text().splitlines()
    assert len(rows) == 4
    assert "38.9" in capsys.readouterr().out
    before = (folder / "summary.json").stat().st_mtime_ns
    score(data, heard, out=tmp_path / "scores", resamples=100)
    assert "skipped" in capsys.readouterr().out
    assert (folder / "summary.json").stat().st_mtime_ns == before


def test_nothing_heard_at_all_is_all_wrong(tmp_path: Path) -> None:
    heard = decoded(tmp_path / "greedy", {"s1-a": "", "s1-b": "", "s2-c": ""})
    (heard / TEXT).unlink()
    score(transcripts(tmp_path / "data"), heard, resamples=100)
    summary = json.loads((heard / "scores" / "text" / "greedy" / "summary.json").read_text())
    assert summary["systems"]["heard"]["wer"]["mean"] == 1


def test_what_does_not_go_together_is_one_line(tmp_path: Path) -> None:
    heard = decoded(tmp_path / "greedy", {"s1-a": "bin"})
    data = transcripts(tmp_path / "data")
    with pytest.raises(LipsoundError, match="is what a recogniser heard already; leave out --asr"):
        score(data, heard, asr=("pocketsphinx:grid",), text=data)
    bare = DataDir.write(tmp_path / "bare", utt2spk={"s1-a": "s1"})
    with pytest.raises(LipsoundError, match="bare: has no 'text' to compare with what was heard"):
        score(bare.path, heard)


def test_labels_name_recogniser_and_what_helps_it(tmp_path: Path) -> None:
    (tmp_path / "ears").mkdir()
    assert label("pocketsphinx:grid", "") == "pocketsphinx-grid"
    assert label(str(tmp_path / "ears"), "grid") == "ears+grid"
    assert label(str(tmp_path / "ears"), "", Path("lm/six gram.arpa")) == "ears+six_gram.arpa"


def test_fault_A11_words_are_counted_where_there_are_texts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = transcripts(tmp_path / "whole")
    data = DataDir.write(
        tmp_path / "data",
        utt2spk=dict(DataDir(whole).utt2spk),
        text={clip: text for clip, text in DataDir(whole).text.items() if clip != "s1-b"},
    )
    heard = decoded(tmp_path / "greedy", dict(DataDir(whole).text))
    score(data.path, heard)
    folder = heard / "scores" / "text" / "greedy"
    assert json.loads((folder / "summary.json").read_text())["systems"]["heard"]["wer"]["mean"] == 0
    assert len((folder / "heard.tsv").read_text().splitlines()) == 3  # two clips and the names of the columns
    assert "2 of the 3 clips of" in (folder / "table.md").read_text()
    assert "1 of the 3 clips of" in caplog.text
