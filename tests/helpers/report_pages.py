"""The report as tests read it, and what a recognizer said and heard in the experiment that it is of."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from lipsound2.report.clip_video import small_video
from lipsound2.report.report import report

# What needs no end tag, in HTML and, where it ends itself, in SVG.
VOID = {"meta", "img", "path", "br", "input"}


class Page(HTMLParser):
    """Checks nesting, and collects what a test asks for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words += f" {data}"

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


SAID = {
    "s1-clip0": "bin blue at f two now",
    "s1-clip2": "set red by t five soon",
    "s2-clip1": "lay green in b nine again",
    "s2-clip3": "place white with z zero please",
}


HEARD = {
    "s1-clip0": "bin blue at f two now",
    "s1-clip2": "set red by d five soon",
    "s2-clip1": "lay green with p nine",
    "s2-clip3": "",
}


def write(exp: Path, **options: object) -> Page:
    report(exp, **options)
    return Page((exp / "report.html").read_text(encoding="utf-8"))


def with_videos(exp: Path) -> None:
    """A video file of every clip, where its data dir says."""
    data = exp.parents[1] / "data/tiny/test"
    for line in (data / "video.scp").read_text().splitlines():
        name = line.split()[0]
        frames = np.full((50, 180, 320, 3), 90, np.uint8)
        frames[:, 40:140, 100:220] = np.linspace(0, 255, 50, dtype=np.uint8)[:, None, None, None]
        (data / f"{name}.mp4").write_bytes(small_video(frames))
    (data / "video.scp").write_text(
        "".join(
            f"{line.split()[0]} {data / line.split()[1]}\n" for line in (data / "video.scp").read_text().splitlines()
        )
    )


HOSTILE = """<script>fetch("/script")</script><img src="/picture" onerror="fetch('/handler')">
<style>h1 {background: url(/style)}</style><div style="background: url(/attribute)">x</div>
<svg onload="document.title='run'"></svg><a href="/link">x</a><iframe src="/frame"></iframe><base href="/base">"""
