"""Offsets between audio and video: how they are found, what a training does with them, and time-aligned scores."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.experiments import synthetic_clips
from helpers.recipe_copies import ROOT
from helpers.written_dump import write_dump, write_kind

import lipsound2
from lipsound2.audio.io import encode_flac, load_audio
from lipsound2.audio.lag import lag
from lipsound2.audio.mel import MELS, mel_spectrogram
from lipsound2.config import to_mapping
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.datasets.av_offsets import AV_OFFSET
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.experiment import load
from lipsound2.inference.sync import sync
from lipsound2.inference.synthesize import GeneratorFactory
from lipsound2.metrics import estoi, estoi_aligned, stoi_aligned
from lipsound2.metrics.aligned_scorer import aligned, scorer
from lipsound2.metrics.requested import Request
from lipsound2.tasks import load_config
from lipsound2.training.train import train
from lipsound2.video.encode import encode

sys.path.insert(0, str(ROOT / "egs/grid/local"))
import ceiling

RATE, MEL = 16_000, MELS["fine"]


def moving(rows: int = 120, dims: int = 20, seed: int = 0) -> np.ndarray:
    """(rows, dims) float64 something that moves as slowly as speech."""
    noise = np.random.default_rng(seed).standard_normal((rows + 8, dims))
    return np.stack([noise[k : k + rows] for k in range(8)]).mean(0)


@pytest.mark.parametrize("late", [-7, -1, 0, 4, 10])
def test_a_lag_is_found(late):
    """Of rows that one has and the other not nothing is needed, and a constant or a scale changes nothing."""
    whole = moving(160)
    features, other = whole[20 - late : 120 - late], whole[20:120]
    found = lag(3 * features + 5, other + 1, 11)
    assert found.rows == pytest.approx(late, abs=0.05)
    assert found.correlation == pytest.approx(1, abs=1e-9)
    assert found.inside


def test_a_lag_between_rows_is_found():
    """Of a sine every tenth of a row is told."""
    time = np.arange(100)[:, None] + np.arange(5) * 2
    for late in (-2.7, -0.4, 0.1, 1.5):
        assert lag(np.sin((time - late) / 5), np.sin(time / 5), 10).rows == pytest.approx(late, abs=0.05)


def test_what_has_no_lag():
    """What lies beyond the largest shift is marked; where nothing moves, or nothing is, the lag is 0."""
    whole = moving(160)
    assert not lag(whole[:100], whole[20:120], 5).inside
    for features in (np.ones((50, 4)), np.zeros((0, 4)), np.ones((2, 4))):
        assert lag(features, features, 5)[::2] == (0, False)
    assert lag(moving(100), moving(100, seed=1), 5).correlation < 0.5


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Three clips, a model that was trained on them for an epoch, and recordings that lag what it generates."""
    folder = tmp_path_factory.mktemp("offsets")
    data = write_dump(folder)
    small = {"width": 16, "layers": 1, "mel_width": 16, "mel_layers": 1, "heads": 2, "trunk_widths": [4, 4]}
    few = {
        "valid_clips": 1,
        "valid_iterations": 1,
        "max_epochs": 1,
        "batch_size": 2,
        "workers": 0,
        "tensorboard": False,
    }
    config = read_yaml(ROOT / "egs/mini/conf/mini.yaml") | small | few | {"word_loss_weight": 1.0}
    write_yaml(folder / "c.yaml", config)
    assert train(folder / "c.yaml", train=data.path, valid=data.path, dump=folder, exp=folder / "exp") == 0
    made = GeneratorFactory(folder / "exp", folder, 0)()(list(data.ids)).mels
    recorded = {name: np.roll(mel, rows, axis=0) for (name, mel), rows in zip(made.items(), (3, -2, 0), strict=True)}
    recorded["s1-c"] = moving(len(made["s1-c"]), 80)  # nothing that was said
    write_kind(
        folder / "mel-fine",
        {name: mel.astype(np.float32) for name, mel in recorded.items()},
        {name: len(mel) for name, mel in recorded.items()},
        to_mapping(MEL),
    )
    return folder


