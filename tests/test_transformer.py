"""The text decoder: torch's own layers as the reference, and one token at a time as all at once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lipsound2.errors import LipsoundError
from lipsound2.models.asr.text_decoder import DecoderConfig, TextDecoder
from lipsound2.models.modules.regressor import mask
from lipsound2.models.modules.transformer import Attention, Transformer


@pytest.fixture
def decoder() -> TextDecoder:
    torch.manual_seed(0)
    made = TextDecoder(10, 16, 4, 0.1, DecoderConfig(decoder_layers=2))
    for parameter in made.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return made.eval()


def test_layers_are_those_of_torch():
    torch.manual_seed(0)
    ours = Transformer(16, 2, 4, 0.1, states=True).eval()
    layer = nn.TransformerDecoderLayer(16, 4, 64, 0.1, batch_first=True, norm_first=True)
    theirs = nn.TransformerDecoder(layer, 2, nn.LayerNorm(16)).eval()
    theirs.load_state_dict(ours.state_dict())
    x, states, places = torch.randn(3, 5, 16), torch.randn(3, 7, 16), torch.tensor([7, 4, 1])
    expected = theirs(
        x,
        states,
        tgt_mask=torch.ones(5, 5, dtype=torch.bool).triu(1),
        memory_key_padding_mask=~mask(places, 7),
    )
    assert torch.allclose(ours(x, ours.remember(states), mask(places, 7)), expected, atol=1e-5)


def test_a_step_is_the_last_column_of_the_whole(decoder):
    states, texts = torch.randn(1, 6, 16), torch.randint(0, 10, (3, 5))
    texts[:, 0] = decoder.boundary
    with torch.no_grad():
        whole = decoder(texts, torch.full((3,), 5), states.expand(3, -1, -1), torch.full((3,), 6))
        seen, past = decoder.begin(states[0])
        past = past.expand(3, -1, -1, -1, -1, -1)
        for place in range(5):
            scores, past = decoder.step(texts[:, place], seen, past)
            assert torch.allclose(scores, whole[:, place], atol=1e-5)


def test_a_text_does_not_depend_on_its_batch_mates(decoder):
    states, texts = torch.randn(2, 6, 16), torch.randint(0, 10, (2, 5))
    together = decoder(texts, torch.tensor([5, 3]), states, torch.tensor([6, 2]))
    alone = decoder(texts[1:, :3], torch.tensor([3]), states[1:, :2], torch.tensor([2]))
    assert torch.allclose(together[1, :3], alone[0], atol=1e-5)
    assert (together[1, 3:] == 0).all()


def test_heads_must_share_the_width():
    with pytest.raises(LipsoundError, match="width, heads: 10 channels cannot be shared by 4 heads"):
        Attention(10, 4, 0.0)
