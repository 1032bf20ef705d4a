"""PASE+: the published network written out plainly, its converter, the features its workers find, and its training."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import torch
from helpers.audio_dump import tone, write_audio
from helpers.plain_pase import plain, published_weights
from torch import Tensor

from lipsound2 import experiment
from lipsound2.audio.acoustics import FEATURES, acoustic, cepstrum, deltas, dimensions, filter_bank, gammatone, prosody
from lipsound2.audio.augment import AudioAugmentConfig, augment, in_room, scale, with_noise
from lipsound2.data.datadir import DataDir
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.datasets.audio_chunks import AudioChunks, Chunk
from lipsound2.errors import LipsoundError
from lipsound2.models.pase.pase import SHORTEST, PaseEncoder, PaseEncoderConfig
from lipsound2.models.pase.qrnn import recurrence
from lipsound2.models.pase.workers import PaseWorkersConfig
from lipsound2.published.pase import convert_pase
from lipsound2.tasks import load_config
from lipsound2.tasks.pase import PaseTask
from lipsound2.training.train import train

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "egs/grid/conf/pase.yaml"
SMALL = {
    "channels": [4, 4, 4, 4, 8, 8, 8, 8],
    "units": 8,
    "dims": 6,
    "worker_width": 8,
    "decoder_channels": [4, 4, 4],
    "max_epochs": 2,
    "batch_frames": 50,
    "warmup": 1,
    "precision": "fp32",
    "tensorboard": False,
}


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """Random tensors under the names and in the shapes of the published encoder."""
    return published_weights()


def tiny(folder: Path, **changes: object) -> Path:
    """The recipe's config, smaller, with changes."""
    write_yaml(folder / "c.yaml", read_yaml(CONFIG) | SMALL | changes)
    return folder / "c.yaml"


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    """Three clips: two seconds, two seconds, half a second."""
    audio = {f"s1-{n}": tone(length, 100 + 40 * n, n) for n, length in enumerate((32000, 32000, 8000))}
    return write_audio(tmp_path / "dump", audio)


# The encoder


def test_shape_and_size():
    encoder = PaseEncoder(PaseEncoderConfig()).eval()
    with torch.inference_mode():
        assert encoder(torch.zeros(1, 1, 100_000)).shape == (1, 256, 625)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 7_832_896


@pytest.mark.parametrize("blocks", [1, 3, 7])
def test_recurrence_is_the_plain_loop(blocks):
    torch.manual_seed(0)
    keep = torch.rand(2, 23, 3, dtype=torch.float64, requires_grad=True)
    new = torch.randn(2, 23, 3, dtype=torch.float64, requires_grad=True)
    state, states = torch.zeros(2, 3, dtype=torch.float64), []
    for step in range(23):
        state = keep[:, step] * state + new[:, step]
        states.append(state)
    torch.testing.assert_close(recurrence(keep, new, blocks), torch.stack(states, 1), rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda k, n: recurrence(k, n, blocks), (keep, new))


def test_published_weights_give_what_the_published_code_gives(published, tmp_path):
    """Through the converter, the experiment, the Fourier transform and the turned order of pooling and projection."""
    torch.save(published, tmp_path / "FE_e199.ckpt")
    convert_pase(tmp_path / "FE_e199.ckpt", tmp_path / "pase")
    loaded = experiment.load(tmp_path / "pase", task=PaseTask)
    assert "FE_e199.ckpt" in loaded.knows
    assert str(tmp_path) not in (tmp_path / "pase" / "card.md").read_text()
    audio = torch.from_numpy(np.stack([tone(16000, 120), tone(16000, 210, 1)]))[:, None]
    with torch.inference_mode():
        for length in (16000, 4001, SHORTEST):  # several blocks of Fourier transforms, and less than one
            torch.testing.assert_close(
                loaded.model.encoder(audio[..., :length]), plain(published, audio[..., :length]), rtol=0, atol=5e-5
            )
        alone = loaded.model.encoder(audio[:1])
        torch.testing.assert_close(loaded.model.encoder(audio)[:1], alone, rtol=0, atol=1e-5)


