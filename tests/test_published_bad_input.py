"""Files of others that are not what they should be, as a person gives them: status 1, one line, what to do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.published_weights import SMALL, SMALL_LM, language_state, reader_state, trunk_state
from helpers.video_making import write_clip
from test_published_models import SETTINGS

from lipsound2.cli import main

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
