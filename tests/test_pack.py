"""Packs are written into folders of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lipsound2 import model_names
from lipsound2.audio.mel_settings import MELS
from lipsound2.cli import main
from lipsound2.data.yaml_files import write_yaml
from lipsound2.metrics.wer import score_texts
from lipsound2.metrics.wer_summary import write_summary
from lipsound2.tasks import load_config
from lipsound2.tasks.vocode import VocodeAssets

VOICE = {"task": "vocode", "model": "hifigan", "channels": 16}
SAID = ("--knows", "nobody", "--corpus", "none", "--license", "none")


@pytest.fixture
def exp(tmp_path: Path) -> Path:
    return make(tmp_path / "a", "2026-01-02 03:04:05")


def make(folder: Path, started: str, **keys: int) -> Path:
    """An experiment with fresh weights, begun at a time."""
    folder.mkdir(parents=True)
    write_yaml(folder / "config.yaml", VOICE | keys)
    write_yaml(folder / "versions.yaml", {"hours": 1.0, "runs": [{"started": started, "updates": 3}]})
    task = load_config(folder / "config.yaml").task
    assets = VocodeAssets(MELS["fine"])
    task.save(assets, folder)
    torch.manual_seed(len(started))
    state = task.build(assets).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "model.safetensors")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_fault_A2_a_pack_is_written_over_itself_and_nothing_else(exp, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["pack", str(exp), str(out), *SAID]) == 0
    first = contents(out)
    assert main(["pack", str(exp), str(out), *SAID]) == 0
    assert contents(out) == first
    # As a pack that was killed leaves it: the next run makes it whole.
    for name in ("config.yaml", "model.safetensors"):
        (out / name).unlink()
    (out / ".lock").touch()
    assert main(["pack", str(exp), str(out), *SAID]) == 0
    assert contents(out) == first
    for other in (make(tmp_path / "b", "2026-01-02 03:04:06"), make(tmp_path / "else/a", "2026-01-02 03:04:05+")):
        assert main(["pack", str(other), str(out), *SAID]) == 1
        assert "is a pack of another experiment" in capsys.readouterr().err
        assert contents(out) == first


@pytest.mark.parametrize("value", [float("nan"), 1e6])
def test_weights_that_half_precision_cannot_hold_are_refused(exp, tmp_path, capsys, value):
    broken = tmp_path / "broken"
    shutil.copytree(exp, broken)
    weights = load_file(broken / "model.safetensors")
    name = min(weights)
    weights[name].view(-1)[0] = value
    save_file(weights, broken / "model.safetensors")
    assert main(["pack", str(broken), str(tmp_path / "out"), *SAID]) == 1
    assert f"broken: '{name}' has numbers that are not finite in half precision" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_fault_A2_a_pack_is_not_written_into_an_experiment_or_a_data_dir(exp, tmp_path, capsys):
    other = make(tmp_path / "b", "2025-01-01 00:00:00")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/utt2spk").write_text("a-1 a\n")
    for out, why in ((exp, "input"), (other, "no pack"), (tmp_path / "data", "no pack")):
        before = contents(out)
        assert main(["pack", str(exp), str(out), *SAID]) == 1
        assert why in capsys.readouterr().err
        assert contents(out) == before


def test_fault_A2_a_training_does_not_go_into_a_pack_or_a_data_dir(exp, tmp_path, capsys):
    assert main(["pack", str(exp), str(tmp_path / "out"), *SAID]) == 0
    (tmp_path / "data").mkdir()
    (tmp_path / "data/utt2spk").write_text("a-1 a\n")
    given = [str(exp / "config.yaml"), "--train", "x", "--valid", "y", "--dump", "z"]
    for name, what in (("out", "a pack"), ("data", "a data dir")):
        before = contents(tmp_path / name)
        assert main(["train", *given, "--exp", str(tmp_path / name)]) == 1
        assert f"is {what}, which would be lost" in capsys.readouterr().err
        assert contents(tmp_path / name) == before


def test_a_pack_tells_the_experiment_it_was_made_of(exp, tmp_path):
    assert main(["pack", str(exp), str(tmp_path / "out"), *SAID]) == 0
    card = (tmp_path / "out" / model_names.CARD).read_text()
    assert "* Experiment: a, begun 2026-01-02 03:04:05\n" in card
    assert str(tmp_path) not in card


def test_fault_B7_the_card_says_whose_scores_it_shows(exp, tmp_path, capsys):
    """An experiment's scores are those of its full weights; what ships is rounded, and scored by itself."""
    text = {"s1-a": "bin blue at f two now"}
    for folder, heard in ((exp / "scores/test", "bin blue at f two now"), (tmp_path / "scored", "bin blue at f two")):
        result = score_texts(text, {"s1-a": heard}, {"s1-a": "s1"}, "en")
        (folder / "text/greedy").mkdir(parents=True)
        write_summary(folder / "text/greedy/summary.json", {"heard": result.summary})
    card = tmp_path / "out" / model_names.CARD
    assert main(["pack", str(exp), str(tmp_path / "out"), *SAID]) == 0
    assert "## Words on `test`, of the full weights, greedy" in card.read_text()
    assert main(["pack", str(exp), str(tmp_path / "out"), *SAID, "--scores", str(tmp_path / "scored")]) == 0
    assert "## Words of the pack as it ships, greedy" in card.read_text()
    assert "full weights" not in card.read_text()
    assert "16.7 [" in card.read_text()
    assert main(["pack", str(exp), str(tmp_path / "out"), *SAID, "--scores", str(tmp_path)]) == 1
    assert "holds no summary.json" in capsys.readouterr().err
