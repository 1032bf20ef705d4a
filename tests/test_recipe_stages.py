"""Stages of a recipe: what each needs and runs, where it writes, and what is said of how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
from helpers.recipe_stand_in import RECIPES, Recipes, stages
from helpers.recipe_stand_in import fresh as fresh  # a fixture


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


@pytest.mark.parametrize("yes", ["true", "True", "yes", "on"])
def test_offsets_are_those_that_the_model_to_begin_from_tells(fresh: Recipes, yes: str) -> None:
    """Stage 2 estimates them where the config takes them out, and says early what it needs; stage 3 looks for them."""
    stages(fresh.egs / "grid", "data/all/utt2spk", "exp/first/config.yaml")
    corrected = ("--override", f"correct_av_offset: {yes}", "--stage", "2", "--stop-stage", "2")
    assert "--init: say which lip-to-speech model tells how far audio and video are apart" in fresh.refused(
        "grid", *corrected
    )
    assert fresh.run("grid", *corrected, "--init", "exp/first").returncode == 0
    assert "sync exp/first data/all dump --nj 2 --ngpu 0 --launcher local" in fresh.called()
    assert fresh.run("grid", "--stage", "2", "--stop-stage", "2").returncode == 0
    assert not [call for call in fresh.called() if call.startswith("sync")]
    sets = ("data/4speakers/train/utt2spk", "data/4speakers/valid/utt2spk")
    stages(
        fresh.egs / "grid", *sets, *(f"dump/{kind}/feats.scp" for kind in ("mouth", "face", "mel-fine", "mel-paper"))
    )
    done = fresh.run("grid", "--override", f"correct_av_offset: {yes}", "--init", "exp/first", "--stage", "3")
    assert done.returncode != 0
    assert "dump/av_offset/feats.scp" in done.stderr


def test_fault_D5_a_model_to_begin_from_is_looked_up_first(fresh: Recipes) -> None:
    done = fresh.run("grid", "--init", "grid-s1-paralel")
    assert done.returncode == 1
    assert done.stderr.startswith("./run.sh: --init: grid-s1-paralel: no experiment or pack")
    assert "did you mean 'grid-s1-parallel'?" in done.stderr
    assert fresh.called() == []


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
        deadline = time.monotonic() + 120
        while not fresh.called() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(recipe.pid, sign)  # as a terminal does
        told = recipe.communicate(timeout=120)[1]
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


def test_a_language_model_is_made_again_when_there_are_more_texts(fresh: Recipes) -> None:
    recipe = fresh.egs / "librispeech"
    sets = [f"data/960h/{name}/utt2spk" for name in ("train", "dev-clean")]
    stages(recipe, *sets, "dump/audio/feats.scp", "data/960h/train/text", "exp/lm/960h-6.arpa", "mine.arpa")
    model, text = recipe / "exp/lm/960h-6.arpa", recipe / "data/960h/train/text"

    def made(*options: str) -> list[str]:
        done = fresh.run("librispeech", "--stage", "3", "--stop-stage", "3", *options)
        assert (done.returncode, done.stderr) == (0, "")
        return [call.split()[0] for call in fresh.called()]

    os.utime(text, (0, 0))
    assert made() == ["train"]
    os.utime(model, (0, 0))
    os.utime(text, (9, 9))
    assert made() == ["ngram", "train"]
    os.utime(recipe / "mine.arpa", (0, 0))
    assert made("--lm", "mine.arpa", "--order", "3") == ["train"]  # somebody's own
    assert made("--lm", "other.arpa", "--order", "3") == ["ngram", "train"]


def test_targets_and_states_are_made_where_the_launcher_says(fresh: Recipes) -> None:
    stages(fresh.egs / "grid", "data/all/utt2spk", "exp/p/config.yaml")
    asked = ("--stage", "2", "--stop-stage", "2", "--launcher", "slurm")
    for options, verb in (
        (("--config", "conf/lira_pretext.yaml", "--target", "mfcc"), "targets"),
        (("--config", "conf/lira_sentence_frozen.yaml", "--init", "exp/p"), "features"),
    ):
        assert fresh.run("grid", *asked, *options).returncode == 0
        assert next(call for call in fresh.called() if call.startswith(verb)).endswith("--launcher slurm")


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
    heard = "pocketsphinx:grid,whisper,grid-s1-asr"  # ready-made ones, with and without a colon, and ours by its name
    done = fresh.run("mini", "--stage", "5", "--asr", heard, "--nj", "1", "--grammar", "grid")
    assert (done.returncode, done.stderr) == (0, "")
    scored, *called, _ = fresh.called()
    assert scored == "score dump/audio exp/mini/wav/test --out exp/mini/scores/test --nj 1 --launcher local"
    wanted = []
    for folder, name, grammar in (
        ("pocketsphinx-grid", "pocketsphinx:grid", ""),
        ("whisper", "whisper", ""),
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
