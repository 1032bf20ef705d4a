"""The verb `targets`: features by name, one vector a video frame, normalized, dumped once, and the choice recorded."""

from __future__ import annotations

import logging
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.audio_dump import tone, write_audio
from safetensors.torch import save_file
from torch import Tensor

from lipsound2.audio.acoustics import cepstrum, deltas
from lipsound2.audio.io import decode_flac
from lipsound2.audio.mel import MELS, mel_spectrogram
from lipsound2.audio.statistics import statistics
from lipsound2.config import to_mapping
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.data.yaml_files import write_yaml
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.features.representations import random_encoder, representation
from lipsound2.features.targets import targets
from lipsound2.jobs.jobs import read_failures
from lipsound2.model_names import CONFIG, WEIGHTS
from lipsound2.models.pase.pase import PaseEncoderConfig
from lipsound2.models.pase.workers import Pase, PaseWorkersConfig
from lipsound2.old_names import NORMALIZED_ON

LENGTHS = {"s1-a": 25 * 640, "s1-b": 12 * 640 + 100, "s1-c": 40 * 640}


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    """Three clips; the second is a little longer than its video frames."""
    audio = {name: tone(length, 90 + 50 * n, n) for n, (name, length) in enumerate(LENGTHS.items())}
    return write_audio(tmp_path / "dump", audio)


def natural(dump: Path, kind: str, name: str) -> np.ndarray:
    """A clip's targets before they were normalized."""
    archive = Archive(dump / kind)
    return archive[name] * np.asarray(archive.meta["std"]) + np.asarray(archive.meta["mean"])