def test_audio_shorter_than_the_kernels_are_refused():
    encoder = PaseEncoder(PaseEncoderConfig()).eval()
    for samples in (0, 1, SHORTEST - 1):
        with pytest.raises(LipsoundError, match=f"audio of {samples} samples is too short for PASE"):
            encoder(torch.zeros(1, 1, samples))
    with pytest.raises(LipsoundError, match="channels: expected 8 numbers"):
        PaseEncoderConfig(channels=(64, 64))


# The converter


def test_other_ways_the_same_weights_are_kept(published, tmp_path):
    """Inside `state_dict`, and without the counters that old versions of torch did not have."""
    old = {name: tensor for name, tensor in published.items() if not name.endswith("num_batches_tracked")}
    torch.save({"state_dict": old, "step": 3}, tmp_path / "a.ckpt")
    convert_pase(tmp_path / "a.ckpt", tmp_path / "pase")
    convert_pase(tmp_path / "a.ckpt", tmp_path / "pase")  # over itself
    assert torch.equal(experiment.load(tmp_path / "pase").model.encoder.norm.running_mean, old["norm_out.running_mean"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W.weight": torch.zeros(100, 512, 1)}, r"'W.weight' has the shape \[100, 512, 1\], not \[256, 512, 1\]"),
        ({"W.weight": None}, r"lacks 1 tensors \(first: 'project.weight'\)"),
        ({"quantizer.emb.weight": torch.zeros(2)}, "nothing here uses the tensor 'quantizer.emb.weight'"),
        ({"W.bias": torch.full((256,), math.nan)}, "'W.bias' holds values that are no numbers"),
        ({"W.bias": torch.zeros(256, dtype=torch.int64)}, "'W.bias' is of torch.int64, not torch.float32"),
    ],
)
def test_other_weights_are_refused(published, tmp_path, change, message):
    state = {name: tensor for name, tensor in (published | change).items() if tensor is not None}
    torch.save(state, tmp_path / "a.ckpt")
    with pytest.raises(LipsoundError, match=message):
        convert_pase(tmp_path / "a.ckpt", tmp_path / "pase")
    assert not (tmp_path / "pase").exists()


