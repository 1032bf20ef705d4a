"""The examples are executed: the scripts as a user runs them, the notebook cell by cell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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


def test_lips_are_read_with_confidence(clips: Path) -> None:
    told = run("read_lips.py", clips / "clip.mp4")
    words = [line for line in told if " s  " in line]
    assert len(words) == len(told[0].split()) > 0
    assert all(line.endswith("%") for line in words)
    assert any(line.startswith("or, with") for line in told)


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
