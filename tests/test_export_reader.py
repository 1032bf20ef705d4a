"""Exported recognizers: the same texts as torch, on folders that are checked, and without torch."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.published_weights import SMALL, language_state, reader_state

import lipsound2
from lipsound2 import SearchOptions
from lipsound2.cli import main
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.decoding.hypothesis import Hypothesis
from lipsound2.errors import LipsoundError
from lipsound2.inference import export_reader, long_clips, onnx_reader, own_recognizer, windows
from lipsound2.inference.export import export
from lipsound2.inference.onnx_reader import OnnxRecognizer
from lipsound2.inference.onnx_session import open_session
from lipsound2.inference.onnx_translation import largest_difference, quantize, translate, write
from lipsound2.inference.recognizers import TrainedRecognizer
from lipsound2.published.avsr import convert_avsr

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)

Captured = pytest.CaptureFixture[str]
SEARCHES: dict[str, dict[str, float]] = {
    "greedy": {"ctc_weight": 1.0, "beam": 1},
    "prefixes": {"ctc_weight": 1.0, "beam": 6},
    "joint": {"ctc_weight": 0.1, "beam": 5},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packs `reader` and `lm` of rule-made weights, and their exports `reader-onnx` and `lm-onnx`."""
    root = tmp_path_factory.mktemp("exported")
    torch.set_num_threads(1)
    units = ["<unk>", *(f"\u2581X{number}" for number in range(SMALL.classes - 3))]
    (root / "units.txt").write_text("".join(f"{piece} {n}\n" for n, piece in enumerate(units, start=1)))
    torch.save(reader_state(), root / "reader.pth")
    torch.save(language_state(), root / "lm.pth")
    settings = {"layer": 2, "unit": 96, "att_unit": 64, "embed_unit": 32, "head": 4, "pos_enc": "none"}
    (root / "lm.json").write_text(json.dumps(settings))
    convert_avsr(root / "reader.pth", root / "reader", tokens=root / "units.txt")
    convert_avsr(root / "lm.pth", root / "lm", config=root / "lm.json", tokens=root / "units.txt")
    for name in ("reader", "lm"):
        assert main(["export", str(root / name), str(root / f"{name}-onnx")]) == 0
    return root


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """A copy of the exported reader, to be spoiled."""
    return Path(shutil.copytree(made / "reader-onnx", tmp_path / "copy"))


def crops(length: int) -> np.ndarray:
    return np.random.default_rng(length).integers(0, 256, (length, 96, 96), np.uint8)


def check_same(found: Hypothesis, wanted: Hypothesis) -> None:
    assert found.text == wanted.text
    assert [(word.text, word.start, word.end) for word in found.words] == [
        (word.text, word.start, word.end) for word in wanted.words
    ]
    assert [word.confidence for word in found.words] == pytest.approx(
        [word.confidence for word in wanted.words], abs=1e-3
    )
    assert found.confidence == pytest.approx(wanted.confidence, abs=1e-3)
    assert [each.text for each in found.alternatives[:2]] == [each.text for each in wanted.alternatives[:2]]


@pytest.mark.parametrize("way", SEARCHES)
@pytest.mark.parametrize("lm", ["", "lm"])
def test_texts_times_and_confidences_are_those_of_torch(made: Path, way: str, lm: str) -> None:
    ours, theirs = (
        SearchOptions(**SEARCHES[way], lm=made / f"{lm}{end}" if lm else None, lm_weight=0.4, word_bonus=0.3)
        for end in ("-onnx", "")
    )
    exported, trained = OnnxRecognizer(made / "reader-onnx", ours), TrainedRecognizer(str(made / "reader"), theirs)
    said = 0
    for length in (1, 7, 33):
        found, wanted = (each.recognize([crops(length)])[0] for each in (exported, trained))
        check_same(found, wanted)
        said += len(found.words)
    assert said


