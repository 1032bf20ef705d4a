"""What a training ran on and with: `versions.yaml`, one entry a start."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

import lipsound2
from lipsound2.data.yaml_files import write_yaml
from lipsound2.training.distributed import World
from lipsound2.versions import read_runs

NAME = "versions.yaml"
_PACKAGES = ("torch", "numpy", "scipy", "av", "opencv-python-headless", "safetensors", "tensorboard", "PyYAML")


class Record:
    """Adds an entry to `versions.yaml` when a training starts and keeps it up to date until it ends.

    Args:
        exp: the experiment's folder.
        world: processes and device.
        facts: further keys of the entry, such as the paths of the data.
    """

    def __init__(self, exp: Path, world: World, facts: dict[str, Any]) -> None:
        self._path = exp / NAME
        self._begun = time.monotonic()
        self._runs = read_runs(self._path)
        self._runs.append(
            {
                "started": _now(),
                "ended": None,
                "hours": None,
                "command": shlex.join(sys.argv),
                **facts,
                "lipsound2": lipsound2.__version__,
                "git": git_state(Path(__file__).parent),
                "python": platform.python_version(),
                "packages": {name: _version(name) for name in _PACKAGES},
                "hardware": hardware(world),
            }
        )
        self._write()

    def note(self, updates: int, state: str) -> None:
        """Bring the entry up to date; what a killed run leaves is its last one.

        Args:
            updates: made in all.
            state: how the run goes, or how it ended.
        """
        hours = round((time.monotonic() - self._begun) / 3600, 4)
        self._runs[-1].update(ended=_now(), hours=hours, updates=updates, state=state)
        self._write()

    def _write(self) -> None:
        known = [hours for run in self._runs if (hours := run.get("hours")) is not None]
        write_yaml(self._path, {"hours": round(sum(known), 4), "runs": self._runs})


def hardware(world: World) -> dict[str, Any]:
    """Processor, cores and GPU of this machine, and how many processes train."""
    facts: dict[str, Any] = {
        "cpu": cpu_model(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "processes": world.size,
        "device": str(world.device),
    }
    if world.device.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(world.device)
        facts["cuda"] = torch.version.cuda
    return facts


def git_state(folder: Path) -> str:
    """The commit `folder` is at, with `+dirty` when files differ from it; `unknown` outside a repository."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+dirty" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def cores() -> int | None:
    """How many cores this process may use; None: the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def cpu_model() -> str:
    """Name of the processor."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
