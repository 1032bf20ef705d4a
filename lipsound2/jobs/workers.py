"""Worker processes: kept for all shards, watched, and replaced when a clip kills one."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from lipsound2.errors import LipsoundError
from lipsound2.jobs.shards import KILLED, TIMEOUT, Failure, Shard, Worker, compute_shard, describe

log = logging.getLogger(__name__)

# A clip whose worker dies is tried once more: the kernel may have killed it for memory that others took.
TRIES = 2
# Workers in a row that die before they are ready: one may be bad luck, three are not.
_STILLBORN = 3
# One thread per worker: workers share the cores, and sums do not depend on the number of threads.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class _Process:
    """One worker process, seen from outside."""

    def __init__(self, make_worker: Callable[[], Worker]) -> None:
        # A fresh interpreter: a fork would inherit threads and held locks of torch, OpenCV or mediapipe.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_main, args=(theirs, make_worker), daemon=True)
        with single_threaded():
            self.process.start()
        theirs.close()
        self.ready = False
        self.shard: Shard | None = None
        self.place = 0
        self.since = time.monotonic()

    def give(self, shard: Shard, lost: dict[str, Failure]) -> None:
        self.shard, self.place, self.since = shard, 0, time.monotonic()
        with contextlib.suppress(BrokenPipeError):  # the process has just died; its connection tells so next
            self.connection.send((shard, lost))

    def end(self) -> int:
        """Kill it if it still runs; returns its exit code (minus the signal)."""
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.connection.close()
        return self.process.exitcode or 0


class Workers:
    """Computes shards over worker processes.

    Args:
        make_worker: called once in each process; picklable.
        nj: number of processes.
        timeout: seconds one clip may take; None for any.
        progress: called with (clips finished since the last call, failures in all).
        lost: failures of clips that are not tried.
    """

    def __init__(
        self,
        make_worker: Callable[[], Worker],
        nj: int,
        timeout: float | None,
        progress: Callable[[int, int], None],
        lost: Mapping[str, Failure] | None = None,
    ) -> None:
        self._make_worker = make_worker
        self._nj = nj
        self._timeout = timeout
        self._progress = progress
        self._waiting: deque[Shard] = deque()
        self._processes: list[_Process] = []
        self._strikes: Counter[str] = Counter()
        self._lost: dict[str, Failure] = dict(lost or {})
        self._finished: Counter[int] = Counter()  # shard number -> clips that were shown as finished
        self._failed: dict[int, int] = {}
        self._stillborn = 0

    @property
    def busy(self) -> list[str]:
        """The clips in work."""
        return [process.shard.ids[process.place] for process in self._processes if process.shard is not None]

    def run(self, shards: Sequence[Shard]) -> None:
        """Compute all shards, in any order.

        Raises:
            LipsoundError: an error that is no clip's fault: a full disk, a worker that cannot start.
        """
        self._waiting.extend(shards)
        try:
            for _ in range(min(self._nj, len(shards))):
                self._start()
            while self._processes:
                self._step()
        finally:
            for process in self._processes:
                process.end()

    def _start(self) -> None:
        """Start one more worker; where the machine starts no further process, those that run do its work."""
        try:
            self._processes.append(_Process(self._make_worker))
        except OSError as error:
            if not self._processes:
                raise LipsoundError(f"no worker process can be started: {error.strerror or error}") from error
            log.warning("only %d worker(s): %s", len(self._processes), error.strerror or error)

    def _step(self) -> None:
        """Wait for the next message or timeout, and handle it."""
        connections = {process.connection: process for process in self._processes}
        for connection in wait(list(connections), self._patience()):
            process = connections[connection]  # type: ignore[index]
            try:
                message = process.connection.recv()
            except (EOFError, ConnectionError):
                self._replace(process, self._died(process))
                continue
            self._handle(process, *message)
        if self._timeout is None:
            return
        for process in list(self._processes):
            if process.shard is not None and time.monotonic() - process.since > self._timeout:
                process.end()
                self._replace(process, (TIMEOUT, f"took longer than {self._timeout:g} s"))

    def _patience(self) -> float | None:
        """Seconds until the first clip in work times out."""
        busy = [process.since for process in self._processes if process.shard is not None]
        if self._timeout is None or not busy:
            return None
        return max(0.0, min(busy) + self._timeout - time.monotonic()) + 0.01

    def _handle(self, process: _Process, what: str, *rest: int | str) -> None:
        if what == "stop":
            raise LipsoundError(str(rest[0]))
        if what == "clip":
            assert process.shard is not None
            process.place, process.since = int(rest[0]), time.monotonic()
            self._show(process.shard.number, int(rest[0]), int(rest[1]))
            return
        if what == "shard":
            assert process.shard is not None
            self._show(process.shard.number, len(process.shard.ids), int(rest[0]))
        process.ready, process.shard, self._stillborn = True, None, 0
        if self._waiting:
            shard = self._waiting.popleft()
            process.give(shard, {name: self._lost[name] for name in shard.ids if name in self._lost})
        else:
            self._processes.remove(process)
            with contextlib.suppress(BrokenPipeError):
                process.connection.send(None)
            process.process.join(5)
            process.end()

    def _show(self, number: int, finished: int, failed: int) -> None:
        # Clips of a shard that starts again count once.
        new = max(0, finished - self._finished[number])
        self._finished[number] += new
        self._failed[number] = failed
        self._progress(new, sum(self._failed.values()))

    def _died(self, process: _Process) -> tuple[str, str]:
        """Reason and detail of a worker's death."""
        process.process.join(5)  # its pipe closes a moment before it has an exit code
        code = process.end()
        if code < 0:
            return KILLED, f"signal {-code} ({signal.Signals(-code).name})"
        return KILLED, f"exit status {code}"

    def _replace(self, process: _Process, failure: tuple[str, str]) -> None:
        """Put a new worker in the place of one that is gone, and its shard back in the queue."""
        self._processes.remove(process)
        reason, detail = failure
        if not process.ready:
            self._stillborn += 1
            if self._stillborn == _STILLBORN:
                raise LipsoundError(
                    f"a worker process ended while it started: {detail}, {_STILLBORN} times in a row; what it wrote "
                    "stands above; if memory is short, give a lower --nj"
                )
        if process.shard is not None:
            name = process.shard.ids[process.place]
            self._strikes[name] += 1
            if self._strikes[name] >= TRIES:
                self._lost[name] = Failure(name, reason, f"{detail}, tried {TRIES} times")
            self._waiting.appendleft(process.shard)
        self._start()


def _main(connection: Connection, make_worker: Callable[[], Worker]) -> None:
    """What a worker process does: make the worker, then compute the shards it is given."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    with contextlib.suppress(BrokenPipeError, EOFError):  # that process is gone: nobody waits for the result
        try:
            worker = make_worker()
            connection.send(("ready",))
            while (task := connection.recv()) is not None:
                shard, lost = task
                failures = compute_shard(
                    shard, worker, lost, lambda place, failed: connection.send(("clip", place, failed))
                )
                connection.send(("shard", len(failures)))
        except LipsoundError as error:
            connection.send(("stop", str(error)))
        except (BrokenPipeError, EOFError):
            raise
        except Exception as error:  # noqa: BLE001 - sent to the parent, which raises it
            connection.send(("stop", describe(error)))


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Processes started here compute with one thread each, unless the user's environment says otherwise."""
    added = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(added, "1"))
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