def test_clips_longer_than_a_window(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (windows, long_clips, onnx_reader, own_recognizer):
        monkeypatch.setattr(module, "READER_WINDOW", 64)
    monkeypatch.setattr(windows, "READER_OVERLAP", 32)
    exported, trained = OnnxRecognizer(made / "reader-onnx"), TrainedRecognizer(str(made / "reader"))
    (found,), (wanted,) = (each.hear([crops(110)]) for each in (exported, trained))
    # Each window has a trunk of its own here. At its ends the trunk lacks neighbors, and attention sees these frames.
    assert np.abs(found.log_probs - wanted.log_probs).mean() < 0.01
    assert found.decoder is None
    assert exported.hear([crops(64)])[0].decoder is not None


def test_the_folder_has_what_is_needed(made: Path) -> None:
    folder, pack = made / "reader-onnx", made / "reader"
    facts = read_yaml(folder / "export.yaml")
    assert sorted(facts["files"]) == sorted(path.name for path in folder.iterdir() if path.name != "export.yaml")
    for name in ("tokens.pieces", "search.yaml", "config.yaml", "card.md"):
        assert (folder / name).read_bytes() == (pack / name).read_bytes()
    assert (facts["input"], facts["side"], facts["precision"]) == ("mouth-published", 96, "fp32")
    assert 0 < facts["difference"] < 1e-4
    for path in folder.iterdir():
        content = path.read_bytes()
        assert str(Path(__file__).parents[1]).encode() not in content
        assert b"site-packages" not in content


def test_an_export_is_made_again_in_its_folder_alone(made: Path, copied: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "diary.txt").write_text("mine")
    with pytest.raises(LipsoundError, match="holds other files and is no export"):
        export(str(made / "lm"), tmp_path / "other")
    with pytest.raises(LipsoundError, match="is an export of the model 'reader', which would be lost"):
        export(str(made / "lm"), copied)
    earlier = read_yaml(copied / "export.yaml")
    for name in ("notes.txt", "old.onnx"):
        (copied / name).write_text("mine")
    write_yaml(copied / "export.yaml", earlier | {"files": earlier["files"] | {"old.onnx": "0"}})
    export(str(made / "reader"), copied)
    assert not (copied / "old.onnx").exists()
    assert (copied / "notes.txt").exists()
    assert read_yaml(copied / "export.yaml") == earlier


def test_int8_is_near_and_smaller(made: Path, tmp_path: Path) -> None:
    exact, rounded = made / "lm-onnx" / "language.onnx", tmp_path / "language.onnx"
    quantize(exact, rounded)
    sizes = [(path.parent / f"{path.name}.data").stat().st_size for path in (exact, rounded)]
    assert sizes[1] < 0.6 * sizes[0]  # scales weigh much in so small a network
    given = {
        "tokens": np.array([40, 3]),
        "lengths": np.array([0, 2]),
        "past": np.random.default_rng(0).normal(0, 1, (2, 2, 2, 4, 2, 16)).astype(np.float32),
    }
    wanted, found = (open_session(path).run(None, given)[0] for path in (exact, rounded))
    assert 1e-4 < largest_difference(wanted, found) < 0.2


def test_legacy_positions_at_any_length(tmp_path: Path) -> None:
    """The attention alone: its bias is all that differs from the other networks."""
    from lipsound2.models.modules.conformer import Conformer, ConformerConfig

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.blocks = Conformer(16, 1, 2, kernel=5, config=ConformerConfig(positions="legacy", conv_norm="batch"))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.blocks(x, torch.ones(x.shape[:2], dtype=torch.bool))

    network = Whole().eval()
    write(translate(network, {"x": torch.randn(1, 30, 16)}, {"x": [1]}, ["y"]), tmp_path / "a.onnx", beside=True)
    session = open_session(tmp_path / "a.onnx")
    for length in (1, 2, 41, 300):
        x = torch.randn(1, length, 16)
        with torch.no_grad():
            wanted = network(x).numpy()
        assert largest_difference(wanted, session.run(None, {"x": x.numpy()})[0]) < 1e-4


WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name=name)

sys.meta_path.insert(0, NoTorch())
from lipsound2.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_clip_is_transcribed_without_torch(made: Path, grid: Path, tmp_path: Path) -> None:
    """With crops and the joint search; the text is noise, and that of torch."""
    clip = grid / "s1" / "bbaf3s.mp4"
    words = ["transcribe", str(clip), "--beam", "4", "--output-dir", str(tmp_path)]
    words += ["--txt", "--srt", "--vtt", "--json"]
    given = ["--onnx", str(made / "reader-onnx"), "--lm", str(made / "lm-onnx")]
    command = [sys.executable, "-c", WITHOUT_TORCH, *words, *given]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    trained = lipsound2.load(made / "reader", search=SearchOptions(lm=made / "lm", beam=4))
    wanted = trained(clip)
    found = json.loads((tmp_path / "bbaf3s.json").read_text())
    assert wanted.text
    assert found["text"] == wanted.text == (tmp_path / "bbaf3s.txt").read_text().strip()
    assert [word["start"] for word in found["words"]] == pytest.approx([word.start for word in wanted.words])
    assert (tmp_path / "bbaf3s.srt").read_text().startswith("1\n")
    assert (tmp_path / "bbaf3s.vtt").read_text().startswith("WEBVTT")


def test_python_loads_a_folder_and_ranks_sentences(made: Path) -> None:
    for precision in ("int8", "fp32"):
        with pytest.raises(LipsoundError, match="run on the CPU as they were exported; leave out device and precision"):
            lipsound2.load(made / "reader-onnx", precision=precision)
    reader = lipsound2.load(made / "reader-onnx")
    assert reader.reads_lips
    with pytest.raises(LipsoundError, match="its steps are not at hand"):
        reader.encode(crops(5))
    with pytest.raises(LipsoundError, match="run on the CPU"):
        lipsound2.load(made / "reader-onnx", device="mps" if torch.backends.mps.is_available() else "cuda")


