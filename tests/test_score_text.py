"""The verb `score-text` on what `decode` wrote, and the former calls of `score` that it answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lipsound2.data.datadir import DataDir, write_table
from lipsound2.decoding.hypothesis import DETAILS, TEXT, Hypothesis, write_words
from lipsound2.errors import LipsoundError
from lipsound2.inference.former_score import score
from lipsound2.metrics.score_text import score_text


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
    score(data, heard, out=tmp_path / "scores")
    folder = tmp_path / "scores" / "text" / "greedy"
    summary = json.loads((folder / "summary.json").read_text())["systems"]["heard"]
    assert summary["wer"]["mean"] == pytest.approx(7 / 18, abs=1e-4)
    assert summary["total"]["missing"] == 1
    rows = (folder / "heard.tsv").read_text().splitlines()
    assert len(rows) == 4
    assert "38.9" in capsys.readouterr().out
    before = (folder / "summary.json").stat().st_mtime_ns
    score(data, heard, out=tmp_path / "scores")
    assert "skipped" in capsys.readouterr().out
    assert (folder / "summary.json").stat().st_mtime_ns == before


def test_nothing_heard_at_all_is_all_wrong(tmp_path: Path) -> None:
    heard = decoded(tmp_path / "greedy", {"s1-a": "", "s1-b": "", "s2-c": ""})
    (heard / TEXT).unlink()
    score(transcripts(tmp_path / "data"), heard)
    summary = json.loads((heard / "scores" / "text" / "greedy" / "summary.json").read_text())
    assert summary["systems"]["heard"]["wer"]["mean"] == 1


def test_what_does_not_go_together_is_one_line(tmp_path: Path) -> None:
    heard = decoded(tmp_path / "greedy", {"s1-a": "bin"})
    data = transcripts(tmp_path / "data")
    with pytest.raises(LipsoundError, match="holds recognized texts already; leave out --asr"):
        score(data, heard, asr=("pocketsphinx:grid",), text=data)
    bare = DataDir.write(tmp_path / "bare", utt2spk={"s1-a": "s1"})
    with pytest.raises(LipsoundError, match="bare: has no 'text' to compare with what was recognized"):
        score_text(bare.path, heard)
    with pytest.raises(LipsoundError, match=r"data: no recognized text there; expected words\.jsonl in it"):
        score_text(data, data)
    with pytest.raises(LipsoundError, match="nothing: no such folder; expected one that lipsound2 decode wrote"):
        score_text(data, tmp_path / "nothing")
    with pytest.raises(LipsoundError, match="two of the folders would be scored into it"):
        score_text(data, heard, decoded(tmp_path / "other" / "greedy", {"s1-a": "bin"}), out=tmp_path / "scores")
    (heard / DETAILS).write_text('{"text": "bin"}\n')
    (heard.parent / "all").mkdir()
    heard.rename(heard.parent / "all" / "generated")
    with pytest.raises(LipsoundError, match=r"words\.jsonl, line 1: expected the id of a clip and its text"):
        score_text(data, heard.parent / "all")


def test_words_that_sound_alike_count_as_equal_if_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = transcripts(tmp_path / "data")
    texts = {"s1-a": "been blew at be to now", "s1-b": "Lay red in see four again.", "s2-c": "set white by d six soon"}
    heard = decoded(tmp_path / "whisper", texts)
    score_text(data, heard, out=tmp_path / "plain")
    score_text(data, heard, out=tmp_path / "folded", homophones=True)
    rates = {}
    for name in ("plain", "folded"):
        summary = json.loads((tmp_path / name / "text" / "whisper" / "summary.json").read_text())
        rates[name] = summary["systems"]["heard"]["wer"]["mean"]
    assert rates == {"plain": pytest.approx(5 / 18, abs=1e-4), "folded": 0}
    assert "words that sound alike count as equal" in capsys.readouterr().out
    with pytest.raises(LipsoundError, match="a dictionary of --language en alone, found zh"):
        score_text(data, heard, out=tmp_path / "other", language="zh", homophones=True)


def test_a_lip_reader_stands_beside_what_it_read_in_another_clip(tmp_path: Path) -> None:
    """`s2-c` is the only clip of its speaker: it gets the text of another one's."""
    data = transcripts(tmp_path / "data")
    said = dict(DataDir(data).text)
    read = decoded(tmp_path / "greedy", said)
    score_text(data, read, out=tmp_path / "scores", mismatched=True, against="mismatched")
    made = tmp_path / "scores" / "text" / "greedy"
    systems = json.loads((made / "summary.json").read_text())["systems"]
    assert [*systems] == ["heard", "mismatched"]
    assert systems["heard"]["wer"]["mean"] == 0
    assert systems["mismatched"]["wer"]["mean"] > 0.5
    rows = [line.split("\t") for line in (made / "mismatched.tsv").read_text().splitlines()]
    place = rows[0].index("hypothesis")
    assert {row[0]: row[place] for row in rows[1:]} == {
        "s1-a": said["s1-b"],
        "s1-b": said["s1-a"],
        "s2-c": said["s1-b"],
    }
    assert "| heard - mismatched |" in (made / "table.md").read_text()
    decoded(tmp_path / "both" / "generated", said)
    with pytest.raises(LipsoundError, match="holds several systems, wanted the texts of one lip reader"):
        score_text(data, tmp_path / "both", mismatched=True)


