"""One score of several experiments over what they learned from: the form NAME=EXP of `compare`."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from lipsound2 import cli
from lipsound2.data.yaml_files import write_yaml
from lipsound2.errors import LipsoundError
from lipsound2.metrics.alignment import Counts
from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.summary import Summary, System, Verdict
from lipsound2.metrics.summary_files import to_json
from lipsound2.metrics.wer import Tally
from lipsound2.metrics.wer_summary import TextSummary, write_summary
from lipsound2.report.series import tabulate


def experiment(path: Path, clips: int, estoi: float, wer: float) -> Path:
    """An experiment as `train` and `score` leave it, as far as it is compared."""
    write_yaml(path / "versions.yaml", {"runs": [{"clips": clips}]})
    spoken = Summary({"generated": System(1, {"estoi": Interval(estoi, estoi, estoi)})}, {}, Verdict(None, None, ""))
    facts = {"clips": "", "rule": [], "verdict_rule": "", "level": 0.95}
    (path / "scores/test/text/greedy").mkdir(parents=True)
    (path / "scores/test/summary.json").write_text(json.dumps({**to_json(spoken), **facts}), encoding="utf-8")
    rate = Interval(wer, wer, wer)
    heard = TextSummary(
        language="en",
        normalization="en-1",
        total=Tally(1, 0, 0, None, Counts()),
        rates={"wer": rate, "cer": rate},
        speakers={},
        confusions=[],
    )
    write_summary(path / "scores/test/text/greedy/summary.json", {"heard": heard})
    return path


@pytest.fixture
def entries(tmp_path: Path) -> tuple[str, ...]:
    rows = {"a": ("scratch", 50, 0.1, 0.9), "b": ("scratch", 50, 0.2, 0.8), "c": ("scratch", 200, 0.3, 0.5)}
    rows["d"] = ("pre-trained", 50, 0.25, 0.6)
    return tuple(f"{series}={experiment(tmp_path / name, *numbers)}" for name, (series, *numbers) in rows.items())


def test_seeds_are_averaged_and_shown(entries: tuple[str, ...], tmp_path: Path) -> None:
    tabulate(entries, tmp_path / "out")
    assert (tmp_path / "out.md").read_text(encoding="utf-8").splitlines() == [
        "| training clips | scratch | pre-trained |",
        "| --- | --- | --- |",
        "| 50 | 0.150 (0.100, 0.200) | 0.250 |",
        "| 200 | 0.300 | - |",
    ]
    assert cv2.imread(str(tmp_path / "out.png")).std() > 5


def test_word_errors_are_per_cent(entries: tuple[str, ...], tmp_path: Path) -> None:
    tabulate(entries, tmp_path / "out", score="wer:greedy")
    assert "| 50 | 85.0 (90.0, 80.0) | 60.0 |" in (tmp_path / "out.md").read_text(encoding="utf-8")


def test_single_words_have_accuracies(entries: tuple[str, ...], tmp_path: Path) -> None:
    for name, top in {"a": 0.5, "b": 0.75, "c": 1.0, "d": 0.625}.items():
        write_yaml(tmp_path / name / "text/test/greedy/accuracy.yaml", {"clips": 8, "top1": top, "top5": 1.0})
    tabulate(entries, tmp_path / "out", score="top1:greedy")
    assert "| 50 | 62.5 (50.0, 75.0) | 62.5 |" in (tmp_path / "out.md").read_text(encoding="utf-8")
    with pytest.raises(LipsoundError, match=r"absent, so 'top5:beam' of .* is not known; lipsound2 decode writes it"):
        tabulate(entries, tmp_path / "out", score="top5:beam")


def test_what_is_not_known_is_told(entries: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(LipsoundError, match=r"expected SERIES=EXP"):
        tabulate(("exp/a",), tmp_path / "out")
    with pytest.raises(LipsoundError, match=r"absent, so 'wer:beam' of .* on 'test' is not known"):
        tabulate(entries, tmp_path / "out", score="wer:beam")
    with pytest.raises(LipsoundError, match=r"no score 'loudness'"):
        tabulate(entries, tmp_path / "out", score="loudness")
    with pytest.raises(LipsoundError, match=r"does not tell the number of training clips"):
        tabulate((f"a={tmp_path}",), tmp_path / "out")
    assert not (tmp_path / "out.md").exists()


def test_calls_of_before_run_from_the_command_line(
    entries: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        cli.main(["compare", ",".join(entries), str(tmp_path / "out"), "--score", "wer:greedy", "--set", "test"]) == 0
    )
    assert "| 50 | 85.0 (90.0, 80.0) | 60.0 |" in capsys.readouterr().out
    assert {path.name for path in tmp_path.glob("out.*")} == {"out.md", "out.png"}
    assert cli.main(["compare", entries[0], str(tmp_path / "x"), "--markdown", str(tmp_path / "y.md")]) == 2
    assert "--markdown: is for experiments side by side; NAME=EXP are written to" in capsys.readouterr().err
