"""The verb `train` on the toy task: what an experiment holds, when it is refused, what changes no weight."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import yaml
from helpers import toy_task
from helpers.toy_training import Toy, assert_close, curves
from helpers.toy_training import toy as toy  # a fixture

from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.errors import LipsoundError
from lipsound2.files import folder_lock, sha256
from lipsound2.model_names import PRETRAINED
from lipsound2.tasks import load_config
from lipsound2.training.average import read_weights
from lipsound2.training.train import check_init, train


def test_an_experiment(toy: Toy) -> None:
    exp = toy.train(max_epochs=6)
    rows = curves(exp)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["score"] > rows[0]["score"] + 0.02, "it learns"
    assert load_config(exp / "config.yaml").mapping() == read_yaml(exp / "config.yaml")
    run = read_yaml(exp / "versions.yaml")["runs"][0]
    assert run["packages"]["torch"] == torch.__version__
    assert run["state"] == "all epochs are done"
    assert run["updates"] == rows[-1]["update"]
    assert (exp / "toy.txt").exists(), "what the task saves"
    weights = read_weights(exp / "model.safetensors")
    assert set(weights) == set(toy_task.ToyModel(toy_task.ToyConfig()).state_dict())
    assert len(list((exp / "checkpoints").glob("weights-*"))) <= 4


def test_keys_given_beside_the_config(toy: Toy) -> None:
    path = toy.config()
    assert train(path, exp=toy.folder / "exp", override="max_epochs: 1, lr: 1e-3", **toy.data) == 0
    assert load_config(toy.folder / "exp" / "config.yaml").train.max_epochs == 1
    with pytest.raises(LipsoundError, match=r"toy.yaml with --override: unknown key 'lrr'; did you mean 'lr'"):
        train(path, exp=toy.folder / "other", override="lrr: 1", **toy.data)


def test_a_finished_training_is_skipped_a_changed_config_refused(toy: Toy, caplog: pytest.LogCaptureFixture) -> None:
    exp = toy.train()
    before = (exp / "model.safetensors").stat().st_mtime_ns
    toy.train(workers=1, log_every=7)
    assert "nothing to do" in caplog.text
    assert (exp / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(LipsoundError, match=r"another config: dropout 0\.2 -> 0\.3; lr 0\.02 -> 0\.01;"):
        toy.train(dropout=0.3, lr=0.01)
    with pytest.raises(LipsoundError, match="max_epochs 3 -> 2"):
        toy.train(max_epochs=2)
    with pytest.raises(LipsoundError, match="begun from fresh weights, not from"):
        toy.train(max_epochs=4, init="exp")
    toy.train(max_epochs=4)
    assert len(curves(exp)) == 4, "a limit may grow"
    toy_task.write_data(toy.folder, train=25, valid=4)
    with pytest.raises(LipsoundError, match=r"other clips, .* audio: 24 "):
        toy.train(max_epochs=4)


def test_a_checkpoint_of_a_version_that_named_tensors_otherwise(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.train()
    monkeypatch.setattr(toy_task.ToyModel, "state_dict", lambda self, **_: {"elsewhere": torch.zeros(1)})
    toy.train("old", max_epochs=1)
    monkeypatch.undo()
    with pytest.raises(LipsoundError, match=r"old: its newest checkpoint holds other tensors .* in a new folder$"):
        toy.train("old")


def test_two_runs_in_one_folder(toy: Toy) -> None:
    with folder_lock(toy.folder / "exp", "train"), pytest.raises(LipsoundError, match="in use by another run"):
        toy.train()
    toy.train()


def test_limits(toy: Toy) -> None:
    exp = toy.train("updates", max_epochs=0, max_updates=5, valid_every=50)
    assert [row["update"] for row in curves(exp)] == [5], "the end is always evaluated"
    assert read_yaml(exp / "versions.yaml")["runs"][0]["state"] == "max_updates is reached"
    assert "training ends: max_updates is reached, 5 updates" in (exp / "train.log").read_text()
    rows = curves(toy.train("patience", max_epochs=30, patience=1, lr=1e-9, min_lr=0.0, warmup=0, ema=0.999))
    assert len(rows) < 30
    assert rows[-1]["score"] <= max(row["score"] for row in rows[:-1])


def test_evaluating_more_often_changes_no_weight(toy: Toy) -> None:
    often, seldom = toy.train("often", average="last", keep_best=1), toy.train("seldom", valid_every=3, average="last")
    assert len(curves(often)) == 3 > len(curves(seldom)) == 1
    assert sha256(often / "checkpoints" / "weights-00000012.safetensors") == sha256(
        seldom / "checkpoints" / "weights-00000012.safetensors"
    )


def test_workers_change_no_weight(toy: Toy) -> None:
    alone, helped = toy.train("alone", workers=0), toy.train("helped", workers=2)
    assert sha256(alone / "model.safetensors") == sha256(helped / "model.safetensors")


def test_accumulated_batches_are_one_large_batch(toy: Toy) -> None:
    # Without dropout, noise and batch statistics the two differ by rounding alone.
    plain = {"dropout": 0.0, "noise": 0.0, "unnormed": True, "max_epochs": 1, "clip_grad": 0.0}
    small = toy.train("small", batch_size=4, batch_frames=10_000, accumulate=6, **plain)
    large = toy.train("large", batch_size=24, batch_frames=10_000, **plain)
    assert curves(small)[0]["update"] == curves(large)[0]["update"] == 1
    assert_close(small, large)


def test_begin_with_weights_of_another(toy: Toy) -> None:
    toy.train("first")
    rows = curves(toy.train("second", init="first", lr=1e-6, min_lr=0.0, max_epochs=1))
    assert rows[0]["score"] == pytest.approx(curves(toy.folder / "first")[-1]["score"], abs=0.02)
    text = (toy.folder / "second" / "train.log").read_text()
    assert "13 tensors taken, 0 of another shape" in text
    assert read_yaml(toy.folder / "second" / "versions.yaml")["runs"][0]["init"] == str(toy.folder / "first")


def test_a_finished_training_is_refused_other_first_weights(toy: Toy, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("first", "other"):
        toy.train(name, max_epochs=1)
    toy.train("second", init="first", max_epochs=1)
    (toy.folder / "link").symlink_to("first")
    for init in ("first", "link", None):
        caplog.clear()
        toy.train("second", init=init, max_epochs=1)
        assert "nothing to do" in caplog.text
    with pytest.raises(LipsoundError, match=r"second was begun from .*first, not from .*other; give another --exp"):
        toy.train("second", init="other", max_epochs=1)
    with pytest.raises(LipsoundError, match=r"first was begun from fresh weights, not from .*other; give another"):
        toy.train("first", init="other", max_epochs=1)
    with pytest.raises(LipsoundError, match=r"--init .*frist: no such file or folder"):
        toy.train("second", init="frist", max_epochs=1)


def test_first_weights_may_move_with_the_recipe_and_may_be_gone(
    toy: Toy, caplog: pytest.LogCaptureFixture, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name, init in (("first", None), ("second", "first")):
        toy.train(name, init=init, max_epochs=1)
    toy.folder = toy.folder.rename(tmp_path_factory.mktemp("elsewhere") / "recipe")
    toy.train("second", init="first", max_epochs=1)
    (toy.folder / "first").rename(toy.folder / "removed")
    toy.train("second", init="first", max_epochs=1)
    assert caplog.text.count("nothing to do") == 2
    with pytest.raises(LipsoundError, match=r"was begun from .*first, not from .*removed"):
        toy.train("second", init="removed", max_epochs=1)


def test_a_model_that_ships_may_move_with_the_toolkit(toy: Toy) -> None:
    exp, pack = toy.train(max_epochs=1), PRETRAINED / "grid-s1-vsr"
    record = read_yaml(exp / "versions.yaml")
    for before in (f"/older/lipsound2/pretrained/{pack.name}", str(pack)):
        record["runs"][0]["init"] = before
        write_yaml(exp / "versions.yaml", record)
        check_init(exp, pack)
        with pytest.raises(LipsoundError, match=r"grid-s1-vsr, not from .*grid-s1-asr; give another --exp"):
            check_init(exp, PRETRAINED / "grid-s1-asr")


@pytest.mark.parametrize("record", [{"runs": []}, {}, {"hours": 1.0, "runs": [{}]}])
def test_a_record_without_a_start_stops_no_training(toy: Toy, record: dict[str, Any]) -> None:
    exp = toy.train(max_epochs=1)
    write_yaml(exp / "versions.yaml", record)
    toy.train(max_epochs=2)
    assert len(curves(exp)) == 2
    write_yaml(exp / "versions.yaml", {"runs": "none"})
    with pytest.raises(LipsoundError, match=r"versions\.yaml: runs: expected a list, found 'none'"):
        toy.train(max_epochs=3)


@pytest.mark.slow
def test_compiled(toy: Toy) -> None:
    # The running average is evaluated as it is, which spares compiling for evaluation.
    changes = {"max_updates": 2, "ema": 0.5, "batch_size": 8}
    plain, compiled = toy.train("plain", **changes), toy.train("compiled", compile=True, **changes)
    assert set(read_weights(plain / "model.safetensors")) == set(read_weights(compiled / "model.safetensors"))
    assert_close(plain, compiled, 1e-3)


def test_tensorboard_events(toy: Toy) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    exp = toy.train(tensorboard=True)
    events = EventAccumulator(str(exp))
    events.Reload()
    tags = events.Tags()
    assert {"train/loss", "train/l1", "train/lr", "train/gradient", "speed/frames", "valid/score"} <= set(
        tags["scalars"]
    )
    assert tags["images"] == ["picture"]
    assert tags["audio"] == ["audio"]
    assert [event.value for event in events.Scalars("valid/score")] == pytest.approx(
        [row["score"] for row in curves(exp)], rel=1e-4
    )


def test_keys_the_weights_do_not_depend_on_are_taken_over(toy: Toy, caplog: pytest.LogCaptureFixture) -> None:
    exp = toy.train(max_epochs=2, log_every=50)
    weights = sha256(exp / "model.safetensors")
    toy.train(max_epochs=2, log_every=7)
    assert "nothing to do" in caplog.text
    assert "keys that the weights do not depend on" in caplog.text
    assert read_yaml(exp / "config.yaml")["log_every"] == 7
    assert sha256(exp / "model.safetensors") == weights


def test_the_log_tells_hours_to_the_end(toy: Toy) -> None:
    text = (toy.train() / "train.log").read_text()
    for words in ("M parameters on cpu", "hours to the end", "frames/s", "waiting for clips"):
        assert words in text
    assert "nan" not in text
    assert "after 3 updates of" in text
    assert math.isfinite(yaml.safe_load((toy.folder / "exp" / "versions.yaml").read_text())["hours"])
