"""Tables of trainings: means over clips and seeds, paired differences, and experiments gathered as they come."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.recipe_copies import ENVIRONMENT, ROOT

from lipsound2.errors import LipsoundError

sys.path.insert(0, str(ROOT / "egs/grid/local"))
import clip_scores
import series

GRID = ROOT / "egs/grid"

TABLE = """\
recipe: "./run_lira.sh --modes 'one other'"
rows: {"5": few, "100": many}
seeds: [0, 1]
ways:
  one: {title: first, scores: "exp/one_{row}_{seed}/heard.tsv"}
  other: {title: second, scores: "exp/other_{row}_{seed}/heard.tsv"}
differences:
  gain: {title: first less second, of: one, to: other}
printed:
  all: {file: RESULTS.md, columns: [one, other, gain]}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table; experiments are looked for in it."""
    (tmp_path / "table.yaml").write_text(TABLE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "table.yaml"


def train(name: str, *errors: int) -> None:
    """Write the word errors of an experiment's clips, ten words each."""
    folder = Path("exp") / name
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"s1-{n}\ta b\ta\t{wrong}\t10\n" for n, wrong in enumerate(errors)]
    (folder / "heard.tsv").write_text("".join(["id\treference\thypothesis\terrors\twords\n", *lines]))


def gathered(path: Path) -> dict[str, str]:
    """Gather into the stored file, and read the table back: row, column -> cell."""
    table, stored = series.read_series(path), path.with_suffix(".tsv")
    clip_scores.write_clips(stored, series.gather(table, clip_scores.read_clips(stored) if stored.exists() else []))
    trainings = series.Trainings(table, clip_scores.read_clips(stored))
    return {f"{row} {column}": trainings.cell(row, column) for row in table.rows for column in ("one", "other", "gain")}


def test_cells_are_means_over_clips_and_seeds(place: Path) -> None:
    train("one_5_0", 1, 0, 2, 1)
    train("one_5_1", 3, 0, 2, 1)
    train("other_5_1", 5, 4, 6, 5)
    cells = gathered(place)
    assert re.fullmatch(r"12\.5 \[\d+\.\d, \d+\.\d\] \(10\.0, 15\.0\)", cells["5 one"])
    assert re.fullmatch(r"50\.0 \[\d+\.\d, \d+\.\d\] \(50\.0\)", cells["5 other"])
    assert re.fullmatch(r"-35\.0 \[-\d+\.\d, -\d+\.\d\]", cells["5 gain"]), "of the seed that both have"
    assert {cells["100 one"], cells["100 other"], cells["100 gain"]} == {""}


def test_what_is_stored_stays_until_it_is_trained_again(place: Path) -> None:
    train("one_5_0", 1, 1)
    gathered(place)
    Path("exp/one_5_0/heard.tsv").unlink()
    train("one_100_0", 0, 1)
    cells = gathered(place)
    assert cells["5 one"].endswith("(10.0)")
    assert cells["100 one"].endswith("(5.0)")
    train("one_5_0", 4, 4)
    assert gathered(place)["5 one"].endswith("(40.0)")
    (name, file, text), *rest = series.rendered(place)
    assert (name, file, rest) == ("all", "RESULTS.md", [])
    assert [line.split(" | ")[0] for line in text.splitlines()[2:]] == ["| few", "| many"]


def test_single_words_of_a_clip_count_together(place: Path) -> None:
    place.write_text(TABLE + "words_of_clips: true\n", encoding="utf-8")
    lines = [
        f"s1-{clip}-{n}\ta\tb\t{wrong}\t1\n"
        for clip, errors in (("x", "101"), ("y", "000"))
        for n, wrong in enumerate(errors)
    ]
    Path("exp/one_5_0").mkdir(parents=True)
    Path("exp/one_5_0/heard.tsv").write_text("".join(["id\treference\thypothesis\terrors\twords\n", *lines]))
    found = series.gather(series.read_series(place), [])
    assert [(line.row.id, line.words, line.errors[series.ERRORS]) for line in found] == [("s1-x", 3, 2), ("s1-y", 3, 0)]


def test_a_table_names_what_is_there(place: Path) -> None:
    place.write_text(TABLE.replace("to: other", "to: nobody"), encoding="utf-8")
    with pytest.raises(LipsoundError, match="found 'nobody', wanted some of gain, one, other"):
        series.read_series(place)


def test_the_stored_recipe_is_one_that_its_script_takes() -> None:
    table = GRID / "results/lira.yaml"
    command = [sys.executable, "local/make_series.py", str(table), "--recipe"]
    told = subprocess.run(command, cwd=GRID, capture_output=True, text=True, env=ENVIRONMENT, check=True)
    script, *words = told.stdout.splitlines()
    assert [script, *words] == shlex.split(series.read_series(table).recipe)
    text = (GRID / script).read_text(encoding="utf-8")
    for option in [word for word in words if word.startswith("--")]:
        assert re.search(rf"^{option[2:].replace('-', '_')}=", text, re.MULTILINE), option