def test_the_folder_that_is_not_one_lip_readers_is_named(tmp_path: Path) -> None:
    data, read = transcripts(tmp_path / "data"), decoded(tmp_path / "a", {"s1-a": "bin"})
    decoded(tmp_path / "two" / "generated", {"s1-a": "bin"})
    with pytest.raises(LipsoundError, match=r"--mismatched: .*/two holds several systems"):
        score_text(data, read, tmp_path / "two", mismatched=True)


def test_corrected_speakers_are_scored_anew(tmp_path: Path) -> None:
    data, read = transcripts(tmp_path / "data"), decoded(tmp_path / "greedy", {"s1-a": "bin"})
    score_text(data, read)
    DataDir.write(data, utt2spk={name: f"s{name[-1]}" for name in DataDir(data).ids}, text=DataDir(data).text)
    score_text(data, read)
    summary = json.loads((read / "scores" / "text" / "greedy" / "summary.json").read_text())
    assert [*summary["systems"]["heard"]["speakers"]] == ["sa", "sb", "sc"]


def test_systems_stand_side_by_side_ground_truth_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = transcripts(tmp_path / "data")
    said = dict(DataDir(data).text)
    folder = tmp_path / "text" / "asr"
    decoded(folder / "another", said)
    decoded(folder / "mismatched", {**said, "s1-a": ""})
    decoded(folder / "generated", {key: said[key] for key in ("s1-a", "s2-c")})
    decoded(folder / "real", said)
    score_text(data, folder, out=tmp_path / "scores")
    made = tmp_path / "scores" / "text" / "asr"
    systems = json.loads((made / "summary.json").read_text())["systems"]
    assert list(systems) == ["real", "generated", "mismatched", "another"]
    assert [one["wer"]["mean"] for one in systems.values()] == pytest.approx([0, 1 / 3, 1 / 3, 0], abs=1e-4)
    assert [one["total"]["missing"] for one in systems.values()] == [0, 1, 0, 0]  # silence is no missing clip
    assert (made / "mismatched.jsonl").read_bytes() == (folder / "mismatched" / DETAILS).read_bytes()
    capsys.readouterr()
    score_text(data, folder, out=tmp_path / "scores")
    assert "skipped" in capsys.readouterr().out
    decoded(folder / "real", {**said, "s1-a": "bin"})
    score_text(data, folder, out=tmp_path / "scores")
    assert json.loads((made / "summary.json").read_text())["systems"]["real"]["wer"]["mean"] > 0


def test_texts_are_compared_with_those_of_one_system(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = transcripts(tmp_path / "data")
    said = dict(DataDir(data).text)
    folder = tmp_path / "text" / "asr"
    decoded(folder / "before", {**said, "s1-a": "bin red in v two now"})
    decoded(folder / "after", said)
    score_text(data, folder, out=tmp_path / "scores", against="before")
    told = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| after - before"))
    assert f"{-100 * 3 / 18:+.1f} [" in told
    decoded(folder / "mismatched", {**said, "s1-a": "lay red in v two now"})
    score_text(data, folder, out=tmp_path / "scores", against="before,mismatched")
    rows = [line.split(" |")[0].rstrip() for line in capsys.readouterr().out.splitlines() if " - " in line]
    assert rows == ["| mismatched - before", "| after - before", "| after - mismatched"]
    with pytest.raises(LipsoundError, match="--against: found 'between', wanted one of several systems; there are"):
        score_text(data, folder, out=tmp_path / "scores", against="between")


def test_a_former_call_runs_with_a_line_of_what_to_write(tmp_path: Path) -> None:
    data = transcripts(tmp_path / "data")
    heard = decoded(tmp_path / "greedy", dict(DataDir(data).text))
    call = [sys.executable, "-m", "lipsound2.cli", "score", str(data), str(heard), "--out", str(tmp_path / "scores")]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0
    assert f"write instead: lipsound2 score-text {data} {heard} --out {tmp_path / 'scores'}\n" in done.stderr
    assert (tmp_path / "scores" / "text" / "greedy" / "heard.tsv").exists()
    # Scores of speech know nothing of words any more.
    shown = subprocess.run([*call[:4], "--help"], capture_output=True, text=True).stdout
    assert "--asr" not in shown


def test_fault_A11_words_are_counted_where_there_are_texts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = transcripts(tmp_path / "whole")
    data = DataDir.write(
        tmp_path / "data",
        utt2spk=dict(DataDir(whole).utt2spk),
        text={clip: text for clip, text in DataDir(whole).text.items() if clip != "s1-b"},
    )
    heard = decoded(tmp_path / "greedy", dict(DataDir(whole).text))
    score_text(data.path, heard)
    folder = heard / "scores" / "text" / "greedy"
    assert json.loads((folder / "summary.json").read_text())["systems"]["heard"]["wer"]["mean"] == 0
    assert len((folder / "heard.tsv").read_text().splitlines()) == 3  # two clips and the names of the columns
    assert "2 of the 3 clips of" in (folder / "table.md").read_text()
    assert "1 of the 3 clips of" in caplog.text
