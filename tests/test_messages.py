"""Mistakes that people make, each run as they make it: the status, one line, and in it what to do.

A row is one mistake. `wanted` are parts of the line: what was found, and what to do about it. Some former mistakes are
none today: there the command does what was meant.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.experiments import write_records
from helpers.face_corpora import talking_clip
from helpers.recipe_copies import ROOT
from helpers.recipe_stand_in import Recipes, stages
from helpers.recipe_stand_in import recipes as recipes  # a fixture
from helpers.toy_training import ENVIRONMENT, Toy
from helpers.video_making import set_matrix, write_clip

from lipsound2.audio.io import write_wav
from lipsound2.cli import main
from lipsound2.data.archive import ArchiveWriter
from lipsound2.data.datadir import DataDir
from lipsound2.data.yaml_files import write_yaml
from lipsound2.synthetic.clip import ClipFormat
from lipsound2.video.encode import encode

LEARN = ("--train", "train", "--valid", "valid", "--dump", "dump", "--exp", "exp")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in: a clip without a face, a text, a corpus, data dirs, a dump, configs, an experiment."""
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    write_clip(Path("clip.mp4"), [np.full((48, 64), 60 + i, np.uint8) for i in range(12)], [i / 25 for i in range(12)])
    Path("notes.txt").write_text("no clip")
    for number in range(3):
        path = Path(f"corpora/grid/s1/bbaf{number + 1}n.mp4")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("clip.mp4", path)
    DataDir.write(Path("train"), utt2spk={"s1-a": "s1", "s1-b": "s1"}, text={"s1-a": "bin", "s1-b": "lay"})
    DataDir.write(Path("valid"), utt2spk={"s1-c": "s1"}, text={"s1-c": "bin"})
    arrays = {"mouth": encode(np.zeros((8, 96, 96), np.uint8)), "mel-fine": np.zeros((32, 80), np.float32)}
    for kind, array in arrays.items():
        with ArchiveWriter(Path("dump", kind, "feats.ark"), Path("dump", kind, "feats.scp")) as archive:
            for name in ("s1-a", "s1-b", "s1-c"):
                archive.write(name, array)
    for name, more in {"ok": {}, "key": {"max_epocs": 3}, "value": {"max_epochs": "many"}}.items():
        write_yaml(Path(f"{name}.yaml"), {"task": "regress", "model": "parallel", **more})
    write_yaml(Path("paper.yaml"), {"task": "regress", "model": "parallel", "target": "mel-paper"})
    write_yaml(Path("made/config.yaml"), {"task": "regress", "model": "parallel"})
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], status: int, *words: str) -> str:
    """The line that a command ends with; its status is as expected."""
    try:
        ended = main([*words])
    except SystemExit as stop:
        ended = int(str(stop.code))
    told = capsys.readouterr().err.splitlines()
    assert ended == status, told
    assert told
    assert not any(line.startswith("Traceback") for line in told)
    assert sum(line.startswith("lipsound2") for line in told) == 1, told  # besides the log
    return told[-1]


