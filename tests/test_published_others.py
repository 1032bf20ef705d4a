"""Published vocoders and word classifiers as packs, against their networks written out plainly."""

from __future__ import annotations

import errno
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.published_weights import trunk_output, trunk_state
from torch import Tensor
from torch.nn import functional as F

from lipsound2 import experiment
from lipsound2.audio.mel_settings import MELS
from lipsound2.errors import LipsoundError
from lipsound2.inference.vocoders import vocoder
from lipsound2.published.hifigan import MEL, convert_hifigan
from lipsound2.published.lrw import convert_lrw
from lipsound2.tasks.classify import Classify
from lipsound2.tasks.vocode import Vocode
from lipsound2.training.init import initialize

State = dict[str, Tensor]
# Version -> channels, factors and kernels of the steps, kernels and dilations of the blocks, pairs.
VERSIONS = {
    "V2": (32, ((8, 16), (8, 16), (2, 4), (2, 4)), (3, 7, 11), ((1, 3, 5),) * 3, True),
    "SpeechT5": (32, ((4, 8),) * 4, (3, 7, 11), ((1, 3, 5),) * 3, True),
    "V3": (32, ((8, 16), (8, 16), (4, 8)), (3, 5, 7), ((1, 2), (2, 6), (3, 12)), False),
}


class Maker:
    """Random tensors by name."""

    def __init__(self) -> None:
        self.state: State = {}
        self._rng = torch.Generator().manual_seed(3)

    def add(self, name: str, *shape: int, size: float = 1.0) -> None:
        self.state[name] = size * torch.randn(shape, generator=self._rng) / math.sqrt(math.prod(shape[1:]) or 1)

    def normed(self, name: str, outputs: int, inputs: int, kernel: int, bias: int) -> None:
        self.add(f"{name}.weight_v", outputs, inputs, kernel)
        self.add(f"{name}.bias", bias, size=0.1)
        self.state[f"{name}.weight_g"] = 0.5 + torch.rand((outputs, 1, 1), generator=self._rng)


def hifigan_state(version: str) -> State:
    """Of the two forms of SpeechT5's, the one of its hub: plain weights, and statistics of the mel."""
    channels, steps, kernels, dilations, pairs = VERSIONS[version]
    make = Maker()
    make.normed("conv_pre", channels, 80, 7, channels)
    for stage, (_, kernel) in enumerate(steps):
        wide, narrow = channels >> stage, channels >> (stage + 1)
        make.normed(f"ups.{stage}", wide, narrow, kernel, narrow)
        for branch, (size, rows) in enumerate(zip(kernels, dilations, strict=True)):
            for index in range(len(rows)):
                for part in ("convs1", "convs2") if pairs else ("convs",):
                    name = f"resblocks.{stage * len(kernels) + branch}.{part}.{index}"
                    make.normed(name, narrow, narrow, size, narrow)
    make.normed("conv_post", 1, narrow, 7, 1)
    if version != "SpeechT5":
        return make.state
    make.add("mean", 80)
    make.add("scale", 80, size=0.1)
    make.state["scale"] += 1
    plain = {name.replace("ups.", "upsampler."): tensor for name, tensor in make.state.items()}
    for name in [name for name in plain if name.endswith("_v")]:
        v, g = plain.pop(name), plain.pop(f"{name[:-1]}g")
        plain[name[:-2]] = g * v / v.norm(dim=(1, 2), keepdim=True)
    return plain


