"""Results of several processes, without a thread; what cannot be started or is killed is told."""

from __future__ import annotations

import functools
import os
import signal
import threading
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from lipsound2.errors import LipsoundError
from lipsound2.jobs.pool import unordered


def square(number: int) -> int:
    if number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 14:
        raise LipsoundError("told")
    if number == 15:
        raise ValueError("a bug")
    return number * number


def test_fault_C8_a_pool_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert sorted(unordered(square, range(9), 2)) == [number * number for number in range(9)]


def test_fault_C8_a_pool_that_can_start_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(process: BaseProcess) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(BaseProcess, "start", refuse)
    with pytest.raises(LipsoundError, match="no worker process can be started: Resource temporarily unavailable"):
        list(unordered(square, range(9), 2))


@pytest.mark.parametrize(
    ("number", "error", "message"),
    [
        (13, LipsoundError, "a worker was killed"),
        (14, LipsoundError, "^told$"),
        (15, RuntimeError, "ValueError: a bug"),
    ],
)
def test_fault_C8_trouble_in_a_pool_ends_it(number: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        list(unordered(square, [1, number, 3], 1))


class Unlucky:
    """Makes workers whose first processes die as they start."""

    def __init__(self, folder: Path, deaths: int) -> None:
        self.folder, self.deaths = folder, deaths

    def __call__(self) -> Any:
        if len(list(self.folder.iterdir())) < self.deaths:
            (self.folder / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        from helpers.shard_workers import Maker

        return functools.partial(Maker(Path(os.devnull)).work)


def test_fault_C8_a_worker_that_dies_as_it_starts_is_replaced_a_few_times(tmp_path: Path) -> None:
    from helpers.shard_workers import IDS, KINDS

    from lipsound2.jobs.jobs import StepSummary, dump_clips

    (tmp_path / "deaths").mkdir()
    how: dict[str, Any] = {"step": "crop", "fingerprint": {}, "inputs": {}, "nj": 1}
    assert dump_clips(tmp_path / "dump", KINDS, IDS[:3], Unlucky(tmp_path / "deaths", 2), **how) == StepSummary(3, 0, 0)
    with pytest.raises(LipsoundError, match=r"ended while it started: signal 9 .* 3 times in a row"):
        dump_clips(tmp_path / "again", KINDS, IDS[:3], Unlucky(tmp_path / "deaths", 99), **how)
