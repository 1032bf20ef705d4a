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


def test_work_that_leaves_nothing_and_work_without_an_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short work may leave no line; of work whose end nobody knows, what is done is told."""
    now = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    for _ in progress(range(6), desc="check", unit="clip", leave=False):
        now[0] += 5
    assert capsys.readouterr().err == ""
    for _ in progress((number for number in range(4)), desc="search", unit="folder", leave=False):
        now[0] += 40
    assert re.fullmatch(r"(search: [24] folders, 0[12]:[24]0 spent, \S+\n){2}", capsys.readouterr().err)
