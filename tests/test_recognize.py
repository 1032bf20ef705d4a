"""The task *recognize*: audio in, tokens out; the networks of every recipe; decoding."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.task_losses import check_losses_add_up

from lipsound2.audio.io import encode_flac
from lipsound2.audio.mel_numpy import speech_features
from lipsound2.data.archive import ArchiveWriter
from lipsound2.data.datadir import DataDir, write_table
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.datasets.audio_to_text import SpeechConfig, UtteranceBatch, features_of, spec_augment, speed_perturb
from lipsound2.datasets.word_alignment import UNKNOWN as UNKNOWN_WORD
from lipsound2.errors import LipsoundError
from lipsound2.models.asr.jasper import Jasper, JasperConfig
from lipsound2.models.asr.recognizer import Recognizer
from lipsound2.tasks import load_config
from lipsound2.text.tokenizer import BLANK, UNKNOWN, Characters
from lipsound2.text.tokens import load, of_texts, report_unknown, tokens
from lipsound2.training.train import train

ROOT = Path(__file__).resolve().parents[1]
# Of configs that differ in their language alone, one: Jasper has 333 million parameters.
CONFIGS = [
    *{
        json.dumps({**read_yaml(path), "language": ""}): path for path in sorted(ROOT.glob("egs/*/conf/asr_*.yaml"))
    }.values()
]
TEXTS = {"s1-a": "bin blue", "s1-b": "lay red at", "s1-c": "set"}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[DataDir, Path]:
    """A data dir of three noises with texts, and their dump."""
    folder = tmp_path_factory.mktemp("recognize")
    rng = np.random.default_rng(0)
    samples = {"s1-a": 16000, "s1-b": 12800, "s1-c": 9600}
    (folder / "audio").mkdir()
    with ArchiveWriter(folder / "audio" / "feats.ark", folder / "audio" / "feats.scp") as archive:
        for name, count in samples.items():
            archive.write(name, encode_flac((0.1 * rng.standard_normal(count)).astype(np.float32)))
    write_table(folder / "audio" / "utt2num_frames", {name: str(count) for name, count in samples.items()})
    write_yaml(folder / "audio" / "kind.yaml", {"coding": "flac"})
    times = dict.fromkeys(TEXTS, "0.1 0.3 bin 0.3 0.5 now")
    return DataDir.write(folder / "data", utt2spk=dict.fromkeys(TEXTS, "s1"), text=TEXTS, word_times=times), folder


def tiny(tmp_path: Path, name: str, **changes: object) -> Path:
    """A recipe's config, smaller, with changes."""
    small: dict[str, object] = {"conformer": {"width": 16, "layers": 1, "heads": 2, "channels": 4, "kernel": 5}}.get(
        name, {"widths": [8, 8], "kernels": [3, 5], "dropouts": [0.0, 0.1], "repeat": 2, "stem": 8, "last": [8, 16]}
    )
    values = read_yaml(ROOT / f"egs/grid/conf/asr_{name}.yaml") | small | changes
    write_yaml(tmp_path / "c.yaml", values)
    return tmp_path / "c.yaml"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parents[1].name}/{path.stem}")
def test_every_config_takes_an_update(path, data):
    clips, dump = data
    run = load_config(path)
    training, _, assets = run.task.prepare(clips, clips, dump)
    torch.manual_seed(0)
    model = run.task.build(assets).train()
    batch = run.task.collate([training.get(index, np.random.default_rng(index)) for index in range(3)])
    loss = run.task.loss(model, batch, assets, 0.5)
    assert loss.weight == batch.token_lengths.sum() > 0
    (loss.total / loss.weight).backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.requires_grad]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)


def test_the_published_jasper_has_its_size():
    """DR 10x5: some 333 million parameters (Li et al., 2019, table 4: 333 M)."""
    with torch.device("meta"):
        model = Jasper(JasperConfig(), 64)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(333e6, rel=0.02)


@pytest.mark.parametrize("name", ["conformer", "jasper_small"])
def test_a_clips_result_does_not_depend_on_its_batch_mates(name, data, tmp_path):
    clips, dump = data
    task = load_config(tiny(tmp_path, name)).task
    _, dataset, assets = task.prepare(clips, clips, dump)
    torch.manual_seed(0)
    model: Recognizer = task.build(assets)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.eval()
    together = task.collate([dataset.get(index, None) for index in range(3)])
    with torch.no_grad():
        heard = model(together.features, together.feature_lengths)
        for row in range(3):
            alone = task.collate([dataset.get(row, None)])
            single = model(alone.features, alone.feature_lengths)
            length = int(single.lengths[0])
            assert int(heard.lengths[row]) == length
            assert torch.allclose(heard.log_probs[row, :length], single.log_probs[0], atol=1e-4)


