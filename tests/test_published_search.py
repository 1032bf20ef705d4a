"""Joint search against texts and scores that the code behind published lip readers found, with small random networks.

Encoder states and CTC come from the file of golden numbers; decoder and language model are written here, plainly, all
tokens at once, after the description of the published ones.
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lipsound2.decoding.beam import Fusion, TokenBonus
from lipsound2.decoding.joint import TensorScorer, joint_search

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "reference" / "published_golden.npz"
BOUNDARY = 40  # <sos> and <eos>, the last of 41 classes of CTC and of the decoder
HEADS, LAYERS = 4, 2
BEAM = 5
# kind -> share of CTC, weight of the language model, bonus for every token
KINDS = {"plain": (0.1, 0.0, 0.0), "lm": (0.1, 0.3, 0.5), "ctc": (0.5, 0.0, 0.0)}


@functools.cache
def weight(key: str, *shape: int) -> Tensor:
    """A tensor of the state dict, by its name."""
    x = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    if len(shape) > 1:
        x /= math.sqrt(math.prod(shape[1:]))
    else:
        x = 0.1 * x if key.endswith("bias") else 1 + 0.2 * np.tanh(x)
    return torch.from_numpy(x.astype(np.float32))


def linear(x: Tensor, name: str, width: int) -> Tensor:
    return F.linear(x, weight(f"{name}.weight", width, x.shape[-1]), weight(f"{name}.bias", width))


def norm(x: Tensor, name: str, eps: float = 1e-12) -> Tensor:
    width = x.shape[-1]
    return F.layer_norm(x, (width,), weight(f"{name}.weight", width), weight(f"{name}.bias", width), eps)


def attend(x: Tensor, to: Tensor, name: str, causal: bool) -> Tensor:
    width = x.shape[-1]
    q, k, v = (
        linear(y, f"{name}.linear_{which}", width).unflatten(-1, (HEADS, -1)).transpose(-2, -3)
        for y, which in ((x, "q"), (to, "k"), (to, "v"))
    )
    scores = q @ k.transpose(-1, -2) / math.sqrt(width / HEADS)
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -math.inf)
    return linear((scores.softmax(-1) @ v).transpose(-2, -3).flatten(-2), f"{name}.linear_out", width)


def feed_forward(x: Tensor, name: str, inner: int) -> Tensor:
    return linear(linear(x, f"{name}.w_1", inner).relu(), f"{name}.w_2", x.shape[-1])


def decoder(tokens: Tensor, states: Tensor) -> Tensor:
    """(B, L, 41) log-probabilities after each of (B, L) tokens."""
    width = states.shape[1]
    rates = torch.exp(-torch.arange(0, width, 2) * (math.log(10000) / width))
    places = torch.arange(tokens.shape[1])[:, None] * rates
    x = weight("decoder.embed.0.weight", BOUNDARY + 1, width)[tokens] * math.sqrt(width)
    x = x + torch.stack([places.sin(), places.cos()], 2).flatten(1)
    for number in range(LAYERS):
        name = f"decoder.decoders.{number}"
        normed = norm(x, f"{name}.norm1")
        x = x + attend(normed, normed, f"{name}.self_attn", causal=True)
        x = x + attend(norm(x, f"{name}.norm2"), states, f"{name}.src_attn", causal=False)
        x = x + feed_forward(norm(x, f"{name}.norm3"), f"{name}.feed_forward", 96)
    return linear(norm(x, "decoder.after_norm"), "decoder.output_layer", BOUNDARY + 1).log_softmax(-1)


def language_model(tokens: Tensor) -> Tensor:
    """(B, L, 41) log-probabilities after each of (B, L) tokens."""
    x = weight("embed.weight", BOUNDARY + 1, 32)[tokens]
    x = norm(linear(x, "encoder.embed.0", 64), "encoder.embed.1", 1e-5).relu()
    for number in range(LAYERS):
        name = f"encoder.encoders.{number}"
        normed = norm(x, f"{name}.norm_mha")
        x = x + attend(normed, normed, f"{name}.self_attn", causal=True)
        x = x + feed_forward(norm(x, f"{name}.norm_ff"), f"{name}.feed_forward", 96)
    return linear(norm(x, "encoder.after_norm"), "decoder", BOUNDARY + 1).log_softmax(-1)


class Beside(Fusion):
    """The language model beside the search, and a bonus for every token, the end included. States are whole texts."""

    def __init__(self, weight: float, bonus: float) -> None:
        self.weight, self.bonus = weight, bonus
        self.most = bonus

    def start(self) -> tuple[int, ...]:
        return (BOUNDARY,)

    def extend(self, state: tuple[int, ...], token: int) -> tuple[tuple[int, ...], float]:
        return (*state, token), float(self.scores([state], np.array([[token]]))[0, 0])

    def scores(self, states: Sequence[tuple[int, ...]], tokens: np.ndarray) -> np.ndarray:
        if not self.weight:
            return np.full(tokens.shape, self.bonus)
        follows = language_model(torch.tensor(states))[:, -1].numpy()
        return self.weight * np.take_along_axis(follows, tokens, 1) + self.bonus

    def end(self, state: tuple[int, ...]) -> float:
        return self.extend(state, BOUNDARY)[1]


def followed(states: Tensor) -> TensorScorer:
    """The decoder as the search asks it; what it goes on from are whole texts."""

    def decode_step(last: Tensor, rows: Tensor, texts: Tensor | None) -> tuple[Tensor, Tensor]:
        grown = last[:, None] if texts is None else torch.cat([texts[rows], last[:, None]], 1)
        return decoder(grown, states)[:, -1], grown

    return decode_step


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    if not GOLDEN.is_file():
        pytest.skip(f"{GOLDEN.name} is not at hand; it belongs beside the real clips, in shared/reference")
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def test_the_networks_are_the_published_ones(golden):
    tokens = torch.tensor([[BOUNDARY, *golden["tokens"].tolist()]])
    assert np.allclose(language_model(tokens)[0], golden["lm"], atol=1e-5)
    for positions in ("latest", "legacy"):
        states = torch.from_numpy(golden[f"{positions}_states"])
        assert np.allclose(decoder(tokens, states)[0], golden[f"{positions}_decoder"], atol=1e-5)


@pytest.mark.parametrize("positions", ["latest", "legacy"])
@pytest.mark.parametrize("kind", KINDS)
def test_fault_B1_texts_and_scores_of_the_published_search(golden, positions, kind):
    share, lm, bonus = KINDS[kind]
    tokens, score = joint_search(
        followed(torch.from_numpy(golden[f"{positions}_states"])),
        torch.from_numpy(golden[f"{positions}_ctc"])[:, :BOUNDARY],  # which has a class for the boundary, too
        beam=BEAM,
        ctc_weight=share,
        model=Beside(lm, bonus),
    )
    published = golden[f"{positions}_beam_{kind}"].tolist()
    while published[-1] == BOUNDARY:
        published.pop()
    assert tokens == published[1:]
    assert score == pytest.approx(float(golden[f"{positions}_beam_{kind}_score"]), abs=5e-4)


def fixed(probabilities: list[float]):
    """A decoder that says the same after every text."""
    scores = np.log(np.array(probabilities))
    return lambda last, rows, memory: (np.tile(scores, (len(last), 1)), None)


class Wants(Fusion):
    """A language model that wants one token."""

    def __init__(self, token: int) -> None:
        self.token = token

    def start(self) -> None:
        return None

    def extend(self, state: None, token: int) -> tuple[None, float]:
        return None, 0.0 if token == self.token else -20.0

    def end(self, state: None) -> float:
        return -1.0


def test_without_a_share_of_ctc_it_forbids_nothing_and_every_token_is_scored() -> None:
    """Three times one token in three frames is no path of CTC; the decoder alone proposes 2, the model wants 4."""
    decoder = fixed([1e-9, 1e-9, 0.9, 0.01, 0.08, 0.01])
    log_probs = np.log(np.full((3, 5), 0.2))
    tokens, score = joint_search(decoder, log_probs, beam=1, ctc_weight=0.0)
    assert tokens == [2, 2, 2]
    assert score == pytest.approx(3 * math.log(0.9))
    assert joint_search(decoder, log_probs, beam=1, ctc_weight=0.0, model=Wants(4))[0] == [4, 4, 4]
    assert joint_search(decoder, log_probs, beam=1, ctc_weight=0.1)[0] != [2, 2, 2]


def test_a_bonus_without_a_model_is_for_every_token_and_the_end() -> None:
    decoder, log_probs = fixed([1e-9, 1e-9, 0.4, 0.6]), np.log(np.full((2, 3), 1 / 3))
    assert joint_search(decoder, log_probs, beam=2, ctc_weight=0.0) == ([], pytest.approx(math.log(0.6)))
    longer, score = joint_search(decoder, log_probs, beam=2, ctc_weight=0.0, model=TokenBonus(2.0))
    assert longer == [2]
    assert score == pytest.approx(math.log(0.4) + math.log(0.6) + 2 * 2.0)
    ended, score = joint_search(decoder, log_probs, beam=2, ctc_weight=0.0, model=TokenBonus(-1.0))
    assert (ended, score) == ([], pytest.approx(math.log(0.6) - 1))
