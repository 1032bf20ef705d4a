"""Map a function over items in several processes; results as they finish, without a thread in this process."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TypeVar

from lipsound2.errors import LipsoundError
from lipsound2.jobs.shards import describe
from lipsound2.jobs.workers import single_threaded

Item = TypeVar("Item")
Result = TypeVar("Result")


def unordered(work: Callable[[Item], Result], items: Sequence[Item], nj: int) -> Iterator[Result]:
    """`work` of every item, over `nj` fresh processes.

    `concurrent.futures` hangs where no thread can be started, and a fork of a process that runs torch's threads too.

    Args:
        work: picklable, as items and results are.
        items: arguments of `work`.
        nj: number of processes.

    Raises:
        LipsoundError: no process can be started, or one ended by itself (no memory?).
    """
    context = multiprocessing.get_context("spawn")
    waiting, running = deque(items), dict[Connection, BaseProcess]()
    try:
        for _ in range(min(nj, len(items))):
            ours, theirs = context.Pipe()
            process: BaseProcess = context.Process(target=_serve, args=(theirs, work), daemon=True)
            try:
                with single_threaded():
                    process.start()
            except OSError as error:
                if not running:
                    raise LipsoundError(f"no worker process can be started: {error.strerror or error}") from error
                break  # the others do its work
            theirs.close()
            running[ours] = process
            _give(ours, waiting.popleft())
        while running:
            for ready in wait(list(running)):
                connection = next(each for each in running if each is ready)
                try:
                    good, result = connection.recv()
                except (EOFError, ConnectionError):
                    process = running[connection]
                    process.join(5)
                    raise LipsoundError(
                        f"a worker was killed (exit code {process.exitcode}; out of memory?); run the same command "
                        "again, with a lower --nj"
                    ) from None
                if not good:
                    raise result
                if waiting:
                    _give(connection, waiting.popleft())
                else:
                    _end(connection, running.pop(connection))
                yield result
    finally:
        for connection, process in running.items():
            _end(connection, process)


def _give(connection: Connection, item: object) -> None:
    with contextlib.suppress(BrokenPipeError):  # the process has just died; its connection tells so next
        connection.send(item)


def _end(connection: Connection, process: BaseProcess) -> None:
    connection.close()  # a worker that waits for work ends
    process.join(0.2)
    if process.is_alive():
        process.kill()
    process.join()


def _serve(connection: Connection, work: Callable[[Item], Result]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionError):
        while True:
            item = connection.recv()
            try:
                answer = (True, work(item))
            except LipsoundError as error:
                answer = (False, error)  # type: ignore[assignment]
            except Exception as error:  # noqa: BLE001 - sent to the process that waits for it
                answer = (False, RuntimeError(describe(error)))  # type: ignore[assignment]
            connection.send(answer)
