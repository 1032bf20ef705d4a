"""Tables of results: every printed number comes from stored scores of clips, and one command makes a table again."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import warm_verbs
from helpers.recipe_copies import ENVIRONMENT, ROOT, copy_recipes, run

from lipsound2.data import datadir
from lipsound2.errors import LipsoundError
from lipsound2.synthetic.corpus import generate

sys.path.insert(0, str(ROOT / "egs/grid/local"))
import clip_scores
import make_results
import printed
import results
import series

TABLES = sorted(path.with_suffix(".yaml") for path in ROOT.glob("egs/grid/results/*.tsv"))
SMALL = """\
set: test
speakers: same
regions: mouth
mel: fine
metrics: []
sync: more
trainings:
  more:
    config: conf/parallel.yaml
    init: grid-s1-parallel
    override: "max_epochs: 0, max_updates: 1, warmup: 1, batch_size: 1, valid_clips: 1, word_loss_weight: 0"
  further:
    config: conf/parallel.yaml
    init: more
    override:
      "max_epochs: 0, max_updates: 1, warmup: 1, batch_size: 1, valid_clips: 1, word_loss_weight: 0,
      correct_av_offset: true"
speech:
  quick: {model: grid-s1-parallel, vocoder: "griffin-lim:2"}
  learned: {model: further, vocoder: "griffin-lim:2", controls: [""]}
recognizers:
  own: {asr: grid-s1-asr, title: "`grid-s1-asr`"}
  folded: {asr: grid-s1-asr, search: --grammar grid, homophones: true, systems: [real], title: grammar}
  read: {asr: grid-s1-vsr, lips: true, title: from the lips}
systems:
  real: ground truth
  quick/generated: generated
  quick/mismatched: mismatched
  learned/generated: trained on
  lips/video: the video
  lips/mismatched: another video
printed:
  all: {file: egs/grid/SMALL.md, columns: [stoi, estoi, gain, own, folded, read], bold: [quick/generated own]}
"""


def files_of(path: Path) -> set[str]:
    """Where a table is printed, from the top of the checkout."""
    table = series.read_series(path) if series.is_series(path) else results.read_table(path)
    return {each.file for each in table.printed.values()}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the recipe, and of the other files that tables are printed in; returns its top."""
    top = copy_recipes(tmp_path, "grid").parent
    for path in TABLES:
        for file in files_of(path):
            (top / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, top / file)
    return top


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_printed_number_is_what_the_clips_give(path: Path) -> None:
    assert results.check(path) == []


def test_the_script_names_every_table() -> None:
    text = (ROOT / "egs/grid/run_results.sh").read_text()
    told = re.search(r"^# Tables: ([^.]*)\.$", text, re.MULTILINE)
    assert told
    assert re.findall(r"(\w+) \(", told[1]) == [path.stem for path in TABLES]


def test_a_changed_digit_is_told_in_a_line(checkout: Path) -> None:
    page = checkout / "egs/grid/RESULTS.md"
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 1 + next(n for n, line in enumerate(lines) if line == printed.markers("shipped/speech")[0])
    digits = re.search(r"0\.\d{3}", lines[number + 3])
    assert digits
    lines[number + 3] = lines[number + 3].replace(digits[0], "0.123", 1)
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    told = run(checkout / "egs/grid", "--check", "all", script="run_results.sh", fails=True)
    row, heading = (lines[number + n].split("|") for n in (3, 0))
    column = next(n for n, cell in enumerate(row) if "0.123" in cell)
    start = f"egs/grid/RESULTS.md:{number + 4}: {row[1].strip()}, {heading[column].strip()}: found '0.123 ["
    assert told.startswith(start)
    assert told.count("\n") == 1
    assert f"wanted '{digits[0]} [" in told


def test_a_changed_score_of_a_clip_is_told(checkout: Path) -> None:
    path = checkout / "egs/grid/results/shipped.yaml"
    lines = clip_scores.read_clips(path.with_suffix(".tsv"))
    wrong = next(line for line in lines if line.row.system == "griffin-lim/generated")
    lines[lines.index(wrong)] = clip_scores.Line(
        wrong.row, wrong.words, {**wrong.errors, "own": wrong.errors["own"] + 3}
    )
    clip_scores.write_clips(path.with_suffix(".tsv"), lines)
    told = results.check(path, checkout)
    assert told
    assert all("`grid-s1-asr`" in line for line in told)


