"""The steps of a trained recognizer one by one, for those who search or combine scores themselves."""

from __future__ import annotations

import copy
import functools
import operator
import threading
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import numpy as np

from lipsound2.audio.kind import AUDIO
from lipsound2.decoding.beam import Fusion, NoModel, TokenBonus, WordBonus
from lipsound2.decoding.beam import search as ctc_search
from lipsound2.decoding.joint import joint_search
from lipsound2.decoding.pretrained_asr import SpeechRecognizer
from lipsound2.decoding.search_options import HEAVIEST, WIDEST, check_number
from lipsound2.errors import LipsoundError
from lipsound2.video.align import REGIONS

if TYPE_CHECKING:
    from torch import Tensor

    from lipsound2.inference.recognizers import TrainedRecognizer

P = ParamSpec("P")
R = TypeVar("R")


def _without_gradients(
    step: Callable[Concatenate[ReaderSteps, P], R],
) -> Callable[Concatenate[ReaderSteps, P], R]:
    """`torch.no_grad`; torch is imported once a step is taken."""

    @functools.wraps(step)
    def run(self: ReaderSteps, *args: P.args, **kwargs: P.kwargs) -> R:
        import torch

        with torch.no_grad():
            return step(self, *args, **kwargs)

    return run


class ReaderSteps:
    """What the search of a recognizer is made of. Tensors are on the recognizer's device, in evaluation mode.

    Tokens are numbers of its tokenizer: 0 is CTC's blank, 1 the unknown token. The boundary, which begins and ends a
    text, is the last class of the decoder and of the language model; `tokens` never hold it.
    """

    name: str
    _recognizer: SpeechRecognizer
    _lock: threading.Lock

    @_without_gradients
    def encode(self, clip: np.ndarray) -> Tensor:
        """States of a clip.

        Args:
            clip: of a lip reader, crops (T, H, W) uint8 of its region, 25 a second; of a recognizer of audio, a
                waveform (samples,) float32 at 16 kHz.

        Returns:
            (S, width) float32.

        Raises:
            LipsoundError: the clip is of another shape or type.
        """
        trained = self._trained
        rest: tuple[int, ...] = ()
        kind, wanted = "float32", "a waveform (samples,) float32"
        if trained.input != AUDIO:
            side = REGIONS[trained.input].size
            rest, kind = (side, side), "uint8"
            wanted = f"crops of '{trained.input}', (T, {side}, {side}) uint8, as lipsound2.crop cuts them"
        if not isinstance(clip, np.ndarray):
            raise LipsoundError(f"encode: found an object of type {type(clip).__name__}, wanted {wanted}")
        if not clip.size or clip.dtype != kind or clip.shape[1:] != rest:
            raise LipsoundError(f"encode: found {clip.dtype} of shape {clip.shape}, wanted {wanted}")
        with self._lock:  # what watches for unlike faces is about one clip at a time
            return trained.encode(clip)

    @_without_gradients
    def ctc_log_probs(self, states: Tensor) -> Tensor:
        """Natural log-probabilities of CTC's classes.

        Args:
            states: (S, width).

        Returns:
            (S, classes) float32: a class for each token and, in models of ESPnet's kind, the boundary as the last.

        Raises:
            LipsoundError: these are no states of this recognizer.
        """
        self._check_states(states)
        found: Tensor = self._trained.network.ctc(states).float().log_softmax(-1)
        return found

    @_without_gradients
    def decoder_log_probs(self, states: Tensor, tokens: list[int]) -> Tensor:
        """What the decoder says may follow each beginning of a text.

        Args:
            states: (S, width).
            tokens: L of them.

        Returns:
            (L + 1, tokens + 1) float32 natural log-probabilities: after nothing, after the first token, ...

        Raises:
            LipsoundError: it has no decoder; or these are no states or no tokens of this recognizer.
        """
        import torch

        decoder = self._trained.network.decoder
        if decoder is None:
            raise LipsoundError(f"{self.name}: has no decoder beside CTC")
        self._check_states(states)
        begun = torch.tensor([[decoder.boundary, *_numbers(tokens, decoder.boundary)]], device=states.device)
        lengths, places = (torch.tensor([size], device=states.device) for size in (begun.shape[1], len(states)))
        scores: Tensor = decoder(begun, lengths, states[None], places)[0].float().log_softmax(-1)
        return scores

    @_without_gradients
    def lm_log_probs(self, tokens: list[int]) -> Tensor:
        """What the neural language model says may follow each beginning of a text; see `decoder_log_probs`.

        Raises:
            LipsoundError: it was loaded without one: `SearchOptions(lm=...)`; or these are no tokens of its.
        """
        import torch

        from lipsound2.inference.lm_fusion import NetworkModel

        model = self._trained.fusion
        if not isinstance(model, NetworkModel):
            raise LipsoundError(
                f"{self.name}: was loaded without a neural language model; give search=SearchOptions(lm=...)"
            )
        boundary = model.network.boundary
        begun = torch.tensor([[boundary, *_numbers(tokens, boundary)]], device=self._trained.device)
        scores: Tensor = model.network(begun)[0].float().log_softmax(-1)
        return scores

    @_without_gradients
    def search(
        self,
        states: Tensor,
        beam: int = 16,
        ctc_weight: float = 0.3,
        lm_weight: float = 0.0,
        bonus: float = 0.0,
    ) -> tuple[list[int], float]:
        """The best text: joint CTC/attention beam search (Watanabe et al., 2017), by ESPnet's rules.

        Args:
            states: (S, width).
            beam: texts that are kept.
            ctc_weight: share of CTC in the score; 1: CTC alone, by prefix beam search.
            lm_weight: weight of the language model it was loaded with; 0: without.
            bonus: added for every token and for the end; with an n-gram model over words, for every word.

        Returns:
            Tokens, and their score: the decoder's log-probability times 1 - ctc_weight, CTC's times ctc_weight, the
            language model's times its weight, and bonuses.

        Raises:
            LipsoundError: a number out of range, or what is none; these are no states of this recognizer; there is no
                decoder, or no language model.
        """
        from lipsound2.inference.lm_fusion import decoder_scorer

        trained = self._trained
        check_number("beam", beam, 1, WIDEST, Integral)
        check_number("ctc_weight", ctc_weight, 0, 1)
        check_number("lm_weight", lm_weight, 0, HEAVIEST)
        check_number("bonus", bonus, -HEAVIEST, HEAVIEST)
        model = self._fusion(lm_weight, bonus)
        log_probs = self.ctc_log_probs(states)[:, : trained.network.tokens]
        if ctc_weight == 1:
            tokens, score = ctc_search(log_probs.cpu().numpy(), model, beam)[0]
            return list(tokens), score
        if trained.network.decoder is None:
            raise LipsoundError(f"{self.name}: has no decoder beside CTC; give ctc_weight=1")
        scorer = decoder_scorer(trained.network.decoder, states)
        return joint_search(scorer, log_probs, beam=beam, ctc_weight=ctc_weight, model=model)

    def text(self, tokens: Sequence[int]) -> str:
        """The text of tokens, such as those that `search` found.

        Raises:
            LipsoundError: these are no tokens of this recognizer.
        """
        trained = self._trained
        return trained.assets.tokenizer.decode(_numbers(tokens, trained.network.tokens - 1))

    def _check_states(self, states: Tensor) -> None:
        import torch

        width = self._trained.network.encoder.width
        wanted = f"wanted those of encode: (S, {width}) float32, a tensor"
        if not isinstance(states, torch.Tensor):
            raise LipsoundError(f"states: found an object of type {type(states).__name__}, {wanted}")
        if states.dtype != torch.float32 or states.ndim != 2 or not len(states) or states.shape[1] != width:
            raise LipsoundError(f"states: found {states.dtype} of shape {tuple(states.shape)}, {wanted}")

    def _fusion(self, lm_weight: float, bonus: float) -> Fusion:
        if not lm_weight:
            return TokenBonus(bonus) if bonus else NoModel()
        loaded = self._trained.fusion
        if isinstance(loaded, NoModel | WordBonus):
            raise LipsoundError(f"{self.name}: was loaded without a language model; give search=SearchOptions(lm=...)")
        model: Fusion = copy.copy(loaded)
        vars(model).update(weight=lm_weight, bonus=bonus, max_gain=max(bonus, 0.0))
        return model

    @property
    def _trained(self) -> TrainedRecognizer:
        from lipsound2.inference.recognizers import TrainedRecognizer

        if not isinstance(self._recognizer, TrainedRecognizer):
            raise LipsoundError(f"{self.name}: is no experiment or pack of this toolkit, so its steps are not at hand")
        return self._recognizer


def _numbers(tokens: Sequence[int], last: int) -> list[int]:
    """Tokens as whole numbers, 0 to `last`.

    Raises:
        LipsoundError: others are among them.
    """
    for token in tokens:
        try:
            fits = 0 <= operator.index(token) <= last
        except TypeError:
            fits = False
        if not fits:
            raise LipsoundError(f"tokens: found {token!r:.40}, wanted whole numbers from 0 to {last}")
    return [operator.index(token) for token in tokens]
