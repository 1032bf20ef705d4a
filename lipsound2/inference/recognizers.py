"""Recognisers by name: our own, ears or eyes on lips, and ready-made ones."""

from __future__ import annotations

import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lipsound2 import experiment, packs
from lipsound2.datasets.audio_to_text import SOUND, features_of, padded
from lipsound2.decoding.beam import Fusion, NoModel, WordBonus, placed, search
from lipsound2.decoding.ctc import Graph, greedy, hypothesis, place_words, through
from lipsound2.decoding.grammar import grammar as find_grammar
from lipsound2.decoding.hypothesis import Hypothesis
from lipsound2.decoding.joint import joint_search
from lipsound2.decoding.pretrained_asr import READY_MADE, Listener
from lipsound2.errors import LipsoundError
from lipsound2.inference.lm_fusion import file_of as lm_file
from lipsound2.inference.lm_fusion import follower, language_model
from lipsound2.inference.recognizer_names import check_listener, is_own
from lipsound2.models.asr.recognizer import Recogniser
from lipsound2.tasks.recognize import Recognise
from lipsound2.timing import FRAME_RATE


class OwnListener:
    """An experiment, or a pack, of the task *recognise*: ears, or eyes on lips.

    Args:
        name: its folder, or the name of one that ships.
        grammar: name or file of a grammar; only its sentences are heard.
        lm: language model: ARPA file over words or characters, or experiment or pack of the task *language*.
        how: its probabilities are searched.
        ngpu: GPUs to use: 0 or 1.
    """

    def __init__(
        self, name: str, grammar: str = "", lm: Path | None = None, how: Search | None = None, ngpu: int = 0
    ) -> None:
        self.name = name
        self._device = experiment.device_for(ngpu)
        loaded = experiment.load(name, self._device, "recognise")
        self.knows = loaded.knows
        self._task = typing.cast(Recognise, loaded.task)
        self._network = typing.cast(Recogniser, loaded.model)
        self._search = how or Search(beam=16 if lm else 1)
        weight, bonus = self._search.weight, self._search.bonus
        if grammar and lm:
            raise LipsoundError("--grammar and --lm: a grammar leaves a language model nothing to decide; give one")
        if grammar and (bonus or self._search.ctc_weight < 1):
            raise LipsoundError(
                "--grammar: its sentences are weighed by CTC alone; leave --word-bonus, --ctc-weight out"
            )
        self.input = self._task.settings.input
        self._graph = Graph.of(find_grammar(grammar), self._task.tokenizer) if grammar else None
        if self._search.ctc_weight < 1 and self._network.decoder is None:
            raise LipsoundError(f"{name}: has no decoder beside CTC (its decoder_layers are 0); leave --ctc-weight out")
        self._model: Fusion = WordBonus(self._task.tokenizer, bonus) if bonus else NoModel()
        if lm is not None:
            self._model = language_model(lm, self._task.tokenizer, weight, bonus, self._device)

    @torch.no_grad()
    def hear(self, clips: Sequence[np.ndarray]) -> list[Hypothesis]:
        """What is said in each sound; lips are given as pictures (T, H, W) uint8 or the states of their trunk."""
        features, lengths = padded([*clips] if self._task.sees else [features_of(sound) for sound in clips])
        heard = self._network(features.to(self._device), lengths.to(self._device))
        seconds: float = self._network.stride / self._task.rate / FRAME_RATE
        found = [
            self._decode(heard.log_probs[row, :length], heard.states[row, :length], seconds)
            for row, length in enumerate(heard.lengths.tolist())
        ]
        if heard.words is None:
            return found
        named = heard.words.float().log_softmax(-1).cpu().numpy()
        return [
            place_words(what, named[row, :length], self._task.words, seconds)
            for row, (what, length) in enumerate(zip(found, heard.lengths.tolist(), strict=True))
        ]

    def _decode(self, heard: torch.Tensor, states: torch.Tensor, seconds: float) -> Hypothesis:
        tokenizer = self._task.tokenizer
        log_probs = heard.cpu().numpy()
        if self._graph is not None:
            tokens, score = through(self._graph, log_probs)
            return hypothesis(tokens, tokenizer, seconds, score)
        if self._search.ctc_weight < 1:
            assert self._network.decoder is not None
            said, score = joint_search(
                follower(self._network.decoder, states),
                heard,
                beam=self._search.beam,
                ctc_weight=self._search.ctc_weight,
                model=self._model,
            )
            return hypothesis(placed(said, log_probs), tokenizer, seconds, score)
        if self._search.beam > 1 or not isinstance(self._model, NoModel):
            found, score = search(log_probs, self._model, self._search.beam)[0]
            return hypothesis(placed(found, log_probs), tokenizer, seconds, score)
        return hypothesis(greedy(log_probs), tokenizer, seconds, float(log_probs.max(1).sum()))


