"""Likely mistakes at a recipe's command line: one clear line and the right status, before anything is done."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from helpers.recipe_stand_in import RECIPES, SCRIPTS, Recipes
from helpers.recipe_stand_in import fresh as fresh  # a fixture
from helpers.recipe_stand_in import recipes as recipes  # a fixture


@pytest.mark.parametrize("recipe", RECIPES)
def test_fault_E2_stages_and_numbers_are_looked_at_first(recipes: Recipes, recipe: str) -> None:
    assert "--stage: found 'three', wanted a stage: 0 to 5" in recipes.refused(recipe, "--stage", "three")
    assert "--nj: found 'two', wanted a whole number of at least 1" in recipes.refused(recipe, "--nj", "two")
    assert "--nj: found '0', wanted a whole number of at least 1" in recipes.refused(recipe, "--nj", "0")
    assert "--ngpu: found 'x', wanted a whole number of at least 0" in recipes.refused(recipe, "--ngpu", "x")
    assert "--ngpu: found '-1'" in recipes.refused(recipe, "--ngpu", "-1")


@pytest.mark.parametrize("recipe", RECIPES)
def test_fault_E3_a_stage_that_is_none_is_refused(recipes: Recipes, recipe: str) -> None:
    assert "--stage: found '6', wanted a stage: 0 to 5" in recipes.refused(recipe, "--stage", "6")
    assert "--stop-stage: found '-1'" in recipes.refused(recipe, "--stop-stage", "-1")


@pytest.mark.parametrize("recipe", RECIPES)
def test_fault_E4_stages_the_wrong_way_round_are_refused(recipes: Recipes, recipe: str) -> None:
    told = recipes.refused(recipe, "--stage", "3", "--stop-stage", "2")
    assert "--stage 3 comes after --stop-stage 2, so nothing would run" in told


def test_fault_E2_other_numbers_too(recipes: Recipes) -> None:
    for script, option, value, wanted in (
        ("mini", "--clips", "few", "a whole number of at least 1"),
        ("grid", "--label-percent", "5 20%", "per cent of the labels: whole numbers from 1 to 100"),
        ("grid", "--mel", "finne", "fine, paper, speecht5 or none"),
        ("lrs2", "--beam", "0", "a whole number of at least 1"),
        ("lrs2", "--lm-weight", "half", "a number"),
        ("librispeech", "--order", "1.5", "a whole number of at least 0"),
        ("own", "--launcher", "slrum", "local or slurm"),
        ("lrw", "--audio", "none", "yes or no"),
        ("grid/run_lira.sh", "--seeds", "0 one", "whole numbers, separated by blanks"),
        (
            "grid/run_lira.sh",
            "--modes",
            "frozen long",
            "some of: supervised frozen finetuned longer stopped finetuned_longer",
        ),
        ("grid/run_lira.sh", "--labeled", "some", "all or half"),
        ("grid/run_unseen.sh", "--modes", "others mine", "some of: seen others relit generated"),
        ("grid/run_unseen.sh", "--seen", "2", "a whole number of at least 3"),
        ("grid/run_pretrain.sh", "--runs", "50:x", "pairs such as '50:0 50:1 50:2 200:0 800:0'"),
        ("grid/run_asr.sh", "--folds", "-2", "a whole number of at least 1"),
    ):
        assert f"{option}: found '{value}', wanted {wanted}" in recipes.refused(script, option, value)
    assert recipes.run("lrs2", "--lm-weight", ".5", "--stop-stage", "0").returncode == 0
    assert recipes.run("librispeech", "--order", "0", "--word-bonus", "-1.5", "--stop-stage", "0").returncode == 0


def test_a_corpus_is_found_from_where_the_recipe_was_called(recipes: Recipes, tmp_path: Path) -> None:
    (tmp_path / "vids").mkdir()
    command = [str(recipes.egs / "own/run.sh"), "--corpus", "vids", "--stop-stage", "0"]
    recipes.calls.unlink(missing_ok=True)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=recipes.environment)
    assert done.returncode == 0
    assert f"prepare own {tmp_path / 'vids'} " in recipes.called()[0]
    assert f"to go on from here: {command[0]} --corpus {tmp_path / 'vids'} --stage 1" in done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_corpus_that_is_not_there_is_refused_before_the_set_up(fresh: Recipes, script: str) -> None:
    recipe = script.partition("/")[0]
    if recipe == "mini":  # generates it
        assert fresh.run(script, "--corpus", "new", "--stop-stage", "0").returncode == 0
        return
    target = ("--target", "logmel") if recipe == "lrs3" else ()
    assert "--corpus: found '/no', wanted a folder that is there: " in fresh.refused(script, "--corpus", "/no", *target)
    if script not in ("own/run_adapt.sh", "own/run_transcripts.sh"):  # they have no sets
        lists = fresh.refused(script, "--corpus", str(fresh.egs), "--lists", "/no", *target)
        assert "--lists: found '/no', wanted one that is there" in lists
    if script.endswith("/run.sh"):  # it is not read then
        assert "stage 3 needs" in fresh.run(script, "--corpus", "/no", "--stage", "3", *target).stderr


def test_a_corpus_that_stage_0_makes_or_reads_from_a_listing_need_not_be_there(fresh: Recipes) -> None:
    (fresh.egs / "grid/downloads").rmdir()
    assert fresh.run("grid", "--stop-stage", "0").returncode == 0
    assert fresh.called()[0].startswith("download grid downloads")
    (fresh.egs / "voxceleb2/paths.txt").touch()
    options = ("--corpus", "/no/where", "--listing", "paths.txt", "--stop-stage", "0")
    assert fresh.run("voxceleb2", *options).returncode == 0


@pytest.mark.parametrize("script", SCRIPTS)
def test_fault_C4_no_name_and_no_value_runs_a_command(recipes: Recipes, script: str) -> None:
    folder = recipes.egs / Path(script).parent
    for name in (
        "--n'[$(touch PWN)j]'",
        "--n[$(touch PWN)]",
        "--nj[$(touch PWN)]",
        "--.*",
        "--nj;touch PWN",
        "--nj\nexp",
    ):
        assert "unknown option" in (done := recipes.run(script, name, "3")).stderr
        assert done.returncode == 2
    for value in ("a[$(touch PWN)]", "$(touch PWN)"):
        assert "--nj: found" in recipes.refused(script, "--nj", value)
    if script.endswith("run_pretrain.sh"):
        recipes.refused(script, "--runs", "a[$(touch PWN)]:1")
        recipes.refused(script, "--tuning", "a[$(touch PWN)]")
    assert not (folder / "PWN").exists()


def test_a_misspelled_option_is_answered_with_its_neighbor(recipes: Recipes) -> None:
    for wrong, right in (
        ("--crpus", "corpus"),
        ("--satge", "stage"),
        ("--stop", "stop-stage"),
        ("-nj", "nj"),
        ("-stage", "stage"),
        ("--protocl", "protocol"),
    ):
        assert f"unknown option '{wrong}'; did you mean '--{right}'?" in recipes.refused("grid", wrong, "x")
    assert "keys of the config go into --override" in recipes.refused("grid", "--learning-rate", "1")
    assert "needs a value, found the option '--stage'" in recipes.refused("grid", "--exp", "--stage", "3")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_config_that_is_not_there_is_one_line(recipes: Recipes, recipe: str) -> None:
    name = next((recipes.egs / recipe / "conf").glob("*.yaml")).name
    told = recipes.refused(recipe, "--config", f"conf/x{name}")
    assert f"--config: found 'conf/x{name}', wanted a file that is there; did you mean 'conf/{name}'?" in told


@pytest.mark.parametrize("script", SCRIPTS)
def test_fault_E5_sh_runs_a_recipe_too(recipes: Recipes, script: str) -> None:
    done = recipes.run(script, "--nj", "0", shell="sh")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--nj: found '0'" in done.stderr
    assert "options of" in recipes.run(script, "--help", shell="sh").stdout