def test_losses_add_up(data, tmp_path):
    """The same utterances in one padded batch and alone: sums and weights add up."""
    clips, dump = data
    task = load_config(tiny(tmp_path, "conformer", dropout=0.0)).task
    _, dataset, assets = task.prepare(clips, clips, dump)
    check_losses_add_up(task, dataset, assets, rel=1e-3)


def test_it_learns_three_noises_by_heart(data, tmp_path):
    """Evaluation tells: word errors fall to none, and what is saved restores the task."""
    clips, dump = data
    task = load_config(tiny(tmp_path, "conformer", width=48, dropout=0.0, tokens="characters")).task
    _, dataset, assets = task.prepare(clips, clips, dump)
    torch.manual_seed(0)
    model = task.build(assets).train()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    batch = task.collate([dataset.get(index, None) for index in range(3)])
    with torch.no_grad():
        before = task.evaluate(model.eval(), dataset, assets, "cpu")
    for _ in range(150):
        loss = task.loss(model.train(), batch, assets, 0.0)
        optimizer.zero_grad()
        (loss.total / loss.weight).backward()
        optimizer.step()
    with torch.no_grad():
        after = task.evaluate(model.eval(), dataset, assets, "cpu")
    assert after.numbers["wer"] == 0
    assert after.score == 1
    assert before.score < after.score
    task.save(assets, tmp_path)
    restored = load_config(tmp_path / "c.yaml").task.restore(tmp_path)
    assert restored.tokenizer.encode("bin") == assets.tokenizer.encode("bin")


def test_an_evaluation_is_free_of_label_smoothing(data, tmp_path):
    """Two amounts of smoothing give two losses in training and one in evaluation."""
    clips, dump = data
    training, evaluation = set(), set()
    for smoothing in (0.0, 0.3):
        task = load_config(tiny(tmp_path, "conformer", dropout=0.0, smoothing=smoothing)).task
        _, dataset, assets = task.prepare(clips, clips, dump)
        torch.manual_seed(0)
        model = task.build(assets)
        batch = task.collate([dataset.get(index, None) for index in range(3)])
        with torch.no_grad():
            training.add(float(task.loss(model.train(), batch, assets, 0.0).total))
            evaluation.add(task.evaluate(model.eval(), dataset, assets, "cpu").numbers["valid_loss"])
    assert (len(training), len(evaluation)) == (2, 1)


def test_an_evaluation_passes_each_batch_once(data, tmp_path):
    clips, dump = data
    task = load_config(tiny(tmp_path, "conformer")).task
    _, dataset, assets = task.prepare(clips, clips, dump)
    model, passes = task.build(assets).eval(), []
    model.register_forward_hook(lambda *_: passes.append(1))
    with torch.no_grad():
        task.evaluate(model, dataset, assets, "cpu")
    assert len(passes) == 1


def test_words_are_named_where_they_are_said(data, tmp_path):
    """Times follow the speed audio is played at; a state is asked for the frame in its middle."""
    clips, dump = data
    table = {name: "0.2 0.4 bin" for name in TEXTS if name != "s1-b"}
    timed = DataDir.write(tmp_path / "timed", utt2spk=clips.utt2spk, text=clips.text, word_times=table)
    for speed in (1.0, 0.8):
        changes = {"word_loss_weight": 0.5, "speeds": [speed], "freq_masks": 0, "time_masks": 0}
        task = load_config(tiny(tmp_path, "conformer", **changes)).task
        training, _, assets = task.prepare(timed, timed, dump)
        sample = training.get(0, np.random.default_rng(0))
        assert np.flatnonzero(sample.words == 1).tolist() == list(range(round(20 / speed), round(40 / speed)))
        assert set(training.get(1, np.random.default_rng(0)).words) == {UNKNOWN_WORD}
    torch.manual_seed(0)
    model = task.build(assets).eval()
    batch = task.collate([training.get(index, np.random.default_rng(0)) for index in range(3)])
    with torch.no_grad():
        loss = task.loss(model, batch, assets, 0.0)
        heard = model(batch.features, batch.feature_lengths)
    log_probs = heard.word_scores.log_softmax(-1)
    total = sum(
        -float(log_probs[row, state, batch.words[row, frame]])
        for row in range(3)
        for state, frame in enumerate(range(2, batch.words.shape[1], 4))
        if batch.words[row, frame] != UNKNOWN_WORD
    )
    assert loss.parts["word"] * loss.weight == pytest.approx(0.5 * total, rel=1e-4)
    task.save(assets, tmp_path)
    other = load_config(tmp_path / "c.yaml").task
    other.build(other.restore(tmp_path)).load_state_dict(model.state_dict())
    bare = DataDir.write(tmp_path / "bare", utt2spk=clips.utt2spk, text=clips.text)
    with pytest.raises(LipsoundError, match=r"has no word_times, which word_loss_weight 0\.5 asks for"):
        task.prepare(bare, bare, dump)


