"""The examples are executed: the scripts as a user runs them, the notebook cell by cell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.face_corpora import talking_clip

from lipsound2.synthetic.clip import ClipFormat

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip, and a file that is none."""
    folder = tmp_path_factory.mktemp("clips")
    talking_clip(
        folder / "clip.mp4", ["bin", "blue", "at", "f", "two", "now"], form=ClipFormat(sample_rate=16000), seconds=3
    )
    (folder / "damaged.mp4").write_bytes(b"no video")
    return folder


def run(script: str, *arguments: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def failed(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / script), *arguments], capture_output=True, text=True, check=False
    )


def test_a_folder_is_spoken_and_scored(clips: Path, tmp_path: Path) -> None:
    told = run("speak_folder.py", clips, tmp_path / "out")
    assert told[0].startswith("grid-s1-parallel knows one voice")
    assert "clip.mp4: 3.00 s" in told
    assert any(line.startswith("damaged.mp4: left out, unreadable:") for line in told)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clip.mp4", "clip.wav"]
    assert soundfile.info(tmp_path / "out" / "clip.wav").duration == 3
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    heading, row, mean = run("score_speech.py", clips, tmp_path / "out")
    assert heading.split() == ["clip", "stoi", "estoi", "pesq_nb", "pesq_wb"]
    assert row.split()[1:] == mean.split()[1:]
    assert 0 <= float(row.split()[1]) <= 1


@pytest.mark.parametrize(
    ("script", "words", "told"),
    [
        ("read_lips.py", ("{0}/none.mp4",), "read_lips.py: unreadable: {0}/none.mp4: no such file"),
        ("speak_folder.py", ("{0}/none", "{0}/out"), "speak_folder.py: {0}/none: no such folder"),
        ("speak_folder.py", ("{0}", "{0}/out"), "speak_folder.py: {0}: no .mp4 file in it"),
        ("score_speech.py", ("{0}/none", "{0}"), "score_speech.py: {0}/none: no such folder"),
        ("score_speech.py", ("{0}", "{0}"), "score_speech.py: {0}: no .wav file in it that can be scored"),
    ],
)
def test_a_mistake_is_one_line(script: str, words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = failed(script, *(word.format(tmp_path) for word in words))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [told.format(tmp_path)]
    usage = failed(script)
    assert usage.returncode == 2
    assert "the following arguments are required" in usage.stderr.splitlines()[-1]


def test_speech_without_a_reference_is_named_and_other_files_are_no_reference(tmp_path: Path) -> None:
    pytest.importorskip("pesq")
    for name in ("true", "made"):
        (tmp_path / name).mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, 32000)
    for name in ("true/s1.wav", "made/s1.wav", "made/s2.wav"):
        soundfile.write(tmp_path / name, noise, 16000)
    (tmp_path / "true/s1.json").write_text("{}")
    (tmp_path / "true/s2.json").write_text("{}")
    told = run("score_speech.py", tmp_path / "true", tmp_path / "made")
    assert [line.split()[0] for line in told] == ["clip", "s1", "s2.wav:", "mean"]
    assert told[2] == f"s2.wav: left out, no-reference: no audio or video called s2 in {tmp_path / 'true'}"


def test_lips_are_read_with_confidence(clips: Path) -> None:
    told = run("read_lips.py", clips / "clip.mp4")
    words = [line for line in told if " s  " in line]
    assert len(words) == len(told[0].split()) > 0
    assert all(line.endswith("%") for line in words)
    others = [line for line in told if line.startswith("or, with")]
    assert others
    assert not any(line.startswith("or, with 0%") for line in others)


def test_the_notebook_runs(clips: Path, tmp_path: Path) -> None:
    notebook = json.loads((EXAMPLES / "tour.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") for cell in notebook["cells"])
    (tmp_path / "clip.mp4").symlink_to(clips / "clip.mp4")
    (tmp_path / "cells.py").write_text("import matplotlib\nmatplotlib.use('agg')\n" + "\n".join(cells))
    subprocess.run([sys.executable, "cells.py"], cwd=tmp_path, check=True, capture_output=True)
    made = {path.name for path in tmp_path.iterdir()} - {"clip.mp4", "cells.py"}
    assert made == {"speech.wav", "speech.mp4", "speech.png", "speech.srt"}
