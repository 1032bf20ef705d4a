"""What trainings leave behind that were killed, or refused before they began."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import toy_task

from lipsound2.data.yaml_files import write_yaml
from lipsound2.errors import LipsoundError
from lipsound2.training import checkpoint
from lipsound2.training.average import MODEL
from lipsound2.training.scratch import scratch_folder
from lipsound2.training.train import train

CONFIG = {"task": "toy", "max_epochs": 2, "batch_size": 4, "workers": 2, "tensorboard": False, "precision": "fp32"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    toy_task.write_data(tmp_path, train=24, valid=4)
    write_yaml(tmp_path / "toy.yaml", CONFIG)
    return tmp_path


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for temporary files whose path is short, as paths of sockets are."""
    path = Path(tempfile.mkdtemp(prefix="t"))
    yield path
    shutil.rmtree(path)


def options(folder: Path) -> dict[str, Path]:
    return {"train": folder / "train", "valid": folder / "valid", "dump": folder, "exp": folder / "exp"}


def test_fault_C8_what_the_workers_of_a_killed_training_left_goes_with_the_next(
    folder: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [part for name, path in options(folder).items() for part in (f"--{name}", str(path))]
    command = [sys.executable, toy_task.__file__, str(folder / "toy.yaml"), *given]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(scratch)}
    process = subprocess.Popen(
        [*command, "--override", "max_epochs: 0, max_updates: 100000"],
        env=environment,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    limit = time.monotonic() + 240
    while not list(scratch.rglob("pymp-*")):
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert list(scratch.rglob("pymp-*"))
    shutil.rmtree(folder / "exp")
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    assert train(folder / "toy.yaml", **options(folder)) == 0
    assert list(scratch.rglob("pymp-*")) == []
    assert list((scratch / f"lipsound2-{os.getuid()}").iterdir()) == []


def test_fault_C8_a_folder_of_somebody_else_is_not_used(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (scratch / f"lipsound2-{os.getuid()}").symlink_to(scratch)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    with pytest.raises(LipsoundError, match="no folder of yours; delete it, or set TMPDIR"):
        scratch_folder()


def test_fault_E8_a_refused_training_leaves_nothing(folder: Path) -> None:
    shutil.rmtree(folder / "valid")
    with pytest.raises(LipsoundError):
        train(folder / "toy.yaml", **options(folder))
    with pytest.raises(LipsoundError):
        train(folder / "toy.yaml", **options(folder) | {"valid": folder / "train"}, init=folder / "nothing")
    assert not (folder / "exp").exists()


def test_a_training_that_had_begun_is_kept_when_it_is_refused(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert train(folder / "toy.yaml", **options(folder)) == 0
    before = sorted(folder.rglob("exp/*"))
    with pytest.raises(LipsoundError):
        train(folder / "toy.yaml", **options(folder) | {"train": folder / "nothing"}, override="max_epochs: 3")
    assert sorted(folder.rglob("exp/*")) == before
    assert "nothing" in (folder / "exp" / "train.log").read_text()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]  # the command line prints it, once


@pytest.mark.parametrize("precision", ["auto", "fp32"])
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b""), Path.unlink])
def test_fault_F8_a_damaged_config_of_a_finished_training_is_written_again(
    folder: Path, precision: str, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    assert train(folder / "toy.yaml", **options(folder)) == 0
    config = folder / "exp" / "config.yaml"
    before = config.read_bytes()
    damage(config)
    assert train(folder / "toy.yaml", **options(folder), override=f"precision: {precision}") == 0
    assert config.read_bytes() == before
    assert "nothing to do" in caplog.text


def test_fault_A14_a_config_that_is_taken_over_hides_no_damaged_weights(folder: Path) -> None:
    assert train(folder / "toy.yaml", **options(folder)) == 0
    weights = folder / "exp" / MODEL
    before = weights.read_bytes()
    weights.write_bytes(before[:-7])
    assert train(folder / "toy.yaml", **options(folder), override="log_every: 7") == 0
    assert weights.read_bytes() == before


@pytest.mark.parametrize("precision", ["auto", "fp32"])
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b""), Path.unlink])
def test_fault_F8_a_damaged_config_of_a_training_under_way_is_told_in_one_line(
    folder: Path, precision: str, damage: Callable[[Path], None]
) -> None:
    assert train(folder / "toy.yaml", **options(folder)) == 0
    newest = checkpoint.existing(folder / "exp" / checkpoint.FOLDER)[0]
    damage(folder / "exp" / "config.yaml")
    with pytest.raises(LipsoundError, match=r"copy .*config\.yaml back, .* --init") as caught:
        train(folder / "toy.yaml", **options(folder), override=f"precision: {precision}, max_epochs: 3")
    assert str(newest) in str(caught.value)
    assert "\n" not in str(caught.value)
