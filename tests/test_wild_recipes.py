"""egs/voxceleb2 and egs/own on generated corpora, as a user runs them, and what begins from them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from helpers.face_corpora import talking_clip
from helpers.recipe_copies import ROOT, copy_recipes
from helpers.recipe_copies import run as run_recipe
from helpers.wild_corpora import ENGLISH, copy, make_own, make_voxceleb2, said

from lipsound2 import experiment
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir, read_table
from lipsound2.data.yaml_files import read_yaml
from lipsound2.decoding.calibration import load
from lipsound2.decoding.hypothesis import read_words
from lipsound2.decoding.search_options import DEFAULT_SEARCH
from lipsound2.inference.familiar_faces import familiarity_of
from lipsound2.inference.recognizer_names import search_of
from lipsound2.synthetic.clip import ClipFormat
from lipsound2.synthetic.corpus import generate

pytestmark = pytest.mark.slow

TINY = {"max_epochs": 2, "valid_every": 1, "valid_clips": 2, "width": 32, "layers": 1, "heads": 2, "mel_width": 32}
TINY |= {"trunk_widths": [4, 8, 8, 16], "workers": 0, "warmup": 2, "precision": "fp32", "crop_frames": 25}


def tiny(place: Path, name: str, config: str) -> Path:
    """A copy of a recipe, with a config much smaller than its own."""
    recipe = copy_recipes(place, name) / name
    values = yaml.safe_load((recipe / "conf" / f"{config}.yaml").read_text(encoding="utf-8")) | TINY
    (recipe / "conf" / "tiny.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return recipe


def run(recipe: Path, *options: str) -> str:
    return run_recipe(recipe, "--config", "conf/tiny.yaml", *options)


def test_pre_training_and_what_begins_from_it(tmp_path):
    """All six stages on generated faces without a word of text; then GRID begins from the weights and says so."""
    corpus = tmp_path / "corpus"
    make_voxceleb2(corpus)
    recipe = tiny(tmp_path, "voxceleb2", "parallel_small")
    told = run(recipe, "--corpus", str(corpus / "VoxCeleb2"), "--spoken", "3")
    exp = recipe / "exp" / "multilingual_tiny"
    assert "multilingual/test-3: 3 of 4 clips" in told
    assert len(list((exp / "wav" / "test" / "generated").glob("*.wav"))) == 3
    assert (exp / "scores" / "test" / "summary.json").exists()
    assert "to begin from it in another recipe: --init ../voxceleb2/exp/multilingual_tiny" in told
    assert "skipped" in run(recipe, "--corpus", str(corpus / "VoxCeleb2"), "--stop-stage", "3")
    english = ("--protocol", "english", "--lists", str(corpus / "vox-en.id"), "--stop-stage", "1")
    run(recipe, "--corpus", str(corpus / "VoxCeleb2"), *english)
    assert len(Archive(recipe / "dump" / "english" / "mouth").ids) == len(ENGLISH)

    grid = tiny(tmp_path, "grid", "parallel")
    generate(grid / "faces", clips=20, speakers=1, nj=1)
    told = run(
        *(grid, "--corpus", "faces", "--protocol", "mini", "--asr", ""),
        *("--init", "../voxceleb2/exp/multilingual_tiny"),
    )
    assert re.search(
        r"weights from .*multilingual_tiny: \d\d+ tensors taken, 0 of another shape, \d not in the file", told
    )
    log = (grid / "exp" / "mini_tiny" / "train.log").read_text(encoding="utf-8")
    fresh = re.findall(r"fresh +(\S+): not in the file", log)
    assert fresh, "the head that names words has no weights in a model that knows no words"
    assert all("word" in name for name in fresh)


def test_a_model_is_adapted_with_a_few_clips_of_ones_own(tmp_path):
    """Each clip is tested once, before and after, and a number of clips that there are not is left out in words."""
    corpus = make_own(tmp_path / "corpus")
    recipe = copy_recipes(tmp_path, "own") / "own"
    short = "max_epochs: 1, valid_every: 1, valid_clips: 2, workers: 0, precision: fp32"
    options = ("--corpus", str(corpus), "--folds", "2", "--asr", "pocketsphinx:grid", "--override", short)
    told = run_recipe(recipe, *options, "--clips", "3 90", script="run_adapt.sh")
    assert "after 90 clips: left out; of 10 clips a fold has 4 to adapt with" in told
    out = recipe / "exp" / "adapt"
    scored = json.loads((out / "scores" / "summary.json").read_text(encoding="utf-8"))["systems"]
    assert {name: each["clips"] for name, each in scored.items()} == {"before": 10, "after-3": 10, "mismatched": 10}
    of_words = out / "scores" / "text" / "pocketsphinx-grid" / "summary.json"
    counted = json.loads(of_words.read_text(encoding="utf-8"))["systems"]
    assert list(counted) == ["real", "mismatched", "after-3", "before"]
    assert told.count("| after-3 - before") == 2  # of speech, of words
    assert (out / "model" / "model.safetensors").exists()
    assert familiarity_of(experiment.load(out / "pack")) is not None
    # Other numbers of clips: what is there stays, and what nobody asked for is not shown again.
    run_recipe(recipe, *options, "--clips", "2", "--use", "no", script="run_adapt.sh")
    assert set(json.loads(of_words.read_text(encoding="utf-8"))["systems"]) == {
        "real",
        "before",
        "after-2",
        "mismatched",
    }
    # A corpus that has grown would mix clips that were tested with clips that were learned from.
    (next(corpus.rglob("*.mp4"))).rename(corpus / "other.mp4")
    told = run_recipe(recipe, *options, script="run_adapt.sh", fails=True)
    assert "--out: exp/adapt was begun with other clips than" in told


def test_a_lip_reader_is_adapted_with_silent_clips(tmp_path):
    """Words before and after by clips that no model has seen, and a pack that reads with its own tokens and faces."""
    corpus = tmp_path / "mine"
    form = ClipFormat(width=160, height=128, sample_rate=16000)
    for number in range(4):
        path = corpus / "me" / f"{number}.mp4"
        talking_clip(path, said(number), look=1, form=form, silent=True, seed=number)
        path.with_suffix(".txt").write_text(" ".join(said(number)), encoding="utf-8")
    recipe = copy_recipes(tmp_path, "own") / "own"
    reader = ROOT / "lipsound2" / "pretrained" / "grid-s1-vsr"
    options = ("--corpus", str(corpus), "--model", "grid-s1-vsr", "--folds", "2")
    told = run_recipe(recipe, *options, "--override", "max_updates: 1, precision: fp32", script="run_adapt.sh")
    assert "begin anew" not in told
    assert "== training 3 of 3 is done; about 0.00 hours to the end" in told
    for row in ("| after-all - before", "| mismatched - before", "| after-all - mismatched"):
        assert told.count(row) == 1
    out = recipe / "exp" / "adapt"
    systems = json.loads((out / "scores" / "text" / "words" / "summary.json").read_text(encoding="utf-8"))["systems"]
    assert {name: each["total"]["clips"] for name, each in systems.items()} == dict.fromkeys(
        ("before", "after-all", "mismatched"), 4
    )
    # Each clip is read once, and by no model that has learned from it.
    read = [dict(read_table(out / "work" / "words" / f"after-all-{fold}" / "text")) for fold in (1, 2)]
    for fold, texts in enumerate(read, start=1):
        held, learned = (DataDir(out / "folds" / str(fold) / part).ids for part in ("held", "train"))
        assert {*texts} <= {*held}
        assert not {*held} & {*learned}
    assert dict(read_table(out / "words" / "after-all" / "text")) == read[0] | read[1]
    pack = experiment.load(out / "pack")
    assert (out / "pack" / "tokens.model").read_bytes() == (reader / "tokens.model").read_bytes()
    assert (out / "pack" / "search.yaml").read_bytes() == (reader / "search.yaml").read_bytes()
    learned, before = pack.model.state_dict(), experiment.load(reader).model.state_dict()
    assert not torch.equal(learned["ctc.weight"], before["ctc.weight"])
    assert torch.allclose(learned["ctc.weight"], before["ctc.weight"], atol=0.05)  # trained on, not begun anew
    faces = familiarity_of(pack)
    assert faces is not None
    assert faces.mean.tolist() != familiarity_of(experiment.load(reader)).mean.tolist()
    # How sure it may be was found on what the models of the folds read, for its own way of searching.
    found = read_words(out / "words" / "after-all" / "words.jsonl")
    (rows,) = read_yaml(out / "pack" / "calibration.yaml").values()
    assert rows["clips"] == len(found) == 4
    assert load(out / "pack", search_of(str(out / "pack"), DEFAULT_SEARCH).way) is not None
    assert "| each tenth by the others | words |" in told


def test_a_recognizer_writes_the_texts_that_are_not_there(tmp_path):
    """Beside the clips, and none that is there is changed, not even an empty one."""
    corpus = make_own(tmp_path / "corpus")
    clips = sorted(path for path in corpus.rglob("*.mp4") if path.with_suffix(".txt").exists())[:3]
    before = {path: path.read_bytes() for path in corpus.rglob("*.txt")}
    lacking, empty = (path.with_suffix(".txt") for path in clips[:2])
    lacking.unlink()
    empty.write_text("", encoding="utf-8")
    recipe = copy_recipes(tmp_path, "own") / "own"
    options = ("--corpus", str(corpus), "--asr", "pocketsphinx:grid")
    told = run_recipe(recipe, *options, script="run_transcripts.sh")
    text = lacking.read_text(encoding="utf-8")
    assert text.split()[0] in ("bin", "lay", "place", "set")  # of GRID's grammar
    assert f"{lacking.name}: {text}" in told
    assert empty.read_bytes() == b""
    assert f"{empty.name}: is there already and stays as it is" in told
    kept = before.keys() - {lacking, empty}
    assert {path: path.read_bytes() for path in kept} == {path: before[path] for path in kept}
    assert not list(corpus.rglob("*.part"))


def test_the_recipe_for_videos_of_ones_own(tmp_path):
    corpus = tmp_path / "corpus"
    make_own(corpus)
    recipe = tiny(tmp_path, "own", "parallel")
    told = run(recipe, "--corpus", str(corpus / "my videos"), "--asr", "pocketsphinx:grid")
    exp = recipe / "exp" / "own_tiny"
    assert (exp / "report.html").stat().st_size > 0
    assert (exp / "scores" / "test" / "text" / "pocketsphinx-grid" / "summary.json").exists()
    assert "no words are counted" not in told
    # From the model that comes with the toolkit, and without texts.
    mute = copy(corpus / "my videos", tmp_path / "mute")
    for text in mute.rglob("*.txt"):
        text.unlink()
    short = "max_epochs: 1, valid_every: 1, valid_clips: 2, workers: 0, precision: fp32"
    begun = ["--init", str(ROOT / "lipsound2" / "pretrained" / "grid-s1-parallel"), "--override", short]
    begun += ["--config", "conf/parallel.yaml", "--exp", "exp/begun", "--dump", "dump2", "--asr", "pocketsphinx:grid"]
    told = run(recipe, "--corpus", str(mute), *begun)
    assert "data/own/test has no texts: no words are counted" in told
    # All of its network; what is left over is the head that names GRID's words.
    assert re.search(r"grid-s1-parallel: \d\d+ tensors taken, 0 of another shape, 0 not in the file", told)
    assert all("word" in name for name in re.findall(r"unused +(\S+):", told))
    assert not (recipe / "exp" / "begun" / "scores" / "test" / "text").exists()
