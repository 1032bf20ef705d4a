"""A checkout that most may only read: a recipe copied out of it runs, and what is missing is told in one line."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers import warm_verbs
from helpers.recipe_copies import ENVIRONMENT, ROOT, copy_recipes

# Root may write everywhere unless it gives this up.
RIGHTS = "-dac_override,-dac_read_search,-fowner"
AS_A_USER = ["setpriv", f"--bounding-set={RIGHTS}", f"--inh-caps={RIGHTS}"] if os.geteuid() == 0 else []


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the mini recipe and the true set-up, without a right to write."""
    top = copy_recipes(tmp_path, "mini").parent
    for name in ("setup.cfg", "pyproject.toml", "tools/install.sh", "tools/constraints.txt"):
        shutil.copy(ROOT / name, top / name)
    return top


def lock(folder: Path, *, up: bool) -> None:
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222 if up else path.stat().st_mode | 0o200)


def environment(checkout: Path, extras: str) -> None:
    """An environment in the checkout, in the state that `tools/install.sh` leaves it in."""
    files = ("setup.cfg", "pyproject.toml", "tools/constraints.txt")
    state = hashlib.sha256(b"".join((checkout / name).read_bytes() for name in files)).hexdigest()
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/.lipsound2").write_text(f"{state}\n{extras}\n")


def run(recipe: Path, checkout: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The recipe as somebody runs it who may only read the checkout."""
    settings = {name: value for name, value in ENVIRONMENT.items() if name != "LIPSOUND2_VENV"}
    warm = warm_verbs.environment()
    settings |= {"WARM_VERBS": warm["WARM_VERBS"], "PATH": f"{warm['LIPSOUND2_VENV']}/bin:{os.environ['PATH']}"}
    settings |= {} if checkout is None else {"LIPSOUND2_ROOT": str(checkout)}
    command = [*AS_A_USER, str(recipe / "run.sh"), *arguments]
    return subprocess.run(command, cwd=recipe.parent, env=settings, capture_output=True, text=True)


@pytest.mark.slow
def test_a_recipe_copied_out_of_a_read_only_checkout_runs(checkout: Path, tmp_path: Path) -> None:
    environment(checkout, "asr,docs,face,metrics,mini,text")
    shutil.copytree(checkout / "egs/mini", tmp_path / "home/first")
    lock(checkout, up=True)
    before = sorted(checkout.rglob("*"))
    done = run(tmp_path / "home/first", checkout, "--clips", "4", "--nj", "1", "--stop-stage", "1")
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"toolkit: {checkout} (LIPSOUND2_ROOT)" in done.stdout
    assert (tmp_path / "home/first/dump/mouth/feats.scp").is_file()
    assert sorted(checkout.rglob("*")) == before
    assert "--corpus" in run(tmp_path / "home/first", checkout, "--help").stdout
    lock(checkout, up=False)


def test_what_a_shared_environment_lacks_is_told_in_one_line(checkout: Path, tmp_path: Path) -> None:
    environment(checkout, "face")
    lock(checkout, up=True)
    done = run(checkout / "egs/mini", None)
    assert done.returncode == 1
    told = "found face, wanted asr,face,metrics,mini,text, and you may not write there; who keeps it runs"
    command = "tools/install.sh --extras asr,face,metrics,mini,text"
    assert done.stderr.splitlines() == [f"tools/install.sh: {checkout}/.venv: {told}: {command}"]
    lock(checkout, up=False)


def test_a_recipe_that_finds_no_toolkit_stops(checkout: Path, tmp_path: Path) -> None:
    shutil.copytree(checkout / "egs/mini", tmp_path / "home/first")
    for place in (None, tmp_path / "nowhere"):
        done = run(tmp_path / "home/first", place)
        assert done.returncode != 0
        assert done.stderr.count("\n") == 1
        assert "utils/options.sh: No such file" in done.stderr
