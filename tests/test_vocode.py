"""The task *vocode*: segments and their mels, two networks with two losses, resuming, vocoders by name, bad input."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import test_training_resume
import torch
from helpers import toy_task
from torch import nn

from lipsound2 import experiment
from lipsound2.audio.griffin_lim import mel_to_waveform
from lipsound2.audio.io import encode_flac
from lipsound2.audio.mel import MELS, mel_spectrogram
from lipsound2.config import to_mapping
from lipsound2.data.archive import ArchiveWriter
from lipsound2.data.datadir import DataDir, write_table
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.datasets.audio_segments import AudioBatch, AudioSegments, SegmentConfig, vary
from lipsound2.errors import LipsoundError
from lipsound2.files import sha256
from lipsound2.inference import vocoders, windows
from lipsound2.models.vocoders.discriminators import Discriminators
from lipsound2.models.vocoders.hifigan import HifiGan
from lipsound2.models.vocoders.mel_vocoder import MelVocoder
from lipsound2.tasks import load_config
from lipsound2.tasks.base import Adversarial, Loss
from lipsound2.tasks.vocode import Vocode, stft_loss
from lipsound2.train_config import TrainConfig
from lipsound2.training import checkpoint
from lipsound2.training import train as verb
from lipsound2.training.distributed import World
from lipsound2.training.loop import Loop
from lipsound2.training.stop import StopSwitch

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(path for path in ROOT.glob("egs/*/conf/*.yaml") if read_yaml(path)["task"] == "vocode")
LENGTHS = {"s1-a": 20, "s1-b": 16, "s1-c": 3, "s1-d": 9}  # video frames; `paper` leaves 128 samples of an odd number
CONFIG = {
    "task": "vocode",
    "channels": 16,
    "discriminator_width": 0.125,
    "segment": 1600,
    "stft_weight": 1.0,
    "adversarial_start": 0.3,
    "batch_size": 2,
    "lr": 0.002,
    "warmup": 0,
    "schedule": "exponential",
    "clip_grad": 0.0,
    "ema": 0.5,
    "max_epochs": 4,
    "valid_every": 1,
    "keep_best": 2,
    "workers": 0,
    "checkpoint_minutes": 0.0,
    "tensorboard": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dump of four audio, data dirs `train` and `valid`, a config; as `test_training_resume.run` wants them."""
    folder = tmp_path_factory.mktemp("vocode")
    rng = np.random.default_rng(0)
    with ArchiveWriter(folder / "audio" / "feats.ark", folder / "audio" / "feats.scp") as archive:
        for name, video_frames in sorted(LENGTHS.items()):
            time = np.arange(640 * video_frames) / 16000
            tone = 0.3 * np.sin(2 * np.pi * (200 + 100 * time) * time)
            archive.write(name, encode_flac((tone + 0.01 * rng.standard_normal(len(time))).astype(np.float32)))
    write_table(folder / "audio" / "utt2num_frames", {name: str(640 * count) for name, count in LENGTHS.items()})
    for name, ids in {"train": LENGTHS, "valid": ["s1-b", "s1-d"]}.items():
        DataDir.write(folder / name, utt2spk=dict.fromkeys(ids, "s1"))
    write_yaml(folder / "toy.yaml", CONFIG)
    return folder


def train(folder: Path, exp: Path, **keys: object) -> Path:
    """Train in this process."""
    write_yaml(exp.with_suffix(".yaml"), CONFIG | keys)
    data = {"train": folder / "train", "valid": folder / "valid", "dump": folder}
    assert verb.train(exp.with_suffix(".yaml"), exp=exp, **data) == 0
    return exp


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    """A trained HiFi-GAN."""
    return train(folder, folder / "trained")


def audio(folder: Path, mel: str = "fine", **keys: object) -> AudioSegments:
    return AudioSegments(DataDir(folder / "train"), folder, MELS[mel], SegmentConfig(**keys))


# -- data