def test_the_verb_finds_the_offset_of_every_clip(corpus, capsys, caplog):
    sync(corpus / "exp", corpus / "data", corpus, nj=1)
    found = Archive(corpus / AV_OFFSET)
    assert found["s1-a"][0] == pytest.approx((0.03, 1), abs=2e-3)
    assert found["s1-b"][0] == pytest.approx((-0.02, 1), abs=2e-3)
    assert found["s1-c"][0][0] == 0
    told = capsys.readouterr().out
    assert "3 clips; the audio lags the video by 3 ms in the mean, standard deviation 21" in told
    assert "; 1 of 3 clips fits no shift: its offset is set to 0\n" in told
    assert "exp does not know these clips well" in caplog.text
    with caplog.at_level("INFO"):
        sync(corpus / "exp", corpus / "data", corpus, nj=1)
    assert "is there already: skipped" in caplog.text
    sync(corpus / "exp", corpus / "data", corpus, nj=1, max_offset=0.02)
    assert abs(Archive(corpus / AV_OFFSET)["s1-a"][0][0]) < 0.02


def test_a_training_takes_them_out_of_targets_and_words(corpus, tmp_path):
    """Feature and word of a moment of the video come from when it is heard; validation clips stay as they are."""
    data, dump = DataDir(corpus / "data"), tmp_path / "dump"
    shutil.copytree(corpus, dump)
    write_kind(
        dump / AV_OFFSET,
        {name: np.array([[late, 1]], np.float32) for name, late in (("s1-a", 0.12), ("s1-b", -0.04), ("s1-c", 0))},
        dict.fromkeys(("s1-a", "s1-b", "s1-c"), 1),
        {},
    )
    write_yaml(tmp_path / "c.yaml", read_yaml(corpus / "c.yaml") | {"correct_av_offset": True})
    corrected, validation, _ = load_config(tmp_path / "c.yaml").task.prepare(data, data, dump)
    plain, *_ = load_config(corpus / "c.yaml").task.prepare(data, data, dump)
    for index, (rows, frames) in enumerate(((12, 3), (-4, -1), (0, 0))):
        found, was, kept = (dataset.get(index, None) for dataset in (corrected, plain, validation))
        middle = np.arange(20, len(was.target) - 20)
        assert np.array_equal(found.target[middle], was.target[middle + rows])
        assert len(found.target) == len(was.target)
        assert np.array_equal(found.words[3:-3], was.words[3 + frames : len(was.words) - 3 + frames])
        assert np.array_equal(kept.target, was.target)
        assert np.array_equal(kept.words, was.words)
    assert np.array_equal(corrected.get(0, None).target[-13:], np.repeat(plain.get(0, None).target[-1:], 13, axis=0))


def test_the_ceiling_of_estoi_is_printed(corpus, tmp_path, monkeypatch, capsys):
    """What could be said of longer clips: the recording itself has 1, less the later it comes; what is known of time
    and noise is taken out of it."""
    clips = synthetic_clips(2)
    data, names = tmp_path / "data", list(clips)
    words = dict.fromkeys(names, "0.2 1.0 bin 1.0 1.8 blue")
    DataDir.write(data, utt2spk={name: name[:2] for name in names}, word_times=words)
    kinds = {
        "audio": {name: encode_flac(clip.waveform) for name, clip in clips.items()},
        "mouth": {name: encode(clip.crops[:, 8:104, 8:104]) for name, clip in clips.items()},
        "mel-fine": {name: mel_spectrogram(torch.from_numpy(clips[name].waveform), MEL).numpy() for name in names},
        AV_OFFSET: {name: np.array([[0.02, 0.9]], np.float32) for name in names},
    }
    for kind, entries in kinds.items():
        write_kind(tmp_path / "dump" / kind, entries, dict.fromkeys(names, 50), to_mapping(MEL))
    command = ["ceiling.py", str(data), str(tmp_path / "dump"), "--model", str(corpus / "exp")]
    monkeypatch.setattr(sys, "argv", command)
    ceiling.main()
    rows = [re.findall(r"[^|]+", line) for line in capsys.readouterr().out.splitlines()[2:]]
    plain, moved = ({row[0].strip(): float(row[k].split()[0]) for row in rows} for k in (1, 2))
    assert len(plain) == 9
    assert plain["recording"] == moved["recording"] == 1
    assert plain["recording"] > plain["recording, 10 ms later"] > plain["recording, 40 ms later"]
    assert plain["recording, offset taken out"] < 0.9 < moved["recording, offset taken out"]
    assert plain[ceiling.GENERATED] < plain[ceiling.WORDS] < 1


