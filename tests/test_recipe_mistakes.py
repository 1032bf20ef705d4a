"""Likely mistakes at a recipe's command line: one clear line and the right status, before anything is done.

`lipsound2` is a stand-in here that notes how it was called, so every recipe runs in no time.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.face_corpora import talking_clip
from helpers.recipe_copies import ROOT, copy_recipes
from helpers.video_making import levels, write_clip

from lipsound2.data.datadir import DataDir

RECIPES = sorted(path.parent.name for path in ROOT.glob("egs/*/run.sh"))
SCRIPTS = sorted(f"{path.parent.name}/{path.name}" for path in ROOT.glob("egs/*/run*.sh"))


class Recipes:
    """Copies of all recipes, run with a stand-in for `lipsound2`."""

    def __init__(self, place: Path) -> None:
        self.egs = copy_recipes(place, *RECIPES)
        self.calls, self.set_up = place / "calls", place / "set-up"
        binaries = place / "venv/bin"
        binaries.mkdir(parents=True)
        stand_in = binaries / "lipsound2"
        stand_in.write_text(
            '#!/bin/sh\necho "$@" $LIPSOUND2_SBATCH >> "$CALLS"\n[ -z "$SLEEPS" ] || sleep 60\nexit ${FAILS:-0}\n'
        )
        python = binaries / "python"  # this one, whether its environment is active or not
        python.write_text(f"#!/bin/sh\nexec '{sys.executable}' \"$@\"\n")
        for path in (stand_in, python):
            path.chmod(0o755)
        for recipe in RECIPES:
            corpus = re.search(r"^corpus=(\S+)", (self.egs / recipe / "run.sh").read_text(), re.MULTILINE)
            assert corpus
            (self.egs / recipe / corpus[1]).mkdir()
        install = self.egs.parent / "tools/install.sh"
        install.write_text(f"#!/bin/sh\ntouch '{self.set_up}'\n")
        self.environment = os.environ | {"LIPSOUND2_VENV": str(place / "venv"), "CALLS": str(self.calls)}

    def run(self, script: str, *arguments: str, shell: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        folder, _, name = script.partition("/")
        self.calls.unlink(missing_ok=True)
        self.set_up.unlink(missing_ok=True)
        command = [*([shell] if shell else []), f"./{name or 'run.sh'}", *arguments]
        where = self.egs / folder
        return subprocess.run(command, cwd=where, capture_output=True, text=True, env=self.environment | variables)

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def refused(self, script: str, *arguments: str) -> str:
        """The one line that refuses a command before any set-up."""
        done = self.run(script, *arguments)
        assert (done.returncode, done.stdout) == (2, ""), done
        assert not self.set_up.exists()
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Recipes:
    return Recipes(tmp_path_factory.mktemp("recipes"))


@pytest.fixture
def fresh(tmp_path: Path) -> Recipes:
    return Recipes(tmp_path)


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
        ("grid/run_lira.sh", "--modes", "frozen long", "some of: supervised frozen finetuned longer stopped"),
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


@pytest.mark.parametrize("recipe", ["grid", "tcd_timit", "cmlr", "voxceleb2"])
def test_fault_E6_the_mel_is_that_of_the_config(fresh: Recipes, recipe: str) -> None:
    protocol = "multilingual/whole" if recipe == "voxceleb2" else "all"
    here = fresh.egs / recipe / "data" / protocol
    here.mkdir(parents=True)
    (here / "utt2spk").touch()

    def mel(*arguments: str) -> str:
        assert fresh.run(recipe, "--stage", "2", "--stop-stage", "2", *arguments).returncode == 0
        return next(line.split(" --mel ")[1].split()[0] for line in fresh.called() if line.startswith("mel "))

    assert mel() == "fine"
    assert mel("--config", "conf/lipsound2.yaml") == "paper"
    assert mel("--override", "{target: mel-paper}") == "paper"
    assert mel("--config", "conf/lipsound2.yaml", "--mel", "fine") == "fine"


def stages(recipe: Path, *paths: str) -> None:
    for path in paths:
        (recipe / path).parent.mkdir(parents=True, exist_ok=True)
        (recipe / path).touch()


@pytest.mark.parametrize("recipe", RECIPES)
def test_fault_E7_a_stage_says_which_stage_it_needs(fresh: Recipes, recipe: str) -> None:
    options = ("--target", "logmel") if recipe == "lrs3" else ()
    for asked, missing in ((2, 0), (3, 0), (4, 3), (5, 3)):
        done = fresh.run(recipe, *options, "--stage", str(asked), "--nj", "3")
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert f"stage {asked} needs " in done.stderr
        resumed = " ".join(["./run.sh", *options, "--nj 3", f"--stage {missing}"])
        assert f"stage {missing} makes it: {resumed}\n" in done.stderr
        assert fresh.called() == []


def test_fault_E7_stage_3_looks_into_the_dump(fresh: Recipes) -> None:
    sets = [f"data/4speakers/{name}/utt2spk" for name in ("train", "valid", "test")]
    stages(fresh.egs / "grid", *sets)
    asked = ("--stage", "3", "--stop-stage", "3")
    assert "stage 1 makes it" in fresh.run("grid", *asked).stderr
    stages(fresh.egs / "grid", "dump/mouth/feats.scp", "dump/face/feats.scp")
    assert "dump/mel-fine/feats.scp, and it is not there; stage 2 makes it" in fresh.run("grid", *asked).stderr
    stages(fresh.egs / "grid", "dump/mel-fine/feats.scp")
    assert fresh.run("grid", *asked).returncode == 0
    paper = fresh.run("grid", "--config", "conf/lipsound2.yaml", *asked)
    assert "dump/mel-paper/feats.scp" in paper.stderr
    few = fresh.run("grid", "--train", "train-05", *asked).stderr
    assert "stage 0 makes it: ./run.sh --train train-05 --label-percent 5 --stage 0" in few


def test_fault_D5_scores_look_for_speech_before_a_recognizer_is_trained(fresh: Recipes) -> None:
    for recipe, protocol in (("grid", "4speakers"), ("cmlr", "official"), ("tcd_timit", "lipspeakers")):
        stages(fresh.egs / recipe, *(f"data/{protocol}/{name}/utt2spk" for name in ("train", "valid", "test")))
        stages(fresh.egs / recipe, "dump/audio/feats.scp", f"data/{protocol}/train/text")
        assert "stage 3 makes it" in fresh.run(recipe, "--stage", "5").stderr
        assert fresh.called() == []
        stages(fresh.egs / recipe, f"exp/{protocol}_parallel/model.safetensors")
        assert "stage 4 makes it" in fresh.run(recipe, "--stage", "5").stderr
        assert fresh.called() == []
        (fresh.egs / recipe / f"exp/{protocol}_parallel/wav/test").mkdir(parents=True)
        told = fresh.run(recipe, "--stage", "5").stdout
        assert f"first our own recognizer is trained, exp/{protocol}_asr_conformer" in told


@pytest.mark.parametrize("recipe", RECIPES)
def test_fault_E8_what_to_do_follows_from_how_a_stage_ended(fresh: Recipes, recipe: str) -> None:
    def ended(status: int) -> str:
        done = fresh.run(recipe, "--stop-stage", "0", *options, FAILS=str(status))
        assert done.returncode == status
        return done.stderr

    options = ("--target", "logmel") if recipe == "lrs3" else ()
    command = " ".join(["./run.sh --stop-stage 0", *options, "--stage 0"])
    kept = "nothing that was finished is lost"
    assert ended(1) == f"== stage 0 failed; {kept}. Once what is said above is mended: {command}\n"
    assert ended(2) == f"== stage 0 did not run: the command is wrong, as said above; {kept}\n"
    assert ended(137) == f"== stage 0 was killed; {kept}. To resume: {command}\n"


def test_fault_E9_a_stop_is_not_called_a_failure(fresh: Recipes) -> None:
    for sign, name in ((signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")):
        fresh.calls.unlink(missing_ok=True)
        recipe = subprocess.Popen(
            ["./run.sh", "--stop-stage", "0"],
            cwd=fresh.egs / "own",
            env=fresh.environment | {"SLEEPS": "1"},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        deadline = time.monotonic() + 30
        while not fresh.called() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(recipe.pid, sign)  # as a terminal does
        told = recipe.communicate(timeout=30)[1]
        assert recipe.returncode == 128 + sign
        resumed = "nothing that was finished is lost. To resume: ./run.sh --stop-stage 0 --stage 0"
        assert f"== stage 0 stopped by {name}; {resumed}" in told
        assert "failed" not in told


@pytest.mark.parametrize("recipe", ["grid", "own", "cmlr", "tcd_timit", "voxceleb2"])
def test_fault_A17_stage_0_writes_where_data_says(fresh: Recipes, recipe: str) -> None:
    done = fresh.run(recipe, "--data", "other", "--stop-stage", "0")
    assert done.returncode == 0
    assert next(line for line in fresh.called() if line.startswith("prepare ")).split()[3] == "other"
    assert not any(word == "data" or word.startswith("data/") for line in fresh.called() for word in line.split())


def test_fault_A17_stage_0_leaves_sets_of_another_making_alone(fresh: Recipes) -> None:
    stages(fresh.egs / "grid", *(f"mine/{name}/utt2spk" for name in ("train", "valid", "test")))
    assert "--data mine holds sets already" in fresh.refused("grid", "--data", "mine")
    stages(fresh.egs / "grid", "dump/audio/feats.scp")
    asked = ("--config", "conf/asr_conformer.yaml", "--stage", "3", "--stop-stage", "3")
    assert fresh.run("grid", "--data", "mine", *asked).returncode == 0
    assert "--train mine/train --valid mine/valid" in fresh.called()[0]


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


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_a_page_of_choices(recipes: Recipes, recipe: str) -> None:
    lines = (ROOT / "egs" / recipe / "run.sh").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line and not line.startswith("#")]) <= 30
    shown = recipes.run(recipe, "--help").stdout.split("options of ./run.sh:\n")[1].splitlines()
    mini = recipes.run("mini", "--help").stdout.split("options of ./run.sh:\n")[1].splitlines()
    shared = [line.split()[0] for line in mini[:-1]]  # the last is its own
    assert [line.split()[0] for line in shown[: len(shared)]] == shared
    assert all(len(line[20:].split()) > 0 for line in shown), "an option without a word about it"


def test_sets_that_a_part_of_a_corpus_lacks_are_left_out_unless_asked_for(fresh: Recipes) -> None:
    stages(fresh.egs / "librispeech", "data/960h/test-clean/utt2spk", "exp/960h_asr_jasper/model.safetensors")
    asked = ("--stage", "4", "--stop-stage", "4", "--order", "0")
    done = fresh.run("librispeech", *asked)
    assert done.returncode == 0
    assert done.stdout.count("is not there, left out") == 3
    assert len(fresh.called()) == 1
    assert " data/960h/test-clean exp/960h_asr_jasper/text/test-clean/greedy " in fresh.called()[0]
    done = fresh.run("librispeech", *asked, "--sets", "test-clean tset-other")
    assert "stage 4 needs data/960h/tset-other/utt2spk" in done.stderr
    assert fresh.called() == []


def test_each_recognizer_decodes_the_ground_truth_and_every_system_once(fresh: Recipes) -> None:
    systems = [f"exp/mini/wav/test/data/{system}/utt2spk" for system in ("generated", "mean_mel")]
    texts = ("data/mini/test/utt2spk", "data/mini/test/text")
    stages(fresh.egs / "mini", *texts, "exp/mini/model.safetensors", *systems)
    done = fresh.run("mini", "--stage", "5", "--asr", "pocketsphinx:grid,grid-s1-asr", "--nj", "1", "--grammar", "grid")
    assert (done.returncode, done.stderr) == (0, "")
    scored, *called, _ = fresh.called()
    assert scored == "score dump/audio exp/mini/wav/test --out exp/mini/scores/test --nj 1 --launcher local"
    wanted = []
    for folder, name, grammar in (
        ("pocketsphinx-grid", "pocketsphinx:grid", ""),
        ("grid-s1-asr", "grid-s1-asr", ""),
        ("grid-s1-asr+grid", "grid-s1-asr", "grid"),
    ):
        places = {"real": "data/mini/test", **{s: f"exp/mini/wav/test/data/{s}/" for s in ("generated", "mean_mel")}}
        for system, place in places.items():
            dump = "--dump dump " if system == "real" else ""
            call = f"decode {name} {place} exp/mini/text/test/{folder}/{system} {dump}--grammar {grammar}"
            wanted.append(f"{call} --nj 1 --launcher local")
        wanted.append(f"score-text data/mini/test exp/mini/text/test/{folder} --out exp/mini/scores/test --language en")
    assert called == wanted


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


def own_clips(recipes: Recipes, corpus: Path, texts: list[str | None], *, silent: bool, out: str = "exp/adapt") -> None:
    """A folder of clips with these texts, and what `prepare`, a stand-in here, would have made of it."""
    corpus.mkdir(parents=True)
    videos, names = {}, [f"me-{number}" for number in range(len(texts))]
    for name in names:
        path = corpus / f"{name}.mp4"
        if silent:
            write_clip(path, levels(range(5)), [number / 25 for number in range(5)])
        else:
            talking_clip(path, ["blue"])
        videos[name] = str(path)
    said = {name: text for name, text in zip(names, texts, strict=True) if text is not None}
    made = recipes.egs / "own" / out / "corpus/all"
    DataDir.write(made, utt2spk=dict.fromkeys(names, "me"), video=videos, text=said)


def refused_before_crops(recipes: Recipes, corpus: Path, *options: str) -> str:
    done = recipes.run("own/run_adapt.sh", "--corpus", str(corpus), "--folds", "2", *options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done
    assert [call.split()[0] for call in recipes.called()] == ["prepare"]
    return done.stderr


def test_silent_clips_are_told_of_before_speech_is_adapted(fresh: Recipes, tmp_path: Path) -> None:
    own_clips(fresh, tmp_path / "mine", ["bin blue"] * 4, silent=True)
    told = refused_before_crops(fresh, tmp_path / "mine")
    assert "4 of 4 clips have no audio, which speech is learned from" in told
    assert "for silent clips adapt a lip reader, --model grid-s1-vsr" in told
    reader = fresh.run("own/run_adapt.sh", "--corpus", str(tmp_path / "mine"), "--folds", "2", "--model", "grid-s1-vsr")
    assert [call.split()[0] for call in fresh.called()][:2] == ["prepare", "crop"]  # which the stand-in does not make
    assert "audio" not in reader.stderr
    own_clips(fresh, tmp_path / "spoken", [None] * 4, silent=False, out="exp/spoken")
    fresh.run("own/run_adapt.sh", "--corpus", str(tmp_path / "spoken"), "--folds", "2", "--out", "exp/spoken")
    assert [call.split()[0] for call in fresh.called()][:2] == ["prepare", "crop"]


def test_texts_that_a_lip_reader_cannot_write_are_told_of_before_the_crops(fresh: Recipes, tmp_path: Path) -> None:
    own_clips(fresh, tmp_path / "mine", ["hello world", "Hello, you!", "bin blue", None, "set red"], silent=True)
    reader = ("--model", "grid-s1-vsr")
    told = refused_before_crops(fresh, tmp_path / "mine", *reader)
    assert "1 of 5 clips have no text beside them" in told
    assert (
        "2 of 5 clips have texts with words that grid-s1-vsr cannot write: 'hello' (2), 'world' (1), 'you' (1)" in told
    )
    assert "it knows: a again at b bin blue" in told
    assert "2 clips are left, wanted 4 or more" in told
    # Words of one's own, where that is asked for.
    done = fresh.run(
        *("own/run_adapt.sh", "--corpus", str(tmp_path / "mine"), "--folds", "2", *reader),
        *("--override", "tokens: words"),
    )
    assert "left out: 1 of 5 clips have no text beside them" in done.stdout
    assert [call.split()[0] for call in fresh.called()][:2] == ["prepare", "crop"]


def test_a_folder_that_was_begun_with_other_clips_is_told_of(fresh: Recipes, tmp_path: Path) -> None:
    own_clips(fresh, tmp_path / "mine", ["bin blue"] * 4, silent=True)
    refused_before_crops(fresh, tmp_path / "mine")
    (tmp_path / "others").mkdir()
    done = fresh.run("own/run_adapt.sh", "--corpus", str(tmp_path / "others"), "--folds", "2")
    assert (
        f"--out: exp/adapt was begun with the clips of {tmp_path / 'mine'}, not of {tmp_path / 'others'}" in done.stderr
    )
    assert (done.returncode, fresh.called()) == (2, [])
    fresh.run("own/run_adapt.sh", "--corpus", str(tmp_path / "others"), "--folds", "2", "--out", "exp/others")
    assert fresh.called() == [f"prepare own {tmp_path / 'others'} exp/others/corpus --protocol own"]


def test_models_and_options_that_adapt_nothing_are_told_of(recipes: Recipes, tmp_path: Path) -> None:
    for options, wanted in (
        (("--model", "grid-s1-vocos"), "of the task vocode, wanted a lip-to-speech model or a lip reader"),
        (("--model", "grid-s1-asr"), "no model of lips there; wanted: a lip-to-speech model, or a lip reader"),
        (("--model", "grid-s1-vrs"), "did you mean 'grid-s1-vsr'?"),
        (("--model", "grid-s1-vsr", "--asr", "pocketsphinx:grid"), "reads words from lips itself, so leave it out"),
        (("--model", "grid-s1-vsr", "--config", "conf/adapt.yaml"), "of the task 'regress', wanted 'recognize'"),
        (("--model", "grid-s1-vsr", "--override", "max_update: 3"), "here it is called 'max_updates'"),
        (("--folds", "1"), "--folds: found '1', wanted a number from 2 on"),
        (("--tested", "6"), "--tested: found '6', wanted a number up to 5, the folds"),
        (("--config", "conf/no.yaml"), "--config: found 'conf/no.yaml', wanted a file that is there"),
    ):
        done = recipes.run("own/run_adapt.sh", "--corpus", str(tmp_path), *options)
        assert done.returncode in (1, 2)
        assert wanted in done.stderr
        assert (done.stderr.count("\n"), recipes.called()) == (1, []), done.stderr
