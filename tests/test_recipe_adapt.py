"""`run_adapt.sh` of one's own clips: what cannot be adapted is told before the crops."""

from __future__ import annotations

import shutil
from pathlib import Path

from helpers.face_corpora import talking_clip
from helpers.recipe_stand_in import Recipes
from helpers.recipe_stand_in import fresh as fresh  # a fixture
from helpers.recipe_stand_in import recipes as recipes  # a fixture
from helpers.video_making import levels, write_clip

from lipsound2.data.datadir import DataDir


def own_clips(recipes: Recipes, corpus: Path, texts: list[str | None], *, silent: bool, out: str = "exp/adapt") -> None:
    """A folder of clips with these texts, and what `prepare`, a stand-in here, would have made of it."""
    corpus.mkdir(parents=True)
    videos, names = {}, [f"me-{number}" for number in range(len(texts))]
    for name in names:
        path = corpus / f"{name}.mp4"
        if silent:
            write_clip(path, levels(range(5)), [number / 25 for number in range(5)])
        else:
            talking_clip(path, ["blue"])
        videos[name] = str(path)
    said = {name: text for name, text in zip(names, texts, strict=True) if text is not None}
    made = recipes.egs / "own" / out / "corpus/all"
    DataDir.write(made, utt2spk=dict.fromkeys(names, "me"), video=videos, text=said)


def refused_before_crops(recipes: Recipes, corpus: Path, *options: str) -> str:
    done = recipes.run("own/run_adapt.sh", "--corpus", str(corpus), "--folds", "2", *options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done
    assert [call.split()[0] for call in recipes.called()] == ["prepare"]
    return done.stderr


def test_silent_clips_are_told_of_before_speech_is_adapted(fresh: Recipes, tmp_path: Path) -> None:
    own_clips(fresh, tmp_path / "mine", ["bin blue"] * 4, silent=True)
    told = refused_before_crops(fresh, tmp_path / "mine")
    assert "4 of 4 clips have no audio, which speech is learned from" in told
    assert "for silent clips adapt a lip reader, --model grid-s1-vsr" in told
    reader = fresh.run("own/run_adapt.sh", "--corpus", str(tmp_path / "mine"), "--folds", "2", "--model", "grid-s1-vsr")
    assert [call.split()[0] for call in fresh.called()][:2] == ["prepare", "crop"]  # which the stand-in does not make
    assert "audio" not in reader.stderr
    own_clips(fresh, tmp_path / "spoken", [None] * 4, silent=False, out="exp/spoken")
    fresh.run("own/run_adapt.sh", "--corpus", str(tmp_path / "spoken"), "--folds", "2", "--out", "exp/spoken")
    assert [call.split()[0] for call in fresh.called()][:2] == ["prepare", "crop"]


def test_texts_that_a_lip_reader_cannot_write_are_told_of_before_the_crops(fresh: Recipes, tmp_path: Path) -> None:
    own_clips(fresh, tmp_path / "mine", ["hello world", "Hello, you!", "bin blue", None, "set red"], silent=True)
    reader = ("--model", "grid-s1-vsr")
    told = refused_before_crops(fresh, tmp_path / "mine", *reader)
    assert "1 of 5 clips has no text (talk.txt beside talk.mp4)" in told
    assert (
        "2 of 5 clips have words in the text that grid-s1-vsr cannot write: 'hello' (2), 'world' (1), 'you' (1)" in told
    )
    assert "it knows: a again at b bin blue" in told
    assert "2 clips are left, wanted 4 or more" in told
    # Words of one's own, where that is asked for.
    done = fresh.run(
        *("own/run_adapt.sh", "--corpus", str(tmp_path / "mine"), "--folds", "2", *reader),
        *("--override", "tokens: words"),
    )
    assert "left out: 1 of 5 clips has no text (talk.txt beside talk.mp4)" in done.stdout
    assert [call.split()[0] for call in fresh.called()][:2] == ["prepare", "crop"]


def test_too_few_clips_are_told_of_with_one_number(fresh: Recipes, tmp_path: Path) -> None:
    """A lip reader wants two for each of three folds, however many there are, and whatever is wrong with them."""
    reader = ("own/run_adapt.sh", "--corpus", str(tmp_path / "mine"), "--model", "grid-s1-vsr")
    own_clips(fresh, tmp_path / "mine", ["bin blue"], silent=True)
    done = fresh.run(*reader)
    assert "of its clips 1 can be used, wanted 6 or more, two for each of 3 folds" in done.stderr
    assert [call.split()[0] for call in fresh.called()] == ["prepare"]
    shutil.rmtree(tmp_path / "mine")
    own_clips(fresh, tmp_path / "mine", ["bin blue"] * 5 + ["hello"], silent=True)
    done = fresh.run(*reader)
    assert "1 of 6 clips has words in the text that grid-s1-vsr cannot write: 'hello' (1)" in done.stderr
    assert "5 clips are left, wanted 6 or more" in done.stderr


def test_a_folder_that_was_begun_with_other_clips_is_told_of(fresh: Recipes, tmp_path: Path) -> None:
    own_clips(fresh, tmp_path / "mine", ["bin blue"] * 4, silent=True)
    refused_before_crops(fresh, tmp_path / "mine")
    (tmp_path / "others").mkdir()
    done = fresh.run("own/run_adapt.sh", "--corpus", str(tmp_path / "others"), "--folds", "2")
    assert (
        f"--out: exp/adapt was begun with the clips of {tmp_path / 'mine'}, not of {tmp_path / 'others'}" in done.stderr
    )
    assert (done.returncode, fresh.called()) == (2, [])
    fresh.run("own/run_adapt.sh", "--corpus", str(tmp_path / "others"), "--folds", "2", "--out", "exp/others")
    assert fresh.called() == [f"prepare own {tmp_path / 'others'} exp/others/corpus"]


def test_models_and_options_that_adapt_nothing_are_told_of(recipes: Recipes, tmp_path: Path) -> None:
    for options, wanted in (
        (("--model", "grid-s1-vocos"), "of the task vocode, wanted a lip-to-speech model or a lip reader"),
        (("--model", "grid-s1-asr"), "no model of lips there; wanted: a lip-to-speech model, or a lip reader"),
        (("--model", "grid-s1-vrs"), "did you mean 'grid-s1-vsr'?"),
        (("--model", "grid-s1-vsr", "--asr", "pocketsphinx:grid"), "reads words from lips itself, so leave it out"),
        (("--model", "grid-s1-vsr", "--config", "conf/adapt.yaml"), "of the task 'regress', wanted 'recognize'"),
        (("--model", "grid-s1-vsr", "--override", "max_update: 3"), "here it is called 'max_updates'"),
        (("--folds", "1"), "--folds: found '1', wanted a number from 2 on"),
        (("--tested", "6"), "--tested: found '6', wanted a number up to 5, the folds"),
        (("--config", "conf/no.yaml"), "--config: found 'conf/no.yaml', wanted a file that is there"),
    ):
        done = recipes.run("own/run_adapt.sh", "--corpus", str(tmp_path), *options)
        assert done.returncode in (1, 2)
        assert wanted in done.stderr
        assert (done.stderr.count("\n"), recipes.called()) == (1, []), done.stderr