VERBS = {
    "misspelt verb": (2, "spaek clip.mp4", ["unknown verb 'spaek'", "did you mean 'speak'?"]),
    "clip without a verb": (2, "clip.mp4", ["unknown verb 'clip.mp4'; did you mean: lipsound2 speak clip.mp4?"]),
    "transcribe has no -o": (
        2,
        "transcribe clip.mp4 -o out",
        ["unknown option '-o'; outputs are --txt, --srt, --vtt, --json, --output-dir;"],
    ),
    "clip not there": (1, "speak clap.mp4", ["clap.mp4: no such file", "did you mean clip.mp4?"]),
    "clip not there, none alike": (1, "speak zzz -o x.wav", ["zzz: no such file in ", "is the name right?"]),
    "folder instead of a clip": (1, "speak corpora -o x.wav", ["a folder of clips", "give --output-dir DIR"]),
    "text file as a clip": (1, "speak notes.txt", ["notes.txt: unreadable", "expected a video"]),
    "misspelt model": (1, "speak clip.mp4 --model grid-s1-paralel", ["did you mean 'grid-s1-parallel'?"]),
    "unknown format of audio": (1, "speak clip.mp4 -o x.aiff", ["ends in one of .wav, .flac, .ogg, .mp3"]),
    "unknown vocoder": (1, "speak clip.mp4 --vocoder grid-s1-vocoss", ["griffin-lim", "did you mean 'grid-s1-vocos'?"]),
    "--asr wisper:base": (1, "transcribe clip.mp4 --asr wisper:base", ["whisper:", "did you mean 'whisper'?"]),
    "--asr beside a lip reader": (
        1,
        "transcribe clip.mp4 --model grid-s1-vsr --asr grid-s1-asr",
        ["--asr grid-s1-asr: is for speech, and grid-s1-vsr reads the lips without any; leave --asr out"],
    ),
    "a sound recognizer as --model": (1, "transcribe clip.mp4 --model grid-s1-asr", ["reads 'audio'", "as --asr"]),
    "corpus path misspelt": (1, "prepare grid corpora/gird data", ["gird: no such folder", "that holds s1, s2"]),
    "--protocol 4speaker": (1, "prepare grid corpora data --protocol 4speaker", ["one of: 4speakers, lipsound2-sd"]),
    "--protocol lists without --lists": (
        1,
        "prepare grid corpora data --protocol lists",
        ["--lists DIR", "both or ne"],
    ),
    "config key misspelt": (1, f"train key.yaml {' '.join(LEARN)}", ["unknown key 'max_epocs'", "mean 'max_epochs'?"]),
    "value of a wrong type": (1, f"train value.yaml {' '.join(LEARN)}", ["max_epochs: expected int, found 'many'"]),
    "max_epochs=1 in --override": (
        1,
        f"train ok.yaml {' '.join(LEARN)} --override max_epochs=1",
        ["expected 'key: value, key: value', found 'max_epochs=1'"],
    ),
    "config file misspelt": (1, f"train okk.yaml {' '.join(LEARN)}", ["no such config file", "did you mean ok.yaml?"]),
    "config with another mel": (
        1,
        f"train paper.yaml {' '.join(LEARN)}",
        ["dump/mel-paper: No such file", "lipsound2 mel --mel paper", "there are: mel-fine, mouth"],
    ),
    "--init not there": (
        1,
        f"train ok.yaml {' '.join(LEARN)} --init nosuch",
        ["--init nosuch: no such file", "a pack"],
    ),
    "report nosuch": (1, "report nosuch", ["no experiment there", "give the folder that training wrote"]),
    "data dir where one may not write": (1, "crop train /proc/none", ["cannot write /proc/none", "another place"]),
    "unknown corpus of prepare": (2, "prepare gird corpora data", ["wanted one of: grid,", "did you mean 'grid'?"]),
    "pack without its texts": (2, "pack made out", ["missing: --knows KNOWS (one line about", "--license LICENSE"]),
    "decode of no model": (1, "decode nomodel train out", ["models of the task recognize", "grid-s1-asr"]),
}


@pytest.mark.parametrize(("status", "command", "wanted"), VERBS.values(), ids=VERBS)
def test_a_mistake_at_a_verb(status: int, command: str, wanted: list[str], place, capsys):
    line = said(capsys, status, *command.split())
    assert line.startswith("lipsound2")
    for part in wanted:
        assert part in line


def test_names_of_recognizers_alone_where_one_is_wanted(place, capsys):
    assert "grid-s1-vocos" not in said(capsys, 1, "decode", "nomodel", "train", "out")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    "command", ["speak clip.mp4 --ngpu 1", "speak clip.mp4 --device cuda", f"train ok.yaml {' '.join(LEARN)} --ngpu 1"]
)
def test_a_gpu_that_is_not_there(command, place, capsys):
    main(command.split())
    line = capsys.readouterr().err.splitlines()[-1]
    assert "torch finds no GPU on this machine; leave" in line
    assert "out to run on the CPU" in line


def test_whisper_that_is_not_installed(place, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "whisper", None)
    write_wav(Path("a.wav"), np.full(16000, 0.1, np.float32))
    line = said(capsys, 1, "transcribe", "a.wav", "--asr", "whisper:base")
    assert "the package 'whisper' cannot be imported" in line
    assert "install it with: " in line