def test_data_without_text_is_one_line(data, tmp_path):
    _, dump = data
    bare = DataDir.write(tmp_path / "bare", utt2spk={"s1-a": "s1"})
    with pytest.raises(LipsoundError, match="has no 'text', which a recognizer is trained with"):
        load_config(tiny(tmp_path, "conformer")).task.prepare(bare, bare, dump)
    empty = DataDir.write(tmp_path / "empty", utt2spk={"s1-a": "s1"}, text={"s1-a": "?!"})
    with pytest.raises(LipsoundError, match=r"1 texts hold no word, the first is that of 's1-a'"):
        load_config(tiny(tmp_path, "conformer")).task.prepare(empty, empty, dump)


def test_clips_without_audio_are_told(data, tmp_path, caplog):
    clips, dump = data
    more = DataDir.write(
        tmp_path / "more", utt2spk={**clips.utt2spk, "s1-x": "s1", "s1-y": "s1"}, text={**TEXTS, "s1-x": "now"}
    )
    training, _, _ = load_config(tiny(tmp_path, "conformer", word_loss_weight=0.0)).task.prepare(more, clips, dump)
    assert training.ids == sorted(TEXTS)
    told = [record.message for record in caplog.records if "left out" in record.message]
    assert told == [
        f"{more.path}: 1 of 4 clips have a text and no audio in {dump / 'audio'}, 's1-x' first; they are left out"
    ]


def test_a_package_that_evaluations_need_is_asked_for_before_any_work(data, tmp_path, monkeypatch):
    clips, dump = data
    monkeypatch.setitem(sys.modules, "jiwer", None)
    with pytest.raises(LipsoundError, match=r"c\.yaml: the package 'jiwer' cannot be imported .*metrics"):
        train(tiny(tmp_path, "conformer"), train=clips.path, valid=clips.path, dump=dump, exp=tmp_path / "exp")
    assert not (tmp_path / "exp").exists()


@pytest.mark.parametrize(
    ("name", "key", "value", "told"),
    [
        ("conformer", "dropout", 1.0, "a number from 0 to 0.9, found 1.0"),
        ("conformer", "heads", 0, "a number of at least 1, found 0"),
        ("conformer", "layers", -1, "a number of at least 0, found -1"),
        ("conformer", "smoothing", 1.5, "a number from 0 to 1, found 1.5"),
        ("conformer", "time_share", 2, "a number from 0 to 1, found 2.0"),
        ("conformer", "freq_size", -1, "a number of at least 0, found -1"),
        ("jasper", "dropouts", [0.1, 2], "a number from 0 to 0.9, found 2.0"),
    ],
)
def test_numbers_that_cannot_work_are_refused_with_their_range(tmp_path, name, key, value, told):
    with pytest.raises(LipsoundError, match=rf"c\.yaml: {key}: expected {told}$"):
        load_config(tiny(tmp_path, name, **{key: value}))


# Audio


def test_features_do_not_know_how_loud_a_audio_is():
    rng = np.random.default_rng(0)
    waveform = rng.standard_normal(8000).astype(np.float32)
    features = features_of(0.1 * waveform)
    assert features.shape == (50, 80)
    assert np.allclose(features, features_of(0.01 * waveform), atol=0.01)
    with pytest.raises(LipsoundError, match="x: 10 samples of audio"):
        features_of(waveform[:10], "x")


def test_speed_changes_length_and_pitch():
    tone = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000).astype(np.float32)
    faster = speed_perturb(tone, 1.1)
    assert len(faster) == pytest.approx(16000 / 1.1, abs=2)
    spectrum = np.abs(np.fft.rfft(faster))
    assert np.argmax(spectrum) * 16000 / len(faster) == pytest.approx(484, abs=2)


def test_masks_hide_no_more_than_they_may():
    config = SpeechConfig(freq_masks=1, freq_size=10, time_masks=1, time_size=20, time_share=0.1)
    for seed in range(30):
        features = np.ones((100, 80), np.float32)
        spec_augment(features, config, np.random.default_rng(seed))
        assert (features == 0).all(0).sum() <= 10
        assert (features == 0).all(1).sum() <= 10


