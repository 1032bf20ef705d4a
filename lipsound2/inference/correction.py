"""A program of the user's, such as a local language model, that is shown a transcript and writes a better text.

It gets the transcript on standard input, as `transcribe --json` writes it. What it writes to standard output is the
corrected text. The text as it was read always stays beside it.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import replace

from lipsound2.data.texts import shown
from lipsound2.errors import LipsoundError
from lipsound2.inference.transcript import ALTERNATIVES, Transcript

LARGEST = 65536  # bytes that it may write
SECONDS = 60
_LOOK = 0.1  # seconds between two looks whether it has ended
_KEPT = 2000  # bytes of its standard error


class Corrector:
    """Runs the program on a transcript.

    Args:
        command: the program and its arguments, quoted as in a shell; no shell runs it.
        seconds: that it may take for a transcript.
        alternatives: how many of these it is given at most.

    Raises:
        LipsoundError: there is no such program.
    """

    def __init__(self, command: str, *, seconds: float = SECONDS, alternatives: int = ALTERNATIVES) -> None:
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise LipsoundError(f"--correct: {shown(command)} cannot be split into words: {error}") from error
        if not self._words or shutil.which(self._words[0]) is None:
            name = self._words[0] if self._words else ""
            raise LipsoundError(
                f"--correct: no program {shown(name)} that can be run; give a program and its arguments in one word: "
                "--correct 'python3 fix.py'"
            )
        self._seconds, self._alternatives = seconds, alternatives

    def __call__(self, what: Transcript) -> Transcript:
        """The transcript with what the program wrote, as `corrected`; a failure of the program is a warning in it."""
        if not what.text:
            return what
        try:
            written = self._run(json.dumps(what.to_json(self._alternatives), ensure_ascii=False).encode() + b"\n")
        except _Failed as failure:
            return replace(what, warnings=[*what.warnings, f"not corrected: {self._words[0]} {failure}"])
        return replace(what, corrected=written)

    def _run(self, given: bytes) -> str:
        with tempfile.TemporaryFile() as content, contextlib.ExitStack() as stack:
            content.write(given)
            content.seek(0)
            pipe = subprocess.PIPE
            try:
                # A session of its own, so that whatever it starts ends with it.
                process = subprocess.Popen(self._words, start_new_session=True, stdin=content, stdout=pipe, stderr=pipe)
            except OSError as error:
                raise _Failed(f"cannot be run: {error.strerror}") from error
            stack.callback(_end, process)
            written, said = self._streams(process)
        if process.returncode:
            lines = [line for line in said if line.strip()]
            why = f": {shown(lines[-1])}" if lines else ""
            raise _Failed(f"ended with status {process.returncode}{why}")
        try:
            text = " ".join(written.decode().split())
        except UnicodeDecodeError as error:
            raise _Failed("wrote what is no UTF-8") from error
        text = "".join(letter for letter in text if letter.isprintable())
        if not text:
            raise _Failed("wrote nothing")
        return text

    def _streams(self, process: subprocess.Popen[bytes]) -> tuple[bytes, list[str]]:
        """Standard output of the program until it ends, and the last lines of its standard error."""
        found = {"stdout": b"", "stderr": b""}
        end = time.monotonic() + self._seconds
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout or 0, selectors.EVENT_READ, "stdout")
            selector.register(process.stderr or 0, selectors.EVENT_READ, "stderr")
            while selector.get_map():
                ended = process.poll() is not None  # before the look: what it wrote is there then
                ready = selector.select(0 if ended else min(_LOOK, max(end - time.monotonic(), 0)))
                if not ready and ended:
                    break  # what it left running still holds the streams
                if not ready and time.monotonic() >= end:
                    raise _Failed(f"took more than {self._seconds:g} s")
                for key, _ in ready:
                    block = os.read(key.fd, LARGEST)
                    if not block:
                        selector.unregister(key.fileobj)
                    found[key.data] += block
                found["stderr"] = found["stderr"][-_KEPT:]
                if len(found["stdout"]) > LARGEST:
                    raise _Failed(f"wrote more than {LARGEST // 1024} KiB")
        try:
            process.wait(max(end - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired as error:
            raise _Failed(f"took more than {self._seconds:g} s") from error
        return found["stdout"], found["stderr"].decode(errors="replace").split("\n")


class _Failed(Exception):  # noqa: N818 - the program failed, not ours
    """The program did not do it; its text says why."""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and what it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