def test_offsets_that_are_not_there_are_one_line(corpus, tmp_path, monkeypatch, capsys):
    data, dump = DataDir(corpus / "data"), tmp_path / "dump"
    shutil.copytree(corpus, dump, ignore=shutil.ignore_patterns(AV_OFFSET))
    write_yaml(tmp_path / "c.yaml", read_yaml(corpus / "c.yaml") | {"correct_av_offset": True})
    with pytest.raises(
        LipsoundError, match=r"no offsets between audio and video there; run: lipsound2 sync MODEL .*data .*dump"
    ):
        load_config(tmp_path / "c.yaml").task.prepare(data, data, dump)
    other = DataDir.write(tmp_path / "other", utt2spk={"s1-z": "s1"})
    with pytest.raises(LipsoundError, match=r"none of its clips is in .*; run stages 1 and 2 on it"):
        sync(corpus / "exp", other.path, corpus)
    monkeypatch.setattr(sys, "argv", ["ceiling.py", str(data.path), str(dump)])
    assert ceiling.main() == 1
    assert str(dump / AV_OFFSET) in capsys.readouterr().err
    with pytest.raises(LipsoundError, match="grid-s1-asr"):
        sync("grid-s1-asr", corpus / "data", corpus)


def with_offsets(corpus: Path, place: Path, offsets: dict[str, np.ndarray]) -> Path:
    """A copy of the dump with other offsets, and beside it a config that takes them out."""
    shutil.copytree(corpus, place / "dump")
    write_kind(place / "dump" / AV_OFFSET, offsets, dict.fromkeys(offsets, 1), {})
    write_yaml(place / "c.yaml", read_yaml(corpus / "c.yaml") | {"correct_av_offset": True})
    return place / "dump"


GOOD = {name: np.array([[0.02, 0.9]], np.float32) for name in ("s1-a", "s1-b", "s1-c")}


def test_fault_D2_clips_without_an_offset_are_not_lost_in_silence(corpus, tmp_path, caplog):
    """Those that sync never saw are an error; those that it failed on are left out, as everywhere, and told."""
    dump = with_offsets(corpus, tmp_path, {"s1-a": GOOD["s1-a"], "s1-b": GOOD["s1-b"]})
    data, task = DataDir(corpus / "data"), load_config(tmp_path / "c.yaml").task
    with pytest.raises(LipsoundError, match=r"expected the offsets of 3 clips of .*, found none of 1 of them, 's1-c' "):
        task.prepare(data, data, dump)
    (dump / "failures.tsv").write_text("s1-c\tav_offset\tnonfinite\tmel-fine\n", encoding="utf-8")
    with caplog.at_level("INFO"):
        training, validation, _ = task.prepare(data, data, dump)
    assert (list(training.ids), len(validation.ids)) == (["s1-a", "s1-b"], 3)
    assert f"1 of 3 clips are not in {dump}: left out" in caplog.text


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (np.array([[np.nan, 0.9]]), "nan seconds"),
        (np.array([[-np.inf, 0.9]]), "-inf seconds"),
        (np.array([[5, 0.9]]), "5 seconds"),
        (np.zeros((1, 1)), r"an entry \(1, 1\)"),
        (np.zeros((0, 2)), r"an entry \(0, 2\)"),
        (np.zeros(2), r"an entry \(2,\)"),
    ],
)
def test_fault_D2_an_offset_that_is_none_is_told_before_training(corpus, tmp_path, entry, found):
    dump = with_offsets(corpus, tmp_path, GOOD | {"s1-b": entry.astype(np.float32)})
    data, task = DataDir(corpus / "data"), load_config(tmp_path / "c.yaml").task
    with pytest.raises(
        LipsoundError, match=rf"'s1-b': expected seconds and correlation.*, found {found}; delete .* run: "
    ):
        task.prepare(data, data, dump)


