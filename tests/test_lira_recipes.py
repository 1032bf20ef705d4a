"""egs/lrw, egs/lrs2, egs/lrs3 and egs/grid/run_lira.sh on generated corpora, as a user runs them; clips of no use."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.recipe_copies import recipes_in, run
from helpers.wild_corpora import make_lrs2, make_lrs3, make_lrw
from helpers.written_dump import write_kind
from torch import nn

from lipsound2 import experiment
from lipsound2.corpora.folds import subset
from lipsound2.corpora.sentences import words_of
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import LipsoundError
from lipsound2.synthetic.corpus import generate
from lipsound2.tasks import load_config
from lipsound2.tasks.recognize import Recognize
from lipsound2.text.normalize import normalize
from lipsound2.text.tokenizer import UNKNOWN
from lipsound2.text.tokens import load
from lipsound2.video.encode import encode

ROOT = Path(__file__).resolve().parents[1]


def check_read(exp: Path, ids: list[str], *ways: str) -> None:
    """Every clip of the test set was read in these ways, scored, and shown."""
    for way in ways:
        read = (exp / "text/test" / way / "words.jsonl").read_text().splitlines()  # also of clips without a word
        assert [json.loads(row)["id"] for row in read] == ids
        assert (exp / "scores/test/text" / way / "summary.json").is_file()
    assert (exp / "report.html").stat().st_size > 0


def check_published(exp: Path) -> None:
    """The reader has the Conformer and the decoder as published, and has learned in them."""
    model = experiment.load(exp, task=Recognize).model
    config = read_yaml(exp / "config.yaml")
    said = {"positions": "latest", "conv_norm": "batch", "feed_forward_activation": "relu", "input_scale": True}
    said |= {"last_norm": True, "norm_eps": 1e-12, "decoder_positions": "interleaved"}
    assert {key: config[key] for key in said} == said
    assert model.encoder.conformer.scale == config["width"] ** 0.5
    for block in model.encoder.conformer.blocks:
        assert block.attention.positions is not None
        assert not block.attention.positions.legacy
        assert block.convolution.inner.running_mean.any(), "batch norm, which has seen batches"
        assert isinstance(block.first[2], nn.ReLU)
    assert model.encoder.conformer.norm.eps == 1e-12
    assert model.decoder.interleaved


@pytest.fixture(scope="module")
def egs(tmp_path_factory) -> Path:
    """The three recipes, with a pretext on LRS3 through all six stages."""
    folder = tmp_path_factory.mktemp("lira")
    made = recipes_in(folder, "lrw", "lrs2", "lrs3")
    corpus = make_lrs3(folder)
    told = run(made / "lrs3", "--corpus", str(corpus), fails=True)
    assert "target: say what the pretext predicts: --target" in told
    told = run(made / "lrs3", "--corpus", str(corpus), "--target", "logmel", "--label-percent", "50")
    assert "to begin from it in another recipe: --init ../lrs3/exp/lrs3_lira_pretext" in told
    return made


@pytest.mark.slow
def test_lrs3_is_pretext_and_sentences(egs):
    folder = egs / "lrs3"
    exp = folder / "exp/lrs3_lira_pretext"
    assert (exp / "report.html").stat().st_size > 0
    assert Archive(folder / "dump/targets-pase").meta["target"] == "logmel"
    sets = [DataDir(folder / "data/lrs3" / name) for name in ("train", "train-50")]
    assert len(sets[0]) == 2 * len(sets[1]) == 4
    run(folder, "--config", "../lrs2/conf/lira_sentence_supervised.yaml", "--train", "train-50", "--stage", "3")
    ids = DataDir(folder / "data/lrs3/test").ids
    check_read(folder / "exp/lrs3_lira_sentence_supervised-50", list(ids), "greedy", "joint")


@pytest.mark.slow
def test_words_of_lrw(egs, tmp_path):
    """All six stages; then behind the pretext's trunk, and begun with it, from half of the labels."""
    corpus, folder = make_lrw(tmp_path), egs / "lrw"
    for word in ("AFTER", "GREEN"):
        for suffix in (".mp4", ".txt"):
            first = corpus / word / "train" / f"{word}_00001{suffix}"
            shutil.copy(first, first.with_name(f"{word}_00002{suffix}"))
    shares = ("--corpus", str(corpus), "--label-percent")
    told = run(folder, *shares, "25", "--stop-stage", "0", fails=True)
    assert "1 clips of data/lrw/train leave some of its 2 classes empty; take more" in told
    run(folder, *shares, "50", "--override", "boundaries: true")
    ids = list(DataDir(folder / "data/lrw/test").ids)
    check_read(folder / "exp/lrw_lira_word_supervised", ids, "greedy")
    half = DataDir(folder / "data/lrw/train-50")
    assert Counter(half.text.values()) == {"AFTER": 1, "GREEN": 1}
    begun = ("--init", "../lrs3/exp/lrs3_lira_pretext", "--train", "train-50")
    told = run(folder, "--config", "conf/lira_word_frozen.yaml", "--stage", "2", fails=True)
    assert "init: say whose trunk is frozen: --init" in told
    run(folder, "--config", "conf/lira_word_frozen.yaml", *begun, "--stage", "2")
    assert Archive(folder / "dump/features-lira")["lrw-AFTER-test-00001"].shape == (29, 8)
    check_read(folder / "exp/lrw_lira_word_frozen-50", ids, "greedy")
    told = run(folder, "--config", "conf/lira_word_finetuned.yaml", *begun, "--stage", "3")
    assert "(trunk alone)" in told
    check_read(folder / "exp/lrw_lira_word_finetuned-50", ids, "greedy")