def hifigan(state: State, version: str, mel: Tensor) -> Tensor:
    """The published generator: (1, 80, S) to (1, 1, 256 S)."""
    _, steps, kernels, dilations, pairs = VERSIONS[version]

    speecht5 = version == "SpeechT5"

    def weight(name: str) -> Tensor:
        if speecht5:
            return state[f"{name}.weight"]
        v = state[f"{name}.weight_v"]
        return state[f"{name}.weight_g"] * v / v.norm(dim=(1, 2), keepdim=True)

    def conv(name: str, x: Tensor, dilation: int = 1) -> Tensor:
        w = weight(name)
        return F.conv1d(x, w, state[f"{name}.bias"], padding=(w.shape[2] - 1) * dilation // 2, dilation=dilation)

    if speecht5:  # a logarithm to the base 10, normalized
        mel = (mel / math.log(10) - state["mean"][:, None]) / state["scale"][:, None]
    x = conv("conv_pre", mel)
    for stage, (factor, kernel) in enumerate(steps):
        x = F.leaky_relu(x, 0.1)
        step = f"{'upsampler' if speecht5 else 'ups'}.{stage}"
        x = F.conv_transpose1d(x, weight(step), state[f"{step}.bias"], factor, (kernel - factor) // 2)
        total = torch.zeros_like(x)
        for branch, rows in enumerate(dilations):
            name, y = f"resblocks.{stage * len(kernels) + branch}", x
            for index, dilation in enumerate(rows):
                inner = conv(f"{name}.{'convs1' if pairs else 'convs'}.{index}", F.leaky_relu(y, 0.1), dilation)
                y = y + (conv(f"{name}.convs2.{index}", F.leaky_relu(inner, 0.1)) if pairs else inner)
            total = total + y
        x = total / len(kernels)
    return conv("conv_post", F.leaky_relu(x)).tanh()


@pytest.mark.parametrize("version", VERSIONS)
@torch.no_grad()
def test_a_published_vocoder_speaks_the_same(tmp_path: Path, version: str) -> None:
    state = hifigan_state(version)
    torch.save({"generator": state}, tmp_path / "generator")
    convert_hifigan(tmp_path / "generator", tmp_path / "pack")
    mel = torch.randn(1, 9, 80, generator=torch.Generator().manual_seed(1))
    loaded = experiment.load(tmp_path / "pack", task=Vocode)
    assert (loaded.model(mel) - hifigan(state, version, mel.transpose(1, 2))[:, 0]).abs().max() < 1e-5
    assert loaded.assets.mel == (MELS["speecht5"] if version == "SpeechT5" else MEL)
    fresh = loaded.task.build(loaded.assets)
    assert not initialize(fresh, tmp_path / "pack").missing, "all of it begins a training at 16 kHz"
    if version == "SpeechT5":  # as it is
        speak = vocoder(str(tmp_path / "pack"), MELS["speecht5"], torch.device("cpu"))
        assert np.abs(speak.whole(mel[0].numpy()) - loaded.model(mel)[0].numpy()).max() < 1e-5
        with pytest.raises(LipsoundError, match=r"fmin is 80\.0, wanted 0\.0; fmax is 7600\.0"):
            vocoder(str(tmp_path / "pack"), MELS["paper"], torch.device("cpu"))
        return
    with pytest.raises(LipsoundError, match="sample_rate is 22050, wanted 16000"):
        vocoder(str(tmp_path / "pack"), MEL.__class__("paper", window=1024, hop=256), torch.device("cpu"))


def test_another_vocoder_is_refused(tmp_path: Path) -> None:
    for change, message in (
        ({"conv_pre.weight_v": torch.zeros(32, 100, 7)}, r"'conv_pre.weight_v' has the shape"),
        ({"ups.4.bias": torch.zeros(3)}, "nothing here uses its tensor 'ups.4.bias'"),
        ({"conv_post.bias": None}, "has no tensor 'conv_post.bias'"),
        ({"conv_post.weight_g": torch.zeros(1)}, "'conv_post.weight_g' has 1 axes, wanted 3"),
    ):
        state = {name: tensor for name, tensor in (hifigan_state("V2") | change).items() if tensor is not None}
        torch.save({"generator": state}, tmp_path / "generator")
        with pytest.raises(LipsoundError, match=message):
            convert_hifigan(tmp_path / "generator", tmp_path / "pack")


@pytest.mark.parametrize("there", [False, True])
def test_a_conversion_that_fails_leaves_no_half_a_pack(tmp_path: Path, monkeypatch, there: bool) -> None:
    def save(task: Vocode, assets: object, folder: Path) -> None:
        (folder / "mel.yaml").touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    torch.save({"generator": hifigan_state("V2")}, tmp_path / "generator")
    pack = tmp_path / "pack"
    if there:
        pack.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(Vocode, "save", save)
        with pytest.raises(OSError, match="No space left"):
            convert_hifigan(tmp_path / "generator", pack)
        assert [path.name for path in pack.glob("*")] == ([".lock"] if there else [])
    convert_hifigan(tmp_path / "generator", pack)
    before = sorted(path.name for path in pack.iterdir())
    monkeypatch.setattr(Vocode, "save", save)
    with pytest.raises(OSError, match="No space left"):
        convert_hifigan(tmp_path / "generator", pack)
    assert {*before} <= {path.name for path in pack.iterdir()}, "an earlier pack stays"


def lrw_state(classes: int, branch: int = 8) -> State:
    make = Maker()

    def batch_norm(name: str, width: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            make.add(f"{name}.{part}", width, size=0.2)
        make.state[f"{name}.weight"] += 1
        make.state[f"{name}.running_var"].abs_().add_(0.5)
        make.state[f"{name}.num_batches_tracked"] = torch.tensor(1)

    make.state |= trunk_state()
    for number in range(4):
        name = f"tcn.mb_ms_tcn.network.{number}"
        wide = 512 if number == 0 else 3 * branch
        for half, entering in enumerate((wide, 3 * branch)):
            for index, kernel in enumerate((3, 5, 7)):
                make.add(f"{name}.cbcr{half}_{index}.conv.weight", branch, entering, kernel)
                make.add(f"{name}.cbcr{half}_{index}.conv.bias", branch, size=0.1)
                batch_norm(f"{name}.cbcr{half}_{index}.batchnorm", branch)
        make.add(f"{name}.downsample.weight", 3 * branch, wide, 1)
        make.add(f"{name}.downsample.bias", 3 * branch, size=0.1)
    make.add("tcn.tcn_output.weight", classes, 3 * branch)
    make.add("tcn.tcn_output.bias", classes)
    return make.state


def classifier(state: State, video: Tensor) -> Tensor:
    """The published word classifier: (1, T, 88, 88) pixels, normalized, to (1, classes)."""

    def norm(name: str, x: Tensor) -> Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, var, weight, bias)

    x = trunk_output(state, video, "swish").T[None]
    for number in range(4):
        name, dilation, y = f"tcn.mb_ms_tcn.network.{number}", 2**number, x
        for half in range(2):
            parts = []
            for index, kernel in enumerate((3, 5, 7)):
                branch = f"{name}.cbcr{half}_{index}"
                padding = (kernel - 1) * dilation
                z = F.conv1d(
                    y, state[f"{branch}.conv.weight"], state[f"{branch}.conv.bias"], padding=padding, dilation=dilation
                )
                cut = padding // 2  # the chomp, symmetric
                parts.append(F.silu(norm(f"{branch}.batchnorm", z)[:, :, cut : z.shape[2] - cut]))
            y = torch.cat(parts, 1)
        x = F.silu(y + F.conv1d(x, state[f"{name}.downsample.weight"], state[f"{name}.downsample.bias"]))
    return F.linear(x.mean(2), state["tcn.tcn_output.weight"], state["tcn.tcn_output.bias"])


@torch.no_grad()
def test_a_published_word_classifier_scores_the_same(tmp_path: Path) -> None:
    state = lrw_state(5)
    torch.save({"model_state_dict": state, "epoch_idx": 3}, tmp_path / "lrw.pth")
    (tmp_path / "words.txt").write_text("ABOUT\nABSOLUTELY\nABUSE\nACCESS\nACCORDING\n")
    convert_lrw(tmp_path / "lrw.pth", tmp_path / "pack", words=tmp_path / "words.txt")
    loaded = experiment.load(tmp_path / "pack", task=Classify)
    assert loaded.assets.words == ("about", "absolutely", "abuse", "access", "according")
    frames = torch.from_numpy(np.random.default_rng(5).integers(0, 256, (1, 29, 96, 96), np.uint8))
    pixels = (frames[:, :, 4:92, 4:92].float() / 255 - 0.421) / 0.165
    found = loaded.model(frames, torch.tensor([29]), torch.ones(1, 29))
    assert (found - classifier(state, pixels)).abs().max() < 1e-4
    (tmp_path / "words.txt").write_text("ABOUT\nABSOLUTELY\n")
    with pytest.raises(LipsoundError, match="lists 2 words, the model has 5 classes"):
        convert_lrw(tmp_path / "lrw.pth", tmp_path / "pack", words=tmp_path / "words.txt")
    torch.save(state | {"tcn.mb_ms_tcn.network.0.cbcr0_0.relu0.weight": torch.zeros(8)}, tmp_path / "prelu.pth")
    with pytest.raises(LipsoundError, match="nothing here uses its tensor"):
        convert_lrw(tmp_path / "prelu.pth", tmp_path / "other", words=tmp_path / "words.txt")
