"""Networks in a search: a Transformer language model as a `Fusion`, a text decoder as a `TensorScorer`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lipsound2 import experiment, model_names
from lipsound2.decoding.arpa import LanguageModel
from lipsound2.decoding.beam import Fusion, fusion
from lipsound2.decoding.joint import TensorScorer
from lipsound2.inference.neural_fusion import Ahead, NeuralFusion, check_tokens
from lipsound2.inference.recognizer_names import is_language_network
from lipsound2.models.asr.language_model import TransformerLM
from lipsound2.models.asr.text_decoder import TextDecoder
from lipsound2.tasks.language import Language
from lipsound2.text.tokenizer import Tokenizer


def language_model(
    lm: Path,
    tokenizer: Tokenizer,
    weight: float,
    bonus: float,
    device: torch.device | str = "cpu",
    precision: model_names.Precision = "fp32",
) -> Fusion:
    """A language model for a recognizer.

    Args:
        lm: ARPA file, or an experiment or pack of the task *language*.
        tokenizer: the recognizer's.
        weight: of its log-probabilities.
        bonus: added for every word; for every token, when the model is a network or one of characters.
        device: where a network goes.
        precision: of a network's linear layers.

    Raises:
        LipsoundError: there is none, or it was built for other tokens than the recognizer's.
    """
    if not is_language_network(lm):
        return fusion(LanguageModel.read(lm), tokenizer, weight, bonus, str(lm))
    loaded = experiment.load(lm, device, task=Language, precision=precision)
    check_tokens(lm, loaded.assets.tokenizer, tokenizer)
    return NetworkModel(loaded.model, weight, bonus)


def file_of(lm: Path) -> Path:
    """The file a search with this language model depends on: itself, or an experiment's weights."""
    return model_names.find(lm) / model_names.WEIGHTS if is_language_network(lm) else lm


class NetworkModel(NeuralFusion):
    """A language model of torch over the recognizer's own tokens.

    Args:
        network: in evaluation mode.
        weight: of its log-probabilities.
        bonus: added for every token, the end too.
    """

    def __init__(self, network: TransformerLM, weight: float, bonus: float) -> None:
        self.network = network
        super().__init__(network.boundary, network.nothing()[0], weight, bonus)

    @torch.no_grad()
    def compute(self, states: Sequence[Ahead]) -> None:
        """See `NeuralFusion`."""
        first = states[0].past
        lengths = [state.past.shape[3] for state in states]
        past = first.new_zeros(len(states), *first.shape[:3], max(lengths), first.shape[4])
        for row, state in enumerate(states):
            past[row, :, :, :, : lengths[row]] = state.past
        tokens = torch.tensor([state.token for state in states], device=first.device)
        scores, own = self.network.step(tokens, past, torch.tensor(lengths, device=first.device))
        follows = scores.float().log_softmax(-1).cpu().numpy()
        for row, state in enumerate(states):
            state.past, state.follows = torch.cat([state.past, own[row]], 3), follows[row]


def decoder_scorer(decoder: TextDecoder, states: Tensor) -> TensorScorer:
    """A text decoder for joint search.

    Args:
        decoder: in evaluation mode.
        states: (T, width) of one clip, on the device that the search computes on.
    """
    seen, nothing = decoder.begin(states)

    @torch.no_grad()
    def decode_step(tokens: Tensor, rows: Tensor, past: Any) -> tuple[Tensor, Any]:
        scores, past = decoder.step(tokens, seen, nothing if past is None else past[rows])
        return scores.float().log_softmax(-1), past

    return decode_step