@pytest.mark.slow
def test_sentences_of_lrs2(egs, tmp_path):
    """All six stages behind a frozen trunk, in sentencepiece tokens; then begun with it, in characters, no model.

    The Conformer that is trained and decoded with is the published one, but for its size.
    """
    make_lrs2(tmp_path)
    folder = egs / "lrs2"
    begun = ("--corpus", str(tmp_path), "--init", "../lrs3/exp/lrs3_lira_pretext")
    run(folder, *begun, "--config", "conf/lira_sentence_frozen.yaml", "--pieces", "20", "--beam", "4")
    train = DataDir(folder / "data/lrs2/train").text
    assert all(text.isupper() for text in train.values())
    tokenizer = load(folder / "exp/lrs2_lira_sentence_frozen")
    assert all(UNKNOWN not in tokenizer.encode(normalize(text, "en")) for text in train.values())
    ids = list(DataDir(folder / "data/lrs2/test").ids)
    exp = folder / "exp/lrs2_lira_sentence_frozen"
    check_read(exp, ids, "greedy", "joint")
    check_published(exp)
    assert (exp / "tokens.model").is_file()
    assert read_yaml(folder / "exp/lrs2_lira_sentence_frozen_lm/config.yaml")["tokens"] == str(exp.relative_to(folder))
    told = run(
        folder, *begun, "--config", "conf/lira_sentence_finetuned.yaml", "--lm", "none", "--beam", "4", "--stage", "3"
    )
    assert "(trunk alone)" in told
    check_read(folder / "exp/lrs2_lira_sentence_finetuned", ids, "greedy", "joint")
    check_published(folder / "exp/lrs2_lira_sentence_finetuned")


