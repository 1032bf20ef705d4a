"""egs/grid/run_unseen.sh on generated faces: every speaker is left out once, by models that have not seen that face."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.recipe_copies import recipes_in, run

from lipsound2.corpora.sentences import words_of
from lipsound2.data.datadir import DataDir
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.inference import familiarity
from lipsound2.synthetic.corpus import generate


@pytest.mark.slow
def test_every_speaker_is_left_out_once(tmp_path: Path) -> None:
    folder = recipes_in(tmp_path, "grid") / "grid"
    corpus, lists = tmp_path / "corpus", tmp_path / "lists"
    generate(corpus, clips=12, speakers=3, nj=1)
    clips = sorted((path.parent.name, path.stem) for path in corpus.glob("s*/*.mp4"))
    seen = [clip for clip in clips if clip[0] == clips[0][0]]
    others = [clip for clip in clips if clip not in seen]
    lists.mkdir()
    for name, rows in {"train": seen[:-1], "valid": seen[-1:], "test": seen[-1:], "unseen": others}.items():
        lines = (f"{who}-{clip}\t{who}/{clip}.mp4\t{' '.join(words_of(clip))}\n" for who, clip in rows)
        (lists / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    # A model to begin from, of one update.
    options = ("--corpus", str(corpus), "--protocol", "lists", "--lists", str(lists), "--nj", "1")
    untimed = ("--override", "word_loss_weight: 0", "--asr", "")
    run(folder, *options, *untimed, "--exp", "exp/begun", "--stop-stage", "3")
    config = folder / "conf/parallel.yaml"
    write_yaml(config, read_yaml(config) | {"word_loss_weight": 0.0})

    few = ("--model", "exp/begun", "--seen", "3", "--updates", "2", "--clips", "2", "--speakers", "2")
    told = run(folder, *options, *few, "--modes", "seen others relit generated", script="run_unseen.sh")
    assert told.count("== others, fold ") == 2
    left_out = []
    for fold in (1, 2):
        train = {*DataDir(folder / f"exp/unseen/train/others-{fold}").utt2spk.values()}
        held = {*DataDir(folder / f"exp/unseen/folds/{fold}/held").utt2spk.values()}
        assert len(train) == 2, "the seen speaker and the other one"
        assert (folder / f"exp/unseen/models/others-{fold}-pack" / familiarity.FILE).exists()
        assert not train & held
        left_out += held
        relit, plain = (
            read_yaml(folder / f"exp/unseen/models/{mode}-{fold}/config.yaml") for mode in ("relit", "others")
        )
        assert relit["augment_brightness"] > plain["augment_brightness"]
        generated = DataDir(folder / f"exp/unseen/train/generated-{fold}")
        assert len(generated) == len(DataDir(folder / f"exp/unseen/train/others-{fold}")) + 2
    assert sorted(left_out) == sorted({who for who, _ in others})
    systems = json.loads((folder / "exp/unseen/scores/summary.json").read_text())["systems"]
    assert {*systems} == {"before", "seen", "others", "relit", "generated"}
    for mode in systems:
        assert len([*(folder / "exp/unseen/speech" / mode).glob("*.wav")]) == len(others)
