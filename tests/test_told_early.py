"""Mistakes that need no work to be seen are told before any: GPUs that are not there, names that nothing has."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from helpers.recipe_copies import ROOT, copy_recipes
from helpers.video_making import write_clip

from lipsound2 import cli
from lipsound2.errors import LipsoundError
from lipsound2.gpus import check_device, check_gpus

TOO_MANY = str(torch.cuda.device_count() + 1)
FOUND = f"--ngpu {TOO_MANY}: torch finds "


@pytest.mark.parametrize(
    "words",
    [
        "train a.yaml --train d --valid d --dump x --exp o",
        "synthesize exp/a d o --dump x",
        "decode exp/a d o --dump x",
        "calibrate exp/a d --dump x",
        "features exp/a d o",
        "sync exp/a d x",
    ],
)
def test_fault_D5_a_gpu_that_is_not_there_is_told_before_any_work(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*words.split(), "--ngpu", TOO_MANY]) == 1
    told = capsys.readouterr().err
    assert FOUND in told
    assert told.count("\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("words", ["speak a.mp4 -o o/a.wav", "transcribe a.mp4"])
@pytest.mark.parametrize("device", ["--device cuda", "--ngpu 1", "--ngpu=1"])
def test_a_device_that_is_not_there_is_told_before_any_work(words, device, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*words.split(), *device.split()]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[-1].endswith("device cuda: torch finds no GPU on this machine; leave it out to run on the CPU")
    assert len(told) == (2 if "ngpu" in device else 1)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["gpu", "cpu:0", "cuda:x", ""])
def test_a_device_of_another_name_is_refused(name):
    with pytest.raises(LipsoundError, match=f"found '{name}', wanted cpu, cuda, cuda:NUMBER or mps"):
        check_device(name)


def test_every_verb_with_gpus_is_tried_above():
    tried = {mark.split()[0] for mark in _words()}
    assert tried == {verb for verb in cli.VERBS if "ngpu" in cli.load(verb).__annotations__}


def _words() -> list[str]:
    marks = test_fault_D5_a_gpu_that_is_not_there_is_told_before_any_work.pytestmark
    return [words for mark in marks if mark.name == "parametrize" for words in mark.args[1]]


def test_no_gpu_is_asked_for_without_torch():
    check_gpus(0)
    with pytest.raises(LipsoundError, match="leave the option out to run on the CPU"):
        check_gpus(int(TOO_MANY))


@pytest.mark.parametrize("script", ["mini/run.sh", "grid/run_pretrain.sh"])
def test_fault_D5_a_recipe_tells_a_gpu_that_is_not_there_before_its_first_stage(script, tmp_path):
    recipe, name = script.split("/")
    folder = copy_recipes(tmp_path, recipe) / recipe
    environment = os.environ | {"LIPSOUND2_VENV": sys.prefix}
    done = subprocess.run(
        [f"./{name}", "--ngpu", TOO_MANY], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"./{name}: {FOUND}")
    assert done.stderr.count("\n") == 1


def test_every_recipe_sets_up_in_the_one_way():
    for script in ROOT.glob("egs/*/run*.sh"):
        text = script.read_text(encoding="utf-8")
        assert '. "$root/utils/pipeline.sh"' in text or '. "$root/utils/set_up.sh"' in text, script
    assert '. "$root/utils/set_up.sh"' in (ROOT / "utils" / "pipeline.sh").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    write_clip(folder / "a.mp4", [np.zeros((64, 64), np.uint8)] * 5, [i / 25 for i in range(5)])
    soundfile.write(folder / "a.wav", np.zeros(16_000), 16_000)
    return folder


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("speak a.mp4 -o b.wav --model grid-s1-paralel", "grid-s1-paralel: no experiment or pack"),
        ("speak a.mp4 -o b.wav --model grid-s1-vocos", "is of the task 'vocode', wanted one of 'regress'"),
        ("speak a.mp4 -o b.wav --vocoder vocoss", "unknown vocoder 'vocoss'"),
        ("transcribe a.mp4 --model grid-s1-paralel", "grid-s1-paralel: no experiment or pack"),
        ("transcribe a.mp4 --asr grid-s1-ars", "grid-s1-ars: no experiment or pack"),
        ("transcribe a.wav --asr wisper:base", "no recognizer 'wisper:'"),
        ("transcribe a.wav --asr grid-s1-parallel", "is of the task 'regress', wanted one of 'recognize'"),
        (
            "transcribe a.mp4 --model grid-s1-vocos",
            "wanted one of 'regress' or 'recognize'; use it with: lipsound2 speak CLIP --vocoder grid-s1-vocos",
        ),
        (
            "transcribe a.wav --model nosuchmodel",
            "--model nosuchmodel: is for lips, and there is audio alone; give a recognizer of audio as --asr",
        ),
        ("transcribe a.mp4 --audio --face left", "--face left: is for lips, and there is audio alone; leave it out"),
        ("transcribe a.wav --lm english.arpa", "--lm english.arpa: no such file, and no language model of this name"),
        ("transcribe a.wav --lm lm-en", "lm-en: a known public model that is not on this machine"),
        ("transcribe a.wav --lm grid-s1-asr", "is of the task 'recognize', wanted one of 'language'"),
        (
            "models get VSR-LRS3-19.1",
            "; lipsound2 models lists them; did you mean 'vsr-lrs3-19.1'?",
        ),
    ],
)
def test_fault_D4_a_name_that_is_wrong_is_told_before_torch_is_loaded(words, wanted, media):
    program = (
        f"import sys; from lipsound2.cli import main; status = main({shlex.split(words)}); "
        "sys.exit(9 if 'torch' in sys.modules else status)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=media, capture_output=True, text=True, timeout=180)
    assert wanted in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.returncode == 1, "torch was loaded" if done.returncode == 9 else done.stderr


@pytest.mark.parametrize("words", ["speak a.mp4 -o b.wav", "transcribe a.mp4"])
@pytest.mark.parametrize("detector", ["dlib", "mediapipe"])
def test_a_detector_without_its_package_is_told_before_torch_is_loaded(words, detector, media):
    program = (
        "import sys; from lipsound2.cli import main; "
        f"sys.modules[{detector!r}] = None; "
        f"status = main({[*shlex.split(words), '--detector', detector]}); "
        "sys.exit(9 if 'torch' in sys.modules else status)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=media, capture_output=True, text=True, timeout=180)
    assert f"the package '{detector}' cannot be imported" in done.stderr
    assert "install it with: " in done.stderr
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_fault_D5_who_listens_is_looked_up_before_speech_is_scored(tmp_path, capsys):
    words = ["score", str(tmp_path / "no-audio"), str(tmp_path / "no-speech"), "--text", str(tmp_path)]
    assert cli.main([*words, "--asr", "pocketsphinks:grid"]) == 1
    assert "no recognizer 'pocketsphinks:'" in capsys.readouterr().err
