#!/usr/bin/env python3
"""Asks the page of `lipsound2 demo` for as long as one likes: is every request answered, does memory grow?

    python tests/soak.py --minutes 120

It serves a page of its own and asks it side by side, through its documented API, by clients that come and go. Every
tenth file is garbage, which must be refused in a line. A row a minute is printed, as a table of Markdown: answers,
memory, threads and open files of the server, and files of clips. The exit
status is 1 if an answer is missing or another one, if a file is left, or if memory grows.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from gradio_client import handle_file
from gradio_client.exceptions import AppError
from helpers.demo_page import Page, client, said_clip, serve

PER_CLIENT = 20  # requests, after which another client comes
GROWTH = 1.1  # of the least memory, from the second quarter of the time to the last
HEAD = "| minute | asked | answered | wrong | median s | slowest s | memory MB | threads | open | files |"


@dataclass
class Tally:
    """What was asked, and what came back; several threads write."""

    asked: int = 0
    answered: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def ask(page: Page, good: Path, garbage: Path, pause: float, tally: Tally, ended: threading.Event) -> None:
    """Ask again and again, with a pause (seconds) after each answer; all must say what the first one said."""
    wanted = None
    while not ended.wait(pause if wanted else 0):
        caller = client(page)
        for number in range(PER_CLIENT):
            if number and ended.wait(pause):
                break
            bad = number % 10 == 9
            with tally.lock:
                tally.asked += 1
            began = time.monotonic()
            try:
                answer = caller.predict(handle_file(str(garbage if bad else good)), api_name="/read")
                wanted = wanted or answer["text"]
                wrong = "" if answer["text"] == wanted and not bad else f"read {answer['text']!r}"
            except AppError as error:
                wrong = "" if bad and "unreadable" in str(error) else str(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, an answer is missing
                with tally.lock:
                    tally.wrong.append(f"no answer: {type(error).__name__}: {error}")
                continue
            with tally.lock:
                tally.answered += 1
                tally.seconds.append(time.monotonic() - began)
                if wrong:
                    tally.wrong.append(wrong)


def status_of(process: int) -> dict[str, int]:
    """What the system says of a process, of all that are numbers: VmRSS in kB, Threads and the like."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    pairs = [line.replace(":", "").split() for line in lines]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) > 1 and pair[1].isdecimal()}


def least(used: list[float], quarter: int) -> float:
    """The least of a quarter (0 to 3) of the values. What is at work for a moment does not count, what stays does."""
    size = max(1, len(used) // 4)
    return min(used[quarter * size : (quarter + 1) * size] or used[-1:])


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120.0, help="how long (default: 120)")
    parser.add_argument("--side-by-side", type=int, default=4, help="requests at once (default: 4)")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds that each waits after an answer (default: 0)")
    parser.add_argument("--clip", type=Path, help="a video (default: a generated clip of 3 s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip, garbage = options.clip or said_clip(folder), folder / "garbage.mp4"
        garbage.write_bytes(b"no video" * 1000)
        with serve(folder / "page", "--port", "0") as page:
            return soak(page, clip, garbage, options)


def soak(page: Page, clip: Path, garbage: Path, options: argparse.Namespace) -> int:
    """Ask a page; prints a row a minute. Returns the exit status."""
    tally, ended, used, minutes = Tally(), threading.Event(), [], options.minutes
    arguments = (page, clip, garbage, options.pause, tally, ended)
    threads = [threading.Thread(target=ask, args=arguments) for _ in range(options.side_by_side)]
    for thread in threads:
        thread.start()
    print(HEAD, "| --- " * 10 + "|", sep="\n", flush=True)
    began = time.monotonic()
    while (spent := time.monotonic() - began) < 60 * minutes and page.process.poll() is None:
        time.sleep(min(60, 60 * minutes - spent))
        process = page.process.pid
        status = status_of(process)
        used.append(status["VmRSS"] / 1000)
        with tally.lock:
            recent = tally.seconds[:] or [0.0]
            tally.seconds.clear()
            row = [f"{(time.monotonic() - began) / 60:.0f}", tally.asked, tally.answered, len(tally.wrong)]
        row += [f"{statistics.median(recent):.2f}", f"{max(recent):.2f}", f"{used[-1]:.0f}", status["Threads"]]
        row += [len(list(Path(f"/proc/{process}/fd").iterdir())), len(page.files())]
        print("|", " | ".join(map(str, row)), "|", flush=True)
    ended.set()
    for thread in threads:
        thread.join()
    left = page.no_files()
    early, late = least(used, 1), least(used, 3)
    print(f"\nasked {tally.asked}, answered {tally.answered}, wrong {len(tally.wrong)}; files left {len(left)}")
    print(f"least memory {early:.0f} MB in the second quarter of the time, {late:.0f} MB in the last")
    for line in tally.wrong[:10]:
        print(f"wrong: {line}")
    return int(tally.answered < tally.asked or bool(tally.wrong) or bool(left) or late > GROWTH * early)


if __name__ == "__main__":
    sys.exit(main())
