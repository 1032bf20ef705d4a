"""Networks in a search: a Transformer language model as a `Fusion`, a text decoder as a `TensorScorer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lipsound2 import experiment, model_names
from lipsound2.decoding.arpa import LanguageModel
from lipsound2.decoding.beam import Fusion, fusion
from lipsound2.decoding.joint import TensorScorer
from lipsound2.errors import LipsoundError
from lipsound2.models.asr.language_model import TransformerLM
from lipsound2.models.asr.text_decoder import TextDecoder
from lipsound2.tasks.language import Language
from lipsound2.text.tokenizer import UNKNOWN, Tokenizer


def language_model(
    lm: Path, tokenizer: Tokenizer, weight: float, bonus: float, device: torch.device | str = "cpu"
) -> Fusion:
    """A language model for a recognizer.

    Args:
        lm: ARPA file, or an experiment or pack of the task *language*.
        tokenizer: the recognizer's.
        weight: of its log-probabilities.
        bonus: added for every word; for every token, when the model is a network or one of characters.
        device: where a network goes.

    Raises:
        LipsoundError: there is none, or it was built for other tokens than the recognizer's.
    """
    if not _is_network(lm):
        return fusion(LanguageModel.read(lm), tokenizer, weight, bonus, str(lm))
    loaded = experiment.load(lm, device, task=Language)
    theirs = loaded.assets.tokenizer
    if _tokens(theirs) != _tokens(tokenizer):
        raise LipsoundError(
            f"{lm}: its {len(theirs)} tokens are not the {len(tokenizer)} of the recognizer; train it with the "
            "recognizer's experiment as its key 'tokens'"
        )
    return NetworkModel(loaded.model, weight, bonus)


def file_of(lm: Path) -> Path:
    """The file a search with this language model depends on: itself, or an experiment's weights."""
    return model_names.find(lm) / model_names.WEIGHTS if _is_network(lm) else lm


def _is_network(lm: Path) -> bool:
    return lm.is_dir() or (not lm.exists() and (model_names.PRETRAINED / lm).is_dir())


def _tokens(tokenizer: Tokenizer) -> list[tuple[str, bool, bool]]:
    """All tokens but CTC's blank, in order. Files may differ in what else they hold."""
    return [
        (tokenizer.decode([token]), tokenizer.begins_word(token), tokenizer.is_blank(token))
        for token in range(UNKNOWN, len(tokenizer))
    ]


@dataclass(eq=False)
class _Ahead:
    """A prefix; probabilities of the next token are known once it was selected.

    Attributes:
        token: its last.
        past: (layers, 2, heads, P, width / heads) keys and values of the tokens before its last; once selected, of all.
        follows: (tokens + 1,) natural log-probabilities.
    """

    token: int
    past: Tensor
    follows: np.ndarray | None = None


class NetworkModel(Fusion):
    """A language model over the recognizer's own tokens.

    Args:
        network: in evaluation mode.
        weight: of its log-probabilities.
        bonus: added for every token, the end too.
    """

    def __init__(self, network: TransformerLM, weight: float, bonus: float) -> None:
        self.network, self.weight, self.bonus = network, weight, bonus
        self.max_gain = max(bonus, 0.0)
        self._start = _Ahead(network.boundary, network.nothing()[0])
        self.select([self._start])

    def start(self) -> _Ahead:
        """Before the first token."""
        return self._start

    def extend(self, state: _Ahead, token: int) -> tuple[_Ahead, float]:
        """The network's score of this token after the prefix; the longer prefix is not computed yet."""
        assert state.follows is not None
        return _Ahead(token, state.past), self.weight * float(state.follows[token]) + self.bonus

    def scores(self, states: Sequence[_Ahead], tokens: np.ndarray) -> np.ndarray:
        """As `extend`."""
        follows = np.stack([state.follows for state in states if state.follows is not None])
        return self.weight * np.take_along_axis(follows, tokens, 1) + self.bonus

    def end(self, state: _Ahead) -> float:
        """The end of the sentence."""
        assert state.follows is not None
        return self.weight * float(state.follows[self.network.boundary]) + self.bonus

    @torch.no_grad()
    def select(self, states: Sequence[_Ahead]) -> None:
        """One step of the network for all prefixes it has not computed yet."""
        fresh = [state for state in states if state.follows is None]
        if not fresh:
            return
        lengths = [state.past.shape[3] for state in fresh]
        device = fresh[0].past.device
        past = fresh[0].past.new_zeros(len(fresh), *fresh[0].past.shape[:3], max(lengths), fresh[0].past.shape[4])
        for row, state in enumerate(fresh):
            past[row, :, :, :, : lengths[row]] = state.past
        tokens = torch.tensor([state.token for state in fresh], device=device)
        scores, own = self.network.step(tokens, past, torch.tensor(lengths, device=device))
        follows = scores.float().log_softmax(-1).cpu().numpy()
        for row, state in enumerate(fresh):
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
