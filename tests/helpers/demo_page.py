"""The page of `lipsound2 demo`, served by the real command."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from helpers.face_corpora import talking_clip
from lipsound2.synthetic.clip import ClipFormat

_WAIT = 120.0  # seconds for a page to be there, on a busy machine


@dataclass
class Page:
    """A page that is served.

    Attributes:
        address: of it.
        process: that serves it.
        home: folder of all temporary files.
        log: file of what the command says.
    """

    address: str
    process: subprocess.Popen[bytes]
    home: Path
    log: Path

    def files(self) -> list[Path]:
        """Clips and answers that lie there."""
        return sorted(path for path in self.home.rglob("*") if path.is_file())

    def no_files(self, seconds: float = 20.0) -> list[Path]:
        """Wait until no clip and no answer lies there; what is left after so many seconds."""
        until = time.monotonic() + seconds
        while (left := self.files()) and time.monotonic() < until:
            time.sleep(0.1)
        return left


def clip_that_says(words: list[str], folder: Path) -> Path:
    """A clip in a folder: a generated face that says a sentence."""
    path = folder / "said.mp4"
    talking_clip(path, words, form=ClipFormat(width=360, height=288, sample_rate=16000))
    return path


@contextlib.contextmanager
def serve(folder: Path, *options: str, command: tuple[str, ...] = ("-m", "lipsound2", "demo")) -> Iterator[Page]:
    """Serve the page in the block, on a port that is free.

    Args:
        folder: for temporary files and what the command says.
        options: of the verb.
        command: what Python runs.
    """
    home, log = folder / "temporary", folder / "log"
    home.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(home), "OMP_NUM_THREADS": "1"}
    with log.open("wb") as file:
        words = [sys.executable, *command, *options]
        process = subprocess.Popen(words, stdout=file, stderr=file, env=environment, start_new_session=True)
    try:
        until = time.monotonic() + _WAIT
        while not (found := re.search(r"^page +(\S+)", log.read_text(errors="replace"), re.MULTILINE)):
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < until, log.read_text(errors="replace")
            time.sleep(0.1)
        yield Page(found[1], process, home, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
