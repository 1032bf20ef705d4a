"""Further scores: DNSMOS is that of the package's own code, stands where it was asked for and nowhere else."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.experiments import make_experiment, synthetic_clips

from lipsound2.audio.io import write_wav
from lipsound2.cli import main
from lipsound2.errors import LipsoundError
from lipsound2.metrics.dnsmos_scorer import windows
from lipsound2.metrics.requested import compute, requested
from lipsound2.metrics.score import score
from lipsound2.metrics.summary_files import read_clips
from lipsound2.report.report import report

pytest.importorskip("speechmos")

RATE = 16000


def voice(seconds: float) -> np.ndarray:
    """A buzz whose pitch swings and whose loudness beats."""
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = 2 * np.pi * np.cumsum(120 + 25 * np.sin(2 * np.pi * 3 * time)) / RATE
    buzz = sum(np.sin(k * pitch) / k for k in range(1, 25)) * np.clip(np.sin(2 * np.pi * 4 * time), 0, None)
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.2 * buzz / np.abs(buzz).max() + 0.002 * noise).astype(np.float32)


# What speechmos 0.0.1.1 itself finds, with librosa 0.11.0 and onnxruntime 1.31.1: P.835 overall and P.808.
@pytest.mark.parametrize(("seconds", "overall", "p808"), [(3.0, 1.919719, 2.227756), (9.5, 2.024521, 2.271896)])
def test_it_is_that_of_the_package(
    seconds: float, overall: float, p808: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "librosa", None)  # an import of it, which costs seconds, fails
    waveform = voice(seconds)
    found = compute(requested(["dnsmos"]), "a", waveform, waveform)
    assert found.values == pytest.approx({"dnsmos": overall, "dnsmos_p808": p808}, abs=1e-4)
    assert not found.failures


@pytest.mark.parametrize(
    ("waveform", "reason"), [(np.zeros(RATE), "silent"), (np.full(RATE, np.nan), "not-finite"), (np.zeros(0), "silent")]
)
def test_what_cannot_be_heard_is_at_the_floor(waveform: np.ndarray, reason: str) -> None:
    found = compute(requested(["dnsmos"]), "a", waveform, np.zeros(RATE))
    assert found.values == {"dnsmos": 1.0, "dnsmos_p808": 1.0}
    assert found.failures == {"dnsmos": reason, "dnsmos_p808": reason}


def test_nothing_to_score_against_is_at_the_floor() -> None:
    """Speech is cut to its reference, so nothing is left of it."""
    found = compute(requested(["dnsmos"]), "a", voice(1.0), np.zeros(0))
    assert found.values == {"dnsmos": 1.0, "dnsmos_p808": 1.0}
    assert found.failures == dict.fromkeys(found.values, "silent-reference")
    assert not [*windows(np.zeros(0))]


@pytest.mark.parametrize("name", ["mos", "dnsmos:big", ""])
def test_unknown_names_are_told_with_the_known_ones(name: str) -> None:
    with pytest.raises(LipsoundError, match=r"--metrics: unknown metric .*; one of: estoi_speech, aligned, dnsmos"):
        requested([name])


@pytest.fixture(scope="module")
def exp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of two clips, one of which the model does not speak, scored by DNSMOS too."""
    root = tmp_path_factory.mktemp("experiment")
    exp = make_experiment(root, synthetic_clips(2), attention=False)
    wav = exp / "wav/test"
    (wav / "generated/s2-clip1.wav").unlink()
    for system in ("real_mel", "mean_mel"):  # seconds of computing, and nothing new
        for path in (wav / system).iterdir():
            path.unlink()
        (wav / system).rmdir()
    score(root / "dump/audio", wav, out=exp / "scores/test", metrics=("dnsmos",), nj=1, resamples=200)
    return exp


def test_it_stands_in_every_file_and_beside_the_true_audio(exp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = exp / "scores/test"
    content = json.loads((folder / "summary.json").read_text())
    systems = content["systems"]
    assert list(systems) == ["generated", "mismatched", "real"]
    assert set(systems["real"]["scores"]) == {"dnsmos", "dnsmos_p808"}
    assert systems["generated"]["failures"] == {"missing": 1}
    assert content["measured_with"]["speechmos"]
    assert any(line.startswith("DNSMOS:") for line in content["rule"])
    table = (folder / "table.md").read_text()
    assert "| DNSMOS " in table
    assert "- DNSMOS:" in table
    by_clip = {(row.id, row.system): row.scores.values for row in read_clips(folder / "clips.tsv")}
    assert by_clip["s2-clip1", "generated"]["dnsmos"] == 1.0
    assert set(by_clip["s2-clip1", "real"]) == {"dnsmos", "dnsmos_p808"}
    mean = np.mean([by_clip[name, "real"]["dnsmos"] for name in ("s1-clip0", "s2-clip1")])
    assert systems["real"]["scores"]["dnsmos"]["mean"] == pytest.approx(mean, abs=1e-4)
    report(exp)
    assert ">DNSMOS <small>1 to 5</small></th>" in (exp / "report.html").read_text()
    rows = (exp / "RESULTS.md").read_text()
    assert "| DNSMOS |" in rows
    assert f"; ground truth {mean:.2f}, mismatched video" in rows


def test_without_it_nothing_of_it_stands_anywhere(exp: Path, tmp_path: Path) -> None:
    root = exp.parent.parent
    score(root / "dump/audio", exp / "wav/test", out=tmp_path / "plain", nj=1, resamples=200)
    for name in ("clips.tsv", "summary.json", "table.md"):
        text = (tmp_path / "plain" / name).read_text()
        assert "dnsmos" not in text.lower()
        assert '"real"' not in text


def test_it_is_no_score_of_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_wav(tmp_path / "ref/a.wav", voice(0.5))
    (tmp_path / "hyp").mkdir()
    (tmp_path / "hyp/words.jsonl").write_text("")
    assert main(["score", str(tmp_path / "ref"), str(tmp_path / "hyp"), "--metrics", "dnsmos"]) == 1
    assert "leave out --asr and --metrics" in capsys.readouterr().err
