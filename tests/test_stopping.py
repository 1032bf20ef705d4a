"""SIGTERM ends every verb with a line, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lipsound2.stopping import Terminated, signals_answered

SLOW = """
import os, sys, time
from pathlib import Path
from lipsound2 import cli, files

def slow(out: Path) -> None:
    with files.atomic_path(out) as temporary:
        temporary.write_text("half")
        print("ready", flush=True)
        time.sleep(60)

cli.load = lambda verb: slow
sys.exit(cli.main(["tokens", sys.argv[1]]))
"""

WAITS = 'print("ready", flush=True)\n        time.sleep(60)'
assert WAITS in SLOW


@pytest.mark.parametrize(("number", "said"), [(signal.SIGTERM, "stopped"), (signal.SIGHUP, "stopped")])
def test_fault_C8_a_signal_ends_a_verb_with_a_line_that_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals, said: str
) -> None:
    process = started(tmp_path)
    process.send_signal(number)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert told == f"lipsound2 tokens: {said}; run the same command again to go on\n"
    assert list(tmp_path.iterdir()) == []


def test_fault_C8_a_second_sigterm_is_not_waited_for(tmp_path: Path) -> None:
    cleans = """try:
            print("ready", flush=True)
            time.sleep(60)
        finally:
            print("cleaning", flush=True)
            time.sleep(60)"""
    process = started(tmp_path, SLOW.replace(WAITS, cleans))
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "cleaning\n"  # type: ignore[union-attr]
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM


@pytest.mark.parametrize(("number", "said"), [(signal.SIGTERM, "stopped"), (signal.SIGINT, "interrupted")])
def test_fault_C8_a_signal_is_told_though_another_error_comes_of_it(
    tmp_path: Path, number: signal.Signals, said: str
) -> None:
    fails = """try:
            print("ready", flush=True)
            time.sleep(60)
        except BaseException as error:  # as the import of a C library does
            raise ImportError("initialization failed") from error"""
    process = started(tmp_path, SLOW.replace(WAITS, fails))
    process.send_signal(number)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert told == f"lipsound2 tokens: {said}; run the same command again to go on\n"


def test_fault_C8_an_ignored_hangup_stays_ignored(tmp_path: Path) -> None:
    process = started(tmp_path, before=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.kill()
    process.communicate()


def started(folder: Path, code: str = SLOW, before: object = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, str(folder / "out")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, preexec_fn=before, env={**os.environ, "PYTHONUNBUFFERED": "1"}, **pipes)  # type: ignore[call-overload]
    assert process.stdout.readline() == "ready\n"
    return process  # type: ignore[no-any-return]


def test_a_signal_that_a_callback_swallowed_still_ends_the_command() -> None:
    def swallowing() -> None:  # as PyAV's callbacks do
        with signals_answered(), contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)

    with pytest.raises(Terminated):
        swallowing()