@pytest.mark.parametrize("mel", MELS)
def test_a_segments_mel_is_that_of_the_whole_clip_there(folder: Path, mel: str) -> None:
    clips = audio(folder, mel, segment=1600)
    assert clips.ids == sorted(LENGTHS)
    hop = MELS[mel].hop
    for index in range(len(clips)):
        whole = clips.get(index, None)
        assert len(whole.waveform) == len(whole.mel) * hop
        found = set()
        for seed in range(40):
            piece = clips.get(index, np.random.default_rng(seed))
            assert piece.mel.shape == (1600 // hop, 80)
            at = [
                i
                for i in range(len(whole.mel))
                if np.array_equal(whole.waveform[i * hop :][: len(piece.waveform)], piece.waveform)
            ]
            assert len(at) == 1
            assert np.allclose(piece.mel, whole.mel[at[0] : at[0] + len(piece.mel)], atol=1e-6)
            found.add(at[0])
        if len(whole.mel) < 40:
            assert {0, len(whole.mel) - 1600 // hop} <= found  # the ends, which are reflected, are among them


def test_short_clips_are_filled_up_and_levels_are_left_unless_a_peak_is_wanted(folder: Path) -> None:
    piece = audio(folder, segment=3200).get(2, np.random.default_rng(0))
    assert not piece.waveform[1920:].any()
    assert np.allclose(piece.mel[15:], np.log(1e-5))
    assert np.abs(audio(folder).get(0, None).waveform).max() < 0.4
    assert np.abs(audio(folder, peak=0.95).get(0, None).waveform).max() == pytest.approx(0.95, abs=1e-4)


def write_mels(folder: Path, lengths: dict[str, int], mel: str | None = None) -> Path:
    with ArchiveWriter(folder / "feats.ark", folder / "feats.scp") as archive:
        for name, frames in lengths.items():
            archive.write(name, np.arange(frames * 80, dtype=np.float32).reshape(frames, 80))
    if mel:
        write_yaml(folder / "kind.yaml", to_mapping(MELS[mel]))
    return folder


def test_generated_mels_take_the_place_of_true_ones(folder: Path, tmp_path: Path) -> None:
    kinds = [write_mels(tmp_path / "1", {"s1-a": 80}, "fine"), write_mels(tmp_path / "2", {"s1-d": 35})]
    clips = audio(folder, segment=1600, mels=tuple(map(str, kinds)))
    assert clips.ids == ["s1-a", "s1-d"]
    piece = clips.get(0, np.random.default_rng(1))
    first = int(piece.mel[0, 0]) // 80
    true = audio(folder).get(0, None).waveform
    assert np.array_equal(piece.waveform, true[first * 160 : first * 160 + 1600])
    assert clips.get(1, None).mel.shape == (36, 80)  # a frame short of its nine video frames: silence
    # Generated mels have the level of the audio as it is.
    assert np.array_equal(audio(folder, mels=(str(kinds[0]),), peak=0.95).get(0, None).waveform, true)
    noisy = audio(folder, segment=1600, mels=(str(kinds[0]),), augment_noise=0.5).get(0, np.random.default_rng(1))
    assert (noisy.mel - piece.mel).std() == pytest.approx(0.5, rel=0.1)
    with pytest.raises(LipsoundError, match="was made for another mel than 'paper': window is 640, wanted 1024"):
        audio(folder, "paper", mels=(str(kinds[0]),))
    wrong = write_mels(tmp_path / "3", {"s1-b": 40})
    with pytest.raises(LipsoundError, match="its generated mel is 40 frames of 80 bands, its audio has 64 of 80"):
        audio(folder, mels=(str(wrong),)).get(0, None)
    with pytest.raises(LipsoundError, match=r"none of its 4 clips is in .*audio and .*; run stage 2"):
        audio(folder, mels=(str(write_mels(tmp_path / "4", {"s9-z": 40})),))


def test_clips_without_audio_are_told(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    more = DataDir.write(tmp_path / "more", utt2spk={**dict.fromkeys(LENGTHS, "s1"), "s1-x": "s1", "s1-y": "s1"})
    assert AudioSegments(more, folder, MELS["fine"], SegmentConfig()).ids == sorted(LENGTHS)
    lack = f"2 of 6 clips have no audio of 241 samples or more in {folder}/audio, 's1-x' first; they are left out"
    assert [record.message for record in caplog.records] == [f"{more.path}: {lack}"]


def test_blur_and_noise_change_a_mel_as_much_as_they_say() -> None:
    mel = np.zeros((200, 80), np.float32)
    mel[100, 40] = 100.0
    noisy = vary(0 * mel, SegmentConfig(augment_noise=0.5), np.random.default_rng(0))
    assert noisy.std() == pytest.approx(0.5, rel=0.05)
    blurred = [vary(mel, SegmentConfig(augment_blur=2.0), np.random.default_rng(seed)) for seed in range(2)]
    assert not np.array_equal(*blurred)
    assert blurred[0].max() < 100
    assert blurred[0].sum() == pytest.approx(100, rel=1e-3)
    assert np.array_equal(vary(mel, SegmentConfig(), np.random.default_rng(0)), mel)


def test_what_cannot_be_learned_from_is_refused(folder: Path) -> None:
    with pytest.raises(LipsoundError, match="segment: 200 samples are too few for the mel 'fine', which needs 241"):
        audio(folder, segment=200)
    for keys, message in {
        "mel: loud": "unknown mel 'loud'",
        "adversarial_start: 2": "expected a share of 0 to 1, found 2",
        "peak: 3": "peak: expected 0 to 1, found 3",
        "chanels: 8": "unknown key 'chanels'; did you mean 'channels'",
    }.items():
        with pytest.raises(LipsoundError, match=message):
            load_config(CONFIGS[0], keys)


# -- losses


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_every_config_of_the_recipes_takes_an_update(path: Path, folder: Path, tmp_path: Path) -> None:
    run = load_config(path, "segment: 1600, batch_size: 1, adversarial_start: 0, precision: fp32")
    clips, _, assets = run.task.prepare(DataDir(folder / "train"), DataDir(folder / "valid"), folder)
    batch = run.task.collate([clips.get(0, np.random.default_rng(0))])
    model, discriminator = run.task.build(assets), run.task.discriminator()
    loss = (
        run.task.adversarial_loss(model, discriminator, batch, assets, 0.5)
        if discriminator
        else run.task.loss(model, batch, assets, 0.5)
    )
    assert loss.weight == batch.waveform.numel()
    assert float(loss.total.detach()) / loss.weight == pytest.approx(
        sum(value for name, value in loss.parts.items() if name != "discriminator"), rel=1e-4
    )
    loss.total.backward(inputs=list(model.parameters()))
    # WaveGlow's couplings begin with zeros in their last layers, which hide what lies before them.
    assert any(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_losses_are_least_where_they_should_be(folder: Path) -> None:
    run = load_config(folder / "toy.yaml")
    clips, _, assets = run.task.prepare(DataDir(folder / "train"), DataDir(folder / "valid"), folder)
    batch = AudioBatch.of([clips.get(index, np.random.default_rng(0)) for index in (0, 1)])

    class Perfect(nn.Module):
        def forward(self, mel: torch.Tensor) -> torch.Tensor:
            return batch.waveform.clone()

    discriminator = Discriminators(0.125)
    loss = run.task.adversarial_loss(Perfect(), discriminator, batch, assets, 1.0)
    assert loss.parts["mel"] == loss.parts["feature_matching"] == loss.parts["stft"] == 0
    # Discriminators that cannot tell the two apart find v for both: (v - 1)^2 for the generator, v^2 more for them.
    assert loss.parts["discriminator"] > loss.parts["adversarial"] > 0
    assert run.task.adversarial_loss(Perfect(), discriminator, batch, assets, 0.29).discriminator is None
    assert float(stft_loss(batch.waveform.flip(1), batch.waveform)) > 0.01


@dataclass(frozen=True)
class Duellists(toy_task.Toy, Adversarial[toy_task.ToyAssets, nn.Module, toy_task.ToyClips, toy_task.ToyBatch]):
    """Two numbers, 1 and 1: the model's loss is their product, the discriminator's is minus that."""

    def discriminator(self) -> nn.Module:
        return nn.Linear(1, 1, bias=False)

    def adversarial_loss(
        self,
        model: nn.Module,
        discriminator: nn.Module,
        batch: toy_task.ToyBatch,
        assets: toy_task.ToyAssets,
        progress: float,
    ) -> Loss:
        product = (model.weight * discriminator.weight).sum()
        return Loss(product, 1.0, discriminator=-product)


def test_each_network_moves_by_its_own_loss_alone(tmp_path: Path) -> None:
    toy_task.write_data(tmp_path, train=2, valid=1)
    task = Duellists(toy_task.ToyConfig())
    assert isinstance(task, Adversarial)
    assert not isinstance(toy_task.Toy(toy_task.ToyConfig()), Adversarial)
    data = task.prepare(DataDir(tmp_path / "train"), DataDir(tmp_path / "valid"), tmp_path)
    networks = [nn.Linear(1, 1, bias=False) for _ in range(2)]
    for network in networks:
        nn.init.ones_(network.weight)
    config = TrainConfig(
        max_updates=1, lr=0.1, warmup=0, workers=0, schedule="constant", precision="fp32", weight_decay=0
    )
    world = World(0, 1, torch.device("cpu"))
    loop = Loop(config, task, networks[0], data, world, tmp_path, StopSwitch(), networks[1])
    batch = task.collate([data.train.get(0, None)])
    for player in loop.optimized:
        player.begin(0.1)
    loop._backward(batch, 0.0)
    assert loop._step(2.0) == (pytest.approx(0.5), pytest.approx(0.5))  # both gradients divided by the weight
    assert [float(network.weight.detach()) for network in networks] == pytest.approx([0.9, 1.1])


# -- training


def test_training_makes_the_mel_come_nearer(trained: Path) -> None:
    rows = [line.split("\t") for line in (trained / "curves.tsv").read_text().splitlines()]
    errors = [float(row[rows[0].index("mel_l1")]) for row in rows[1:]]
    assert errors[-1] < errors[0]
    state = checkpoint.newest(trained / checkpoint.FOLDER)
    assert set(state["discriminator"]) == {"model", "optimizer"}
    assert all(
        value["step"] >= 4 for value in state["discriminator"]["optimizer"]["state"].values()
    )  # 0.3 of 8 updates: later
    assert not any("discriminator" in key or "periods" in key for key in state["average"])


start = test_training_resume.start


@pytest.fixture(scope="module")
def unbroken(folder: Path, start: Callable[..., int]) -> tuple[Path, int]:
    """A training nobody killed, and how many calls it made."""
    assert start(folder, folder / "unbroken", 2**62) == 0
    return folder / "unbroken", int((folder / "calls").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.2, 0.45, 0.8])
def test_a_killed_training_ends_with_the_same_weights(
    share: float, folder: Path, start: Callable[..., int], unbroken: tuple[Path, int]
) -> None:
    whole, calls = unbroken
    exp = folder / f"killed{share}"
    assert start(folder, exp, int(share * calls)) == -signal.SIGKILL
    assert start(folder, exp) == 0
    assert sha256(exp / "model.safetensors") == sha256(whole / "model.safetensors")
    ends = [checkpoint.newest(path / checkpoint.FOLDER)["discriminator"]["model"] for path in (whole, exp)]
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())


def test_fine_tuning_takes_the_critics_over(folder: Path, trained: Path, tmp_path: Path, caplog) -> None:
    discriminators = [Discriminators(0.125) for _ in range(2)]
    verb.initialize_discriminator(discriminators[0], trained)
    wanted = checkpoint.newest(trained / checkpoint.FOLDER)["discriminator"]["model"]
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in discriminators[0].state_dict().items())
    before = {name: tensor.clone() for name, tensor in discriminators[1].state_dict().items()}
    verb.initialize_discriminator(discriminators[1], trained / "model.safetensors")
    assert "has no discriminator that fits" in caplog.text
    assert all(torch.equal(tensor, before[name]) for name, tensor in discriminators[1].state_dict().items())


def test_waveglow_learns_too(folder: Path, tmp_path: Path) -> None:
    sizes = {"model": "waveglow", "flows": 4, "early_every": 2, "layers": 2, "channels": 8, "segment": 1600}
    own = {key: value for key, value in CONFIG.items() if key != "discriminator_width"}
    write_yaml(tmp_path / "waveglow.yaml", own | sizes)
    exp = tmp_path / "exp"
    data = {"train": folder / "train", "valid": folder / "valid", "dump": folder}
    assert verb.train(tmp_path / "waveglow.yaml", exp=exp, **data) == 0
    assert checkpoint.newest(exp / checkpoint.FOLDER)["discriminator"] is None
    speak = vocoders.vocoder(str(exp), MELS["fine"])
    assert speak.whole(np.zeros((12, 80), np.float32)).shape == (1920,)


# -- vocoders by name


def test_griffin_lim_by_name(tmp_path: Path) -> None:
    config = MELS["fine"]
    mel = mel_spectrogram(torch.from_numpy(np.random.default_rng(0).standard_normal(3200).astype(np.float32)), config)
    for name, options in (("griffin-lim:3", {"iterations": 3}), ("griffin-lim", {})):
        wanted = mel_to_waveform(mel, config, **options).numpy()
        assert np.array_equal(vocoders.vocoder(name, config).whole(mel.numpy()), wanted)
    assert vocoders.inputs("griffin-lim:3") == []
    for name, message in {
        "griffin-lim:0": "whole number from 1",
        "griffin-lim:many": "whole number from 1",
        "hifigan": "unknown vocoder 'hifigan'; wanted 'griffin-lim'.*the name of one: ",
        str(tmp_path): "unknown vocoder",
        "grid-s1-parallel": "unknown vocoder",
    }.items():
        with pytest.raises(LipsoundError, match=message):
            vocoders.vocoder(name, config)


def test_a_trained_vocoder_speaks_batches_and_pieces_like_single_clips(trained: Path, monkeypatch) -> None:
    config = MELS["fine"]
    speak = vocoders.vocoder(str(trained), config)
    assert vocoders.inputs(str(trained)) == [trained / "model.safetensors", trained / "config.yaml"]
    mels = torch.randn(3, 250, 80) - 4
    with torch.inference_mode():
        batch = experiment.load(trained, task=Vocode).model(mels).numpy()
    assert batch.shape == (3, 40000)
    assert batch.std() > 1e-4
    for mel, wanted in zip(mels.numpy(), batch, strict=True):
        assert np.abs(speak.whole(mel) - wanted).max() < 1e-4
    seen = []
    forward = HifiGan.forward
    monkeypatch.setattr(HifiGan, "forward", lambda model, mel: (seen.append(mel.shape[1]), forward(model, mel))[1])
    monkeypatch.setattr(windows, "CHUNK", 40)
    assert np.abs(speak.whole(mels[1].numpy()) - batch[1]).max() < 1e-4
    assert len(seen) == 7
    assert max(seen) == 40 + 2 * 22


def test_an_hour_is_spoken_in_pieces(trained: Path) -> None:
    """What the network itself does is left out: it is asked for pieces of bounded length, whose ends fit."""

    class Steps(MelVocoder):
        receptive_field = 22
        longest = 0

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def forward(self, mel: torch.Tensor) -> torch.Tensor:
            self.longest = max(self.longest, mel.shape[1])
            return mel[:, :, 0].repeat_interleave(160, dim=1)

    mel = np.broadcast_to(np.arange(360_000, dtype=np.float32)[:, None], (360_000, 80))
    model = Steps()
    pieces = vocoders.network_vocoder(model, MELS["fine"]).in_chunks(mel)
    assert np.array_equal(np.concatenate([piece[::160] for piece in pieces]), mel[:, 0])
    assert model.longest == windows.CHUNK + 44


@pytest.mark.parametrize("kind", ["griffin-lim:2", "trained"])
def test_bad_mels_are_refused_in_one_line(kind: str, trained: Path) -> None:
    speak = vocoders.vocoder(str(trained) if kind == "trained" else kind, MELS["fine"])
    mel = np.zeros((10, 80), np.float32)
    with pytest.raises(LipsoundError, match="the mel has no frames"):
        speak.whole(mel[:0])
    with pytest.raises(LipsoundError, match="expected 80 bands for the mel 'fine', found 40"):
        speak.whole(mel[:, :40])
    mel[3, 4] = np.nan
    with pytest.raises(LipsoundError, match="1 of the mel's 800 values are no numbers"):
        speak.whole(mel)


def test_a_vocoder_of_another_mel_is_refused(trained: Path) -> None:
    with pytest.raises(
        LipsoundError, match=r"the vocoder .*trained was made for another mel than 'paper': window is 640"
    ):
        vocoders.vocoder(str(trained), MELS["paper"])
    with pytest.raises(LipsoundError, match="is of the task 'regress', wanted one of 'vocode'"):
        vocoders.vocoder(str(ROOT / "lipsound2" / "pretrained" / "grid-s1-parallel"), MELS["fine"])
