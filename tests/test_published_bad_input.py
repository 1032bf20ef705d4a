"""Files of others that are not what they should be, as a person gives them: status 1, one line, what to do."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.published_weights import SMALL, SMALL_LM, language_state, reader_state, trunk_state
from helpers.video_making import write_clip
from test_published_models import SETTINGS

import lipsound2
from lipsound2.cli import main
from lipsound2.model_names import card_facts

TINY = replace(SMALL, layers=1, decoder_layers=1)


class Pickled:
    """Stands for any object: reading it would run code."""


def units(count: int) -> str:
    """A table of so many pieces, the unknown one among them."""
    return "".join(f"{piece} {n}\n" for n, piece in enumerate(["<unk>", *(f"\u2581X{n}" for n in range(count))], 1))


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Published files with weights made by a rule, good and bad, a pack of the good one, and a clip without a face."""
    folder = tmp_path_factory.mktemp("bad input")
    torch.save(reader_state(TINY), folder / "reader.pth")
    torch.save({"model": Pickled(), "state": reader_state(TINY)}, folder / "pickle.pth")
    torch.save({"net": Pickled()}, folder / "net.pth")
    torch.save(trunk_state("frontend.") | {"lstm.weight": torch.ones(3, 3)}, folder / "layout.pth")
    torch.save({"layers.0.weight": torch.ones(3, 3)}, folder / "other.pth")
    (folder / "page.pth").write_text("<html>Google Drive: quota exceeded</html>")
    (folder / "half.pth").write_bytes((folder / "reader.pth").read_bytes()[:100_000])
    (folder / "model.json").write_text(json.dumps(SETTINGS | {"elayers": 12, "dlayers": 1}))
    (folder / "broken.json").write_text('{"adim": ')
    torch.save(language_state(replace(SMALL_LM, classes=31)), folder / "lm.pth")
    for count in (38, 37, 28):
        (folder / f"{count}.txt").write_text(units(count))
    (folder / "words.txt").write_text("ABOUT\n")
    for file, tokens, pack in (("reader.pth", 38, "reader"), ("lm.pth", 28, "lm")):
        assert not main(
            ["convert-avsr", str(folder / file), str(folder / pack), "--tokens", str(folder / f"{tokens}.txt")]
        )
    write_clip(folder / "gray.mp4", [np.full((96, 128), 100, np.uint8)] * 12, [i / 25 for i in range(12)])
    return folder


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        # A file of another layout
        ("convert-avsr other.pth out --tokens 38.txt", "other.pth: has no Conformer block"),
        ("convert-avsr layout.pth out --tokens 38.txt", "layout.pth: has no Conformer block"),
        ("convert-hifigan other.pth out", "other.pth: has no tensor 'conv_pre.bias', which such a model has"),
        ("convert-lrw other.pth out --words words.txt", "other.pth: has no tensor 'frontend3D.0.weight'"),
        ("convert-trunk other.pth out", "other.pth: has no tensors '...frontend3D.0.weight'"),
        # No file of weights at all, or a part of one
        ("convert-avsr page.pth out --tokens 38.txt", "page.pth: no plain state dict of tensors, so it is refused"),
        ("convert-trunk half.pth out", "half.pth: "),
        ("convert-avsr nowhere.pth out", "nowhere.pth: no such file"),
        # A pickle
        *(
            (f"{verb} {file} out{options}", "Pickled', which is code; nothing in it was run")
            for verb, options in (
                ("convert-avsr", " --tokens 38.txt"),
                ("convert-hifigan", ""),
                ("convert-lrw", " --words words.txt"),
                ("convert-trunk", ""),
            )
            for file in ("pickle.pth", "net.pth")
        ),
        # A model.json that contradicts the tensors, or is none
        ("convert-avsr reader.pth out --config model.json", "its model.json says elayers '12', its tensors 1"),
        ("convert-avsr reader.pth out --config broken.json", "broken.json"),
        # A token table of another size, or none
        (
            "convert-avsr reader.pth out --tokens 37.txt",
            "37.txt: lists 39 tokens, reader.pth has 40; give the table of",
        ),
        ("convert-avsr reader.pth out", "does not tell its 40 tokens; give the table of them: --tokens FILE"),
        ("convert-avsr lm.pth out --tokens 38.txt", "38.txt: lists 40 tokens, lm.pth has 30; give the table of this"),
        # A clip without a mouth
        ("transcribe gray.mp4 --model reader", "gray.mp4: no-face: "),
        # A language model of other tokens
        ("transcribe gray.mp4 --model reader --lm lm", "lm: its 30 tokens are not the 40 of the recognizer"),
    ],
)
def test_one_line_says_what_is_wrong(place, monkeypatch, capsys, line, wanted):
    monkeypatch.chdir(place)
    assert main(line.split(" ")) == 1
    told = capsys.readouterr().err.strip().splitlines()
    assert wanted in told[-1]
    assert len([row for row in told if "error" in row.lower() or wanted in row]) == 1
    assert not any("Traceback" in row for row in told)
    assert not (place / "out").exists(), "nothing is left of a conversion that was refused"


