"""The mini recipe end to end, as a user runs it: all stages, skipping, moving it elsewhere; then GRID's scripts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from helpers.recipe_copies import ENVIRONMENT, ROOT, copy_recipes
from helpers.recipe_copies import run as run_recipe
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

# Small enough for a minute; what it learns is not the point here, that every stage hands on to the next one is.
TINY = {"max_epochs": 2, "valid_every": 1, "valid_clips": 2, "width": 32, "layers": 1, "mel_width": 32, "workers": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The recipe in another place."""
    return copy_mini(tmp_path_factory.mktemp("elsewhere"))


def copy_mini(place: Path) -> Path:
    """A copy of the recipe, with a small config."""
    recipe = copy_recipes(place, "mini") / "mini"
    config = yaml.safe_load((recipe / "conf" / "mini.yaml").read_text()) | TINY
    (recipe / "conf" / "tiny.yaml").write_text(yaml.safe_dump(config))
    return recipe


# A recognizer as small, and a vocoder; that one hears nothing yet and the other hums is fine.
TINY_EARS = {"max_epochs": 2, "valid_every": 1, "width": 32, "layers": 1, "channels": 8, "workers": 0, "warmup": 2}
TINY_VOICE = {
    "max_epochs": 1,
    "valid_every": 1,
    "width": 16,
    "layers": 1,
    "segment": 2048,
    "workers": 0,
    "valid_clips": 1,
}

OPTIONS = ["--clips", "20", "--config", "conf/tiny.yaml"]


def run(folder: Path, *arguments: str, fails: bool = False) -> str:
    return run_recipe(folder, *OPTIONS, *arguments, fails=fails)


def run_and_kill(folder: Path, stage: int, seconds: float) -> bool:
    """Run all stages and kill the whole run so many seconds into one of them; False: it had ended before."""
    told, command = folder / "told", ["./run.sh", *OPTIONS, "--nj", "2"]
    with told.open("w") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=ENVIRONMENT, start_new_session=True
        )
        while process.poll() is None and f"== stage {stage}:" not in told.read_text():
            time.sleep(0.02)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        alive = process.poll() is None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return alive


def results(folder: Path) -> dict[str, str]:
    """What a run leaves, by file: digests of archives, weights and speech, and the scores."""
    exp = folder / "exp" / "tiny"
    files = [*folder.glob("dump/*/shards/**/*.ark"), *exp.glob("wav/**/*.wav"), *exp.glob("scores/test/*.tsv")]
    digests = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    weights = load_file(exp / "model.safetensors")  # its metadata may differ
    return digests | {key: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for key, tensor in weights.items()}


def test_all_stages(folder):
    told = run(folder)
    (folder / "told").write_text(told)
    exp = folder / "exp" / "tiny"
    assert "Lips are read" in told
    summary = json.loads((exp / "scores" / "test" / "summary.json").read_text())
    assert set(summary["systems"]) == {"generated", "real_mel", "mismatched", "mean_mel"}
    # The ceiling is real whatever the model is: true mels of clear speech through Griffin-Lim.
    assert summary["systems"]["real_mel"]["scores"]["estoi"]["mean"] > 0.7
    page = (exp / "report.html").read_text()
    assert page.count("<audio") >= 4
    assert "http://" not in page.replace("http://www.w3.org", "")
    for name in ("config.yaml", "versions.yaml", "model.safetensors", "curves.tsv", "train.log", "RESULTS.md"):
        assert (exp / name).stat().st_size > 0


def test_a_second_run_skips_what_is_done(folder):
    told = run(folder, "--stop-stage", "4")
    assert told.count("skipped") >= 3
    assert "nothing to do" in told


