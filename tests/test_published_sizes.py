"""Published readers and language models of sizes that no published file has; the latter against their formulas."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.published_weights import Sizes, language_state, reader_state
from torch import Tensor
from torch.nn import functional as F

import lipsound2
from lipsound2 import SearchOptions
from lipsound2.errors import LipsoundError
from lipsound2.published.avsr import convert_avsr

# 48 channels that 3 heads share, and feed-forward parts that are no multiple of them.
READER = Sizes(13, 48, 3, 80, 1, 1, 100, kernel=7)
LANGUAGE = Sizes(13, 36, 3, 50, 2, embedding=20)
CHARACTERS = ["<blank>", "<unk>", "<space>", *"ABCDEFGHI", "<eos>"]
SETTINGS = {
    **{"adim": 48, "aheads": 3, "eunits": 80, "elayers": 1, "dunits": 100, "dlayers": 1, "cnn_module_kernel": 7},
    **{"macaron_style": True, "use_cnn_module": True, "relu_type": "swish", "transformer_input_layer": "conv3d"},
    **{"transformer_encoder_attn_layer_type": "rel_mha", "rel_pos_type": "latest", "char_list": CHARACTERS},
}


def folder_of(path: Path, state: dict[str, Tensor], settings: dict[str, object]) -> Path:
    path.mkdir()
    torch.save(state, path / "model.pth")
    (path / "model.json").write_text(json.dumps(settings))
    return path


def plain_language_model(s: dict[str, Tensor], tokens: list[int], heads: int, places: bool) -> Tensor:
    """After the start and after each token, log-probabilities: section by section as the published code has them."""
    x = F.linear(s["embed.weight"][tokens], s["encoder.embed.0.weight"], s["encoder.embed.0.bias"])
    x = F.layer_norm(x, x.shape[1:], s["encoder.embed.1.weight"], s["encoder.embed.1.bias"]).relu()
    T, width = x.shape
    if places:
        angles = torch.arange(T)[:, None] * torch.exp(torch.arange(0, width, 2) * -(math.log(10000) / width))
        x = x * math.sqrt(width) + torch.stack([angles.sin(), angles.cos()], 2).flatten(1)

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, s[f"{name}.weight"], s[f"{name}.bias"])

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[1:], s[f"{name}.weight"], s[f"{name}.bias"], 1e-12)

    for number in range(2):
        name = f"encoder.encoders.{number}"
        y = norm(x, f"{name}.norm_mha")
        q, k, v = (linear(y, f"{name}.self_attn.linear_{part}").view(T, heads, -1).transpose(0, 1) for part in "qkv")
        scores = q @ k.transpose(1, 2) / math.sqrt(width / heads) + torch.full((T, T), -math.inf).triu(1)
        x = x + linear((scores.softmax(-1) @ v).transpose(0, 1).reshape(T, width), f"{name}.self_attn.linear_out")
        inside = linear(norm(x, f"{name}.norm_ff"), f"{name}.feed_forward.w_1").relu()
        x = x + linear(inside, f"{name}.feed_forward.w_2")
    return linear(norm(x, "encoder.after_norm"), "decoder").log_softmax(-1)


def test_a_reader_of_any_width_with_a_language_model_of_its_characters(tmp_path: Path, capsys) -> None:
    """Feed-forward parts of 80 for a width of 48; tokens of the language model from the reader's model.json."""
    state = reader_state(READER)
    reader = folder_of(tmp_path / "reader", {f"module.{name}": x for name, x in state.items()}, SETTINGS)
    convert_avsr(reader, tmp_path / "pack")
    told = {"layer": 2, "unit": 50, "att_unit": 36, "embed_unit": 20, "head": 3}
    clip = np.random.default_rng(7).integers(0, 256, (9, 96, 96), np.uint8)
    for places in ("none", "sinusoidal"):
        file = folder_of(tmp_path / places, language_state(LANGUAGE), told | {"pos_enc": places})
        convert_avsr(file, tmp_path / f"{places}-lm", tokens=reader / "model.json")
        loaded = lipsound2.load(tmp_path / "pack", search=SearchOptions(lm=str(tmp_path / f"{places}-lm")))
        tokens = [3, 7, 7, 2]
        wanted = plain_language_model(language_state(LANGUAGE), [12, *tokens], 3, places == "sinusoidal")
        assert np.abs((loaded.lm_log_probs(tokens) - wanted).numpy()).max() < 1e-4
    assert "assumed" not in capsys.readouterr().out
    states = loaded.encode(clip)
    assert states.shape == (9, 48)
    block = "encoder.encoders.0.feed_forward"
    first, second = (state[f"{block}.w_{number}.weight"] for number in (1, 2))
    assert first.shape == (80, 48)
    assert second.shape == (48, 80)
    # The last feed-forward part counts: without it, other states.
    changed = state | {f"{block}.w_2.weight": torch.zeros(48, 80)}
    convert_avsr(folder_of(tmp_path / "other", changed, SETTINGS), tmp_path / "other-pack")
    assert np.abs((lipsound2.load(tmp_path / "other-pack").encode(clip) - states).numpy()).max() > 0.01
    tokens, score = loaded.search(states, 3, 0.1, 0.3)
    assert math.isfinite(score)
    assert all(1 <= token < 12 for token in tokens)


def test_what_no_file_tells_is_said(tmp_path: Path, capsys) -> None:
    torch.save(reader_state(READER), tmp_path / "reader.pth")
    torch.save(language_state(Sizes(13, 64, 8, 50, 1, embedding=20)), tmp_path / "lm.pth")
    (tmp_path / "tokens.json").write_text(json.dumps(SETTINGS))
    convert_avsr(tmp_path / "reader.pth", tmp_path / "pack", tokens=tmp_path / "tokens.json")
    assert "assumed  relative positions 'latest', as auto_avsr has them" in capsys.readouterr().out
    convert_avsr(tmp_path / "lm.pth", tmp_path / "lm", tokens=tmp_path / "tokens.json")
    assert "assumed  8 attention heads, as lm_en_subword has" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relu_type": "relu"}, "its relu_type is 'relu', wanted 'swish'"),
        ({"relu_type": "prelu"}, "its relu_type is 'prelu', wanted 'swish'"),
        ({"zero_triu": True}, "its zero_triu is 'True', wanted False"),
        ({"eunits": 96}, "model.json says eunits '96', its tensors 80"),
        ({"char_list": [*CHARACTERS[:4], 5, *CHARACTERS[5:]]}, "its char_list holds what is no text"),
    ],
)
def test_settings_that_mean_another_network_are_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    folder = folder_of(tmp_path / "a", reader_state(READER), SETTINGS | change)
    with pytest.raises(LipsoundError, match=message):
        convert_avsr(folder, tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_the_old_name_of_the_attention_means_the_old_positions(tmp_path: Path) -> None:
    """Settings that say `legacy_rel_mha` say what a missing `rel_pos_type` says."""
    clip = np.random.default_rng(7).integers(0, 256, (6, 96, 96), np.uint8)
    found = []
    for number, change in enumerate(
        ({"transformer_encoder_attn_layer_type": "legacy_rel_mha"}, {"rel_pos_type": None}, {})
    ):
        folder = folder_of(tmp_path / str(number), reader_state(READER), SETTINGS | change)
        convert_avsr(folder, tmp_path / f"{number}-pack")
        found.append(lipsound2.load(tmp_path / f"{number}-pack").encode(clip).numpy())
    assert np.array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 1e-3
