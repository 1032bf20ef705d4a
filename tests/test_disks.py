"""Full, read-only and failing disks: a few cases of `tests/faults/disks.py`, of commands that are quick."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

DISKS = Path(__file__).parent / "faults" / "disks.py"


def test_fault_H25_disks_that_fail_are_told_in_one_line_and_nothing_is_lost():
    command = [sys.executable, str(DISKS), "--quick", "--count", "25", "--seed", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.splitlines()[-1].endswith(" 0 wrong")
