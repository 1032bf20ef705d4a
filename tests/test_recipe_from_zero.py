"""`docs/recipe-from-zero.md` and the commands of `docs/experiment.md`, carried out."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import warm_verbs
from helpers.recipe_copies import ROOT, copy_recipes

from lipsound2.data.datadir import DataDir

pytestmark = pytest.mark.slow
COMMAND = re.compile(r"^    ((?:\./run\.sh|lipsound2|cp|sed|cd) (?:[^\n]*\\\n)*[^\n]*)$", re.MULTILINE)
# So that a run takes seconds: what is learned is not the point.
SMALL = "width: 32, layers: 1, mel_width: 32, valid_clips: 2, workers: 0"


def commands(page: str) -> list[str]:
    return [command.replace("\\\n", " ") for command in COMMAND.findall((ROOT / "docs" / page).read_text("utf-8"))]


def shell(folder: Path, command: str) -> str:
    """What a command of a page printed; it must succeed."""
    warm = warm_verbs.environment()
    environment = os.environ | warm | {"PATH": f"{warm['LIPSOUND2_VENV']}/bin:{os.environ['PATH']}"}
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{(done.stdout + done.stderr)[-3000:]}"
    return done.stdout + done.stderr


def test_a_recipe_with_lists(tmp_path: Path) -> None:
    page = (ROOT / "docs/recipe-from-zero.md").read_text(encoding="utf-8")
    top = copy_recipes(tmp_path, "own").parent
    made, copied, moved, *runs = commands("recipe-from-zero.md")
    shell(top, f"{made} --nj 1")
    shell(top, copied)
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code is not None
    subprocess.run([sys.executable, "-c", code[1]], cwd=top, check=True)
    line = re.search(r"^    (protocol=.*)$", page, re.MULTILINE)
    assert line is not None
    path = top / "egs/colors/run.sh"
    path.write_text(re.sub(r"^protocol=.*$", line[1], path.read_text("utf-8"), flags=re.MULTILINE), "utf-8")
    recipe = top / moved.split()[1]
    prepare, crop, learn = runs
    shell(recipe, f"{prepare} --nj 1")
    sets = {name: len(DataDir(recipe / "data/lists" / name)) for name in ("train", "valid", "test")}
    assert sets == {"train": 8, "valid": 2, "test": 2}
    shell(recipe, f"{crop} --nj 1")
    assert (recipe / "dump/failures.tsv").is_file()
    told = shell(recipe, f'{learn[:-1]}, {SMALL}" --nj 1')
    assert "Lips are read" in told
    assert (recipe / "exp/lists_parallel/report.html").is_file()


def test_an_experiment_of_ones_own(tmp_path: Path) -> None:
    """Every command of the page, with a smaller network, and a corpus of 20 clips."""
    recipe = copy_recipes(tmp_path, "mini") / "mini"
    small = f'--nj 1 --clips 20 --asr "" --override "{SMALL}, max_epochs: 2, valid_every: 1"'
    shell(recipe, f"./run.sh {small}")
    copied, changed, wide, slow, compared, published, shared, *checked, packed, spoken = commands("experiment.md")
    shell(recipe, copied)
    shell(recipe, changed)
    assert "width: 160" in (recipe / "conf/wide.yaml").read_text()
    shell(recipe, f"{wide} {small}")
    shell(
        recipe,
        slow.replace('lr: 1.0e-3"', f'lr: 1.0e-3, {SMALL}, max_epochs: 2, valid_every: 1" --clips 20 --nj 1 --asr ""'),
    )
    assert {path.name for path in (recipe / "exp").iterdir() if path.is_dir()} >= {"mini", "wide", "wide_slow"}
    told = shell(recipe, compared)
    assert re.search(r"\| lr +\| 0\.002 +\| 0\.002 +\| 0\.001 +\|", told)
    shell(recipe, published)
    assert "| wide |" in (recipe / "exp/RESULTS.md").read_text(encoding="utf-8")
    shell(recipe, shared)
    for check in checked:
        assert "everything that was computed again is the same" in shell(recipe, check)
    shell(recipe, packed)
    clip = next((recipe / "corpus/s1").glob("*.mp4"))
    shell(recipe, spoken.replace("clip.mp4", shlex.quote(str(clip))))
    assert clip.with_suffix(".wav").stat().st_size > 90_000
