"""egs/tcd_timit and egs/cmlr from a generated corpus to scores, as a user runs them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.face_corpora import CMLR_CLIPS, TCD_CLIPS, TCD_TIMIT, make_cmlr, make_tcd_timit
from helpers.recipe_copies import copy_recipes, run

from lipsound2.data.datadir import DataDir
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.synthetic.clip import ClipFormat

pytestmark = pytest.mark.slow

TINY = {
    **{"max_epochs": 1, "valid_every": 1, "valid_clips": 2, "crop": 64, "size": 32, "trunk_pool": False},
    **{"trunk_widths": [16, 16, 16], "trunk_blocks": 1, "width": 32, "layers": 1, "heads": 4, "mel_width": 32},
    **{"mel_layers": 1, "workers": 0, "warmup": 1, "batch_size": 4},
}
TINY_EARS = {
    **{"max_epochs": 1, "valid_every": 1, "width": 32, "layers": 1, "channels": 8, "decoder_layers": 1, "workers": 0},
    "warmup": 1,
}


def recipe_in(tmp_path: Path, name: str) -> Path:
    """The recipe in a folder with a blank in its name, with tiny configs."""
    folder = copy_recipes(tmp_path, name) / name
    for config, values in (("parallel", TINY), ("asr_conformer", TINY_EARS)):
        path = folder / "conf" / f"{config}.yaml"
        write_yaml(path, read_yaml(path) | values)
    return folder


def check(exp: Path, clips: int, heard: str) -> None:
    """Speech of all systems was scored, and heard by whom it should."""
    summary = json.loads((exp / "scores" / "test" / "summary.json").read_text())
    assert set(summary["systems"]) == {"generated", "real_mel", "mismatched", "mean_mel"}
    assert summary["systems"]["real_mel"]["scores"]["estoi"]["mean"] > 0.6
    assert summary["systems"]["generated"]["clips"] == clips
    assert (exp / "report.html").stat().st_size > 0
    text = exp / "scores" / "test" / "text"
    assert [path.name for path in text.iterdir()] == [heard] if heard else not text.exists()


def test_the_recipe_of_tcd_timit_runs_through(tmp_path):
    """All six stages at the corpus' size and rate, then without words, begun from that experiment."""
    lipspeakers = [name for name in TCD_CLIPS if name.startswith("lipspeakers")]
    top = make_tcd_timit(tmp_path, replace(TCD_TIMIT, width=640, height=360), lipspeakers)
    make_tcd_timit(tmp_path / "large", TCD_TIMIT, lipspeakers[2:])
    large = tmp_path / "large" / "TCD-TIMIT" / lipspeakers[2]
    shutil.copytree(large, top / lipspeakers[2], dirs_exist_ok=True)
    folder = recipe_in(tmp_path, "tcd_timit")
    told = run(folder, "--corpus", str(top))
    assert "found 9 clips of 3 speakers (Lipspkr1-Lipspkr3); 9 with text" in told
    check(folder / "exp" / "lipspeakers_parallel", 2, "lipspeakers_asr_conformer")
    sizes = {row.split("\t")[0]: row.split("\t")[3:6] for row in (folder / "dump/landmarks/timeline.tsv").open()}
    assert sizes["Lipspkr3-sx4"][1:] == ["1920", "1080"]
    assert float(sizes["Lipspkr1-sx4"][0]) == pytest.approx(29.97, abs=0.01)
    (top / "prompts.txt").unlink()
    told = run(folder, "--corpus", str(top), "--init", "exp/lipspeakers_parallel", "--exp", "exp/tuned")
    assert (
        "data/lipspeakers/train has no texts, which our own recognizer would learn from: no words are counted" in told
    )
    check(folder / "exp" / "tuned", 2, "")


def test_the_recipe_of_cmlr_runs_through(tmp_path):
    """All six stages with a Mandarin voice and audio beside the silent clips; characters are counted."""
    top = make_cmlr(tmp_path, ClipFormat(width=320, height=256, sample_rate=16000))
    folder = recipe_in(tmp_path, "cmlr")
    run(folder, "--corpus", str(top))
    exp = folder / "exp" / "official_parallel"
    check(exp, 2, "official_asr_conformer")
    text = "".join(DataDir(folder / "data" / "official" / "train").text.values())
    tokens = (folder / "exp/official_asr_conformer/tokens.txt").read_text(encoding="utf-8").splitlines()
    assert set(tokens) - {"<space>"} == set(text)
    assert set("".join("".join(words) for clips in CMLR_CLIPS.values() for words in clips.values())) > set(text)
