"""What others are given: source archive and wheel hold what git tracks, and the wheel alone finds a face and speaks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import soundfile
from helpers.dockerfiles import Image
from helpers.face_corpora import talking_clip
from helpers.wheels import ROOT, build, install, tracked

import lipsound2
from lipsound2.synthetic.clip import ClipFormat
from lipsound2.timing import SAMPLE_RATE, SAMPLES_PER_FRAME

# What a checkout has and nobody who unpacks an archive wants.
OF_GIT = (".ci/", ".github/", ".gitignore", ".shellcheckrc", ".dockerignore")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the source archive, and of the wheel that is built from it."""
    return build(tmp_path_factory.mktemp("built"))


def test_the_source_archive_holds_what_git_tracks(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    made = {name for name in names if name.startswith("lipsound2.egg-info/")} | {"PKG-INFO"}
    assert names - made == {name for name in tracked() if not name.startswith(OF_GIT)}


def test_the_wheel_holds_the_package(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        (about,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = wheel.read(about).decode()
    info = about.split("/", maxsplit=1)[0]
    files = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt", "licenses/LICENSE")
    assert names == set(tracked("lipsound2")) | {f"{info}/{name}" for name in files}
    assert "lipsound2/py.typed" in names
    assert f"\nVersion: {lipsound2.__version__}\n" in metadata
    assert "\nLicense-File: LICENSE\n" in metadata


WORDS = ["bin", "blue", "at", "f", "two", "now"]
# The lines of README.md and docs/api.md, on a clip beside them; what is printed is read below.
LINES = """
import importlib.metadata, json

light = sorted({"torch", "numpy", "cv2"} & set(before))
model = lipsound2.load("grid-s1-parallel")
speech = model("clip.mp4")
speech.save("python.wav")
text = lipsound2.load("grid-s1-asr")(speech)
lips = lipsound2.load("grid-s1-vsr")("clip.mp4")
mouth = lipsound2.crop("clip.mp4", region="mouth")
estoi = lipsound2.metrics.estoi(speech.waveform, speech.waveform)
providers = importlib.metadata.packages_distributions()["cv2"]
print(json.dumps({
    "light": light, "rate": speech.sample_rate, "samples": len(speech.waveform), "mel": list(speech.mel.shape),
    "mouth": [str(mouth.dtype), *mouth.shape], "text": text.text, "words": [word.text for word in text.words],
    "confident": all(0 <= word.confidence <= 1 for word in (*text.words, *lips.words)), "estoi": float(estoi),
    "lips": lips.text,
    "cv2": sorted(set(providers)), "file": lipsound2.__file__,
}))
"""


# Libraries that the smallest Debian with Python has: those of the C compiler's run time, of Python and of apt.
OF_THE_SYSTEM = re.compile(
    r"(ld-linux.*|lib(c|m|dl|rt|util|pthread|stdc\+\+|gcc_s|z|bz2|lzma|ffi|mvec|uuid|crypto|ssl|sqlite3|expat)\.so.*)"
)
LOADED = """
import contextlib, os, sys
from lipsound2.cli import main
with contextlib.redirect_stdout(sys.stderr):
    status = main(["speak", "clip.mp4", "-o", "again.wav"])
with open("/proc/self/maps") as maps:
    paths = {line.split(maxsplit=5)[5].strip() for line in maps if ".so" in line}
print(status, *sorted(os.path.realpath(path) for path in paths), sep="\\n")
"""


class Shell:
    """A folder with a clip, and a venv around the wheel, which alone is on the PATH."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        self.venv = folder / "venv"
        talking_clip(folder / "clip.mp4", WORDS, form=ClipFormat(), seconds=3)
        self.environment = install(wheel, "face", self.venv)

    def run(self, command: str, *words: str) -> str:
        """What a command of the venv printed; it must succeed."""
        command = str(self.venv / "bin" / command)
        done = subprocess.run([command, *words], cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


@pytest.fixture(scope="module")
def shell(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(tmp_path_factory.mktemp("fresh"), next(built.glob("*.whl")))


@pytest.mark.slow
def test_the_wheel_speaks_where_there_is_no_checkout_and_no_compiler(shell: Shell) -> None:
    assert shutil.which("cc", path=shell.environment["PATH"]) is None
    shell.run("lipsound2", "speak", "clip.mp4")
    assert soundfile.info(shell.folder / "clip.wav").frames == 75 * SAMPLES_PER_FRAME
    assert soundfile.read(shell.folder / "clip.wav")[0].std() > 0.01
    read = shell.run("python", "-m", "lipsound2", "transcribe", "clip.mp4")
    before = "import sys, lipsound2; before = list(sys.modules)\n"
    told = json.loads(shell.run("python", "-c", before + LINES).splitlines()[-1])
    assert Path(told["file"]).is_relative_to(shell.venv)
    assert told["light"] == []
    assert told["cv2"] == ["opencv-python-headless"]
    assert (told["rate"], told["samples"]) == (SAMPLE_RATE, 75 * SAMPLES_PER_FRAME)
    assert told["mouth"] == ["uint8", 75, 96, 96]
    assert told["text"].split() == told["words"] != []
    assert told["lips"] in read.replace("[", "").replace("?]", "")
    assert told["confident"]
    assert told["estoi"] == pytest.approx(1)
    assert (shell.folder / "python.wav").read_bytes() == (shell.folder / "clip.wav").read_bytes()


@pytest.mark.slow
def test_speech_needs_no_library_that_a_slim_system_lacks(shell: Shell) -> None:
    """Neither libGL nor glib: what is loaded comes with the wheels, with Python, or with every Debian."""
    status, *loaded = shell.run("python", "-c", LOADED).splitlines()
    assert status == "0"
    python = Path(sys.executable).resolve().parents[1]
    outside = [path for path in map(Path, loaded) if not {shell.venv.resolve(), python} & {*path.parents}]
    assert [path for path in outside if not OF_THE_SYSTEM.fullmatch(path.name)] == []


@pytest.mark.slow
def test_the_steps_of_the_dockerfile_make_the_command(shell: Shell, tmp_path: Path) -> None:
    """Followed in a folder; the requirements are there already, as in a layer that Docker has kept."""
    venv, site = tmp_path / "venv", "lib/python3.11/site-packages"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    for path in (shell.venv / site).iterdir():
        if not path.name.startswith("lipsound2") and not (venv / site / path.name).exists():
            shutil.copytree(path, venv / site / path.name, copy_function=os.link) if path.is_dir() else os.link(
                path, venv / site / path.name
            )
    (tmp_path / "image").mkdir()
    image = Image(ROOT / "Dockerfile", ROOT, tmp_path / "image", venv, shell.environment)
    assert image.base == "python:3.11-slim"
    assert image.workdir == tmp_path / "image/clips"
    assert image.start().stdout.startswith("usage: lipsound2 VERB")
    shutil.copy(shell.folder / "clip.mp4", image.workdir)
    done = image.start("speak", "clip.mp4")
    assert done.returncode == 0, done.stderr
    assert (image.workdir / "clip.wav").read_bytes() == (shell.folder / "clip.wav").read_bytes()
