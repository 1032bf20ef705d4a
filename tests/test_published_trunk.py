"""Published trunks: what begins with them, what is checked and recorded then, and the states that are dumped."""

from __future__ import annotations

import logging
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.published_weights import reader_state, trunk_output, trunk_state
from helpers.written_dump import write_kind

from lipsound2 import experiment
from lipsound2.converted import origin_of
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.datasets.crop_cache import Frames
from lipsound2.errors import LipsoundError
from lipsound2.features.states import features
from lipsound2.published.avsr import convert_avsr
from lipsound2.published.trunk import convert_trunk
from lipsound2.tasks import load_config
from lipsound2.training.beginning import check_source
from lipsound2.training.train import train
from lipsound2.video.encode import encode

ROOT = Path(__file__).resolve().parents[1]
FRAMES = {"s1-a": 9, "s1-b": 7, "s2-a": 8}
# The published trunk, on smaller video frames than it was made for.
TRUNK = {"crop": 88, "size": 32, "trunk_pool": True, "trunk_widths": [64, 128, 256, 512], "trunk_blocks": 2}
TRUNK |= {"trunk_activation": "swish"}
TINY = {"width": 16, "layers": 1, "heads": 2, "kernel": 5, "mel_width": 16, "mel_layers": 1, "valid_clips": 1}
BRIEF = {"max_epochs": 1, "valid_every": 1, "warmup": 1, "batch_size": 2, "workers": 0, "tensorboard": False}
BRIEF |= {"precision": "fp32", "init_only": ["trunk"], "word_loss_weight": 0.0, "crop_frames": 0}


@pytest.fixture(scope="module")
def pack_of_others(tmp_path_factory) -> Path:
    """A published reader with weights made by a rule, converted. It reads nothing."""
    folder = tmp_path_factory.mktemp("published")
    torch.save(reader_state(), folder / "made_up.pth")
    units = ["<unk>", *(f"\u2581X{number}" for number in range(38))]
    (folder / "units.txt").write_text("".join(f"{piece} {n}\n" for n, piece in enumerate(units, start=1)))
    convert_avsr(folder / "made_up.pth", folder / "reader", tokens=folder / "units.txt")
    return folder / "reader"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[DataDir, Path]:
    """Three clips of noise as both kinds of mouths, with targets that follow them."""
    dump = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(1)
    clips = {name: rng.integers(0, 256, (count, 96, 96), np.uint8) for name, count in FRAMES.items()}
    for kind in ("mouth", "mouth-published"):
        write_kind(dump / kind, {name: encode(clip) for name, clip in clips.items()}, FRAMES, {"size": 96})
    targets = {name: clip.mean((1, 2))[:, None].astype(np.float32) / 128 - 1 for name, clip in clips.items()}
    write_kind(dump / "targets-gray", targets, FRAMES, {"kind": "targets"})
    text = dict.fromkeys(FRAMES, "bin blue")
    return DataDir.write(dump / "data", utt2spk={name: name[:2] for name in FRAMES}, text=text), dump


def config(folder: Path, name: str, **changes: object) -> Path:
    values = read_yaml(ROOT / f"egs/grid/conf/{name}.yaml") | TRUNK | BRIEF | {"input": "mouth-published"}
    values |= {key: TINY[key] for key in TINY if key in values}
    values |= {"target": "targets-gray"} if values["task"] == "regress" else {}
    values |= {"estoi_weight": 0.0} if "estoi_weight" in values else {}
    write_yaml(folder / f"{name}.yaml", values | changes)
    return folder / f"{name}.yaml"


