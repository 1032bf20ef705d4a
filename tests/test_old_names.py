"""What earlier versions wrote is read: keys of configs, stamps, checkpoints and tensors by their old names."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from pathlib import Path

import pytest
from helpers.audio_dump import tone, write_audio

from lipsound2.audio.mel_settings import mel_config
from lipsound2.errors import LipsoundError
from lipsound2.fingerprint import Fingerprint
from lipsound2.inference.decode import decode
from lipsound2.jobs.slurm import commands
from lipsound2.metrics.wer_summary import from_json
from lipsound2.models.vocoders.discriminators import Discriminators
from lipsound2.models.vocoders.waveglow import WaveGlow, WaveGlowConfig
from lipsound2.old_names import (
    CONFIG_KEYS,
    NEW_KEYS,
    OPTIONS,
    checkpoint_of_today,
    config_of_today,
    options_of_today,
    tensors_of_today,
)
from lipsound2.report.report import read_curves
from lipsound2.report.results import WORD_TABLE
from lipsound2.tasks import load_config
from lipsound2.tasks.regress import RegressConfig
from lipsound2.training.monitor import Curves

ROOT = Path(__file__).resolve().parents[1]
WORD_HEADINGS = ("WER % of true sound / true mel / another sentence / mean mel", "colour slot %")
# A config as recipes had it at the commit before the renames.
OLD = """task: regress
model: parallel
input: mouth
target: mel-fine
augment_window: 40
augment_light: 0.2
augment_turn: 4
word_weight: 0.05
keep_decoded: 1
reach: 64
contrast: 1.1
peaks: 1.2
batch_pictures: 1500
optimiser: muon
"""


def test_an_old_config_means_what_it_meant(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "old.yaml").write_text(OLD)
    new = OLD
    for old, today in CONFIG_KEYS.items():
        new = new.replace(f"\n{old}:", f"\n{today}:")
    (tmp_path / "new.yaml").write_text(new)
    caplog.set_level(logging.INFO)
    read = load_config(tmp_path / "old.yaml").mapping()
    told = [record.message for record in caplog.records]
    assert len(told) == 1
    assert "batch_pictures (today batch_frames)" in told[0]
    load_config(tmp_path / "old.yaml")  # a verb may read it twice
    assert [record.message for record in caplog.records] == told
    caplog.clear()
    assert read == load_config(tmp_path / "new.yaml").mapping()
    assert not caplog.records


def test_a_renamed_task_is_found_by_its_old_name() -> None:
    assert config_of_today({"task": "recognise", "tokens": "words"}, "a.yaml") == {
        "task": "recognize",
        "tokens": "words",
    }


def test_a_key_by_both_names_is_refused() -> None:
    with pytest.raises(LipsoundError, match=r"a.yaml: 'optimiser' is the old name of 'optimizer', and both are there"):
        config_of_today({"optimizer": "adamw", "optimiser": "muon"}, "a.yaml")


def test_a_stamp_of_before_is_up_to_date(tmp_path: Path) -> None:
    mark = Fingerprint(tmp_path, "train", {"optimizer": "muon", "batch_frames": 800, "task": "recognize"}, [])
    old = json.loads(mark.text)
    old["options"] = {"batch_pictures": "800", "optimiser": "muon", "task": "recognise"}
    (tmp_path / ".stamp.json").write_text(json.dumps(old, indent=1))
    assert mark.up_to_date()
    old["options"]["optimiser"] = "adamw"
    (tmp_path / ".stamp.json").write_text(json.dumps(old, indent=1))
    assert not mark.up_to_date()


def test_decode_hears_the_audio_of_a_dump_of_before(tmp_path: Path) -> None:
    data = write_audio(tmp_path / "dump", {"one": tone(8000, 120.0), "two": tone(9600, 180.0)})
    (tmp_path / "dump/audio").rename(tmp_path / "dump/sound")
    decode("grid-s1-asr", data.path, tmp_path / "text", dump=tmp_path / "dump")
    assert len((tmp_path / "text/words.jsonl").read_text().splitlines()) == 2


def test_a_checkpoint_of_before_has_todays_keys() -> None:
    state = {"model": {"optimiser": 1}, "optimiser": {"lr": 1}, "critic": {"model": {}, "optimiser": {"critic": 2}}}
    assert checkpoint_of_today(state) == {
        "model": {"optimiser": 1},  # tensors of a network keep their names here
        "optimizer": {"lr": 1},
        "discriminator": {"model": {}, "optimizer": {"critic": 2}},
    }


def test_a_site_may_name_a_step_as_before(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("LIPSOUND2_SBATCH", "--time=1:00")
    monkeypatch.setenv("LIPSOUND2_SBATCH_SOUND", "--mem=8G")
    assert commands.options("audio") == ["--time=1:00", "--mem=8G"]
    assert [record.message for record in caplog.records] == [
        "LIPSOUND2_SBATCH_SOUND is read: today it is LIPSOUND2_SBATCH_AUDIO"
    ]
    monkeypatch.setenv("LIPSOUND2_SBATCH_AUDIO", "--mem=4G")
    assert commands.options("audio")[-1] == "--mem=4G"  # the last one wins
    caplog.clear()
    assert commands.options("crop") == ["--time=1:00"]
    assert not caplog.records


def test_curves_of_before_go_on_in_todays_column(tmp_path: Path) -> None:
    (tmp_path / "curves.tsv").write_text("update\tepoch\twords_named\n3\t1\t0.5\n")
    assert read_curves(tmp_path / "curves.tsv") == {"update": [3], "epoch": [1], "word_accuracy": [0.5]}
    Curves(tmp_path / "curves.tsv", 3).add({"update": 6, "epoch": 2, "word_accuracy": 0.75})
    assert (tmp_path / "curves.tsv").read_text() == "update\tepoch\tword_accuracy\n3\t1\t0.5\n6\t2\t0.75\n"


def test_a_summary_of_word_errors_of_before_is_read() -> None:
    rate = {"mean": 0.5, "low": 0.25, "high": 0.75}
    words = {"hits": 3, "substitutions": 3, "deletions": 0, "insertions": 0}
    total = {"clips": 1, "missing": 0, "wrong": 1, "words": words, "characters": words}
    slot = {"rate": rate, "chance": 0.75, "substitutions": 1, "deletions": 0}
    summary = from_json(
        {
            **{"language": "en", "normalisation": "en-1", "wer": rate, "cer": rate, "ser": rate},
            **{"total": total, "speakers": {"s1": total}, "confusions": []},
            **{"slots": {"command": slot, "colour": slot}, "letters": {}},
        }
    )
    assert summary.normalization == "en-1"
    assert list(summary.further["grid"].slots) == ["command", "color"]


def test_rows_of_before_are_published_over(tmp_path: Path) -> None:
    columns = ["experiment", "set", "recogniser", "WER %", *WORD_HEADINGS]
    rows = [columns, ["---"] * len(columns), ["a", "test", "asr", "90.0", "1 / 2 / 3 / 4", "5.0"]]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    path = tmp_path / "RESULTS.md"
    path.write_text(f"{WORD_TABLE.begin}\n\n{table}\n\n{WORD_TABLE.end}\n")
    WORD_TABLE.put(path, [{"experiment": "b", "set": "test", "recognizer": "asr", "WER %": "70.0"}], "Results")
    heading = path.read_text().splitlines()[2]
    for old in ("recogniser", *WORD_HEADINGS):
        assert old not in heading
    WORD_TABLE.put(path, [{"experiment": "a", "set": "test", "recognizer": "asr", "WER %": "80.0"}], "Results")
    assert path.read_text().count("| a | test | asr |") == 1
    assert "90.0" not in path.read_text()


def test_every_rename_of_keys_and_options_is_listed() -> None:
    rows = [line.split("\t") for line in (ROOT / "docs/renames.tsv").read_text().splitlines()[1:]]
    listed = {(what, old, new) for what, old, new in rows}
    assert {("config key", old, new) for old, new in CONFIG_KEYS.items()} <= listed
    options = {
        ("option", f"{verb} {old}", f"{verb} {new}") for verb, names in OPTIONS.items() for old, new in names.items()
    }
    assert options <= listed


@pytest.mark.parametrize(("old", "new"), [("verdict", "output"), ("told", "condition")])
def test_tensors_of_vocoders_are_read_by_their_old_names(old: str, new: str) -> None:
    flow = WaveGlowConfig(flows=2, layers=1, channels=8)
    network = Discriminators(0.125) if new == "output" else WaveGlow(flow, mel_config("fine"))
    before = {re.sub(rf"\b{new}\b", old, key): tensor for key, tensor in network.state_dict().items()}
    assert before.keys() != network.state_dict().keys()
    network.load_state_dict(tensors_of_today(before))


def test_keys_that_stamps_lack_are_worth_their_defaults() -> None:
    """So an experiment that was trained before a key came stays trained."""
    defaults = {each.name: str(each.default) for each in dataclasses.fields(RegressConfig)}
    found = options_of_today({"estoi_weight": "3.0", "recognizer_weight": "2.0"})
    assert found["recognizer_weight"] == "2.0", "what a stamp says stands"
    for beside, new in NEW_KEYS.items():
        assert beside in defaults
        assert {key: defaults[key] for key in new} == new
        assert options_of_today({beside: "1"}) == {beside: "1", **new}