def test_slurm_that_is_not_there(place, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    DataDir.write(Path("seen"), utt2spk={"s1-a": "s1"}, video={"s1-a": "clip.mp4"})
    line = said(capsys, 1, "crop", "seen", "dump", "--launcher", "slurm")
    assert "sbatch" in line
    assert "--launcher local" in line


# What once was a mistake, and is what people mean


def test_no_face_and_no_o_are_no_mistakes_of_the_command_line(place, capsys):
    """`speak` without -o writes beside the clip; of this clip, in which there is no face, it says so."""
    pytest.importorskip("mediapipe")
    line = said(capsys, 1, "speak", "clip.mp4")
    assert "clip.mp4: no-face: " in line
    assert not Path("clip.wav").exists()


def test_an_output_folder_is_made_and_mp3_is_mp3(place, monkeypatch, capsys):
    from lipsound2.inference import synthesizer
    from lipsound2.inference.speech_outputs import SpeechPlaces, targets

    assert synthesizer.__doc__
    (found,) = targets([Path("clip.mp4")], SpeechPlaces(Path("new/deep/x.mp3"), None, ".wav", None, False))
    from lipsound2.audio.writing import Spool

    with Spool(16000) as spool:
        spool.add(0.1 * np.sin(np.arange(16000) / 5))
        spool.write(found.speech)
    assert found.speech.read_bytes()[:3] == b"ID3" or found.speech.read_bytes()[0] == 0xFF


@pytest.mark.parametrize("turned", [0, 90, 180])
def test_a_turned_clip_is_seen_upright_and_told(turned, tmp_path):
    """A phone's tag turns the clip; a clip without one that stands on its head is noticed by its face."""
    pytest.importorskip("mediapipe")
    pytest.importorskip("espeakng_loader")
    from lipsound2.video.cropper import Cropper
    from lipsound2.video.decode import read_video

    path = tmp_path / "a.mp4"
    talking_clip(path, ["bin", "blue"], form=ClipFormat(width=360, height=288), seconds=1.0, silent=True)
    if turned == 180:  # on its head, without a tag
        frames, _ = read_video(path)
        path = write_clip(tmp_path / "b.mp4", [*frames[:, ::-1, ::-1]], [i / 25 for i in range(len(frames))])
        assert "the face is turned by 180 degrees clockwise, its crops are upright" in str(Cropper()(path).report)
    elif turned == 90:
        frames, _ = read_video(path)
        lying = [np.ascontiguousarray(np.rot90(frame)) for frame in frames]
        path = set_matrix(write_clip(tmp_path / "b.mp4", lying, [i / 25 for i in range(len(lying))]), 0, 1, -1, 0)
        assert "turned by 90 degrees clockwise" in str(Cropper()(path).report)
    else:
        assert "turned" not in str(Cropper()(path).report)


def test_two_minutes_are_transcribed(tmp_path, capsys):
    """Longer than the recognizer ever heard: it is cut in pauses, and words come from all of it."""
    pytest.importorskip("sentencepiece")
    rng = np.random.default_rng(0)
    time_axis = np.arange(120 * 16000) / 16000
    loud = (time_axis % 3 < 2.2) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time_axis))
    waveform = 0.2 * loud * np.sin(2 * np.pi * 120 * time_axis + np.sin(2 * np.pi * 3 * time_axis))
    write_wav(tmp_path / "a.wav", (waveform + rng.normal(0, 1e-3, len(waveform))).astype(np.float32))
    assert main(["transcribe", str(tmp_path / "a.wav")]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("root", ["corpora", "corpora/grid", "corpora/grid/s1"])
def test_a_corpus_one_level_too_high_or_too_deep_is_found(root, place):
    assert main(["prepare", "grid", root, "data"]) == 0
    assert len(Path("data/all/utt2spk").read_text().splitlines()) == 3


def test_importing_the_package_says_what_there_is():
    done = subprocess.run(
        [sys.executable, "-c", "import lipsound2; lipsound2.speek"], capture_output=True, text=True, check=False
    )
    assert "has no attribute 'speek'" in done.stderr
    shown = subprocess.run([sys.executable, "-m", "lipsound2"], capture_output=True, text=True, check=False)
    assert shown.returncode == 2
    assert "python -m lipsound2" in shown.stdout
    assert ".venv/bin/activate" in shown.stdout


def test_compare_takes_two_experiments(place, capsys):
    for name in ("made", "other"):
        write_records(Path(name))
    line = said(capsys, 1, "compare", "made", "other")
    assert "made" in line
    assert "expected SERIES=EXP" not in line


# Recipes: `lipsound2` is a stand-in there

RUNS: dict[str, tuple[str, list[str], list[str]]] = {
    "--crpus": ("grid", ["--crpus", "x"], ["unknown option '--crpus'", "did you mean '--corpus'?"]),
    "--stage three": ("grid", ["--stage", "three"], ["found 'three', wanted a stage: 0 to 5"]),
    "--stage=three": ("grid", ["--stage=three"], ["found 'three', wanted a stage: 0 to 5"]),
    "--stage 6": ("grid", ["--stage", "6"], ["found '6', wanted a stage: 0 to 5"]),
    "--stage 3 --stop-stage 2": ("grid", ["--stage", "3", "--stop-stage", "2"], ["nothing would run", "leave one"]),
    "--nj two": ("grid", ["--nj", "two"], ["--nj: found 'two', wanted a whole number of at least 1"]),
    "--nj 0": ("grid", ["--nj", "0"], ["--nj: found '0', wanted a whole number of at least 1"]),
    "config file misspelt": ("grid", ["--config", "conf/paralel.yaml"], ["did you mean 'conf/parallel.yaml'?"]),
    "word without an option": ("grid", ["corpus"], ["unexpected argument 'corpus'", "behind their options"]),
    "launcher misspelt": ("own", ["--launcher", "slrm"], ["found 'slrm', wanted local or slurm"]),
    "a key as an option": ("grid", ["--max-epochs", "3"], ["keys of the config go into --override"]),
    "an old option": ("grid", ["--ways", "x"], ["it is now called --modes, an option of ./run_lira.sh"]),
}


@pytest.mark.parametrize(("recipe", "words", "wanted"), RUNS.values(), ids=RUNS)
def test_a_mistake_at_a_recipe(recipe: str, words: list[str], wanted: list[str], recipes: Recipes):
    told = recipes.refused(recipe, *words)
    for part in wanted:
        assert part in told


def test_sh_runs_a_recipe(recipes: Recipes):
    assert recipes.run("grid", "--help", shell="sh").returncode == 0


@pytest.mark.parametrize(("stage", "missing"), [("3", "0"), ("4", "3"), ("5", "3")])
def test_a_stage_before_those_it_needs(stage: str, missing: str, tmp_path: Path):
    done = Recipes(tmp_path).run("grid", "--stage", stage)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"stage {stage} needs " in done.stderr
    assert f"stage {missing} makes it: ./run.sh --stage {missing}" in done.stderr


def test_data_with_stage_0_is_where_it_writes(tmp_path: Path):
    fresh = Recipes(tmp_path)
    (fresh.egs / "own/videos").mkdir(exist_ok=True)
    assert fresh.run("own", "--corpus", "videos", "--data", "mine", "--stop-stage", "0").returncode == 0
    assert "prepare own videos mine " in fresh.called()[0]
    stages(fresh.egs / "own", "sets/train/utt2spk")
    assert "holds sets already" in fresh.refused("own", "--corpus", "videos", "--data", "sets")


def test_slurm_is_an_option_of_a_recipe(tmp_path: Path):
    fresh = Recipes(tmp_path)
    stages(fresh.egs / "grid", "data/all/utt2spk")
    assert fresh.run("grid", "--stage", "1", "--stop-stage", "1", "--launcher", "slurm").returncode == 0
    assert "--launcher slurm" in fresh.called()[0]


def test_lipsound2_without_the_environment_is_told_where_one_looks():
    """The shell says `lipsound2: command not found`; the README's lines on the set-up name the activation."""
    assert ". .venv/bin/activate" in (ROOT / "README.md").read_text(encoding="utf-8")


# Training: stopped, and begun again as another one


@pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_training_that_is_stopped_says_how_to_go_on(sign: signal.Signals, status: int, tmp_path: Path):
    command = [sys.executable, *Toy(tmp_path).command(max_epochs=100_000)]
    training = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    deadline = time.monotonic() + 180
    while not (tmp_path / "exp/checkpoints").is_dir() and time.monotonic() < deadline:
        time.sleep(0.05)
    training.send_signal(sign)
    told = training.communicate(timeout=180)[1]
    assert training.returncode == status
    assert "the same command" in told.splitlines()[-1]
    assert "Traceback" not in told


def test_another_config_in_the_same_experiment_is_told_key_by_key(tmp_path: Path, capsys):
    toy = Toy(tmp_path)
    toy.train(max_epochs=1)
    capsys.readouterr()
    line = said(capsys, 1, "train", *toy.command(max_epochs=1, lr=0.01)[1:])
    assert "another config: lr 0.02 -> 0.01" in line


def test_each_row_of_the_list_has_a_case():
    """The list has 50 rows, two of them with two mistakes; a case may stand for more than one."""
    here: list[Callable[..., None]] = [value for name, value in globals().items() if name.startswith("test_")]
    assert len(VERBS) + len(RUNS) + len(here) >= 50