@pytest.mark.slow
def test_lira_on_grid_from_the_pretext_to_the_tables(tmp_path):
    """PASE+ trained here, the pretext, sentences and words from half of the labels; then controls, of other clips."""
    folder = recipes_in(tmp_path, "grid") / "grid"
    corpus = tmp_path / "corpus"
    generate(corpus, clips=16, speakers=2, nj=1)
    clips = sorted((path.parent.name, path.stem) for path in corpus.glob("s*/*.mp4"))
    # Words are only asked for that others say too.
    said = Counter(word for _, name in clips for word in words_of(name))
    held: list[tuple[str, str]] = []
    for clip in clips:
        if len(held) < 2 and all(said[word] > 1 for word in words_of(clip[1])):
            held.append(clip)
            said.subtract(words_of(clip[1]))
    assert len(held) == 2
    lists = tmp_path / "lists"
    lists.mkdir()
    for name, rows in {"train": [c for c in clips if c not in held], "valid": held[:1], "test": held[1:]}.items():
        lines = (f"{who}-{clip}\t{who}/{clip}.mp4\t{' '.join(words_of(clip))}\n" for who, clip in rows)
        (lists / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    options = ["--corpus", str(corpus), "--protocol", "lists", "--lists", str(lists), "--extra-set", "test"]
    few = ["--pretext", "2", "--updates", "2", "--label-percent", "60", "--seeds", "0"]
    run(folder, *options, *few, "--modes", "frozen finetuned", script="run_lira.sh")
    facts = Archive(folder / "dump/targets-pase").meta
    assert facts["target"] == "pase:lists_pase"
    assert len(DataDir(folder / "data/lists/pretext")) == 15
    train, taught = (DataDir(folder / "data/lists_words" / name) for name in ("train", "train-60"))
    assert set(train.text.values()) == set(taught.text.values())
    for level in ("sentence", "word"):
        rows = (folder / f"exp/lists_lira_pase_{level}.md").read_text().splitlines()
        assert rows[0] == "| training clips | frozen | finetuned |"
        assert len(rows) == 3
        assert "-" not in rows[2]
        assert (folder / f"exp/lists_lira_pase_{level}.png").stat().st_size > 0
    # The pretext sees one half of the clips, labels are of the other; no times of words; the controls.
    modes = {"supervised": 2, "longer": 4, "stopped": 16, "finetuned_longer": 4}
    half = ("--labeled", "half", "--word-times", "no", "--units", "sentence", "--modes", " ".join(modes))
    run(folder, *options, *few, *half, script="run_lira.sh")
    seen, labeled = (DataDir(folder / "data/lists" / name) for name in ("pretext_half", "halves/1/train-60"))
    assert len(seen) == 8
    assert len(labeled) == 4
    assert not set(seen.text) & set(labeled.text)
    for mode, most in modes.items():
        began = "lists_lira_pase_half" if mode == "finetuned_longer" else "lists_half"
        config = read_yaml(folder / f"exp/{began}_sentence_untimed_{mode}_60_0/config.yaml")
        assert (config["max_updates"], config["word_loss_weight"]) == (most, 0)
        assert config["patience"] == (4 if mode == "stopped" else 0)
    rows = (folder / "exp/lists_lira_pase_half_sentence_untimed.md").read_text().splitlines()
    assert rows[0] == "| training clips | supervised | longer | stopped | finetuned_longer |"
    assert rows[2].startswith("| 4 |")
    # Lips to speech, begun with the pretext's trunk and nothing else of it.
    speech = ("--modes", "scratch lira", "--runs", "3:0", "--tuning", "2", "--out", "exp/speech")
    told = run(folder, *options[:6], *speech, script="run_pretrain.sh")
    assert "(trunk alone)" in told
    assert "0 of another shape, 0 not in the file, 0 not in this network" in told
    assert (folder / "exp/speech.md").read_text().startswith("| training clips | scratch | lira |")
    told = run(folder, "--modes", "scratch pretext", script="run_pretrain.sh", fails=True)
    assert "--modes: found 'pretext', wanted some of: scratch pretrained lira published fresh" in told


@pytest.fixture
def odd(tmp_path) -> tuple[DataDir, Path]:
    """Three clips with texts: a whole one, one of three video frames, one without any."""
    frames = {"s1-a": 20, "s1-b": 3}
    clips = {name: np.zeros((count, 96, 96), np.uint8) for name, count in frames.items()}
    write_kind(tmp_path / "mouth", {name: encode(clip) for name, clip in clips.items()}, frames, {"size": 96})
    targets = {name: np.zeros((count, 2), np.float32) for name, count in frames.items()}
    write_kind(tmp_path / "targets-two", targets, frames, {"kind": "targets"})
    text = {"s1-a": "blue", "s1-b": "red", "s1-c": "green"}
    return DataDir.write(tmp_path / "data", utt2spk=dict.fromkeys(text, "s1"), text=text), tmp_path


def test_labels_without_frames_and_clips_too_short_are_told(odd, caplog):
    data, dump = odd
    sentences = load_config(ROOT / "egs/lrs2/conf/lira_sentence_supervised.yaml").task
    training, _, _ = sentences.prepare(data, data, dump)
    assert training.ids == ["s1-a"]
    assert "1 of 3 clips have a text and no video frames in" in caplog.text
    assert "'s1-c' first; they are left out" in caplog.text
    assert "1 of 3 clips have fewer than the 5 video frames that the first convolution sees, 's1-b'" in caplog.text
    caplog.clear()
    words = load_config(ROOT / "egs/lrw/conf/lira_word_supervised.yaml").task
    assert words.prepare(data, data, dump)[0].ids == ["s1-a", "s1-b"]  # its last video frame stands still
    assert "1 of 3 clips have a text and no video frames in" in caplog.text
    caplog.clear()
    pretext = load_config(ROOT / "egs/lrs3/conf/lira_pretext.yaml", "target: targets-two").task
    assert list(pretext.prepare(data, data, dump)[0].ids) == ["s1-a"]
    assert "1 of 2 clips have fewer than the 5 video frames" in caplog.text


def test_shares_are_nested_and_balanced(tmp_path):
    """As stage 0 makes them: each within the next, as many of each class."""
    text = {f"lrw-{word}-train-{n:05}": word for word in ("ABOUT", "AFTER", "GREEN") for n in range(20)}
    DataDir.write(tmp_path / "train", utt2spk=dict.fromkeys(text, "lrw"), text=text)
    chosen = []
    for share in (5, 20, 100):
        subset(tmp_path / "train", tmp_path / f"train-{share:02}", share=float(f"{share}e-2"), by="text")
        chosen.append(DataDir(tmp_path / f"train-{share:02}"))
    assert [sorted(Counter(part.text.values()).values()) for part in chosen] == [[1] * 3, [4] * 3, [20] * 3]
    assert set(chosen[0].ids) < set(chosen[1].ids) < set(chosen[2].ids)
    with pytest.raises(LipsoundError, match=r"2 clips of .* leave some of its 3 classes empty; take more"):
        subset(tmp_path / "train", tmp_path / "few", share=0.03, by="text")