def test_fault_D2_a_training_does_not_go_on_with_other_offsets(corpus, tmp_path):
    dump = with_offsets(corpus, tmp_path, GOOD)

    def go_on(epochs: int) -> None:
        sets = {"train": corpus / "data", "valid": corpus / "data"}
        train(tmp_path / "c.yaml", **sets, dump=dump, exp=tmp_path / "exp", override=f"max_epochs: {epochs}")

    go_on(1)
    write_kind(dump / AV_OFFSET, GOOD | {"s1-b": np.zeros((1, 2), np.float32)}, dict.fromkeys(GOOD, 1), {})
    with pytest.raises(LipsoundError, match="begun on other clips, or with other offsets"):
        go_on(2)
    write_kind(dump / AV_OFFSET, GOOD, dict.fromkeys(GOOD, 1), {})
    go_on(2)


def test_sync_tells_what_it_leaves_out_and_removes(corpus, tmp_path, caplog):
    """Clips without crops, offsets of other sets, a mel that is broken."""
    dump = with_offsets(corpus, tmp_path, {"s2-a": GOOD["s1-a"], "s1-a": GOOD["s1-a"]})
    data = DataDir.write(tmp_path / "more", utt2spk={"s1-a": "s1", "s1-b": "s1", "s1-z": "s1"})
    mels = {name: Archive(dump / "mel-fine")[name] for name in ("s1-a", "s1-b", "s1-c")}
    mels["s1-b"][3] = np.nan
    write_kind(dump / "mel-fine", mels, {name: len(mel) for name, mel in mels.items()}, to_mapping(MEL))
    with caplog.at_level("INFO"):
        sync(corpus / "exp", data.path, dump, nj=1, max_failures=0.5)
    assert "1 of 3 clips are not in " in caplog.text
    assert f"{dump / AV_OFFSET}: 1 clips are not in {data.path} and are removed, 's2-a' first; " in caplog.text
    assert list(Archive(dump / AV_OFFSET).ids) == ["s1-a"]
    assert "s1-b\tav_offset\tnonfinite\t" in (dump / "failures.tsv").read_text(encoding="utf-8")


def test_sync_refuses_another_mel(corpus, tmp_path):
    dump = with_offsets(corpus, tmp_path, GOOD)
    write_yaml(dump / "mel-fine" / "kind.yaml", to_mapping(MEL) | {"hop": 256})
    with pytest.raises(LipsoundError, match=r"mel-fine was made for another mel than 'fine': hop is 256, wanted 160"):
        sync(corpus / "exp", corpus / "data", dump)


def test_the_ceiling_says_which_clips_have_no_offset(corpus, tmp_path, monkeypatch, capsys):
    dump = with_offsets(corpus, tmp_path, {"s1-a": GOOD["s1-a"]})
    monkeypatch.setattr(sys, "argv", ["ceiling.py", str(corpus / "data"), str(dump)])
    assert ceiling.main() == 1
    assert "expected the offsets of 3 clips of " in capsys.readouterr().err


def test_time_aligned_scores_allow_for_an_offset_alone(grid):
    """A recording that comes 40 ms late, or early, is told as itself; one of another sentence is not."""
    first, second = (load_audio(grid / f"s1/{name}.mp4") for name in ("bbaf3s", "bbaf4p"))
    for samples in (-640, -100, 0, 333, 640):
        moved = np.roll(first, samples)
        assert estoi_aligned(first, moved) > 0.93
        assert stoi_aligned(first, moved) > 0.95
        assert aligned(moved.astype(np.float64), first.astype(np.float64)).shape == first.shape
    assert estoi(first, np.roll(first, 640)) < 0.3
    assert estoi_aligned(first, np.roll(first, 4000)) < 0.3  # a quarter of a second is no offset
    assert estoi_aligned(first, second[: len(first)]) < 0.4


def test_what_cannot_be_aligned_is_told():
    with pytest.raises(ClipFailure, match="too-short"):
        scorer(Request("aligned"))("clip", np.ones(100), np.ones(100))


def test_an_offset_of_a_real_clip_is_found(grid):
    """The audio of a clip, 40 ms later than it was, has an offset 40 ms larger."""
    clip = grid / "s1/bbaf3s.mp4"
    generated = lipsound2.load("grid-s1-parallel")(clip).mel
    waveform = load_audio(clip)
    found = [
        lag(mel_spectrogram(torch.from_numpy(np.roll(waveform, samples)), MEL).numpy(), generated, 10)
        for samples in (0, 640)
    ]
    assert all(each.inside and each.correlation > 0.85 for each in found)
    assert found[1].rows - found[0].rows == pytest.approx(4, abs=0.3)
    assert load("grid-s1-parallel").assets.mel == MEL
