"""Progress in a file: plain lines, no carriage returns, no blocks; nothing about work that was none."""

from __future__ import annotations

import re

import pytest

from lipsound2.progress import progress


def test_a_file_gets_a_plain_line_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(range(5), desc="crop", unit="clip")) == [0, 1, 2, 3, 4]
    with progress(total=3, desc="mel", unit="clip") as bar:
        bar.set_postfix(failed=1, refresh=False)
        bar.update(2)
        bar.update(1)
    with progress(total=3, desc="nothing", unit="clip", disable=True):
        pass
    crop, mel = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"crop: 5 of 5 clips, 00:00 spent, 00:00 to go, \S+clip/s", crop)
    assert re.fullmatch(r"mel: 3 of 3 clips, 00:00 spent, 00:00 to go, \S+clip/s, failed=1", mel)


def test_a_file_gets_a_line_a_minute(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    for _ in progress(range(6), desc="crop", unit="clip"):
        now[0] += 40
    said = capsys.readouterr().err
    assert "\r" not in said
    assert [line.partition(" clips")[0] for line in said.splitlines()] == [
        "crop: 2 of 6",
        "crop: 4 of 6",
        "crop: 6 of 6",
    ]
