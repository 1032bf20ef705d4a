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
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.face_corpora import talking_clip
from helpers.published_weights import SMALL, reader_state
from lipsound2.data.yaml_files import write_yaml
from lipsound2.published.avsr import convert_avsr
from lipsound2.synthetic.clip import ClipFormat

SAID = ["lay", "white", "by", "l", "six", "now"]
_WORDS = [*SAID, "bin", "blue", "at", "f", "two", "set", "red", "with", "k", "nine", "soon"]  # of the lip reader
# Gradio takes seconds to import, and every process of the tests reads this file.
NEEDS_GRADIO = pytest.mark.skipif(find_spec("gradio") is None, reason="gradio is not installed")
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
        """Clips and answers that lie there; folders may go away meanwhile."""
        return sorted(Path(folder, name) for folder, _, names in os.walk(self.home) for name in names)

    def no_files(self, seconds: float = 20.0) -> list[Path]:
        """Wait until no clip and no answer lies there; what is left after so many seconds."""
        until = time.monotonic() + seconds
        while (left := self.files()) and time.monotonic() < until:
            time.sleep(0.1)
        return left


def said_clip(folder: Path) -> Path:
    """A clip in a folder: a generated face that says `SAID`."""
    path = folder / "said.mp4"
    talking_clip(path, SAID, form=ClipFormat(width=360, height=288, sample_rate=16000))
    return path


def lip_reader(folder: Path) -> Path:
    """A small lip reader of a published kind, in a folder. Its weights are drawn: what it writes is noise."""
    state = reader_state(replace(SMALL, classes=len(_WORDS) + 3))  # blank, unknown, and an end
    state["ctc.ctc_lo.weight"] *= 4  # so that it is surer of some texts
    state["ctc.ctc_lo.bias"][0] -= 1
    weights, units = folder.with_suffix(".pth"), folder.with_suffix(".txt")
    torch.save(state, weights)
    pieces = ["<unk>", *(f"\u2581{word}" for word in _WORDS)]
    units.write_text("".join(f"{piece} {number}\n" for number, piece in enumerate(pieces, start=1)), encoding="utf-8")
    convert_avsr(weights, folder, tokens=units)
    write_yaml(folder / "search.yaml", {"beam": 5, "ctc_weight": 1.0})
    weights.unlink()
    units.unlink()
    return folder


@contextlib.contextmanager
def serve(
    folder: Path, *options: str, command: tuple[str, ...] = ("-m", "lipsound2", "demo"), models: Path | None = None
) -> Iterator[Page]:
    """Serve the page in the block, on a port that is free.

    Args:
        folder: for temporary files and what the command says.
        options: of the verb.
        command: what Python runs.
        models: folder of models beside those that ship.
    """
    home, log = folder / "temporary", folder / "log"
    home.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(home), "OMP_NUM_THREADS": "1"}
    if models is not None:
        environment["LIPSOUND2_MODELS"] = str(models)
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


def client(page: Page) -> Any:
    """A program that calls the page, patient where the machine is busy: by itself it hangs up after 5 s."""
    from gradio_client import Client

    return Client(page.address, verbose=False, httpx_kwargs={"timeout": 600.0})


def asked(caller: Any, clip: Path, **given: str) -> dict[str, Any]:
    """What the page answers to such a program of a clip."""
    from gradio_client import handle_file

    answer: dict[str, Any] = caller.predict(handle_file(str(clip)), **given, api_name="/read")
    return answer
