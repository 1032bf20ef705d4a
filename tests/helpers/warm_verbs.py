"""The command `lipsound2` without its start: a process that has imported all of it forks for every call.

Recipes call dozens of verbs, and most of a small one's time is the import of torch. The verbs, their files, statuses
and output are the same, but for workers, which are forks, too, of the verb's process; there it has one thread. What is
tried with kills and signals takes the real command.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

_CLIENT = f"""#!{sys.executable} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect(os.environ["WARM_VERBS"])
    asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(line, [len(asked).to_bytes(4, "big")], [0, 1, 2])
    line.sendall(asked)
    told = line.recv(1)
sys.exit(told[0] if told else 70)
"""
_started: dict[str, str] = {}


def environment() -> dict[str, str]:
    """Variables under which recipes call the warm verbs; the first call starts their process."""
    if not _started:
        folder = Path(tempfile.mkdtemp(prefix="warm-"))
        client = folder / "bin" / "lipsound2"
        client.parent.mkdir()
        client.write_text(_CLIENT, encoding="utf-8")
        client.chmod(0o755)
        python = client.with_name("python")
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
        python.chmod(0o755)
        place = str(folder / "line")
        server = subprocess.Popen([sys.executable, __file__, place], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        atexit.register(_stop, server)
        _started.update({"LIPSOUND2_VENV": str(folder), "WARM_VERBS": place})
    return _started


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    server.wait()


def _serve(place: str) -> None:
    from lipsound2 import cli

    for verb in cli.VERBS:
        cli.load(verb)
    import matplotlib.pyplot  # noqa: F401
    import torch.utils.tensorboard  # noqa: F401

    with socket.socket(socket.AF_UNIX) as door:
        door.bind(place)
        door.listen(8)
        print("ready", flush=True)
        while True:
            line, _ = door.accept()
            if not os.fork():  # one that waits for the verb, so that calls may overlap
                _answer(line)
            line.close()
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                pass


def _answer(line: socket.socket) -> None:
    """Run one call in a process of its own and tell its status."""
    size, fds, _, _ = socket.recv_fds(line, 4, 3)
    asked = b""
    while len(asked) < int.from_bytes(size, "big"):
        asked += line.recv(1 << 16)
    arguments, folder, variables = json.loads(asked)
    child = os.fork()
    if not child:
        line.close()
        for fd, to in zip(fds, (0, 1, 2), strict=True):
            os.dup2(fd, to)
            os.close(fd)
        os.environ.clear()
        os.environ.update(variables)
        os.chdir(folder)
        _run(arguments)
    _, status = os.waitpid(child, 0)
    line.send(bytes([os.waitstatus_to_exitcode(status) & 255]))
    os._exit(0)


def _run(arguments: list[str]) -> NoReturn:
    """What the command does; ends this process whatever happens."""
    from lipsound2 import cli

    status: object = 70
    try:
        sys.argv = ["lipsound2", *arguments]
        forks = multiprocessing.get_context("fork")
        multiprocessing.get_context = lambda method=None: forks  # type: ignore[assignment,misc]
        sys.stdin = os.fdopen(0, closefd=False)
        status = cli.main(arguments)
    except SystemExit as end:
        status = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)


if __name__ == "__main__":
    _serve(sys.argv[1])