@dataclass(frozen=True)
class Search:
    """How CTC's probabilities are searched.

    Attributes:
        beam: prefixes that are kept; 1, with neither a language model nor a bonus: the best path, no search.
        weight: of the language model.
        bonus: for every word (or every token and the end, with a model of characters or a network).
        ctc_weight: share of CTC beside the model's decoder; 1: CTC alone.

    Raises:
        LipsoundError: a number that means nothing.
    """

    beam: int = 16
    weight: float = 0.5
    bonus: float = 0.0
    ctc_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.beam < 1:
            raise LipsoundError(f"--beam: expected 1 or more, found {self.beam}")
        if not 0 <= self.weight < math.inf:
            raise LipsoundError(f"--lm-weight: expected 0 or more, found {self.weight:g}")
        if not math.isfinite(self.bonus):
            raise LipsoundError(f"--word-bonus: expected a number, found {self.bonus:g}")
        if not 0 <= self.ctc_weight <= 1:
            raise LipsoundError(f"--ctc-weight: expected 0 to 1, found {self.ctc_weight:g}")


def listener(
    name: str,
    grammar: str = "",
    lm: Path | None = None,
    how: Search | None = None,
    ngpu: int = 0,
    *,
    lips: bool = False,
) -> Listener:
    """A recogniser by name: an experiment or pack of the task *recognise*, one that ships, or a ready-made one.

    Args:
        name: folder, or name; see `decoding.pretrained_asr` for those that need no training.
        grammar: of our own recognisers: only its sentences are heard.
        lm: likewise: ARPA file of a language model, or experiment or pack of the task *language*.
        how: likewise: its probabilities are searched.
        ngpu: likewise: GPUs to use, 0 or 1.
        lips: it may be one that is shown lips.

    Raises:
        LipsoundError: there is none of this name, its package is missing, its weights cannot be had, or it reads lips
            where sound is to be heard.
    """
    check_listener(name, lips=lips)
    if is_own(name):
        own = OwnListener(name, grammar, lm, how, ngpu)
        if own.input != SOUND and not lips:
            raise LipsoundError(f"{name}: reads lips ('{own.input}') and cannot hear; give a recogniser of sound")
        return own
    kind, _, rest = name.partition(":")
    if lm is not None or (grammar and not rest):
        raise LipsoundError(f"--asr {name}: --grammar and --lm are for our own recognisers (pocketsphinx:grid has one)")
    if how is not None and (how.bonus or how.ctc_weight < 1):
        raise LipsoundError(f"--asr {name}: --word-bonus and --ctc-weight are for our own recognisers; leave them out")
    return READY_MADE[kind](rest)


def files_of(name: str, grammar: str, lm: Path | None) -> list[Path]:
    """The files that what a recogniser hears depends on: weights of one of ours, the user's grammar, language model."""
    weights = [packs.find(name) / packs.WEIGHTS] if is_own(name) else []
    return [*weights, *([Path(grammar)] if Path(grammar).is_file() else []), *([lm_file(lm)] if lm else [])]