@pytest.mark.parametrize("name", ["parallel", "lira_pretext", "lira_sentence_finetuned"])
def test_each_kind_of_model_begins_with_the_trunk(data, pack_of_others, tmp_path, caplog, name):
    """Lip-to-speech, the pretext, a reader: with the weights of the pack, and the experiment says whose they are."""
    whole, dump = data
    exp = tmp_path / "exp"
    path = config(tmp_path, name, trunk_frozen=True)
    with caplog.at_level(logging.INFO):
        train(path, train=whole.path, valid=whole.path, dump=dump, exp=exp, init=pack_of_others)
    assert "(trunk alone)" in caplog.text
    assert "0 of another shape, 0 not in the file, 0 not in this network" in caplog.text
    assert "saw video frames of crop 88, size 88, trunk_pool true, trunk_grid 1" in caplog.text
    assert "here they are of crop 88, size 32, trunk_pool true" in caplog.text
    assert "show another part" not in caplog.text
    theirs, ours = (experiment.load(each).model.state_dict() for each in (pack_of_others, exp))
    names = [key for key in theirs if ".trunk." in key]
    assert len(names) > 100
    assert all(torch.equal(theirs[key], ours[key]) for key in names)
    said = read_yaml(exp / "versions.yaml")["runs"][0]
    assert said["init"] == str(pack_of_others)
    assert "not commercial" in said["license"]
    assert "convert-avsr made_up.pth" in said["origin"]
    assert "SHA-256 of the file" in said["origin"]
    assert origin_of(exp) == origin_of(exp / "model.safetensors") == origin_of(pack_of_others), "it is passed on"
    assert str(tmp_path) not in said["origin"]


def test_crops_of_another_region_are_told(data, pack_of_others, tmp_path, caplog):
    whole, dump = data
    path = config(tmp_path, "parallel", input="mouth")
    train(path, train=whole.path, valid=whole.path, dump=dump, exp=tmp_path / "exp", init=pack_of_others)
    told = [record.message for record in caplog.records if "saw crops" in record.message]
    assert told == [
        f"--init {pack_of_others}: its trunk saw crops 'mouth-published', and this training reads 'mouth', which show "
        "another part of the face; 'input: mouth-published' reads what it saw"
    ]
    assert "saw crops 'mouth-published'" in (tmp_path / "exp" / "train.log").read_text()


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "parallel",
            {"trunk_activation": "relu"},
            r"with trunk_activation: swish; found trunk_activation relu.*--override \"trunk_activation: swish\"$",
        ),
        (
            "parallel",
            {"trunk_widths": [16, 32, 64, 128], "trunk_blocks": 1, "trunk_activation": "relu"},
            r"--override \"trunk_widths: \[64, 128, 256, 512\], trunk_blocks: 2, trunk_activation: swish\"$",
        ),
        ("parallel", {"init_only": [], "trunk_activation": "relu"}, "trained with trunk_activation: swish"),
        (
            "lira_sentence_supervised",
            {"init_only": [], "width": 64, "positions": "legacy"},
            r"positions: latest, feed_forward_activation: relu, decoder_positions: interleaved; found positions legacy",
        ),
        ("lipsound2", {}, r"init_only: \[trunk\]: the network of this config has no trunk"),
    ],
)
def test_a_trunk_that_would_compute_something_else_is_refused(pack_of_others, tmp_path, name, changes, message):
    """Before anything is read; no tensor tells the activation."""
    path = config(tmp_path, name, **changes)
    if name == "lipsound2":
        values = read_yaml(ROOT / "egs/grid/conf/lipsound2.yaml")
        write_yaml(path, values | {"init_only": ["trunk"]})
    with pytest.raises(LipsoundError, match=message) as caught:
        train(path, train=tmp_path, valid=tmp_path, dump=tmp_path, exp=tmp_path / "exp", init=pack_of_others)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "exp").exists()


def test_what_is_not_known_of_weights_is_not_checked(pack_of_others, tmp_path, caplog):
    """Bare files have no config; one that cannot be read is told."""
    run = load_config(config(tmp_path, "parallel", trunk_activation="relu"))
    bare = tmp_path / "bare.safetensors"
    bare.write_bytes((pack_of_others / "model.safetensors").read_bytes())
    check_source(bare, run)
    assert origin_of(bare) == origin_of(pack_of_others)  # its metadata say so
    (tmp_path / "config.yaml").write_text("task: [")
    check_source(bare, run)
    assert "whether its weights mean the same here was not checked" in caplog.text
    with pytest.raises(LipsoundError, match=r"no such file or folder.*Wanted: an experiment, a pack"):
        check_source(tmp_path / "nothing", run)


