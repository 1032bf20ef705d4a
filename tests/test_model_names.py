"""Models by name: those that ship, those in the user's folder, and public ones that are not here yet."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers.published_weights import reader_state

import lipsound2
from lipsound2 import model_names
from lipsound2.cli import main
from lipsound2.completion import options_of
from lipsound2.errors import LipsoundError
from lipsound2.inference.vocoder_names import folder_of
from lipsound2.inference.vocoders import LoadedVocoder


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with a recognizer and a vocoder under other names."""
    folder = tmp_path / "models"
    shutil.copytree(model_names.PRETRAINED / "grid-s1-asr", folder / "my-asr")
    shutil.copytree(model_names.PRETRAINED / "grid-s1-vocos", folder / "my-vocoder")
    shutil.copytree(model_names.PRETRAINED / "grid-s1-vocos", folder / ".coming")
    monkeypatch.setenv("LIPSOUND2_MODELS", str(folder))
    return folder


def test_a_name_means_a_model_of_the_user(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert model_names.of_user() == ["my-asr", "my-vocoder"]
    assert model_names.of_user("vocode") == ["my-vocoder"]
    assert model_names.find("my-asr", "recognize") == mine / "my-asr"
    assert folder_of("my-vocoder") == mine / "my-vocoder"
    loaded = lipsound2.load("my-vocoder")
    assert isinstance(loaded, LoadedVocoder)
    assert type(lipsound2.load("my-asr")).__name__ == "Transcriber"
    assert model_names.name_of(mine / "my-asr") == "my-asr"
    assert model_names.name_of(tmp_path / "my-asr") == str(tmp_path / "my-asr")
    # A folder here comes before a name, as it always did; a path is never looked up among names.
    monkeypatch.chdir(tmp_path)
    shutil.copytree(mine / "my-asr", tmp_path / "my-asr")
    assert model_names.find("my-asr") == Path("my-asr")
    with pytest.raises(LipsoundError, match="no experiment or pack"):
        model_names.find("sub/../my-vocoder")


def test_options_take_such_names(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb, flag, name in (("transcribe", "--asr", "my-asr"), ("speak", "--vocoder", "my-vocoder")):
        assert name in next(option.choices for option in options_of(verb) if option.flag == flag)
    for words in (
        ["transcribe", "no.wav", "--asr", "my-asr"],
        ["speak", "no.mp4", "--vocoder", "my-vocoder"],
    ):
        assert main(words) == 1
        assert "no such file" in capsys.readouterr().err  # the name is not what is wrong


def test_a_wrong_name_is_told_with_what_is_there(mine: Path) -> None:
    with pytest.raises(LipsoundError, match=f"in {mine}: my-asr; did you mean 'my-asr'"):
        model_names.find("my-asl", "recognize")
    with pytest.raises(LipsoundError, match=r"did you mean 'vsr-lrs3-19\.1'"):
        model_names.find("vsr-lrs3-19")
    with pytest.raises(LipsoundError, match=r"get it with: lipsound2 models get vsr-lrs3-19\.1$"):
        lipsound2.load("vsr-lrs3-19.1")


def test_a_known_language_model_is_told_as_such(mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / "a.wav"
    soundfile.write(clip, np.zeros(16000, np.float32), 16000)
    assert main(["transcribe", str(clip), "--lm", "lm-en-subword", "--lm-weight", "0.3"]) == 1
    assert "get it with: lipsound2 models get lm-en-subword" in capsys.readouterr().err


def test_where_the_users_models_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIPSOUND2_MODELS", "~/here")
    assert model_names.user_folder() == Path.home() / "here"
    monkeypatch.delenv("LIPSOUND2_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert model_names.user_folder() == tmp_path / "lipsound2" / "models"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert model_names.user_folder() == Path.home() / ".local" / "share" / "lipsound2" / "models"
    monkeypatch.setattr("sys.platform", "darwin")
    assert model_names.user_folder().parts[-4:] == ("Library", "Application Support", "lipsound2", "models")


def test_a_converter_writes_into_the_users_folder(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(reader_state(), tmp_path / "made_up.pth")
    pieces = "".join(f"P{number} {number}\n" for number in range(2, 40))
    (tmp_path / "units.txt").write_text(f"<unk> 1\n{pieces}")
    words = ["convert-avsr", str(tmp_path / "made_up.pth"), "--tokens", str(tmp_path / "units.txt")]
    assert main([*words, "--name", "my-reader"]) == 0
    assert "use it with: lipsound2 transcribe CLIP --model my-reader\n" in capsys.readouterr().out
    assert model_names.find("my-reader") == mine / "my-reader"
    for more, status, wanted in (
        ([], 2, "give one of the two: OUT, a folder to write, or --name NAME"),
        ([str(tmp_path / "out"), "--name", "x"], 2, "give one of the two"),
        (["--name", "a/b"], 2, "--name: found 'a/b', wanted letters"),
        (["--name", "grid-s1-asr"], 1, "is the name of another model"),
        (["--name", "my-asr"], 1, "is a pack of another experiment"),
    ):
        assert main([*words, *more]) == status
        assert wanted in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*words, str(tmp_path / "out")]) == 0  # the folder behind options
    assert (tmp_path / "out" / "config.yaml").exists()
