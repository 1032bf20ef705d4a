"""The vocoder that a pack asks for: what `auto` means, in every place that speaks."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import lipsound2
from lipsound2 import model_names
from lipsound2.cli import main
from lipsound2.errors import LipsoundError
from lipsound2.inference.vocoder_names import FILE, vocoder_of


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the pack that ships, to be spoiled."""
    return Path(shutil.copytree(model_names.find("grid-s1-parallel"), tmp_path_factory.mktemp("packs") / "mine"))


def test_a_pack_that_asks_for_none_has_griffin_lim(copied: Path) -> None:
    assert vocoder_of("auto", "grid-s1-parallel") == vocoder_of("auto", copied) == "grid-s1-vocos"
    assert vocoder_of("griffin-lim:8", "grid-s1-parallel") == "griffin-lim:8"
    content = (copied / FILE).read_text()
    (copied / FILE).unlink()
    assert vocoder_of("auto", copied) == "griffin-lim"
    (copied / FILE).write_text(content)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("vocoder: ../other\n", r"vocoder\.yaml: found the vocoder '../other', wanted one that ships: grid-s1-vocos; "),
        ("vocoder: grid-s1-asr\n", "found the vocoder 'grid-s1-asr', wanted one that ships"),
        ("vocoder: [1]\n", r"vocoder\.yaml"),
        ("", r"vocoder\.yaml"),
    ],
)
def test_fault_a_pack_that_asks_for_what_does_not_ship_is_told(
    copied: Path, grid: Path, content: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (copied / FILE).read_text()
    (copied / FILE).write_text(content)
    try:
        with pytest.raises(LipsoundError, match=told):
            lipsound2.load(copied)
        clip, speech = str(grid / "s1" / "bbaf3s.mp4"), str(tmp_path / "a.wav")
        assert main(["speak", clip, "-o", speech, "--model", str(copied)]) == 1
        assert "vocoder.yaml" in capsys.readouterr().err
        lipsound2.load(copied, vocoder="griffin-lim")
    finally:
        (copied / FILE).write_text(before)


def test_a_pack_of_a_pack_keeps_it(copied: Path, tmp_path: Path) -> None:
    said = ["--knows", "s1", "--corpus", "GRID", "--license", "CC BY 4.0"]
    assert main(["pack", str(copied), str(tmp_path / "again"), *said]) == 0
    assert (tmp_path / "again" / FILE).read_text() == (copied / FILE).read_text()


def test_a_clip_is_spoken_through_it(grid: Path) -> None:
    clip = grid / "s1" / "bbaf3s.mp4"
    speech, same, other = (
        lipsound2.load("grid-s1-parallel", vocoder=vocoder)(clip)
        for vocoder in ("auto", "grid-s1-vocos", "griffin-lim")
    )
    assert np.array_equal(speech.waveform, same.waveform)
    assert np.array_equal(speech.mel, other.mel)
    assert not np.allclose(speech.waveform, other.waveform, atol=0.01)