def test_states_of_a_published_reader_are_dumped_and_predicted(data, pack_of_others, tmp_path):
    """The last block's by default, another's on request; then LiRA's pretext learns to predict them from lips."""
    whole, dump = data
    features(str(pack_of_others), whole.path, dump, layer="encoder", name="last", nj=1)
    features(str(pack_of_others), whole.path, dump, layer="encoder", block=1, name="first", nj=1)
    features(str(pack_of_others), whole.path, dump, layer="encoder", block=2, name="second", nj=1)
    states = {name: Archive(dump / f"features-{name}") for name in ("last", "first", "second")}
    assert states["last"].num_frames() == FRAMES
    assert "block" not in states["last"].meta
    assert (states["first"].meta["layer"], states["first"].meta["block"]) == ("encoder", 1)
    reader = experiment.load(pack_of_others).model
    clip = torch.from_numpy(Frames(Archive(dump / "mouth-published"))["s1-a"])[None]
    with torch.no_grad():
        wanted = reader.encoder(clip, torch.tensor([9]))[0]
        behind = reader.encoder.conformer.norm(torch.from_numpy(states["second"]["s1-a"]))
    np.testing.assert_allclose(states["last"]["s1-a"], wanted[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(behind.numpy(), wanted[0].numpy(), atol=1e-5)
    assert np.abs(states["first"]["s1-a"] - states["second"]["s1-a"]).max() > 0.1
    for options, message in (
        ({"layer": "encoder", "block": 3}, r"--block 3: .* has 2 Conformer blocks"),
        ({"block": 1}, r"--block 1: the trunk has no Conformer blocks; add --layer encoder"),
    ):
        with pytest.raises(LipsoundError, match=message):
            features(str(pack_of_others), whole.path, dump, name="no", nj=1, **options)
    # Normalized on the training set, as acoustic targets are.
    path = config(tmp_path, "lira_pretext", target="features-last", init_only=[], trunk_widths=[8, 8], trunk_blocks=1)
    train(path, train=whole.path, valid=whole.path, dump=dump, exp=tmp_path / "exp")
    model = experiment.load(tmp_path / "exp").model
    every = np.concatenate([states["last"][name] for name in FRAMES])
    np.testing.assert_allclose(model.target_mean.numpy(), every.mean(0), atol=1e-4)
    np.testing.assert_allclose(model.target_std.numpy(), every.std(0), rtol=1e-3)
    row = (tmp_path / "exp" / "curves.tsv").read_text().splitlines()[-1].split("\t")
    assert 0.3 < float(row[-2]) < 1.5, "L1 in standard deviations"
    assert not math.isnan(float(row[-1]))


# Trunks out of other networks' files

BEHIND = {"encoder.encoders.0.norm_ff.weight": torch.ones(3), "ctc.ctc_lo.bias": torch.ones(2)}


@pytest.mark.parametrize(
    ("make", "options", "activation"),  # 45 MB each: made when they are needed
    [
        (lambda: trunk_state("encoder.frontend.") | BEHIND, {}, "swish"),
        (lambda: trunk_state("frontend."), {"activation": "relu"}, "relu"),
        (lambda: {"model": trunk_state("feature_extractor_video.resnet.", prelu=True) | BEHIND}, {}, "prelu"),
        (lambda: {"model_state_dict": trunk_state(prelu=True) | BEHIND}, {}, "prelu"),
    ],
    ids=["RAVEn and BRAVEn, fine-tuned", "relu", "AV-HuBERT", "word classifiers with PReLU, DC-TCN"],
)
def test_the_trunk_of_any_network_becomes_a_pack(data, tmp_path, make, options, activation):
    """It computes what the published one does, and its states can be dumped."""
    whole, dump = data
    content = make()
    torch.save(content, tmp_path / "file.pth")
    pack = tmp_path / "pack"
    convert_trunk(tmp_path / "file.pth", pack, **options)
    features(str(pack), whole.path, dump, name=f"trunk-{activation}-{len(content)}", nj=1)
    states = Archive(dump / f"features-trunk-{activation}-{len(content)}")["s1-b"]
    video = torch.from_numpy(Frames(Archive(dump / "mouth-published"))["s1-b"])[None, :, 4:92, 4:92]
    state = next((value for value in content.values() if isinstance(value, dict)), content)
    prefix = next(name for name in state if name.endswith("frontend3D.0.weight")).removesuffix("frontend3D.0.weight")
    with torch.no_grad():
        wanted = trunk_output(state, (video.float() / 255 - 0.421) / 0.165, activation, prefix)
    assert states.shape == (7, 512)
    np.testing.assert_allclose(states, wanted.numpy(), atol=1e-3, rtol=1e-4)  # with PReLU values up to 50
    assert ("not commercial, no surveillance" in (pack / "card.md").read_text()) == ("video" in prefix)


def test_a_converted_trunk_begins_a_training_and_is_none_itself(data, tmp_path, caplog, capsys, monkeypatch):
    """By its name, in the user's folder of models, and with the keys that the converter prints."""
    whole, dump = data
    monkeypatch.setenv("LIPSOUND2_MODELS", str(tmp_path))
    torch.save(trunk_state("encoder.frontend.") | BEHIND, tmp_path / "raven.pth")
    convert_trunk(tmp_path / "raven.pth", name="pack")
    given = {"train": whole.path, "valid": whole.path, "dump": dump}
    told = re.search(r'--override "(.*)"', capsys.readouterr().out)
    assert told is not None
    small = config(tmp_path, "parallel", input="mouth", trunk_widths=[8, 8], trunk_activation="relu", init_only=[])
    with caplog.at_level(logging.INFO):
        train(small, **given, exp=tmp_path / "exp", init=Path("pack"), override=told[1])
    assert "its trunk saw" not in caplog.text
    assert (
        "(trunk alone): 120 tensors taken, 0 of another shape, 0 not in the file, 0 not in this network" in caplog.text
    )
    assert "convert-trunk raven.pth" in read_yaml(tmp_path / "exp/versions.yaml")["runs"][0]["origin"]
    run = config(tmp_path, "parallel", trunk_activation="relu")
    with pytest.raises(LipsoundError, match="trained with trunk_activation: swish"):
        train(run, **given, exp=tmp_path / "other", init=tmp_path / "pack")
    with pytest.raises(LipsoundError, match="the task 'trunk' is a published trunk alone; begin a training"):
        train(tmp_path / "pack/config.yaml", **given, exp=tmp_path / "other")


class Config:
    """Stands for fairseq's."""


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (
            lambda: {"cfg": Config(), "model": trunk_state("a.")},
            {},
            "it names '.*Config', which is code; nothing in it was run",
        ),
        (lambda: BEHIND, {}, r"has no tensors '...frontend3D.0.weight' and .*; wanted a conv3D and ResNet-18"),
        (lambda: trunk_state("a.") | trunk_state("b."), {}, "holds 2 trunks; choose one: --inside 'a' or 'b'"),
        (lambda: trunk_state("a."), {"inside": "b"}, "--inside b: .* has no trunk there; found 'a'"),
        (
            lambda: trunk_state("a.") | {"a.trunk.layer5.0.conv1.weight": torch.ones(2, 2)},
            {},
            "nothing here uses its tensor",
        ),
        (
            lambda: trunk_state("a.") | {"a.frontend3D.0.weight": torch.ones(64, 3, 5, 7, 7)},
            {},
            r"has the shape \[64, 3, 5, 7, 7\]",
        ),
    ],
    ids=["pickle", "none", "two", "elsewhere", "more", "shape"],
)
def test_other_files_hold_no_trunk(tmp_path, make, options, message):
    torch.save(make(), tmp_path / "file.pth")
    with pytest.raises(LipsoundError, match=message) as caught:
        convert_trunk(tmp_path / "file.pth", tmp_path / "pack", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pack").exists()


def test_one_of_two_trunks_is_chosen(tmp_path):
    torch.save(trunk_state("student.") | trunk_state("teacher."), tmp_path / "file.pth")
    convert_trunk(tmp_path / "file.pth", tmp_path / "pack", inside="teacher")
    found = experiment.load(tmp_path / "pack").model.trunk.stem.weight
    assert torch.equal(found, trunk_state("teacher.")["teacher.frontend3D.0.weight"])