class Bomb:
    """What a hostile file would hold: unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_file_that_would_run_code_is_refused_unrun(tmp_path, how):
    if how == "torch":
        torch.save({"W.weight": Bomb(tmp_path / "boom")}, tmp_path / "a.ckpt")
    else:
        (tmp_path / "a.ckpt").write_bytes(pickle.dumps({"W.weight": Bomb(tmp_path / "boom")}, protocol=2))
    with pytest.raises(LipsoundError, match=r"so it is refused: it names '.*', which is code; nothing in it was run"):
        convert_pase(tmp_path / "a.ckpt", tmp_path / "pase")
    assert not (tmp_path / "boom").exists()


def test_what_is_no_file_of_weights_is_refused(published, tmp_path):
    for content, message in ((b"", "a.ckpt"), (b"some text\n", "a.ckpt"), (b"PK\3\4 torn", "a.ckpt")):
        (tmp_path / "a.ckpt").write_bytes(content)
        with pytest.raises(LipsoundError, match=message):
            convert_pase(tmp_path / "a.ckpt", tmp_path / "pase")
    torch.save([torch.zeros(2)], tmp_path / "a.ckpt")
    with pytest.raises(LipsoundError, match="found list; wanted names with tensors"):
        convert_pase(tmp_path / "a.ckpt", tmp_path / "pase")
    with pytest.raises(LipsoundError, match=r"cannot read .*nothing.ckpt: No such file"):
        convert_pase(tmp_path / "nothing.ckpt", tmp_path / "pase")
    torch.save(published, tmp_path / "a.ckpt")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(LipsoundError, match="holds other files and is no pack"):
        convert_pase(tmp_path / "a.ckpt", tmp_path / "mine")


# What workers find


def test_acoustic_features_have_their_shapes_and_are_numbers():
    audio = torch.from_numpy(np.stack([tone(16000, 120), np.zeros(16000, np.float32)]))
    for name in FEATURES:
        found = acoustic(name, audio)
        assert found.shape == (2, 100, dimensions(name)), name
        assert torch.isfinite(found).all(), name
        alone = acoustic(name, audio[:1])
        torch.testing.assert_close(found[:1], alone, rtol=0, atol=1e-4, msg=name)


@pytest.mark.parametrize("hertz", [70, 120, 250, 390])
def test_pitch_is_that_of_the_voice(hertz):
    found = prosody(torch.from_numpy(tone(16000, hertz))[None])[0, 5:95]
    assert found[:, 1].mean() > 0.95
    np.testing.assert_allclose(found[:, 0].exp(), hertz, rtol=0.02)


def test_pitch_is_interpolated_where_there_is_no_voice():
    low, high, nothing = (torch.from_numpy(x) for x in (tone(8000, 100), tone(8000, 200), np.zeros(8000, np.float32)))
    found = prosody(torch.cat([nothing, low, nothing, high, nothing])[None])[0]
    hertz, voiced = found[:, 0].exp(), found[:, 1]
    assert voiced[60:90].all()
    assert voiced[160:190].all()
    assert not voiced[5:45].any()
    assert not voiced[110:140].any()
    assert float(hertz[:40].max()) < 110 < float(hertz[225])
    assert bool((found[110:140, 0].diff() > 0).all())  # on the way from 100 to 200 Hz
    assert found[70, 2] > found[120, 2] + 5  # louder by far
    np.testing.assert_allclose(prosody(torch.zeros(1, 8000))[0, :, 0].exp(), 120, rtol=1e-5)


def test_slopes_are_those_of_lines():
    line = torch.arange(20.0)[None, :, None] * torch.tensor([2.0, -3.0])
    found = deltas(line)
    assert found.shape == (1, 20, 6)
    torch.testing.assert_close(found[0, 2:-2, 2:4], torch.tensor([2.0, -3.0]).expand(16, 2))
    torch.testing.assert_close(found[0, 4:-4, 4:], torch.zeros(12, 2))


def test_cepstra_are_the_cosine_transform_of_the_bands():
    waveform = torch.from_numpy(tone(8000, 120))[None]
    wanted = scipy.fft.dct(filter_bank(waveform, 400)[0].numpy(), norm="ortho")[:, :13]
    np.testing.assert_allclose(cepstrum(waveform, 400, 13)[0], wanted, atol=2e-4)


def test_gammatone_bands_rise_with_the_tone():
    times = torch.arange(8000) / 16000
    highest = [
        int(gammatone(0.1 * torch.sin(2 * math.pi * hertz * times)[None], 400)[0].mean(0).argmax())
        for hertz in (200, 500, 1000, 2000, 4000)
    ]
    assert highest == sorted(set(highest))
    rate = [21.4 * math.log10(1 + 0.00437 * hertz) for hertz in (50, 1000, 8000)]
    assert highest[2] == pytest.approx(41 * (rate[1] - rate[0]) / (rate[2] - rate[0]) - 1, abs=1)


def test_distortions_do_what_they_say():
    waveform, rng = tone(16000, 120), np.random.default_rng(0)
    noise = with_noise(waveform, 6.0, rng) - waveform
    assert 10 * np.log10(np.square(waveform).mean() / np.square(noise).mean()) == pytest.approx(6, abs=0.05)
    heard = in_room(waveform, rng)
    assert np.square(heard).sum() == pytest.approx(np.square(waveform).sum(), rel=1e-3)
    assert not np.allclose(heard, waveform, atol=1e-3)
    assert np.abs(scale(waveform, None)).max() == pytest.approx(0.5)
    assert 0 < np.abs(scale(waveform, rng)).max() <= 1
    silence = np.zeros(16000, np.float32)
    assert not scale(silence, rng).any()
    assert np.isfinite(augment(silence, AudioAugmentConfig(reverberation=1, noise=1), rng)).all()
    assert augment(waveform, AudioAugmentConfig(reverberation=0, noise=0), rng) is waveform
    with pytest.raises(LipsoundError, match="noise: expected a share from 0 to 1, found 3"):
        AudioAugmentConfig(noise=3)
    with pytest.raises(LipsoundError, match="noise_snr: expected two numbers"):
        AudioAugmentConfig(noise_snr=(10, 0))


# Training


def test_the_recipe_takes_an_update(data, tmp_path):
    """All of the recipe's workers; every parameter learns, the edges of the sinc filters too."""
    task = load_config(CONFIG, "channels: [4, 4, 4, 4, 8, 8, 8, 8], units: 8, dims: 6").task
    training, _, assets = task.prepare(data, data, tmp_path / "dump")
    torch.manual_seed(0)
    model = task.build(assets).train()
    batch = task.collate([training.get(index, np.random.default_rng(index)) for index in range(3)])
    assert batch.num_frames == 75
    loss = task.loss(model, batch, assets, 0.5)
    assert set(loss.parts) == {*FEATURES, "waveform", "local", "global"}
    assert loss.weight == batch.num_frames
    (loss.total / loss.weight).backward()
    # A last PReLU's slope learns only where its input is below zero, which a few units may never be.
    assert all(parameter.grad is not None and torch.isfinite(parameter.grad).all() for parameter in model.parameters())
    assert model.encoder.blocks[0].conv.low.grad.abs().sum() > 0


