"""A handful of the kills of `tests/faults/kills.py`, of commands that are quick."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from helpers.experiments import make_experiment, synthetic_clips
from helpers.written_dump import write_kind

from lipsound2.video.encode import encode

KILLS = Path(__file__).parent / "faults" / "kills.py"
SPEAK = "synthesize grid-s1-parallel data/tiny/test exp/spoken --dump dump --vocoder griffin-lim:2"


def test_fault_C8_killed_commands_end_alike_when_they_are_run_again(tmp_path: Path) -> None:
    clips = synthetic_clips(2)
    make_experiment(tmp_path, clips, iterations=1)
    frames = {name: encode(clip.crops[:, 8:104, 8:104]) for name, clip in clips.items()}
    write_kind(tmp_path / "dump/mouth", frames, {name: len(clip.crops) for name, clip in clips.items()}, {"size": 96})
    commands = ["--run", SPEAK, "--run", "subset data/tiny/test data/one --share 0.5"]
    command = [sys.executable, str(KILLS), "--given", str(tmp_path), *commands, "--count", "5", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 kills" in done.stdout
    assert done.stdout.count("ended before") < 3, done.stdout
