"""Faults of a training: a loss that is no number, clips, workers, damaged checkpoints, GPUs that are not there."""

from __future__ import annotations

import pytest
import torch
from helpers.toy_training import Toy, curves
from helpers.toy_training import toy as toy  # a fixture

from lipsound2.errors import LipsoundError
from lipsound2.files import sha256
from lipsound2.training import checkpoint
from lipsound2.training.train import train


def test_a_loss_that_is_no_number_names_the_clips(toy: Toy) -> None:
    with pytest.raises(
        LipsoundError, match=r"update \d+ \(epoch 1\): the loss is nan, at clips .*s1-train007"
    ) as caught:
        toy.train(poison="s1-train007", batch_size=3)
    header, *rows = (toy.folder / "exp" / "nonfinite.tsv").read_text().splitlines()
    assert header == "update\tepoch\tid"
    assert len(rows) == 3
    assert any(row.endswith("\ts1-train007") for row in rows)
    assert "lower 'lr'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_clip_that_cannot_be_read(toy: Toy, workers: int) -> None:
    with pytest.raises(LipsoundError, match="clip s1-train003 of the training set: cannot open s1-train003"):
        toy.train(unreadable="s1-train003", workers=workers)


def test_a_worker_that_is_killed(toy: Toy) -> None:
    with pytest.raises(LipsoundError, match=r"ended by itself .*goes on from the last checkpoint"):
        toy.train(deadly="s1-train003", workers=1)


def test_a_damaged_checkpoint_is_passed_over(toy: Toy, caplog: pytest.LogCaptureFixture) -> None:
    whole = toy.train("whole", max_epochs=4)
    exp = toy.train(max_epochs=4, checkpoint_minutes=0.0)
    (exp / ".stamp.json").unlink()
    newest = checkpoint.existing(exp / "checkpoints")[0]
    newest.write_bytes(newest.read_bytes()[:-7])
    toy.train(max_epochs=4, checkpoint_minutes=0.0)
    assert f"{newest.name} is damaged" in caplog.text
    assert sha256(exp / "model.safetensors") == sha256(whole / "model.safetensors")
    assert len(curves(exp)) == 4


def test_more_gpus_than_there_are(toy: Toy) -> None:
    for wanted in (torch.cuda.device_count() + 1, torch.cuda.device_count() + 2):
        with pytest.raises(LipsoundError, match=f"--ngpu {wanted}: torch finds"):
            train(toy.config(), exp=toy.folder / "exp", ngpu=wanted, **toy.data)