def per_frame(features: np.ndarray) -> np.ndarray:
    return features[: len(features) // 4 * 4].reshape(-1, 4, features.shape[1]).mean(1)


def test_logmel_is_the_mean_of_four_frames_normalized(data, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    dump = tmp_path / "dump"
    targets(data.path, dump, target="logmel", nj=1)
    found = Archive(dump / "targets-logmel")
    assert found.num_frames() == {"s1-a": 25, "s1-b": 12, "s1-c": 40}
    for name in LENGTHS:
        waveform = torch.from_numpy(decode_flac(Archive(dump / "audio")[name]))
        whole = waveform[: len(waveform) // 640 * 640]
        wanted = per_frame(mel_spectrogram(whole, MELS["fine"]).numpy())
        np.testing.assert_allclose(natural(dump, "targets-logmel", name), wanted, atol=1e-4)
    every = np.concatenate([found[name] for name in LENGTHS])
    np.testing.assert_allclose(every.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(every.std(0), 1, atol=1e-3)
    mean, std = statistics(dump / "targets-logmel", LENGTHS)
    np.testing.assert_allclose(mean, 0, atol=1e-4)
    np.testing.assert_allclose(std, 1, atol=1e-3)
    meta = found.meta
    assert (meta["target"], meta["dims"], meta["rate"]) == ("logmel", 80, 25)
    assert meta[NORMALIZED_ON] == "3 clips of data"
    targets(data.path, dump, target="logmel", nj=1)
    assert f"{dump / 'targets-logmel'} is there already: skipped" in caplog.text
    assert "removed" not in caplog.text
    few = data.subset(["s1-b"], tmp_path / "few").path
    targets(few, dump, target="logmel", nj=1)
    assert f"{dump / 'targets-logmel'}: 2 clips are not in {few} and are removed, 's1-a' first; " in caplog.text


def test_mfcc_has_its_slopes():
    waveform = tone(6400, 120)
    wanted = per_frame(deltas(cepstrum(torch.from_numpy(waveform)[None], 400, 13))[0].numpy())
    found = representation("mfcc")(waveform)
    assert found.shape == (10, 39)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_they_are_normalized_on_the_training_set(data, tmp_path):
    """Of which as many clips are looked at as one says; a byte a value is enough for a target."""
    data.subset(["s1-a", "s1-c"], tmp_path / "train")
    dump = tmp_path / "dump"
    options = {"train": tmp_path / "train", "surveyed": 1, "name": "mine", "compress": True}
    targets(data.path, dump, target="mfcc", nj=1, **options)
    found = Archive(dump / "targets-mine")
    assert found.meta[NORMALIZED_ON] == "1 clips of train"
    np.testing.assert_allclose(found["s1-a"].mean(0), 0, atol=0.05)
    np.testing.assert_allclose(found["s1-a"].std(0), 1, atol=0.05)
    assert abs(found["s1-b"].mean(0)).max() > 0.5
    assert (dump / "targets-mine" / "feats.scp").read_text().count("\n") == 3


def test_pase_of_an_experiment_and_the_control(data, tmp_path):
    torch.manual_seed(1)
    network = PaseEncoderConfig(channels=(4, 4, 4, 4, 8, 8, 8, 8), units=8, dims=6)
    model = Pase(network, PaseWorkersConfig(predict=())).eval()
    exp = tmp_path / "my pase"
    write_yaml(exp / CONFIG, {"task": "pase", "predict": [], **to_mapping(network)})
    save_file(model.state_dict(), exp / WEIGHTS)
    dump = tmp_path / "dump"
    targets(data.path, dump, target=f"pase:{exp}", nj=1)
    meta = Archive(dump / "targets-pase").meta
    assert meta["target"] == "pase:my pase"
    assert len(meta["weights"]) == 64
    assert str(tmp_path) not in (dump / "targets-pase" / "kind.yaml").read_text()
    waveform = torch.from_numpy(decode_flac(Archive(dump / "audio")["s1-c"]))
    with torch.inference_mode():
        wanted = per_frame(model.encoder(waveform[None, None])[0].T.numpy())
    np.testing.assert_allclose(natural(dump, "targets-pase", "s1-c"), wanted, atol=1e-4)


def test_the_control_is_the_same_every_time():
    control = representation("pase:random")
    assert control.name == "pase:random"
    first = control(tone(6400, 120))
    assert first.shape == (10, 256)
    np.testing.assert_array_equal(representation("pase:random")(tone(6400, 120)), first)
    assert first.std(0).min() > 1e-3  # no dimension stands still


def test_the_control_leaves_others_their_chance():
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    random_encoder()
    assert torch.equal(torch.rand(1), wanted)


class Transformer(torch.nn.Module):
    """A stand-in with the interface and the framing of torchaudio's wav2vec 2.0: the mean of each window."""

    def extract_features(self, waveform: Tensor, num_layers: int | None = None) -> tuple[list[Tensor], None]:
        frames = waveform.unfold(1, 400, 320).mean(2, keepdim=True)
        return [layer * frames.expand(-1, -1, 3) for layer in range(1, (num_layers or 12) + 1)], None


def test_bundles_are_averaged_over_each_frame(monkeypatch):
    bundle = types.SimpleNamespace(sample_rate=16000, get_model=Transformer)
    slow = types.SimpleNamespace(sample_rate=8000, get_model=Transformer)
    broken = types.SimpleNamespace(sample_rate=16000, get_model=Path("/nowhere/weights.pt").read_bytes)
    module = types.ModuleType("torchaudio")
    module.pipelines = types.SimpleNamespace(HUBERT_BASE=bundle, HUBERT_SLOW=slow, HUBERT_BROKEN=broken)
    monkeypatch.setitem(sys.modules, "torchaudio", module)
    waveform = np.arange(30 * 640, dtype=np.float32) / (30 * 640)
    found = representation("hubert:HUBERT_BASE:4")(waveform)
    assert found.shape == (30, 3)
    middles = (np.arange(30) * 640 + 319.5) / (30 * 640)  # a ramp tells the time at which a vector looks
    np.testing.assert_allclose(found[1:-1, 0], 4 * middles[1:-1], rtol=1e-4)
    np.testing.assert_allclose(representation("hubert:HUBERT_BASE")(waveform), 3 * found, rtol=1e-6)
    for name, message in (
        ("hubert:HUBERT_HUGE", "no such bundle; one of HUBERT_BASE, HUBERT_BROKEN, HUBERT_SLOW"),
        ("wav2vec2:HUBERT_BASE", "no such bundle"),
        ("hubert:HUBERT_BASE:last", "expected the number of a layer after the bundle, found 'last'"),
        ("hubert:HUBERT_SLOW", "takes 8000 samples a second"),
        ("hubert:HUBERT_BROKEN", r"weights cannot be downloaded .*offline, copy them from \$TORCH_HOME"),
    ):
        with pytest.raises(LipsoundError, match=message):
            representation(name)


def test_a_torchaudio_beside_a_cpu_build_of_torch_is_reported_what_it_wants(monkeypatch):
    def load(name: str) -> None:
        raise OSError("libcudart.so.13: cannot open shared object file: No such file or directory")

    monkeypatch.setattr("lipsound2.errors.importlib.import_module", load)
    with pytest.raises(LipsoundError, match=r"libcudart.*it is installed, but .*tools/torchaudio_check.sh") as caught:
        representation("wavlm:WAVLM_BASE")
    assert "--extras" not in str(caught.value)


def test_a_torchaudio_that_cannot_be_loaded_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    with pytest.raises(LipsoundError, match=r"the package 'torchaudio' cannot be imported .*--extras torchaudio"):
        representation("wav2vec2:WAV2VEC2_BASE")


def test_clips_that_cannot_be_used_get_a_verdict(tmp_path):
    audio = {"s1-a": tone(6400, 120), "s1-b": np.zeros(0, np.float32), "s1-c": tone(639, 120), "s1-d": tone(640, 120)}
    data = write_audio(tmp_path / "dump", audio)
    targets(data.path, tmp_path / "dump", target="pase:random", nj=1, max_failures=0.5)
    assert Archive(tmp_path / "dump" / "targets-pase-random").num_frames() == {"s1-a": 10, "s1-d": 1}
    verdicts = {(name, reason) for name, step, reason, _ in read_failures(tmp_path / "dump") if "targets" in step}
    assert verdicts == {("s1-b", "unreadable"), ("s1-c", "too-short")}


def test_audio_that_is_no_number_is_reported():
    waveform = tone(6400, 120)
    waveform[7] = np.nan
    for name in ("logmel", "mfcc", "pase:random"):
        with pytest.raises(ClipFailure, match="not-finite: 1 samples are no numbers"):
            representation(name)(waveform)
        with pytest.raises(ClipFailure, match="too-short: 0 samples of audio, at least 640 wanted"):
            representation(name)(waveform[:0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "melody"}, "--target melody: no such features; one of logmel, mfcc, pase:"),
        ({"target": "logmel:3"}, "--target logmel:3: expected 'logmel' alone"),
        ({"target": "pase"}, "--target pase: expected 'pase:EXP'"),
        ({"target": "pase:/nowhere"}, "/nowhere: no experiment or pack"),
        ({"target": "pase:grid-s1-parallel"}, "is of the task 'regress', wanted one of 'pase'"),
        ({"target": "logmel", "name": "a/b"}, "--name a/b: cannot name a folder: it has a '/'"),
        ({"target": "logmel", "surveyed": 0}, "--surveyed: expected 1 or more clips, found 0"),
    ],
)
def test_wrong_use_is_one_line(data, tmp_path, options, message):
    with pytest.raises(LipsoundError, match=message):
        targets(data.path, tmp_path / "dump", nj=1, **options)


def test_clips_without_audio_are_reported(data, tmp_path):
    DataDir.write(tmp_path / "others", utt2spk={"s9-x": "s9"})
    with pytest.raises(LipsoundError, match=r"none of its 1 clips has audio in .*run: lipsound2 mel"):
        targets(tmp_path / "others", tmp_path / "dump", target="logmel", nj=1)


def test_fault_A10_silence_is_no_target(data: DataDir, tmp_path: Path) -> None:
    audio = {name: tone(length, 90, 1) * (name != "s1-c") for name, length in LENGTHS.items()}
    write_audio(tmp_path / "dump", audio)
    targets(data.path, tmp_path / "dump", target="logmel", nj=1, max_failures=0.5)
    assert list(Archive(tmp_path / "dump" / "targets-logmel").ids) == ["s1-a", "s1-b"]
    assert ("s1-c", "targets-logmel", "silent", "1.60 s of zeros") in read_failures(tmp_path / "dump")
