"""Published lip readers on our networks, against golden numbers of the code behind them, with small random weights."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.published_weights import language_state, reader_state
from torch import Tensor

import lipsound2
from lipsound2 import SearchOptions, experiment
from lipsound2.errors import LipsoundError
from lipsound2.inference.recognizer_names import search_of
from lipsound2.models.asr.language_model import LanguageModelConfig, TransformerLM
from lipsound2.models.asr.lip_reader import LipEncoder, LipReaderConfig
from lipsound2.models.asr.recognizer import Recognizer
from lipsound2.published import visual_speech
from lipsound2.published.avsr import convert_avsr
from lipsound2.tasks.language import Language
from lipsound2.tasks.recognize import Recognize
from lipsound2.text.piece_table import PieceTable

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "reference" / "published_golden.npz"
CLASSES, WIDTH, HEADS, INSIDE, LAYERS, KERNEL = 41, 64, 4, 128, 2, 31
# Share of CTC, weight of the language model, bonus for each token.
SEARCHES = {"plain": (0.1, 0.0, 0.0), "lm": (0.1, 0.3, 0.5), "ctc": (0.5, 0.0, 0.0)}


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    if not GOLDEN.is_file():
        pytest.skip(f"{GOLDEN.name} is not at hand; it belongs beside the real clips, in shared/reference")
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def network(legacy: bool) -> Recognizer:
    found = visual_speech.reader(reader_state(), "made up", legacy=legacy)
    config = LipReaderConfig(**found.config)
    model = Recognizer(LipEncoder(config), config, CLASSES - 1)
    model.load_state_dict(found.tensors)
    return model.eval()


def frames() -> Tensor:
    return torch.from_numpy(np.random.default_rng(7).integers(0, 256, (25, 96, 96), np.uint8))[None]


@pytest.mark.parametrize("positions", ["latest", "legacy"])
@torch.no_grad()
def test_states_and_scores_are_the_published_ones(golden: dict[str, np.ndarray], positions: str) -> None:
    model = network(positions == "legacy")
    length = torch.tensor([25])
    assert model.encoder.trunk is not None
    assert np.abs(model.encoder.trunk(frames(), length)[0].numpy() - golden["frontend"]).max() < 1e-4
    output = model(frames(), length)
    assert np.abs(output.states[0].numpy() - golden[f"{positions}_states"]).max() < 1e-4
    assert output.log_probs.shape == (1, 25, CLASSES - 1), "the boundary is never written"
    assert np.abs(output.log_probs[0].numpy() - golden[f"{positions}_ctc"][:, :-1]).max() < 1e-4
    tokens = torch.tensor([[CLASSES - 1, *golden["tokens"].tolist()]])
    assert model.decoder is not None
    scores = model.decoder(tokens, torch.tensor([7]), output.states, length)[0].log_softmax(-1)
    assert np.abs(scores.numpy() - golden[f"{positions}_decoder"]).max() < 1e-4


@torch.no_grad()
def test_the_language_model_is_the_published_one(golden: dict[str, np.ndarray]) -> None:
    found = visual_speech.language_model(language_state(), "made up", heads=HEADS)
    model = TransformerLM(LanguageModelConfig(**found.config), CLASSES - 1)
    model.load_state_dict(found.tensors)
    scores = model.eval()(torch.tensor([[CLASSES - 1, *golden["tokens"].tolist()]]))[0].log_softmax(-1)
    assert np.abs(scores.numpy() - golden["lm"]).max() < 1e-4


@pytest.mark.parametrize("legacy", [False, True])
@torch.no_grad()
def test_states_do_not_depend_on_batch_mates(legacy: bool) -> None:
    model = network(legacy)
    clips = torch.cat([frames(), frames().flip(1)])
    lengths = torch.tensor([25, 9])
    together = model(clips, lengths).states
    for row, length in enumerate(lengths.tolist()):
        alone = model(clips[row : row + 1, :length], lengths[row : row + 1]).states[0]
        assert (together[row, :length] - alone).abs().max() < 1e-5
        assert not together[row, length:].any()


# Files, as they are published, to packs

CHARACTERS = ["<blank>", "<unk>", "<space>", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'", "<eos>"]
SETTINGS = {
    **{"adim": WIDTH, "aheads": HEADS, "eunits": INSIDE, "elayers": LAYERS, "dunits": 96, "dlayers": LAYERS},
    **{"cnn_module_kernel": KERNEL, "macaron_style": True, "use_cnn_module": True, "relu_type": "swish"},
    **{"transformer_encoder_attn_layer_type": "rel_mha", "transformer_input_layer": "conv3d"},
    **{"rel_pos_type": "latest", "char_list": CHARACTERS},
}


def published_folder(folder: Path, **changed: object) -> Path:
    folder.mkdir()
    torch.save(reader_state(), folder / "model.pth")
    (folder / "model.json").write_text(json.dumps([512, CLASSES, SETTINGS | changed]))
    return folder


def states(pack: Path) -> np.ndarray:
    model = experiment.load(pack, task=Recognize).model
    with torch.no_grad():
        found: np.ndarray = model(frames(), torch.tensor([25])).states[0].numpy()
    return found


def test_a_folder_and_an_archive_become_packs(golden: dict[str, np.ndarray], tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "LRS3")
    convert_avsr(folder, tmp_path / "pack")
    assert np.abs(states(tmp_path / "pack") - golden["latest_states"]).max() < 1e-4
    loaded = experiment.load(tmp_path / "pack", task=Recognize)
    assert loaded.assets.tokenizer.decode([5, 17, 2, 3, 1]) == "CO A\u2047"
    assert loaded.task.settings.input == "mouth-published"
    (folder / "model.json").write_text(json.dumps(SETTINGS | {"rel_pos_type": None}))
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as archive:
        for name in ("model.pth", "model.json"):
            archive.write(folder / name, f"LRS3_old/{name}")
    convert_avsr(tmp_path / "old.zip", tmp_path / "old")
    assert np.abs(states(tmp_path / "old") - golden["legacy_states"]).max() < 1e-4
    convert_avsr(folder / "model.pth", tmp_path / "beside")
    assert np.abs(states(tmp_path / "beside") - golden["legacy_states"]).max() < 1e-4
    card = (tmp_path / "old" / "card.md").read_text()
    assert "not commercial" in card
    assert "positions 'legacy'" in card


def test_the_steps_and_the_search_of_a_loaded_reader(golden: dict[str, np.ndarray], tmp_path: Path) -> None:
    """As those use it who combine scores themselves; the three golden searches, for both kinds of positions."""
    units = ["<unk>", *(f"\u2581X{number}" for number in range(38))]
    (tmp_path / "units.txt").write_text("".join(f"{piece} {n}\n" for n, piece in enumerate(units, start=1)))
    torch.save(language_state(), tmp_path / "lm.pth")
    settings = {"layer": LAYERS, "unit": 96, "att_unit": WIDTH, "embed_unit": 32, "head": HEADS, "pos_enc": "none"}
    (tmp_path / "lm.json").write_text(json.dumps(settings))
    convert_avsr(tmp_path / "lm.pth", tmp_path / "lm", config=tmp_path / "lm.json", tokens=tmp_path / "units.txt")
    for positions, kind in (("latest", "latest"), ("legacy", None)):
        folder = published_folder(tmp_path / positions, rel_pos_type=kind)
        convert_avsr(folder, tmp_path / f"{positions}-pack", tokens=tmp_path / "units.txt")
        options = SearchOptions(lm=str(tmp_path / "lm"))
        reader = lipsound2.load(tmp_path / f"{positions}-pack", search=options)
        states = reader.encode(frames()[0].numpy())
        assert np.abs(states.numpy() - golden[f"{positions}_states"]).max() < 1e-4
        assert np.abs(reader.ctc_log_probs(states).numpy() - golden[f"{positions}_ctc"]).max() < 1e-4
        tokens = golden["tokens"].tolist()
        assert np.abs(reader.decoder_log_probs(states, tokens).numpy() - golden[f"{positions}_decoder"]).max() < 1e-4
        assert np.abs(reader.lm_log_probs(tokens).numpy() - golden["lm"]).max() < 1e-4
        for name, (ctc_weight, lm_weight, bonus) in SEARCHES.items():
            tokens, score = reader.search(states, 5, ctc_weight, lm_weight, bonus)
            wanted = golden[f"{positions}_beam_{name}"].tolist()
            assert tokens == [token for token in wanted if token != CLASSES - 1]
            assert score == pytest.approx(float(golden[f"{positions}_beam_{name}_score"]), abs=1e-3)
    with pytest.raises(LipsoundError, match="was loaded without a language model"):
        lipsound2.load(tmp_path / "latest-pack").search(states, 5, 0.1, 0.3)
    with pytest.raises(LipsoundError, match="lm_weight: expected a number from 0 to 1000, found -1"):
        reader.search(states, lm_weight=-1)
    for beam in (0, 2.5, "8", None):
        with pytest.raises(LipsoundError, match=f"beam: expected a whole number from 1 to 10000, found {beam!r}"):
            reader.search(states, beam)


def test_the_steps_say_what_they_take(tmp_path: Path) -> None:
    convert_avsr(published_folder(tmp_path / "a"), tmp_path / "pack")
    reader = lipsound2.load(tmp_path / "pack")
    crops = frames()[0, :5].numpy()
    states = reader.encode(crops)
    assert reader.text([3, 4, 2, 5]) == "AB C"
    wanted = r"wanted crops of 'mouth-published', \(T, 96, 96\) uint8"
    for clip in ("clip.mp4", crops / 255, crops[:, :50], crops[:0], crops[0]):
        with pytest.raises(LipsoundError, match=wanted):
            reader.encode(clip)
    for other in (states[:, :4], states[0], states[:0], states.double(), states.numpy(), None):
        with pytest.raises(LipsoundError, match=rf"wanted those of encode: \(S, {WIDTH}\)"):
            reader.ctc_log_probs(other)
        with pytest.raises(LipsoundError, match=rf"wanted those of encode: \(S, {WIDTH}\)"):
            reader.decoder_log_probs(other, [3])
    for tokens in (["A"], [CLASSES], [-1], [1.5]):
        with pytest.raises(LipsoundError, match=f"wanted whole numbers from 0 to {CLASSES - 1}"):
            reader.decoder_log_probs(states, tokens)
    with pytest.raises(LipsoundError, match=f"wanted whole numbers from 0 to {CLASSES - 2}"):
        reader.text([CLASSES - 1])


def test_the_search_comes_with_the_pack(tmp_path: Path) -> None:
    convert_avsr(published_folder(tmp_path / "a"), tmp_path / "pack")
    name = str(tmp_path / "pack")
    own = search_of(name, SearchOptions())
    assert (own.width, own.ctc_weight, own.word_bonus) == (40, 0.1, 0), "the bonus belongs to a language model"
    with_model = search_of(name, SearchOptions(lm=tmp_path, beam=5))
    assert (with_model.width, with_model.lm_weight, with_model.word_bonus) == (5, 0.6, 0.5)
    convert_avsr(published_folder(tmp_path / "b"), tmp_path / "mandarin", language="zh")
    mandarin = search_of(str(tmp_path / "mandarin"), SearchOptions(lm=tmp_path))
    assert (mandarin.width, mandarin.ctc_weight, mandarin.lm_weight, mandarin.word_bonus) == (20, 0.1, 0.3, 0.3)
    assert search_of(name, SearchOptions(ctc_weight=1.0, beam=1)).width == 1
    assert search_of("grid-s1-asr", SearchOptions()).width == 1
    (tmp_path / "pack" / "search.yaml").write_text("beam: -3\n")
    with pytest.raises(LipsoundError, match=r"search.yaml: --beam: expected a whole number from 0 to 10000, found -3"):
        search_of(name, SearchOptions())


def test_a_training_checkpoint_and_a_table_of_pieces(golden: dict[str, np.ndarray], tmp_path: Path) -> None:
    state = {name.replace("encoder.frontend.", "frontend.").replace("encoder.embed.0", "proj_encoder"): tensor
             for name, tensor in reader_state().items()}  # fmt: skip
    torch.save({"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}}, tmp_path / "last.ckpt")
    pieces = ["<unk>", "\u2581HELLO", "\u2581W", "ORLD", "OR", "LD", *(f"\u2581X{n}" for n in range(33))]
    units = "".join(f"{piece} {number}\n" for number, piece in enumerate(pieces, start=1))
    (tmp_path / "units.txt").write_text(units)
    with pytest.raises(LipsoundError, match="does not tell its 40 tokens; give the table of them: --tokens FILE"):
        convert_avsr(tmp_path / "last.ckpt", tmp_path / "pack")
    convert_avsr(tmp_path / "last.ckpt", tmp_path / "pack", tokens=tmp_path / "units.txt")
    assert np.abs(states(tmp_path / "pack") - golden["latest_states"]).max() < 1e-4
    tokenizer = experiment.load(tmp_path / "pack", task=Recognize).assets.tokenizer
    assert tokenizer.encode("hello world") == [2, 3, 4]
    assert tokenizer.decode([0, 2, 3, 5, 6]) == "HELLO WORLD"
    torch.save(language_state(), tmp_path / "lm.pth")
    convert_avsr(tmp_path / "lm.pth", tmp_path / "lm", tokens=tmp_path / "units.txt")


def test_a_language_model_becomes_a_pack(golden: dict[str, np.ndarray], tmp_path: Path) -> None:
    (tmp_path / "lm").mkdir()
    torch.save({"model": language_state()}, tmp_path / "lm" / "model.pth")
    settings = {"layer": LAYERS, "unit": 96, "att_unit": WIDTH, "embed_unit": 32, "head": HEADS, "pos_enc": "none"}
    (tmp_path / "lm" / "model.json").write_text(json.dumps(settings | {"tie_weights": False, "n_vocab": CLASSES}))
    units = ["<unk>", *(f"\u2581X{number}" for number in range(38))]
    (tmp_path / "units.txt").write_text("".join(f"{piece} {n}\n" for n, piece in enumerate(units, start=1)))
    convert_avsr(tmp_path / "lm", tmp_path / "pack", tokens=tmp_path / "units.txt")
    model = experiment.load(tmp_path / "pack", task=Language).model
    with torch.no_grad():
        scores = model(torch.tensor([[CLASSES - 1, *golden["tokens"].tolist()]]))[0].log_softmax(-1)
    assert np.abs(scores.numpy() - golden["lm"]).max() < 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"adim": 96}, "model.json says adim '96', its tensors 64"),
        ({"aheads": 8}, "model.json says aheads '8', its tensors 4"),
        ({"eunits": 2048}, "model.json says eunits '2048', its tensors 128"),
        ({"macaron_style": False}, "its macaron_style is 'False', wanted True"),
        ({"transformer_encoder_attn_layer_type": "mha"}, "attn_layer_type is 'mha', wanted 'rel_mha'"),
        ({"relu_type": "foo"}, "its relu_type is 'foo'"),
        ({"rel_pos_type": [1]}, r"its rel_pos_type is '\[1\]'"),
        ({"char_list": [*CHARACTERS[:3], *CHARACTERS[2:-2], "<eos>"]}, "holds a token twice"),
        ({"char_list": CHARACTERS[:-2]}, "does not tell its 40 tokens"),
        ({"char_list": ["x", *CHARACTERS[1:]]}, "its char_list does not go from <blank>, <unk> to <eos>"),
    ],
)
def test_settings_of_another_model_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    folder = published_folder(tmp_path / "a", **change)
    with pytest.raises(LipsoundError, match=message) as caught:
        convert_avsr(folder, tmp_path / "pack")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pack").exists()


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("ctc.ctc_lo.weight", torch.zeros(41, 32), r"'ctc.ctc_lo.weight' has the shape \[41, 32\], not \[41, 64\]"),
        ("ctc.ctc_lo.bias", None, "has no tensor 'ctc.ctc_lo.bias'"),
        ("encoder.encoders.1.norm_mha.bias", torch.full((64,), math.nan), "norm_mha.bias' holds values that are no"),
        (
            "encoder.encoders.0.self_attn.linear_x.bias",
            torch.zeros(64),
            "nothing here uses its tensor '.*linear_x.bias'",
        ),
        (
            "encoder.encoders.0.self_attn.linear_q.weight",
            torch.zeros(32, 64),
            r"k and v are not alike",
        ),
        ("encoder.encoders.0.norm_mha.bias", torch.zeros(()), "is a number, or not of floats"),
        ("encoder.encoders.0.norm_mha.bias", torch.zeros(0), r"norm_mha.bias' is empty: \[0\]"),
        ("encoder.encoders.0.norm_mha.bias", torch.zeros(64).to_sparse(), "is sparse, quantized or without content"),
        ("encoder.encoders.0.norm_mha.bias", torch.zeros(1).expand(64), "has more values than the file holds"),
        (
            "encoder.encoders.0.norm_mha.bias",
            torch.full((64,), 1e300, dtype=torch.float64),
            "holds values that are no numbers",
        ),
        ("encoder.encoders.0.norm_mha.bias", torch.zeros(64, dtype=torch.complex64), "is of torch.complex64"),
        ("encoder.norm.weight", torch.zeros(64), "are one tensor by two names"),
    ],
)
def test_other_tensors_are_refused(tmp_path: Path, name: str, tensor: Tensor | None, message: str) -> None:
    folder = published_folder(tmp_path / "a")
    state = reader_state() | {name: tensor}
    torch.save({key: each for key, each in state.items() if each is not None}, folder / "model.pth")
    with pytest.raises(LipsoundError, match=message):
        convert_avsr(folder, tmp_path / "pack")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1\n", "does not begin with '<unk> 1'"),
        ("<unk> 1\n\u2581A 3\n", ":2: found the number '3', wanted 2"),
        ("<unk> 1\n\u2581A\n", ":2: found '\u2581A'; wanted a line 'piece number'"),
        ("<unk> 1\nA 2\nA 3\n", "holds a piece twice"),
        ("", "does not begin with"),
    ],
)
def test_tables_of_pieces_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "units.txt").write_text(text)
    with pytest.raises(LipsoundError, match=message):
        PieceTable.read_units(tmp_path / "units.txt")


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, message in ((tmp_path / "empty", "holds no model.pth"), (tmp_path / "no.pth", "no such file")):
        with pytest.raises(LipsoundError, match=message):
            convert_avsr(path, tmp_path / "pack")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(LipsoundError, match="has no Conformer block"):
        convert_avsr(tmp_path / "a.pth", tmp_path / "pack")
