#!/usr/bin/env python3
"""Measures `lipsound2 live` on clips that are played as a camera: how long it takes, and whether the words are right.

    python tests/benchmarks/bench_live.py data/lists/test.tsv data --clips 20 --vocoder grid-s1-vocos

LIST has a row a clip: id, file below ROOT, text. Each clip is recorded from its first frame to its last one, in real
time, and read. The same clips are read as files, too: their words, and where the crops lie.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers.audio_devices import Player
from helpers.camera_files import seeing

from lipsound2 import api
from lipsound2.live.kept import Kept
from lipsound2.live.reading import Reader
from lipsound2.live.session import Parts, Session
from lipsound2.live.tracker import LiveTracker, Recording, Sight
from lipsound2.metrics.wer import score_texts
from lipsound2.video.align import REGIONS
from lipsound2.video.cropper import Cropper
from lipsound2.video.decode import Source
from lipsound2.video.detect import make_detector
from lipsound2.video.frame_copy import copied

_MIDDLE = np.array([47.5, 47.5, 1.0])  # of the crop, pixels


class Lines:
    """A screen that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def status(self, text: str) -> None:
        pass

    def frame(self, sight: Sight, *, recorded: bool) -> None:
        pass

    def pressed(self) -> str:
        return ""

    def close(self) -> None:
        pass


class Once:
    """The space bar is pressed once; the end of the clip is the second key."""

    by_hand = False

    def __init__(self) -> None:
        self._keys = " "

    def pressed(self) -> str:
        key, self._keys = self._keys, ""
        return key


def live(clip: Path, reader: Reader) -> tuple[str, dict[str, float]]:
    """What is read of a clip that is played as a camera, and the seconds of each step."""
    screen = Lines()
    with seeing(clip, screen) as view:
        view.keys = Once()
        with Session(view, Parts(reader, Player(), spare=Kept(Path("unused")))) as session:
            session.by_key()
    at, spent = next((number, line) for number, line in enumerate(screen.lines) if line.startswith("words after"))
    texts = [line for line in screen.lines[:at] if not line.startswith("  [")]
    steps = {name: float(seconds) for name, seconds in re.findall(r"(\w+) (\d+\.\d+)(?:,|$)", spent.partition(": ")[2])}
    after = re.match(r"words after ([\d.]+) s(?:, speech after ([\d.]+) s)?", spent)
    assert after is not None
    steps |= {"speech begins after": float(after[2] or "nan"), "words after": float(after[1])}
    return texts[-1].rpartition("  (")[0], steps


def apart(clip: Path) -> np.ndarray:
    """Pixels of the crop between its middle as followed live and as in the file: (T,)."""
    offline = Cropper(("mouth",))(clip).landmarks
    tracker, recording = LiveTracker(make_detector("facemesh")), Recording()
    for decoded in Source(clip):
        recording.add(tracker.see(copied(decoded)))
    ours, theirs = (
        REGIONS["mouth"].transforms(points[:, :136].reshape(-1, 68, 2), [(0, len(points))])
        for points in (recording.landmarks(), offline)
    )
    step = np.hypot(theirs[:, 0, 0], theirs[:, 1, 0])
    found: np.ndarray = np.linalg.norm((ours - theirs) @ _MIDDLE, axis=1) / step
    return found


def errors(wanted: Sequence[str], found: Sequence[str]) -> str:
    """Word errors, told."""
    references, hypotheses = (dict(enumerate_texts(texts)) for texts in (wanted, found))
    total = score_texts(references, hypotheses, dict.fromkeys(references, "all"), "en").summary.total
    assert total.words is not None
    right = total.clips - total.wrong
    return f"WER {total.words.rate:.1%}, {right} of {total.clips} sentences right"


def enumerate_texts(texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Number, as an id, and text of each."""
    return ((f"{number:03d}", text) for number, text in enumerate(texts))


def main() -> None:
    """Measure, and print tables of Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("list", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--model", default="grid-s1-parallel")
    parser.add_argument("--asr", default="grid-s1-asr")
    parser.add_argument("--vocoder", default="griffin-lim")
    parser.add_argument("--crops", type=int, default=0, help="clips whose crops are compared")
    options = parser.parse_args()
    rows = [line.split("\t") for line in options.list.read_text(encoding="utf-8").splitlines()]
    reader = Reader(options.model, options.asr, options.vocoder, "cpu", "facemesh", None)
    reader.warm_up()
    texts, spent, loads = [], [], []
    for _, file, _ in rows[: options.clips]:
        text, steps = live(options.root / file, reader)
        texts.append(text)
        spent.append(steps)
        loads.append(os.getloadavg()[0])
    print(f"{len(texts)} clips, {options.vocoder}; load {np.median(loads):.1f} (median of {os.cpu_count()} cores)\n")
    print("| step | median s | slowest tenth s | slowest s |\n| --- | --- | --- | --- |")
    for step in spent[0]:
        seconds = [steps[step] for steps in spent]
        print(f"| {step} | {np.median(seconds):.2f} | {np.percentile(seconds, 90):.2f} | {max(seconds):.2f} |")
    wanted = [text for _, _, text in rows[: options.clips]]
    print(f"\nlive: {errors(wanted, texts)}")
    speaks, listens = api.load(options.model, vocoder=options.vocoder), api.load(options.asr)
    offline = [listens(speaks(options.root / file)).text for _, file, _ in rows[: options.clips]]
    print(
        f"as files: {errors(wanted, offline)}; {sum(a == b for a, b in zip(texts, offline, strict=True))} texts equal"
    )
    if options.crops:
        far = np.concatenate([apart(options.root / file) for _, file, _ in rows[: options.crops]])
        print(
            f"\ncrops of {options.crops} clips apart: {np.median(far):.2f} px median, 95 % {np.percentile(far, 95):.2f}"
        )


if __name__ == "__main__":
    main()