def test_batches_move_whole(data, tmp_path):
    clips, dump = data
    dataset, _, _ = load_config(tiny(tmp_path, "conformer")).task.prepare(clips, clips, dump)
    batch = UtteranceBatch.of([dataset.get(0, None), dataset.get(2, None)], rate=4)
    assert batch.num_frames == 40
    moved = batch.to("meta")
    assert moved.texts == ["bin blue", "set"]
    assert {t.device.type for t in (moved.features, moved.feature_lengths, moved.tokens, moved.token_lengths)} == {
        "meta"
    }


# Tokens


def test_characters_round_trip(tmp_path):
    made = Characters.of(["bin blue", "ä b"])
    assert made.decode(made.encode("blue bin ä")) == "blue bin ä"
    assert made.encode("x") == [UNKNOWN]
    assert made.decode([UNKNOWN, BLANK, made.encode("b")[0]]) == "\u2047b"
    made.save(tmp_path / made.file)
    again = load(tmp_path)
    assert len(again) == len(made)
    assert again.encode("bin ä") == made.encode("bin ä")
    (tmp_path / "tokens.txt").write_text("a\nbc\n")
    with pytest.raises(LipsoundError, match=r"tokens\.txt:2: expected one character or <space>, found .bc."):
        load(tmp_path)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_pieces_round_trip(tmp_path, kind):
    pytest.importorskip("sentencepiece")
    texts = {f"s1-{n}": "place blue at f two now set white by zero again"[n:] for n in range(0, 30, 2)}
    texts = {name: text.strip() for name, text in texts.items()}
    DataDir.write(tmp_path / "d", utt2spk=dict.fromkeys(texts, "s1"), text=texts)
    tokens(tmp_path / "d", tmp_path / "t.model", kind=kind, size=40)
    made = load(tmp_path / "t.model")
    assert made.decode(made.encode("set white now")) == "set white now"
    assert min(made.encode("set white now")) > UNKNOWN
    assert UNKNOWN in made.encode("ÿ")
    made.save(tmp_path / made.file)
    assert load(tmp_path).encode("blue two") == made.encode("blue two")
    assert not made.whole_words


def test_unknown_characters_are_counted(caplog):
    made = Characters.of(["abc "])
    with caplog.at_level("WARNING"):
        assert report_unknown(made, {"x": "abc", "y": "a\u00e9\u00e9", "z": "q"}, "data/train") == 2
    assert "2 of 3 texts hold characters the tokenizer does not know" in caplog.text
    assert "'\u00e9' (2)" in caplog.text
    assert "the first is y" in caplog.text


def test_unknown_words_are_counted_as_words(caplog):
    pytest.importorskip("sentencepiece")
    made = of_texts("words", ["set red at t two now", "lay red by b two now"])
    assert made.whole_words
    with caplog.at_level("WARNING"):
        assert report_unknown(made, {"x": "lay red at b two now", "y": "bin red at t two now"}, "data/valid") == 1
    assert "1 of 2 texts hold words the tokenizer does not know: 'bin' (1); the first is y" in caplog.text


def test_tokens_needs_text_and_the_right_name(tmp_path):
    DataDir.write(tmp_path / "d", utt2spk={"s-a": "s"})
    with pytest.raises(LipsoundError, match="has no 'text'"):
        tokens(tmp_path / "d", tmp_path / "x.model")
    DataDir.write(tmp_path / "d", utt2spk={"s-a": "s"}, text={"s-a": "hello"})
    with pytest.raises(LipsoundError, match=r"ends in .\.txt."):
        tokens(tmp_path / "d", tmp_path / "x.model", kind="characters")
    tokens(tmp_path / "d", tmp_path / "x.txt", kind="characters")
    assert load(tmp_path / "x.txt").decode([2, 3, 4, 4, 5]) == "ehllo"


# Decoding


@pytest.mark.parametrize("samples", [400, 1_601, 48_000])
def test_features_without_torch_are_the_other_ones(samples: int) -> None:
    rng = np.random.default_rng(samples)
    waveform = (np.sin(np.arange(samples) / 20) * 0.2 + rng.normal(0, 0.01, samples)).astype(np.float32)
    found = speech_features(waveform)
    assert found.dtype == np.float32
    assert np.abs(found - features_of(waveform)).max() < 1e-4
    with pytest.raises(LipsoundError, match="samples of audio"):
        speech_features(waveform[:10])
