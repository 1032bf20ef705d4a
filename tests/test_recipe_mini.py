"""The mini recipe end to end, as a user runs it: all stages, skipping, and moving recipe and pack elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow

# Small enough for a minute; what it learns is not the point here, that every stage hands on to the next one is.
TINY = {"max_epochs": 2, "valid_every": 1, "valid_clips": 2, "width": 32, "layers": 1, "frame_width": 32, "workers": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A copy of the recipe in another place, with a blank and an umlaut in its path, beside what it needs."""
    top = tmp_path_factory.mktemp("elsewhere") / "my corpora ü"
    recipe = top / "egs" / "mini"
    shutil.copytree(ROOT / "egs" / "mini", recipe, ignore=shutil.ignore_patterns("corpus", "data", "dump", "exp"))
    shutil.copytree(ROOT / "utils", top / "utils")
    (top / "tools").mkdir()
    # The set-up stands already: the recipe finds nothing to do.
    (top / "tools" / "install.sh").write_text("#!/bin/sh\nexit 0\n")
    (top / "tools" / "install.sh").chmod(0o755)
    config = yaml.safe_load((recipe / "conf" / "mini.yaml").read_text()) | TINY
    (recipe / "conf" / "tiny.yaml").write_text(yaml.safe_dump(config))
    return recipe


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LIPSOUND2_VENV": sys.prefix}
    command = ["./run.sh", "--clips", "20", "--config", "conf/tiny.yaml", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


def test_all_stages(folder):
    result = run(folder)
    assert result.returncode == 0, result.stderr[-3000:]
    exp = folder / "exp" / "tiny"
    assert "Lips are read" in result.stdout
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
    result = run(folder, "--stop-stage", "4")
    assert result.returncode == 0, result.stderr[-3000:]
    assert (result.stdout + result.stderr).count("skipped") >= 3
    assert "nothing to do" in result.stdout + result.stderr


def test_the_pack_speaks_elsewhere(folder, tmp_path):
    """A pack is copied to another place; the clip is spoken and laid under its picture."""
    verb = [sys.executable, "-m", "lipsound2.cli"]
    facts = ["--knows", "two generated voices", "--corpus", "mini", "--licence", "none"]
    subprocess.run([*verb, "pack", "exp/tiny", str(tmp_path / "pack"), *facts], cwd=folder, check=True)
    for file in (tmp_path / "pack").iterdir():
        assert str(ROOT).encode() not in file.read_bytes(), f"{file.name} names a folder of this machine"
    moved = shutil.move(tmp_path / "pack", tmp_path / "moved")
    clip = next((folder / "corpus" / "s1").glob("*.mp4"))
    spoken = [*verb, "speak", str(clip), "-o", "a.wav", "--video", "a.mp4", "--model", str(moved)]
    told = subprocess.run(spoken, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert "75 pictures" in told
    assert "two generated voices" in told
    import soundfile

    assert soundfile.info(tmp_path / "a.wav").frames == 75 * 640
    assert (tmp_path / "a.mp4").stat().st_size > 10_000


def test_a_wrong_key_in_the_config_stops_stage_3_in_one_line(folder):
    (folder / "conf" / "wrong.yaml").write_text((folder / "conf" / "tiny.yaml").read_text() + "batch_sise: 4\n")
    result = run(folder, "--stage", "3", "--config", "conf/wrong.yaml")
    assert result.returncode == 1
    assert "unknown key 'batch_sise'; did you mean 'batch_size'?" in result.stderr
    assert "stage 3 failed" in result.stderr
