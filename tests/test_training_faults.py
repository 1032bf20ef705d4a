"""Faults of a training: a loss that is no number, clips, workers, damaged checkpoints, GPUs that are not there."""

from __future__ import annotations

import errno
import os

import av
import numpy as np
import pytest
import torch
from helpers.toy_training import Toy, curves
from helpers.toy_training import toy as toy  # a fixture

from lipsound2.error_messages import message_for
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.files import sha256
from lipsound2.training import checkpoint
from lipsound2.training.loader import ValidationClips
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


def test_a_validation_clip_that_cannot_be_read(toy: Toy) -> None:
    with pytest.raises(LipsoundError, match=r"^clip s1-valid002 of the validation set: cannot open .* take it out of"):
        toy.train(unreadable="s1-valid002")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(("clip", "name"), [("s1-train003", "training"), ("s1-valid002", "validation")])
def test_no_clip_is_blamed_for_the_machine(toy: Toy, clip: str, name: str, workers: int) -> None:
    with pytest.raises(ConnectionResetError) as caught:
        toy.train(refused=clip, workers=workers)
    told = message_for(caught.value)
    assert told.startswith(f"cannot open clip {clip} of the {name} set: connection reset by peer; try again")


class Damaged:
    """A data set of two clips: one that is damaged, and one behind more files than may be open."""

    ids = ("torn", "one-too-many")
    lengths = (3, 4)

    def get(self, index: int, rng: np.random.Generator | None) -> None:
        if index == 0:
            raise ClipFailure("damaged-crop", "210 bytes are no H.264 stream")
        self.waveform(self.ids[index])

    def waveform(self, name: str) -> None:
        try:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "feats.ark")
        except OSError as error:  # as `data.archive` does
            raise LipsoundError(f"feats.ark: cannot read entry '{name}'; fetch it again") from error

    def __len__(self) -> int:
        return len(self.ids)


def test_validation_clips_are_the_data_set_with_names() -> None:
    clips = ValidationClips(Damaged())
    assert (len(clips), clips.ids, clips.lengths) == (2, Damaged.ids, Damaged.lengths)
    with pytest.raises(
        LipsoundError, match=r"^clip torn of the validation set: damaged-crop: 210 bytes are no H.264 stream; make it"
    ):
        clips.get(0, None)
    for read in (lambda: clips.get(1, None), lambda: clips.waveform("one-too-many")):
        with pytest.raises(OSError, match="Too many open files") as caught:
            read()
        assert caught.value.errno == errno.EMFILE
        assert caught.value.filename == "feats.ark"


@pytest.mark.parametrize(
    "error",
    [av.error.OSError(errno.EIO, "failed"), OSError(errno.ENOSPC, "no space"), MemoryError()],
)
def test_an_error_of_the_machine_stays_one(error: Exception) -> None:
    """PyAV's own have a name that cannot be set."""

    class Failing:
        ids = ("a",)

        def get(self, index: int, rng: np.random.Generator | None) -> None:
            raise ClipFailure("damaged-crop", "no stream") from error

    with pytest.raises(MemoryError if isinstance(error, MemoryError) else OSError) as caught:
        ValidationClips(Failing()).get(0, None)
    if isinstance(error, OSError):
        assert (caught.value.errno, caught.value.filename) == (error.errno, "clip a of the validation set")


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
