"""Options of a recipe: how many, what a site sets for all, and names and folders of earlier versions."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from helpers.recipe_copies import ROOT
from helpers.recipe_stand_in import RECIPES, Recipes, stages
from helpers.recipe_stand_in import fresh as fresh  # a fixture
from helpers.recipe_stand_in import recipes as recipes  # a fixture


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_a_page_of_choices(recipes: Recipes, recipe: str) -> None:
    lines = (ROOT / "egs" / recipe / "run.sh").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line and not line.startswith("#")]) <= 30
    shown = recipes.run(recipe, "--help").stdout.split("options of ./run.sh:\n")[1].splitlines()
    mini = recipes.run("mini", "--help").stdout.split("options of ./run.sh:\n")[1].splitlines()
    shared = [line.split()[0] for line in mini[:-1]]  # the last is its own
    assert [line.split()[0] for line in shown[: len(shared)]] == shared
    assert all(len(line[20:].split()) > 0 for line in shown), "an option without a word about it"


@pytest.mark.parametrize("recipe", sorted(set(RECIPES) - {"mini"}))
def test_fault_A17_a_run_writes_no_file_that_git_tracks(recipes: Recipes, recipe: str) -> None:
    shown = recipes.run(recipe, "--help").stdout
    assert "RESULTS.md, which git tracks: for maintainers (default: exp/RESULTS.md)" in shown


def test_what_a_site_sets_is_read_from_files_that_git_does_not_see(fresh: Recipes) -> None:
    stages(fresh.egs / "grid", "data/all/utt2spk")
    (fresh.egs / "site.sh").write_text('launcher=slurm nj=40\nexport LIPSOUND2_SBATCH="--partition=p"\n')

    def ends(*options: str) -> set[str]:
        assert fresh.run("grid", "--stage", "1", "--stop-stage", "2", *options).returncode == 0
        return {call[call.index("--nj") :] for call in fresh.called()}

    assert ends() == {"--nj 40 --launcher slurm --partition=p"}
    assert ends("--nj", "3", "--launcher", "local") == {"--nj 3 --launcher local --partition=p"}
    assert "worker processes, or jobs of a cluster (default: 40)" in fresh.run("grid", "--help").stdout
    (fresh.egs / "grid/cmd.local.sh").write_text("nj=4\n")  # for one recipe alone
    assert ends() == {"--nj 4 --launcher slurm --partition=p"}
    (fresh.egs / "grid/cmd.local.sh").write_text("nj=many\n")
    assert "--nj: found 'many', wanted a whole number of at least 1" in fresh.refused("grid")
    for name in ("egs/site.sh", "egs/grid/cmd.local.sh"):
        ignored = subprocess.run(["git", "check-ignore", name], cwd=ROOT, capture_output=True)
        assert ignored.returncode in (0, 128)  # 128: not a checkout


def test_an_option_is_read_by_its_old_name_too(fresh: Recipes) -> None:
    done = fresh.run("grid", "--shares", "5", "--ears", "conf/asr_jasper.yaml", "--stop-stage", "0")
    assert done.returncode == 0
    assert (
        done.stderr == "./run.sh: --shares is now called --label-percent\n./run.sh: --ears is now called --asr-config\n"
    )
    assert "subset data/4speakers/train data/4speakers/train-05 --share 5e-2 --by speaker" in fresh.called()
    assert "to go on from here: ./run.sh --label-percent 5 --asr-config conf/asr_jasper.yaml --stage 1" in done.stdout
    assert "--shares: found" not in fresh.refused("grid", "--crpus", "5")
    assert "'--ways'; it is now called --modes, an option of ./run_lira.sh" in fresh.refused("grid", "--ways", "frozen")
    assert "'--also'; it is now called --metrics, an option of ./run_vocoder" in fresh.refused("grid", "--also=dnsmos")
    assert fresh.refused("own", "--address", "x").endswith("now called --url, an option of ../grid/run.sh\n")


def test_a_recipe_folder_of_before_still_runs(fresh: Recipes) -> None:
    """`tests/old_recipe` are the scripts of a recipe from when each had stages, `cmd.sh` and `path.sh` of its own."""
    folder = fresh.egs / "mini"
    shutil.copytree(ROOT / "tests/old_recipe", folder, dirs_exist_ok=True)
    done = fresh.run("mini", "--clips", "20", "--nj", "1")
    assert (done.returncode, done.stderr) == (0, "")
    verbs = ["generate", "prepare", "validate", "crop", "mel", "train", "synthesize", "score", "report"]
    assert [call.split()[0] for call in fresh.called()] == verbs
    assert fresh.called()[0] == "generate corpus --clips 20 --nj 1"
    assert "--train data/mini/train --valid data/mini/valid --dump dump --exp exp/mini" in fresh.called()[5]
    assert "--nj: found '0', wanted a whole number of at least 1" in fresh.run("mini", "--nj", "0").stderr
    assert "options of ./run.sh" in fresh.run("mini", "--help").stdout
