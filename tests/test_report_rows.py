"""Rows of results that the report publishes: put between markers, replaced, kept, and never lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from helpers.experiments import write_texts
from helpers.report_pages import HEARD, SAID, write

from lipsound2.errors import LipsoundError
from lipsound2.report import provenance
from lipsound2.report.marked_table import MarkedTable
from lipsound2.report.results import SPEECH_TABLE, WORD_TABLE


@pytest.fixture
def exp(scored_experiment: Path, tmp_path: Path) -> Path:
    """A copy of an experiment of lip-to-speech with speech and scores, to be changed."""
    shutil.copytree(scored_experiment, tmp_path / "copy")
    return tmp_path / "copy/exp/tiny_parallel"


def test_results_are_put_between_the_markers_and_replaced(exp: Path, tmp_path: Path) -> None:
    target = tmp_path / "RESULTS.md"
    target.write_text("# GRID\n\nWritten by hand.\n")
    write(exp, publish=target)
    first = target.read_text()
    assert first.startswith("# GRID\n\nWritten by hand.\n")
    target.write_text(first + "\nBelow, by hand too.\n")
    row = next(line for line in first.splitlines() if line.startswith("| tiny_parallel"))
    for cell in (
        "test",
        "4",
        "YES",
        "0123456789",
        "Example CPU @ 2.0 GHz, 2 cores",
        "2.00",
        "2026-01-02",
        "`lipsound2 train",
    ):
        assert cell in row
    other = exp.with_name("other_model")
    exp.rename(other)
    write(other, publish=target)
    versions = other / "versions.yaml"
    versions.write_text(versions.read_text().replace("2026-01-02T05", "2026-02-03T05"))
    write(other, publish=target)
    text = target.read_text()
    rows = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert [line.split("|")[1].strip() for line in rows] == ["tiny_parallel", "other_model"]
    assert rows[0] == row
    assert "2026-02-03" in rows[1]
    assert text.startswith("# GRID\n\nWritten by hand.\n")
    assert text.endswith("\nBelow, by hand too.\n")
    assert "| other_model | test |" in (other / "RESULTS.md").read_text()


def test_a_finished_training_that_was_called_again_made_nothing(exp: Path) -> None:
    path = exp / "versions.yaml"
    record = yaml.safe_load(path.read_text())
    again = record["runs"][0] | {"command": "lipsound2 train again", "git": "f" * 40}
    record["runs"][0]["updates"] = again["updates"] = 300
    path.write_text(yaml.safe_dump(record | {"runs": [record["runs"][0], again]}))
    assert provenance.provenance(exp).commit == "0123456789"
    again["updates"] = 400
    path.write_text(yaml.safe_dump(record | {"runs": [record["runs"][0], again]}))
    assert provenance.provenance(exp).command == "lipsound2 train again"


def test_word_errors_have_a_table_of_their_own(exp: Path, tmp_path: Path) -> None:
    target = tmp_path / "RESULTS.md"
    target.write_text("# GRID\n\nWritten by hand.\n")
    texts = exp / "scores/test/text"
    free = {"s1-clip0": "any words at all"}
    write_texts(texts / "truth", free, {"real": free})  # of the model's nothing was heard
    write_texts(texts / "free", free, {"generated": free})
    write(exp, publish=target)
    assert "slot" not in target.read_text()
    write_texts(texts / "sphinx-grid", SAID, {"real": dict(SAID), "generated": HEARD})
    write(exp, publish=target)
    text = target.read_text()
    assert text.startswith("# GRID\n\nWritten by hand.\n")
    assert text.index(SPEECH_TABLE.end) < text.index("## Word errors") < text.index(WORD_TABLE.begin)
    block = text[text.index(WORD_TABLE.begin) : text.index(WORD_TABLE.end)]
    head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines() if "|" in line]
    found = [dict(zip(head, row, strict=True)) for row in rows]
    assert [row["recognizer"] for row in found] == ["free", "sphinx-grid"]
    assert found[0]["letter slot %"] == "-"
    row = found[1]
    assert row["letter slot %"] == "75.0"
    assert row["WER %"].startswith("41.7 [")
    assert row["SER %"].startswith("75.0 [")
    assert row["WER % of ground truth / copy-synthesis / mismatched video / mean mel"] == "0.0 / - / - / -"
    assert row["command"].startswith("`lipsound2 train conf/parallel.yaml")
    assert (row["date"], row["commit"]) == ("2026-01-02", "0123456789")
    assert "WER of 81 %" in block
    write_texts(texts / "sphinx-grid", SAID, {"real": dict(SAID), "generated": dict(SAID)})
    write(exp, publish=target)
    again = target.read_text()
    assert len(again.splitlines()) == len(text.splitlines())
    assert "41.7" not in again
    assert again.count("## Word errors") == 1


def test_a_column_that_nobody_knows_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "RESULTS.md"
    target.write_text("<b>\n| name | mine | score |\n| --- | --- | --- |\n| a | by hand | 1 |\n<e>\n")
    table = MarkedTable("<b>", "<e>", ["name", "score", "other"], keys=1)
    table.put(target, [{"name": "a", "score": "2"}, {"name": "b", "score": "3|4"}], "Results")
    assert target.read_text() == ("<b>\n\n| name | score |\n| --- | --- |\n| a | 2 |\n| b | 3/4 |\n\n<e>\n")
    target.write_text("<b>\n| name | mine | score |\n| --- | --- | --- |\n| a | by hand | 1 |\n<e>\n")
    table.put(target, [{"name": "b", "score": "2"}], "Results")
    assert "| name | score | mine |" in target.read_text()
    assert "| a | 1 | by hand |\n| b | 2 | - |" in target.read_text()


def test_rows_of_older_tables_are_kept_under_the_names_columns_have_now(tmp_path: Path) -> None:
    target = tmp_path / "RESULTS.md"
    target.write_text(
        f"{SPEECH_TABLE.begin}\n| experiment | set | ESTOI | ESTOI of ceiling / another sentence / mean mel |\n"
        f"| --- | --- | --- | --- |\n| a | test | 0.4 | 0.9 / 0.0 / 0.1 |\n{SPEECH_TABLE.end}\n"
        f"{WORD_TABLE.begin}\n| experiment | set | recogniser | WER % | colour slot % |\n"
        "| --- | --- | --- | --- | --- |\n"
        f"| a | test | own | 41.7 | 25.0 |\n| a | test | other | 50.0 | 30.0 |\n{WORD_TABLE.end}\n"
    )
    SPEECH_TABLE.put(target, [{"experiment": "b", "set": "test", "ESTOI": "0.5"}], "Results")
    WORD_TABLE.put(target, [{"experiment": "a", "set": "test", "recognizer": "own", "color slot %": "5.0"}], "Results")
    text = target.read_text()
    assert "| experiment | set | ESTOI | ESTOI of copy-synthesis / mismatched video / mean mel |" in text
    assert "| a | test | 0.4 | 0.9 / 0.0 / 0.1 |\n| b | test | 0.5 | - |" in text
    assert "| experiment | set | recognizer | WER % | color slot % |" in text
    assert "| a | test | own | - | 5.0 |\n| a | test | other | 50.0 | 30.0 |" in text


def test_damaged_markers_are_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    target = tmp_path / "RESULTS.md"
    target.write_text(f"text\n{SPEECH_TABLE.end}\n")
    with pytest.raises(LipsoundError, match="markers are damaged"):
        SPEECH_TABLE.put(target, [], "Results")
    assert target.read_text() == f"text\n{SPEECH_TABLE.end}\n"


def test_no_path_of_this_machine_is_published() -> None:
    for command in ("/home/me/env/bin/lipsound2 train c.yaml", "/x/lipsound2/cli.py train c.yaml"):
        assert provenance._command(command) == "lipsound2 train c.yaml"
    assert provenance._commit("a" * 40 + "+dirty") == "a" * 10 + " with changes"
    assert provenance._hardware({"cpu": "C", "cores": 2, "gpu": "G", "processes": 4}) == "4 x G"
