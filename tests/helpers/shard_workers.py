"""Workers of a dump's shards that do as told for some clips, and runs of them."""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.files import temporary_of
from lipsound2.jobs.jobs import StepSummary, dump_clips
from lipsound2.jobs.shards import Result, Worker

MACHINE = {
    "memory": MemoryError(),
    "handles": OSError(errno.EMFILE, "Too many open files", "clip.mp4"),
    "disk": OSError(errno.EIO, "Input/output error", "clip.mp4"),
    "stale": OSError(errno.ESTALE, "Stale file handle", "clip.mp4"),
    "leave": PermissionError(errno.EACCES, "Permission denied", "clip.mp4"),
    "threads": RuntimeError("can't start new thread"),
    "torch": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 6220800 bytes"),
}
IDS = [f"s{number % 3}-c{number:02d}" for number in range(24)]
KINDS = {"mel": {"bands": 4, "compress": True}, "face": {"codec": "none"}}


@dataclass
class Maker:
    """Makes workers that do as told for some clips.

    Attributes:
        log: every clip that is tried is written here.
        acts: id -> what happens instead of a result.
        sleep: seconds every clip takes.
    """

    log: Path
    acts: dict[str, str] = field(default_factory=dict)
    sleep: float = 0.0

    def __call__(self) -> Worker:
        if self.acts.get("start") == "exit":
            os._exit(3)
        if self.acts.get("start") == "error":
            raise LipsoundError("the package 'mediapipe' cannot be imported")
        if "full-shard" in self.acts:  # what this process is going to write lies on a disk that is full
            temporary_of(Path(self.acts["full-shard"])).symlink_to("/dev/full")
        self.processes = self.log.with_suffix(".processes")
        with self.processes.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return self.work

    def work(self, name: str) -> Result:
        with self.log.open("a") as file:
            file.write(name + "\n")
        time.sleep(self.sleep)
        act = self.acts.get(name, "")
        if act == "no-face":
            raise ClipFailure("no-face", "0 of\t75 frames\n")
        if act == "bug":
            raise ValueError("bad\nvalue")
        if act in ("kill", "kill-once") and not (act == "kill-once" and self._seen(name)):
            os.kill(os.getpid(), signal.SIGKILL)
        if act == "hang":
            time.sleep(60)
        if act in MACHINE:
            raise MACHINE[act]
        if act == "hidden":
            raise ClipFailure("unreadable", name) from OSError(errno.EIO, "Input/output error", name)
        if act == "full":
            raise OSError(28, "No space left on device", "/tmp/x")
        rng = np.random.default_rng(int(name[-2:]))
        mel = rng.normal(size=(int(name[-2:]) + 9, 4)).astype(np.float32)
        return {
            "mel": mel,
            "mel/cmvn": np.stack([mel.sum(0, dtype=np.float64), (mel.astype(np.float64) ** 2).sum(0)]),
            "face": rng.integers(0, 255, 40).astype(np.uint8),
            "face/frames": len(mel) // 4,
            "face/timeline.tsv": f"0.0\t{len(mel) // 4}",
        }

    def _seen(self, name: str) -> bool:
        return self.log.read_text().split().count(name) > 1


def run(dump: Path, maker: Maker, **options: Any) -> StepSummary:
    given: dict[str, Any] = {"ids": IDS, "kinds": KINDS, "shard_size": 5, "fingerprint": {"every": 5}, "inputs": {}}
    given |= {"nj": 1, "max_failures": 1.0, **options}
    ids, kinds = given.pop("ids"), given.pop("kinds")
    return dump_clips(dump, kinds, ids, maker, step="crop", **given)


def content(dump: Path) -> dict[str, bytes]:
    """All files but locks."""
    files = (path for path in dump.rglob("*") if path.is_file() and not path.name.startswith(".lock"))
    return {str(path.relative_to(dump)): path.read_bytes() for path in files if ".locks" not in path.parts}


def tried(maker: Maker) -> list[str]:
    return maker.log.read_text().split() if maker.log.exists() else []
