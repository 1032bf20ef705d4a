"""`docs/add-a-corpus.md`, carried out: six files, and `prepare` writes the data dirs of a new corpus."""

from __future__ import annotations

import shutil

import pytest
from helpers.face_corpora import SMALL, talking_clip
from helpers.pages import ROOT, Workshop
from helpers.speech_corpora import Layout

from lipsound2.data.datadir import DataDir
from lipsound2.tasks.__init__ import load_config

FOLDER = "egs/lombard_grid"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The copy that the page was carried out in."""
    workshop = Workshop(tmp_path_factory.mktemp("copy"), "add-a-corpus.md", "egs/TEMPLATE", "utils", "tests/layouts")
    assert {*workshop.files, *workshop.entries, f"{FOLDER}/conf/parallel.yaml"} == {
        "lipsound2/corpora/lombard_grid.py",
        "lipsound2/corpora/registry.py",
        f"{FOLDER}/run.sh",
        f"{FOLDER}/conf/parallel.yaml",
        f"{FOLDER}/README.md",
        "tests/layouts/lombard_grid.txt",
    }
    shutil.copytree(workshop.root / "egs/TEMPLATE", workshop.root / FOLDER)
    workshop.decode_step(before='    "librispeech":')
    return workshop


def test_the_page_adds_a_corpus(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("helpers.speech_corpora.LAYOUTS", workshop.root / "tests/layouts")
    layout = Layout.read("lombard_grid")
    layout.write(workshop.root)
    one = talking_clip(workshop.root / "clip.mov", ["bin"], form=SMALL) and workshop.root / "clip.mov"
    for name in layout.files:
        if name.endswith(".mov"):
            shutil.copy(one, workshop.root / name)
    printed = workshop.run("prepare", "lombard_grid", "lombardgrid", "data", "--protocol", "unseen")
    assert "found 5 clips of 4 speakers (s2-s4 s46)" in printed
    assert "3 of 2700 clips" in printed
    assert "1 x not-a-grid-name (not used)" in printed
    data = workshop.root / "data"
    assert DataDir(data / "all").text["s46-p_sgbszs"] == "set green by s zero soon"
    assert {name: [*DataDir(data / "unseen" / name).utt2spk] for name in ("train", "valid", "test")} == {
        "train": ["s3-l_bbam2p", "s46-p_sgbszs"],
        "valid": ["s2-l_bbim3a", "s2-p_bgbp3n"],
        "test": ["s4-p_bbai2p"],
    }
    assert DataDir(data / "all").wav["s2-l_bbim3a"].endswith("audio/s2_l_bbim3a.wav")
    workshop.run("validate", "data/all")


def test_the_recipe_of_the_page_is_the_template_with_its_choices(workshop: Workshop) -> None:
    template = (ROOT / "egs/TEMPLATE/run.sh").read_text(encoding="utf-8").splitlines()
    made = (workshop.root / FOLDER / "run.sh").read_text(encoding="utf-8").splitlines()
    assert [line.split("=")[0] for line in template if "#" not in line] == [
        line.split("=")[0] for line in made if "#" not in line
    ]
    load_config(workshop.root / FOLDER / "conf/parallel.yaml")