def test_targets_of_workers_are_normalized(data, tmp_path):
    task = load_config(tiny(tmp_path, predict=["fbank", "prosody"])).task
    training, _, assets = task.prepare(data, data, tmp_path / "dump")
    model = task.build(assets)
    rng = np.random.default_rng(0)
    audio = torch.from_numpy(np.stack([training.get(index, rng)[1] for index in range(3)]))
    for name, worker in model.workers.items():
        found = (acoustic(name, audio) - worker.mean) / worker.std
        np.testing.assert_allclose(found.mean((0, 1)), 0, atol=0.01, err_msg=name)
        changing = worker.std > 1e-4
        np.testing.assert_allclose(found.std((0, 1), correction=0)[changing], 1, atol=0.01, err_msg=name)


def test_samples_depend_on_their_chance_alone(data, tmp_path):
    task = load_config(tiny(tmp_path)).task
    training, checked, _ = task.prepare(data, data, tmp_path / "dump")
    first, again, other = (training.get(0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first[2], again[2])
    assert not np.array_equal(first[2], other[2])
    name, waveform, heard = checked.get(2, None)  # half a second, wanted is one
    assert name == "s1-2"
    assert heard is waveform
    assert len(waveform) == 16000
    np.testing.assert_array_equal(waveform[8000:15999], waveform[7998::-1][:7999])


def test_it_trains_and_the_score_is_minus_the_mean_loss(data, tmp_path):
    config = tiny(tmp_path)
    where = {"train": data.path, "valid": data.path, "dump": tmp_path / "dump", "exp": tmp_path / "exp"}
    assert train(config, **where) == 0
    loaded = experiment.load(tmp_path / "exp", task=PaseTask)
    _, checked, assets = loaded.task.prepare(data, data, tmp_path / "dump")
    with torch.no_grad():
        torch.manual_seed(0)
        found = loaded.task.evaluate(loaded.model, checked, assets, "cpu")
    assert found.score == pytest.approx(-np.mean(list(found.numbers.values())))
    assert set(found.numbers) == {*FEATURES, "waveform", "local", "global"}


def test_workers_learn(data, tmp_path):
    """Two tones are told apart within a few updates, and their bands known better than by their mean, which is 1."""
    clean = {"scale": False, "reverberation": 0.0, "noise": 0.0}
    changes = clean | {"predict": ["fbank", "global", "local"], "dims": 16, "context": 1}
    task = load_config(tiny(tmp_path, **changes)).task
    tones = data.subset(["s1-0", "s1-1"], tmp_path / "tones")
    training, checked, assets = task.prepare(tones, tones, tmp_path / "dump")
    torch.manual_seed(0)
    model = task.build(assets).train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    rng = np.random.default_rng(0)
    for _ in range(50):
        loss = task.loss(model, task.collate([training.get(index, rng) for index in (0, 1)]), assets, 0.0)
        optimizer.zero_grad()
        (loss.total / loss.weight).backward()
        optimizer.step()
    with torch.no_grad():
        found = task.evaluate(model.eval(), checked, assets, "cpu").numbers
    assert found["fbank"] < 0.97  # most of the rest is the noise between the harmonics
    assert max(found["global"], found["local"]) < 0.1 < math.log(2)


class Repeated:
    """The first two clips of a validation set in turn, so many times."""

    def __init__(self, clips: AudioChunks, count: int) -> None:
        self.clips, self.count = clips, count

    def __len__(self) -> int:
        return self.count

    def get(self, index: int, rng: None) -> Chunk:
        return self.clips.get(index % 2, rng)


def test_a_clip_alone_has_no_negative_example(data, tmp_path):
    """In a batch of one, and in an evaluation's last batch of one: a clip is not compared with itself."""
    task = load_config(tiny(tmp_path, predict=["fbank", "local", "global"])).task
    _, checked, assets = task.prepare(data, data, tmp_path / "dump")
    torch.manual_seed(0)
    model = task.build(assets).eval()
    chunk = checked.get(0, None)
    loss = task.loss(model, task.collate([chunk]), assets, 0.0)
    assert set(loss.parts) == {"fbank"}
    assert float(loss.total.detach()) == pytest.approx(loss.weight * loss.parts["fbank"])
    loss.total.backward()
    assert all(parameter.grad is None for parameter in model.workers["local"].parameters())
    with torch.no_grad():
        found, more = (task.evaluate(model, Repeated(checked, count), assets, "cpu").numbers for count in (16, 17))
    assert more["global"] == pytest.approx(found["global"], rel=1e-5)
    assert more["fbank"] == pytest.approx((16 * found["fbank"] + loss.parts["fbank"]) / 17, rel=1e-5)


def test_what_cannot_be_learned_is_one_line(data, tmp_path, caplog):
    with pytest.raises(LipsoundError, match="predict: names no worker"):
        load_config(tiny(tmp_path, predict=[])).task.prepare(data, data, tmp_path / "dump")
    with pytest.raises(LipsoundError, match="predict: 'local' and 'global' have no loss in a batch of one clip"):
        load_config(tiny(tmp_path, predict=["local"])).task.prepare(data, data, tmp_path / "dump")
    with pytest.raises(LipsoundError, match="predict: no worker 'melody'; there are power,"):
        load_config(tiny(tmp_path, predict=["melody"]))
    with pytest.raises(LipsoundError, match="context: expected an odd number"):
        PaseWorkersConfig(context=4)
    with pytest.raises(LipsoundError, match="decoder_channels: expected 3 numbers"):
        PaseWorkersConfig(decoder_channels=(1,))
    with pytest.raises(LipsoundError, match="chunk_frames: expected 4"):
        load_config(tiny(tmp_path, chunk_frames=1))
    DataDir.write(tmp_path / "others", utt2spk={"s9-x": "s9"})
    with pytest.raises(LipsoundError, match=r"none of its 1 clips has audio in .*dump/audio"):
        load_config(tiny(tmp_path)).task.prepare(DataDir(tmp_path / "others"), data, tmp_path / "dump")
    caplog.clear()
    DataDir.write(tmp_path / "more", utt2spk={**data.utt2spk, "s9-x": "s9"})
    load_config(tiny(tmp_path)).task.prepare(DataDir(tmp_path / "more"), data, tmp_path / "dump")
    assert f"1 of {len(data) + 1} clips have no audio in {tmp_path}/dump/audio, 's9-x' first; they are" in caplog.text
    empty = write_audio(tmp_path / "empty" / "dump", {"s1-0": np.zeros(0, np.float32)})
    with pytest.raises(LipsoundError, match=r"s1-0: unreadable: .*; run stage 2 again"):
        load_config(tiny(tmp_path)).task.prepare(empty, empty, tmp_path / "empty" / "dump")
