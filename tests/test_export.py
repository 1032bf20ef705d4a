"""Exported networks say what torch says, at any length, without torch; what cannot be exported or spoken is told."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lipsound2 import experiment
from lipsound2.audio import griffin_lim
from lipsound2.audio.griffin_lim_numpy import mel_to_waveform
from lipsound2.audio.mel import MELS, mel_spectrogram
from lipsound2.cli import main
from lipsound2.config import to_mapping
from lipsound2.data.yaml_files import write_yaml
from lipsound2.errors import LipsoundError
from lipsound2.inference import windows
from lipsound2.inference.export import CHECKED, TOLERANCE
from lipsound2.inference.lip_to_speech import windows_of
from lipsound2.inference.onnx import NOTE, Exported, OnnxLipToSpeech
from lipsound2.inference.vocoders import vocoder
from lipsound2.tasks import load_config
from lipsound2.tasks.regress_assets import RegressAssets
from lipsound2.tasks.vocode import VocodeAssets

onnx = pytest.importorskip("onnx")
for package in ("onnxscript", "onnxruntime"):
    pytest.importorskip(package)

TRUNK = {"trunk_widths": [8, 16], "width": 32, "layers": 1, "heads": 2, "kernel": 5, "max_relative_position": 4}
LIPS = {"task": "regress", "model": "parallel", **TRUNK, "mel_width": 16, "mel_layers": 1, "postfilter_sharpness": 0.3}
ATTENTION = {"task": "regress", "model": "lipsound2", "target": "mel-fine"}
VOICE = {"task": "vocode", "model": "hifigan", "channels": 16}
INVERSE = {"task": "vocode", "model": "vocos", "width": 32, "layers": 2}
FLOW = {"task": "vocode", "model": "waveglow", "flows": 4, "early_every": 2, "layers": 2, "channels": 8}


def make(folder: Path, keys: dict, mel: str = "fine") -> Path:
    """An experiment with fresh weights, all of which matter."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder.mkdir()
    write_yaml(folder / "config.yaml", keys)
    task = load_config(folder / "config.yaml").task
    statistics = np.linspace(-6, -2, 80, dtype=np.float32), np.full(80, 1.5, np.float32)
    regress = keys["task"] == "regress"
    assets = RegressAssets(MELS[mel], statistics=statistics) if regress else VocodeAssets(MELS[mel])
    task.save(assets, folder)
    model = task.build(assets)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, 0.0, parameter[0].numel() ** -0.5)
        elif "bias" in name:
            torch.nn.init.normal_(parameter, 0.0, 0.1)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Experiments `lips` and `voice`, what `export` makes of them in `out`, and what it says in `said`."""
    root = tmp_path_factory.mktemp("export")
    said = io.StringIO()
    for name, keys in (("lips", LIPS), ("voice", VOICE)):
        make(root / name, keys)
        with contextlib.redirect_stdout(said):
            assert main(["export", str(root / name), str(root / "out" / f"{name}.onnx")]) == 0
    (root / "said").write_text(said.getvalue())
    return root


def test_the_lip_model_says_what_torch_says_at_any_length(made: Path) -> None:
    loaded, exported = experiment.load(made / "lips"), Exported(made / "out/lips.onnx")
    assert exported.note.difference < TOLERANCE["lips"]
    rng = np.random.default_rng(0)
    for length in (1, 2, 75, windows.WINDOW + 60):
        frames = rng.integers(0, 256, (length, 96, 96), np.uint8)
        mel = exported.windows(length).whole(frames)
        assert mel.shape == (4 * length, 80)
        assert np.abs(mel - windows_of(loaded, length).whole(frames)).max() < 1e-3
    assert mel.std() > 0.5


@pytest.mark.slow
def test_two_and_a_half_frames_a_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = experiment.load(make(tmp_path / "lips", LIPS | {"target": "mel-paper"}, "paper"))
    assert main(["export", str(tmp_path / "lips"), str(tmp_path / "lips.onnx")]) == 0
    assert "onnxruntime and torch differ by" in capsys.readouterr().out
    frames = np.random.default_rng(0).integers(0, 256, (11, 96, 96), np.uint8)
    mel = Exported(tmp_path / "lips.onnx").windows(11).whole(frames)
    assert mel.shape == (27, 80)
    assert np.abs(mel - windows_of(loaded, 11).whole(frames)).max() < 1e-3


@pytest.mark.parametrize("keys", [VOICE, INVERSE], ids=["hifigan", "vocos"])
def test_a_vocoder_says_what_torch_says_in_pieces_too(
    keys: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["export", str(make(tmp_path / "exp", keys)), str(tmp_path / "exp.onnx")]) == 0
    exported, speak = Exported(tmp_path / "exp.onnx"), vocoder(str(tmp_path / "exp"), MELS["fine"])
    mel = np.random.default_rng(0).normal(-4, 2, (300, 80)).astype(np.float32)
    whole = exported.chunked_vocoder.whole(mel)
    assert whole.shape == (48000,)
    assert np.abs(whole).max() > 0.01
    assert np.abs(whole - speak.whole(mel)).max() < 1e-4
    monkeypatch.setattr(windows, "CHUNK", 70)
    assert np.abs(exported.chunked_vocoder.whole(mel) - whole).max() < 1e-4


def test_the_verb_tells_what_it_checked_and_nothing_of_this_machine(made: Path) -> None:
    said = (made / "said").read_text().splitlines()
    assert len(said) == 6  # the exporter's own diary is not among them
    assert said[4].startswith("onnxruntime and torch differ by ")
    assert all(f"{length}: " in said[4] for length in CHECKED["vocoder"])
    for path in (made / "out").iterdir():
        content = path.read_bytes()
        assert str(Path(__file__).parents[1]).encode() not in content
        assert b"site-packages" not in content


def test_a_file_knows_what_is_needed_to_speak_with_it(made: Path) -> None:
    lips, voice = Exported(made / "out/lips.onnx"), Exported(made / "out/voice.onnx")
    assert (lips.mel, voice.mel) == (MELS["fine"], MELS["fine"])
    assert (lips.note.region, lips.note.side, lips.note.ratio) == ("mouth", 96, 4.0)
    assert lips.note.mean[0] == pytest.approx(-6)
    assert lips.note.std == pytest.approx([1.5] * 80)
    assert voice.note.receptive_field == experiment.load(made / "voice").model.receptive_field


def test_it_speaks_where_there_is_no_torch(made: Path) -> None:
    """In a process of its own, which then has not imported it: with a vocoder and with Griffin-Lim."""
    program = (
        "import sys, numpy, lipsound2.inference.speak; from pathlib import Path\n"
        "from lipsound2.inference.onnx import OnnxLipToSpeech\n"
        "for files in sys.argv[1:]:\n"
        "    voice = OnnxLipToSpeech([Path(files)])\n"
        "    audio = voice.chunked_vocoder.whole(voice.windows(9).whole(numpy.zeros((9, 96, 96), numpy.uint8)))\n"
        "    assert audio.shape == (5760,) and numpy.isfinite(audio).all()\n"
        "assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", program, str(made / "out"), str(made / "out/lips.onnx")]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stderr == ""


@pytest.mark.parametrize("name", ["fine", "paper"])
def test_griffin_lim_without_torch_is_the_other_one(name: str) -> None:
    time = np.arange(16000) / 16000
    waveform = np.float32(0.3 * np.sin(2 * np.pi * (200 + 300 * time) * time) * np.sin(2 * np.pi * 3 * time))
    mel = mel_spectrogram(torch.from_numpy(waveform), MELS[name])
    for rounds in (1, 16):
        wanted = griffin_lim.mel_to_waveform(mel, MELS[name], iterations=rounds).numpy()
        found = mel_to_waveform(mel.numpy(), MELS[name], rounds)
        assert found.dtype == np.float32
        assert np.abs(found - wanted).max() < 0.01 * np.abs(wanted).max()
    with pytest.raises(LipsoundError, match="a clip of 1 frames is too short"):
        mel_to_waveform(mel.numpy()[:1], MELS[name])


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        (ATTENTION, "attention decoder is autoregressive"),
        (FLOW, "samples noise while it runs"),
        (LIPS | {"input": "chin"}, "reads 'chin', not the crops of face or mouth"),
    ],
)
def test_what_cannot_be_exported_is_told(
    keys: dict, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "exp", keys)
    assert main(["export", str(tmp_path / "exp"), str(tmp_path / "out.onnx")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"cannot be exported: its {why}" in error or f"cannot be exported: it {why}" in error
    assert not (tmp_path / "out.onnx").exists()


def test_a_file_of_another_name_is_refused(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(made / "lips"), str(tmp_path / "lips.pt")]) == 1
    assert "expected a file name that ends in .onnx" in capsys.readouterr().err


def test_mels_that_cannot_be_spoken_are_told(made: Path) -> None:
    voice = Exported(made / "out/voice.onnx")
    wrong = np.zeros((5, 80), np.float32)
    wrong[2, 3] = np.nan
    for mel, message in (
        (np.zeros((5, 64)), "expected 80 bands for the mel 'fine', found 64"),
        (np.zeros((0, 80)), "the mel has no frames"),
        (wrong, "1 of the mel's 400 values are no numbers"),
    ):
        with pytest.raises(LipsoundError, match=message):
            voice.chunked_vocoder.whole(mel)


def test_crops_of_another_size_are_told_on_the_way_that_speak_takes(made: Path) -> None:
    """A crop of today may be larger than the one for which an earlier version wrote the file."""
    model = OnnxLipToSpeech([made / "out/lips.onnx"])
    with pytest.raises(
        LipsoundError,
        match=r"lips.onnx: found crops of 112 x 112, wanted 96 x 96; write it again with: lipsound2 export$",
    ):
        model.windows(5).whole(np.zeros((5, 112, 112), np.uint8))
    assert model.windows(5).whole(np.zeros((5, 96, 96), np.uint8)).shape == (20, 80)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"this is text", "is no ONNX file that can be run"), (b"", "is no ONNX file"), (None, "no such file")],
)
def test_a_file_that_is_no_network_is_told(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(LipsoundError, match=message):
        Exported(tmp_path / "a.onnx")


def test_an_onnx_file_of_somebody_else_is_told(tmp_path: Path) -> None:
    helper = onnx.helper
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("a", "b")]
    graph = helper.make_graph([helper.make_node("Identity", ["a"], ["b"])], "other", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "a.onnx")
    with pytest.raises(LipsoundError, match="that lipsound2 did not write"):
        Exported(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    ("familiarity", "message"),
    [("%%", "familiarity is no base64"), ("AAAA", "cannot be read")],
)
def test_fault_what_tells_faces_is_damaged(made: Path, familiarity: str, message: str, tmp_path: Path) -> None:
    model = onnx.load(made / "out/lips.onnx")
    (note,) = (entry for entry in model.metadata_props if entry.key == NOTE)
    note.value = json.dumps(json.loads(note.value) | {"familiarity": familiarity})
    onnx.save(model, tmp_path / "a.onnx")
    with pytest.raises(LipsoundError, match=f"its note: {message}.*; write it again with: lipsound2 export$"):
        Exported(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    ("files", "vocoder", "message"),
    [
        (["out/voice.onnx"], "griffin-lim", "found 0 and 1"),
        (["out/lips.onnx", "out/lips.onnx"], "griffin-lim", "found 2 and 0"),
        (["lips"], "griffin-lim", "found 0 and 0"),
        (["out/lips.onnx"], "exp/hifigan", "takes its vocoder as a second file"),
        (["out"], "griffin-lim:16", "takes its vocoder as a second file"),
        (["out/lips.onnx"], "griffin-lim:x", "whole number from 1"),
    ],
)
def test_files_that_do_not_make_a_voice_are_told(made: Path, files: list[str], vocoder: str, message: str) -> None:
    with pytest.raises(LipsoundError, match=message):
        OnnxLipToSpeech([made / file for file in files], vocoder)


def test_a_vocoder_of_another_mel_is_told(made: Path, tmp_path: Path) -> None:
    network = onnx.load(made / "out/voice.onnx")
    note = next(entry for entry in network.metadata_props if entry.key == NOTE)
    note.value = json.dumps(json.loads(note.value) | {"mel": to_mapping(MELS["paper"])})
    onnx.save(network, tmp_path / "paper.onnx")
    with pytest.raises(
        LipsoundError, match=r"paper.onnx was made for another mel than 'fine': .*hop is 256, wanted 160"
    ):
        OnnxLipToSpeech([made / "out/lips.onnx", tmp_path / "paper.onnx"])


def test_onnx_stands_instead_of_a_model(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["speak", "clip.mp4", "-o", str(tmp_path / "a.wav"), "--onnx", str(made / "out"), "--model", "exp/a"]
    assert main(words) == 1
    assert "leave out --model and --device" in capsys.readouterr().err