@pytest.mark.parametrize("name", ["encoder.onnx", "decoder.onnx.data", "tokens.pieces"])
def test_a_missing_file_and_another_one_are_told(copied: Path, name: str) -> None:
    content = (copied / name).read_bytes()
    (copied / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(LipsoundError, match=rf"{name}: is not the file that was exported .*another SHA-256"):
        OnnxRecognizer(copied)
    (copied / name).unlink()
    with pytest.raises(LipsoundError, match=rf"{name}: is missing; write it again"):
        OnnxRecognizer(copied)


def test_a_manifest_that_names_no_network_is_told(copied: Path) -> None:
    facts = read_yaml(copied / "export.yaml")
    files = {name: digest for name, digest in facts["files"].items() if name != "encoder.onnx"}
    write_yaml(copied / "export.yaml", facts | {"files": files})
    with pytest.raises(LipsoundError, match=r"encoder\.onnx: is missing"):
        OnnxRecognizer(copied)
    write_yaml(copied / "export.yaml", facts | {"files": facts["files"] | {"../x": "0"}})
    with pytest.raises(LipsoundError, match="is missing"):
        OnnxRecognizer(copied)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["clip.mp4", "--onnx", "lm-onnx"], "is an exported language model, wanted a recognizer"),
        (["clip.mp4", "--onnx", "reader"], "holds no export.yaml, so it is no exported recognizer"),
        (["clip.mp4", "--onnx", "absent"], "no such folder; write it again with: lipsound2 export"),
        (
            ["clip.mp4", "--onnx", "grid-s1-asr"],
            "name of a pack, wanted the folder of an exported recognizer; write it",
        ),
        (["clip.mp4", "--onnx", "reader-onnx,lm-onnx"], "expected one folder"),
        (["clip.mp4", "--onnx", "reader-onnx", "--model", "x"], "leave out --model, --asr, --device and --precision"),
        (["clip.mp4", "--onnx", "reader-onnx", "--audio"], "reads lips ('mouth-published'), no audio"),
        (["clip.mp4", "--onnx", "reader-onnx", "--lm", "reader"], "is no exported language model"),
        (["clip.mp4", "--onnx", "reader-onnx", "--lm", "reader-onnx"], "is an exported recognizer, wanted a language"),
        (["clip.mp4", "--model", "reader-onnx"], "holds exported networks; use it with: lipsound2 transcribe --onnx"),
    ],
)
def test_what_does_not_fit_is_told_in_a_line(
    made: Path,
    grid: Path,
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(made)
    if not Path("clip.mp4").exists():
        shutil.copyfile(grid / "s1" / "bbaf3s.mp4", "clip.mp4")
    assert main(["transcribe", *words]) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lipsound2 transcribe:")]
    assert len(told) == 1
    assert message in told[0]


def test_without_onnxruntime_the_message_says_how_to_get_it(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(LipsoundError, match=r"the package 'onnxruntime' cannot be imported .*install"):
        OnnxRecognizer(made / "reader-onnx")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reader", "out.onnx"], "becomes several networks and their tokens; give a folder, such as out"),
        (
            ["grid-s1-vocos", "v.onnx", "--precision", "int8"],
            "only recognizers and language models are exported as int8",
        ),
    ],
)
def test_exports_that_cannot_be_are_told(
    made: Path, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(made)
    assert main(["export", *words]) == 1
    assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def translated() -> list[Any]:
    """Networks of the recognizer that ships, in the order in which they are exported, once they have been."""
    return []


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_recognizer_that_ships_hears_the_same_in_real_clips(
    grid: Path, tmp_path: Path, precision: str, capsys: Captured, translated: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same networks are rounded to int8 afterwards. Their translation takes half a minute, and is not made twice.
    number = itertools.count()

    def once(*given: Any) -> Any:
        if (place := next(number)) == len(translated):
            translated.append(translate(*given))
        return translated[place]

    monkeypatch.setattr(export_reader, "translate", once)
    assert main(["export", "grid-s1-asr", str(tmp_path / "asr"), "--precision", precision]) == 0
    assert "onnxruntime and torch: log-probabilities differ by" in capsys.readouterr().out
    exported, trained = lipsound2.load(tmp_path / "asr"), lipsound2.load("grid-s1-asr")
    for clip in sorted((grid / "s1").glob("*.mp4"))[:5]:
        found, wanted = exported(clip), trained(clip)
        assert found.text == wanted.text
        if precision == "fp32":
            check_same(found, wanted)
    phrases = ["bin blue at f three soon", "lay red by a one soon", "bin blue at f four please"]
    chosen = exported(grid / "s1" / "bbaf3s.mp4", phrases=phrases)
    assert chosen.text == phrases[0]
    assert chosen.confidence > 0.9
