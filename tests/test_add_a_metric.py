"""`docs/add-a-metric.md`, carried out: one file and one entry, and the new metric stands in every table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.experiments import synthetic_clips
from helpers.pages import Workshop

from lipsound2.timing import SAMPLE_RATE


def test_the_page_adds_a_metric(tmp_path: Path):
    workshop = Workshop(tmp_path, "add-a-metric.md")
    assert [*workshop.files] == ["lipsound2/metrics/si_sdr_scorer.py"]
    assert [*workshop.entries] == ["lipsound2/metrics/registry.py"]
    workshop.decode_step(before='    "wer": Family(\n')
    audio = synthetic_clips(1)["s1-clip0"].waveform.astype(np.float64)
    noise = np.random.default_rng(0).normal(size=len(audio))
    noise -= audio * (noise @ audio) / (audio @ audio)  # a tenth of the reference's energy, and at right angles to it
    noise *= np.sqrt((audio @ audio) / (noise @ noise) / 10)
    for name, waveform in (("ref", audio), ("hyp", 0.5 * (audio + noise))):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "a.wav", waveform, SAMPLE_RATE, subtype="FLOAT")
    printed = workshop.run("score", "ref", "hyp", "--metrics", "si_sdr", "--nj", "1")
    assert "| SI-SDR dB " in printed
    summary = json.loads((tmp_path / "hyp/scores/summary.json").read_text())
    (system,) = summary["systems"].values()
    assert system["scores"]["si_sdr"]["mean"] == pytest.approx(10, abs=1e-3)
    assert any(line.startswith("SI-SDR:") for line in summary["rule"])
    assert "\tsi_sdr\t" in (tmp_path / "hyp/scores/clips.tsv").read_text()
    lines = [
        "import lipsound2, numpy",
        "reference = numpy.random.default_rng(0).normal(size=48000)",
        "for _ in range(2): print(round(lipsound2.metrics.si_sdr(reference, reference + numpy.roll(reference, 99))))",
    ]
    assert workshop.python("\n".join(lines)).split() == ["0", "0"]