def test_a_table_names_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(SMALL.replace("own, folded, read]", "ears]"), encoding="utf-8")
    with pytest.raises(LipsoundError, match="printed: all: columns: found 'ears'"):
        results.read_table(tmp_path / "odd.yaml")
    (tmp_path / "odd.yaml").write_text(f"{SMALL}differences: {{odd: {{title: x, of: nobody, to: real}}}}\n")
    with pytest.raises(
        LipsoundError, match="differences: odd: found 'nobody', wanted some of learned/generated, lips/"
    ):
        results.read_table(tmp_path / "odd.yaml")
    (tmp_path / "odd.yaml").write_text(f"{SMALL}differences: {{real: {{title: x, of: real, to: real}}}}\n")
    with pytest.raises(LipsoundError, match="differences: found 'real', which is a system, wanted a name of its own"):
        results.read_table(tmp_path / "odd.yaml")
    for sync in ("", "sync: further\n"):  # none, and one that is trained too late
        (tmp_path / "odd.yaml").write_text(SMALL.replace("sync: more\n", sync))
        with pytest.raises(LipsoundError, match="trainings: further: has 'correct_av_offset', wanted 'sync: MODEL'"):
            results.read_table(tmp_path / "odd.yaml")


def test_a_table_of_models_that_nothing_has_is_refused_before_work(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(SMALL.replace("sync: more", "sync: grid-s1-paralel"))
    with pytest.raises(LipsoundError, match="did you mean 'grid-s1-parallel'"):
        make_results.make(results.read_table(tmp_path / "odd.yaml"), tmp_path / "data", tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()


def test_fault_D4_when_a_table_was_made_is_looked_for_by_name(checkout: Path) -> None:
    path = checkout / "egs/grid/results/levers.yaml"
    path.with_suffix(".origin.yaml").write_text("hardware: x\n")
    with pytest.raises(LipsoundError, match=r"levers\.origin\.yaml: .*date"):
        results.check(path, checkout)
    (checkout / "docs/results/lip_to_speech.md").unlink()
    with pytest.raises(LipsoundError, match=r"lip_to_speech\.md: found no such file"):
        results.check(path, checkout)


def test_a_row_that_is_not_stored_yet_has_no_numbers() -> None:
    path = ROOT / "egs/grid/results/unseen.yaml"
    table, lines = results.read_table(path), clip_scores.read_clips(path.with_suffix(".tsv"))
    before = results.Numbers(table, [line for line in lines if line.row.system != "lips/video"])
    assert before.cell("lips/video", "read") == ""
    assert before.cell("lips/mismatched", "read") != ""


@pytest.mark.parametrize("new", ["vocos/generated", "vocos/mismatched", "vocos/"])
def test_fault_rows_of_speech_that_are_not_stored_yet_have_no_numbers(checkout: Path, new: str) -> None:
    """A control, what is generated itself, or all of a new model: what is stored is checked, and told at the end."""
    path = checkout / "egs/grid/results/shipped.yaml"
    table, lines = results.read_table(path), clip_scores.read_clips(path.with_suffix(".tsv"))
    stored, made = path.with_suffix(".tsv"), results.Numbers(table, lines)
    clip_scores.write_clips(stored, [line for line in lines if not line.row.system.startswith(new)])
    before = results.stored(path)[1]
    for system in (each for each in table.systems if each.startswith(new)):
        for column in ("stoi", "gain", "own"):
            assert before.cell(system, column) == ""
    assert before.cell("griffin-lim/generated", "stoi") != ""
    told = results.check(path, checkout)
    assert told
    assert all(line.endswith("wanted ''") for line in told)
    told = make_results.unlike(table, made, before)
    assert told
    assert all(line.startswith("vocos/") and line.endswith(", stored nothing") for line in told)


def test_a_row_of_differences_pairs_the_clips() -> None:
    """Scores and errors of one system less those of another; what one of them has not is empty."""
    path = ROOT / "egs/grid/results/levers.yaml"
    table, lines = results.read_table(path), clip_scores.read_clips(path.with_suffix(".tsv"))
    gain = series.Difference("gain", "recognizer/generated", "control/generated")
    table = dataclasses.replace(table, differences={"gain": gain})
    numbers = results.Numbers(table, lines)
    ours, theirs = ([line for line in lines if line.row.system == system] for system in (gain.of, gain.to))
    scores = [
        a.row.scores.values["pesq_wb"] - b.row.scores.values["pesq_wb"] for a, b in zip(ours, theirs, strict=True)
    ]
    found = numbers.interval("gain", "pesq_wb")
    assert found.mean == pytest.approx(np.mean(scores))
    assert found.low < np.mean(scores) < found.high
    errors = sum(a.errors["own"] - b.errors["own"] for a, b in zip(ours, theirs, strict=True))
    assert numbers.interval("gain", "own").mean == pytest.approx(errors / 300)
    assert numbers.cell("gain", "secs") == numbers.cell("gain", "gain") == ""
    both = results.Printed("RESULTS.md", ("pesq_wb",), ("control/generated", "gain"))
    assert results.rendered(table, numbers, both).splitlines()[-1].startswith("| gain | 0.0")
    few = results.Numbers(table, [line for line in lines if line.row.system != gain.to])
    assert few.cell("gain", "pesq_wb") == few.cell("gain", "own") == ""


def test_a_table_that_is_none_is_refused_at_once(checkout: Path) -> None:
    for arguments, what in ((["nope"], "TABLE"), (["--check", "nope"], "--check")):
        command = ["./run_results.sh", *arguments]
        done = subprocess.run(command, cwd=checkout / "egs/grid", capture_output=True, text=True, env=ENVIRONMENT)
        assert (done.returncode, done.stdout) == (2, "")
        tables = " ".join(path.stem for path in TABLES)
        assert done.stderr == f"./run_results.sh: {what}: found 'nope', wanted a table: {tables}\n"


@pytest.mark.slow
def test_a_table_is_made_again_from_a_corpus(tmp_path: Path) -> None:
    """Made and published; then all of it is there, and found to be what is stored; and what is not is told."""
    recipe = copy_recipes(tmp_path, "grid") / "grid"
    generate(recipe / "faces", clips=20, speakers=1, nj=1)
    (recipe / "results/small.yaml").write_text(SMALL, encoding="utf-8")
    (recipe / "SMALL.md").write_text("Above.\n\n" + "\n".join(printed.markers("small/all")) + "\n\nBelow.\n")

    def make(*options: str) -> str:
        command = ["./run_results.sh", "small", "--corpus", "faces", "--protocol", "mini", "--lists", "", "--nj", "1"]
        environment = ENVIRONMENT | warm_verbs.environment()
        done = subprocess.run([*command, *options], cwd=recipe, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        return done.stdout

    make("--publish", "yes")
    page = (recipe / "SMALL.md").read_text()
    assert page.startswith("Above.\n\n<!-- results small/all -->\n|  | STOI | ESTOI | ESTOI, gain over mismatched |")
    assert page.endswith("<!-- end of results small/all -->\n\nBelow.\n")
    stored = recipe / "results/small.tsv"
    lines = clip_scores.read_clips(stored)
    heard, read = ({line.row.system for line in lines if name in line.errors} for name in ("own", "read"))
    assert heard == {"real", "quick/generated", "quick/mismatched", "learned/generated"}
    assert read == {"lips/video", "lips/mismatched"}
    assert len({line.row.id for line in lines}) * 6 == len(lines)
    texts = recipe / "exp/results/small/text/grid-s1-vsr"
    own, others = (datadir.read_table(texts / f"lips.{which}/text") for which in ("video", "mismatched"))
    assert sorted(own.values()) == sorted(others.values()) != []
    assert own != others
    told = run(recipe, "--check", "small", script="run_results.sh")
    assert told == "small: every printed number is what the clips give\n"
    told = make()
    assert "every number is that of results/small.tsv" in told
    assert told.count("skipped") >= 8
    real = next(line for line in lines if line.row.system == "real")
    lines[lines.index(real)] = clip_scores.Line(real.row, real.words, {**real.errors, "own": real.errors["own"] + 1})
    clip_scores.write_clips(stored, lines)
    told = make().splitlines()
    assert len([line for line in told if line.startswith("real, own: made ")]) == 1