def changed(place: Path, name: str, **tensors: torch.Tensor) -> Path:
    """The good file with some tensors of its first block or decoder replaced."""
    torch.save(reader_state(TINY) | {key.replace("__", "."): tensor for key, tensor in tensors.items()}, place / name)
    return place / name


def convert(capsys, *words: object) -> tuple[int, str]:
    status = main(["convert-avsr", *map(str, words)])
    return status, capsys.readouterr().err


def test_a_damaged_archive_is_told_in_one_line_and_by_its_own_name(place, tmp_path, capsys):
    content = (place / "reader.pth").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("model.pth", content)
    spoilt = bytearray((tmp_path / "a.zip").read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    (tmp_path / "a.zip").write_bytes(spoilt)
    status, told = convert(capsys, tmp_path / "a.zip", tmp_path / "out", "--tokens", place / "38.txt")
    assert (status, told.count("\n")) == (1, 1)
    assert "a.zip: cannot be unpacked (Bad CRC-32" in told
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("model.pth", content)
        archive.writestr("model.json", '{"adim": ')
    status, told = convert(capsys, tmp_path / "b.zip", tmp_path / "out", "--tokens", place / "38.txt")
    assert status == 1
    assert f"{tmp_path / 'b.zip'}/model.json" in told, "not a file in a temporary folder, which is gone"


def test_an_archive_without_weights_is_told(place, tmp_path, capsys):
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    with zipfile.ZipFile(tmp_path / "others.zip", "w") as archive:
        archive.write(place / "model.json", "LRS3/model.json")
    for name in ("empty.zip", "others.zip"):
        status, told = convert(capsys, tmp_path / name, tmp_path / "out", "--tokens", place / "38.txt")
        assert (status, told.count("\n")) == (1, 1)
        assert f"{name}: holds no model.pth; give a folder with model.pth and model.json" in told


def test_an_archive_larger_than_the_disk_is_refused_before_it_is_unpacked(place, tmp_path, capsys, monkeypatch):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.pth", b"\0" * 10_000_000)
    free = shutil.disk_usage(tmp_path)._replace(free=5_000_000)
    monkeypatch.setattr("lipsound2.published.avsr.shutil.disk_usage", lambda _: free)
    status, told = convert(capsys, tmp_path / "bomb.zip", tmp_path / "out", "--tokens", place / "38.txt")
    assert status == 1
    assert "bomb.zip: holds 10 MB, and " in told
    assert "has 5 MB free" in told


def test_tied_weights_are_written_and_an_even_kernel_is_refused(place, tmp_path, capsys):
    tied = torch.ones(41, 64)
    file = changed(tmp_path, "tied.pth", decoder__embed__0__weight=tied, decoder__output_layer__weight=tied)
    assert convert(capsys, file, tmp_path / "out", "--tokens", place / "38.txt") == (0, "")
    kernel = "encoder__encoders__0__conv_module__depthwise_conv__weight"
    file = changed(tmp_path, "even.pth", **{kernel: torch.ones(64, 1, 30)})
    status, told = convert(capsys, file, tmp_path / "even", "--tokens", place / "38.txt")
    assert status == 1
    assert "even.pth: kernel: found 30, wanted an odd number of taps" in told


def test_a_reader_without_a_decoder_has_a_search_that_it_can_run(place, tmp_path, capsys):
    state = {name: each for name, each in reader_state(TINY).items() if not name.startswith("decoder")}
    torch.save(state, tmp_path / "ctc.pth")
    status, _ = convert(
        capsys, tmp_path / "ctc.pth", tmp_path / "out", "--tokens", place / "38.txt", "--knows", "me\n* License: MIT"
    )
    assert status == 0
    assert type(lipsound2.load(tmp_path / "out")).__name__ == "Transcriber"
    assert card_facts(tmp_path / "out")["License"].startswith("the file's own"), "what it knows is one line"


def test_the_empty_folder_one_stands_in_can_be_the_output(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert convert(capsys, place / "reader.pth", ".", "--tokens", place / "38.txt") == (0, "")