def test_the_pack_speaks_elsewhere(folder, tmp_path):
    """A pack is copied to another place; the clip is spoken and laid under its video frame."""
    verb = [sys.executable, "-m", "lipsound2.cli"]
    facts = ["--knows", "two generated voices", "--corpus", "mini", "--license", "none"]
    subprocess.run([*verb, "pack", "exp/tiny", str(tmp_path / "pack"), *facts], cwd=folder, check=True)
    for file in (tmp_path / "pack").iterdir():
        assert str(ROOT).encode() not in file.read_bytes(), f"{file.name} names a folder of this machine"
    moved = shutil.move(tmp_path / "pack", tmp_path / "moved")
    clip = next((folder / "corpus" / "s1").glob("*.mp4"))
    spoken = [*verb, "speak", str(clip), "-o", "a.wav", "--video", "a.mp4", "--model", str(moved)]
    told = subprocess.run(spoken, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert "75 frames" in told
    assert "two generated voices" in told
    import soundfile

    assert soundfile.info(tmp_path / "a.wav").frames == 75 * 640
    assert (tmp_path / "a.mp4").stat().st_size > 10_000


def test_a_recipe_killed_in_every_stage_ends_the_same(folder, tmp_path):
    """SIGKILL of the whole run in the middle of each stage; the same command goes on, and the results are the same."""
    took = dict.fromkeys(range(6), 1.0)
    for line in (folder / "told").read_text().splitlines():
        if match := re.match(r"== stage (\d) done in (\d+) s", line):
            took[int(match[1])] = float(match[2])
    recipe = copy_mini(tmp_path)
    hit = [run_and_kill(recipe, stage, 0.6 * took[stage]) for stage in range(6)]
    assert sum(hit) >= 4, f"too few of the stages were still running when they were to be killed: {hit}"
    run(recipe)
    assert not list(recipe.rglob("*.tmp*")), "a temporary file is left"
    assert results(recipe) == results(folder)


def test_a_training_is_carried_to_another_machine(folder, tmp_path):
    """What `tools/gpu_check.sh` packs is enough to train there, and what it leaves is a model."""
    environment = ENVIRONMENT | {"PYTHON": sys.executable, "NGPU": "0"}

    def check(*arguments: str) -> str:
        command = [str(ROOT / "tools" / "gpu_check.sh"), *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    check("pack", ".", "mini", "conf/tiny.yaml", str(tmp_path / "carried.tar"))
    told = check("train", str(tmp_path / "carried.tar"), "conf/tiny.yaml", str(tmp_path / "work"))
    assert "training has ended" in told
    results = tmp_path / "work" / "results"
    assert {"curves.tsv", "train.log", "model.tar.aa"} <= {path.name for path in results.iterdir()}
    # Mels at a byte a value change little: the first evaluation is that of the training at home.
    home, away = (
        [line.split("\t") for line in (exp / "curves.tsv").read_text().splitlines()]
        for exp in (folder / "exp" / "tiny", results)
    )
    column = home[0].index("train_loss")
    assert float(away[1][column]) == pytest.approx(float(home[1][column]), rel=0.02)


def test_a_wrong_key_in_the_config_stops_stage_3_in_one_line(folder):
    (folder / "conf" / "wrong.yaml").write_text((folder / "conf" / "tiny.yaml").read_text() + "batch_sise: 4\n")
    told = run(folder, "--stage", "3", "--config", "conf/wrong.yaml", fails=True)
    assert "unknown key 'batch_sise'; did you mean 'batch_size'?" in told
    assert "stage 3 failed" in told


VOICES = ("", "_tuned", "_blurred")
CORPUS = ["--corpus", "../mini/corpus", "--protocol", "mini"]


@pytest.fixture(scope="module")
def grid(folder) -> Path:
    """GRID's recipe beside it, with a config as small."""
    grid = copy_recipes(folder.parents[2], "grid") / "grid"
    shutil.copy(folder / "conf" / "tiny.yaml", grid / "conf" / "lips.yaml")
    return grid


def test_few_clips_after_pre_training(grid):
    """Pre-trained on generated faces, then few clips of the corpus, both ways; a table and a plot."""
    options = [*CORPUS, "--extra-set", "", "--config", "conf/lips.yaml", "--clips", "13", "--speakers", "1"]
    options += ["--updates", "2", "--tuning", "2", "--runs", "3:0 3:1 8:0"]
    run_recipe(grid, *options, script="run_pretrain.sh")
    table = (grid / "exp/pretraining.md").read_text(encoding="utf-8").splitlines()
    assert table[0] == "| training clips | scratch | pretrained |"
    assert [row.split(" | ")[0] for row in table[2:]] == ["| 3", "| 8"]
    assert table[2].count("(") == 2, "two seeds a way"
    assert (grid / "exp/pretraining.png").stat().st_size > 1000
    begun = yaml.safe_load((grid / "exp/mini_pretrained_8_0/versions.yaml").read_text())["runs"][0]
    assert begun["init"] == "exp/mini_pretrain"
    assert "init" not in yaml.safe_load((grid / "exp/mini_scratch_8_0/versions.yaml").read_text())["runs"][0]


def test_the_cascade(grid):
    """Lips to speech, a recognizer, two-fold speech for its fine-tuning, and what each understands."""
    config = yaml.safe_load((grid / "conf" / "asr_conformer.yaml").read_text()) | TINY_EARS
    (grid / "conf" / "ears.yaml").write_text(yaml.safe_dump(config))
    options = [*CORPUS, "--lips", "conf/lips.yaml", "--asr-config", "conf/ears.yaml"]
    run_recipe(grid, *options, "--tune", "max_epochs: 1", "--fold", "max_epochs: 1", script="run_asr.sh")

    def ids(path: Path) -> list[str]:
        return [line.split()[0] for line in (path / "utt2spk").read_text().splitlines()]

    train = ids(grid / "data/mini/train")
    assert ids(grid / "data/mini_folded/train") == ids(grid / "data/mini_plain/train") == train
    for line in (grid / "data/mini_folded/train/wav.scp").read_text().splitlines():
        name, path = line.split(" ", 1)
        (without,) = [part for part in "12" if f"_without{part}/" in path]
        assert name not in ids(grid / f"data/mini/folds/{without}/train"), "spoken by a model that was trained on it"
        assert Path(path).is_file()
    first, tuned = (grid / f"exp/mini_ears{way}/tokens.model" for way in ("", "_folded"))
    assert tuned.read_bytes() == first.read_bytes()
    scores = grid / "exp/mini_lips/scores/test/text"
    heard = {"mini_ears", "mini_ears+grid", "mini_ears_plain", "mini_ears_plain+grid"}
    assert heard | {"mini_ears_folded", "mini_ears_folded+grid"} == {path.name for path in scores.iterdir()}
    systems = json.loads((scores / "mini_ears_folded+grid/summary.json").read_text())["systems"]
    assert list(systems) == ["real", "generated", "real_mel", "mismatched", "mean_mel"]
    assert systems["real"]["total"]["clips"] == len(ids(grid / "data/mini/test"))
    own = json.loads((grid / "exp/mini_ears/scores/test/text/grid/summary.json").read_text())["systems"]
    assert own["heard"]["wer"]["mean"] < 1, "of a grammar's sentences something is always right"


def test_the_vocoder(grid):
    """A vocoder on true mels, on generated and on blurred ones, and what each of them makes of the test set's."""
    config = yaml.safe_load((grid / "conf" / "vocos_small.yaml").read_text()) | TINY_VOICE
    (grid / "conf" / "voice.yaml").write_text(yaml.safe_dump(config))
    options = [*CORPUS, "--lips", "conf/lips.yaml", "--vocoder", "conf/voice.yaml", "--metrics", ""]
    run_recipe(grid, *options, "--tune", "max_epochs: 1, adversarial_start: 0", script="run_vocoder.sh")
    voices = grid / "exp/mini_lips/voices"
    assert {path.name for path in voices.iterdir()} == {"griffin-lim", *(f"mini_voice{way}" for way in VOICES)}
    for folder in voices.iterdir():
        systems = json.loads((folder / "scores/summary.json").read_text())["systems"]
        assert set(systems) == {"generated", "real_mel"}
    configs = [yaml.safe_load((grid / f"exp/mini_voice{way}/config.yaml").read_text()) for way in VOICES]
    assert [len(config["mels"]) for config in configs] == [0, 2, 0]
    assert [config["augment_blur"] for config in configs] == [0, 0, 1]
