#!/usr/bin/env python3
"""Runs `lipsound2 live` for as long as one likes with a file as the camera: is all read, does memory grow?

    python tests/soak_live.py CAMERA --minutes 30
    python tests/soak_live.py CAMERA --minutes 30 --options "--continuous"

CAMERA is a video of that length or longer, of somebody who speaks. Without --continuous the space bar is pressed at the
beginning and the end of every 3 s. A row a minute is printed, as a table of Markdown. The exit status is 1 if the verb
fails, if nothing is read, or if memory grows.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

STEP = 3.0  # seconds from one sentence to the next
REST = 0.2  # of them, seconds in which nothing is recorded
GROWTH = 1.1  # of the least memory, from the second quarter of the time to the last
HEAD = "| minute | read | not read | with lost frames | least memory MB | most MB | load |"
COUNTED = {
    "words after": "read",
    "s behind the lips": "read",
    "not read": "not read",
    "still to be read": "refused",
    "were lost on the way": "lost",
}


def memory(process: int) -> float:
    """Memory of a process, MB."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1000


def listen(child: subprocess.Popen[str], counts: Counter[str], said: Counter[str], ready: threading.Event) -> None:
    """Count what it says, and keep why something was not read."""
    assert child.stdout is not None
    for line in child.stdout:
        for part, name in COUNTED.items():
            counts[name] += part in line
            if part in line and name in ("not read", "refused"):
                said[line.strip()] += 1
        if "seen well" in line:
            ready.set()


def press(child: subprocess.Popen[str], counts: Counter[str], ended: threading.Event) -> None:
    """Press the space bar at the beginning and the end of each sentence; one that was refused needs no end."""
    assert child.stdin is not None
    due = time.monotonic()
    while not ended.is_set():
        refused = counts["refused"]
        for pause in (STEP - REST, REST):
            if counts["refused"] == refused:
                child.stdin.write(" ")
                child.stdin.flush()
            due += pause
            ended.wait(max(0.0, due - time.monotonic()))


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("camera", type=Path)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--options", type=shlex.split, default=[], help="further ones of lipsound2 live")
    options = parser.parse_args()
    verb = [sys.executable, "-m", "lipsound2", "live", "--camera", options.camera, "--preview", "off"]
    child = subprocess.Popen(
        [*verb, "--loudspeaker", "off", *options.options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    counts: Counter[str] = Counter()
    said: Counter[str] = Counter()
    ready, ended = threading.Event(), threading.Event()
    threading.Thread(target=listen, args=(child, counts, said, ready), daemon=True).start()
    if not ready.wait(300):
        child.kill()
        print("no face is seen")
        return 1
    if "--continuous" not in options.options:
        threading.Thread(target=press, args=(child, counts, ended), daemon=True).start()
    print(HEAD)
    print("| --- " * (HEAD.count("|") - 1) + "|", flush=True)
    least = []
    for minute in range(1, options.minutes + 1):
        found = []
        while len(found) < 60 and child.poll() is None:
            found.append(memory(child.pid))
            time.sleep(1)
        if child.poll() is not None:
            break
        least.append(min(found))
        what = [
            counts["read"],
            counts["not read"] + counts["refused"],
            counts["lost"],
            round(min(found)),
            round(max(found)),
        ]
        print(f"| {minute} | {' | '.join(map(str, what))} | {os.getloadavg()[0]:.1f} |", flush=True)
    ended.set()
    early = child.poll()
    child.terminate()
    child.wait(60)
    if early is not None or not counts["read"]:
        print(f"it ended early, with status {early}; {counts['read']} sentences were read")
        return 1
    quarter = max(1, len(least) // 4)
    before, behind = min(least[quarter : 2 * quarter] or least), min(least[-quarter:])
    for line, times in said.most_common(5):
        print(f"\n{times} times: {line}")
    print(f"\nleast memory in the second quarter {before:.0f} MB, in the last {behind:.0f} MB")
    return int(behind > GROWTH * before)


if __name__ == "__main__":
    sys.exit(main())
