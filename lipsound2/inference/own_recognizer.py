"""What all recognizers of this toolkit share, whatever runs their networks: search, ranking, confidences.

Torch is not imported: exported networks run without it.
"""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from lipsound2.audio.kind import AUDIO
from lipsound2.decoding.beam import Fusion, NoModel, WordBonus, forced_align, greedy_hypothesis, search
from lipsound2.decoding.calibration import Calibration, of_unlike_faces
from lipsound2.decoding.calibration import load as load_calibration
from lipsound2.decoding.confidence import by_text, with_doubt
from lipsound2.decoding.ctc import Graph, align_words, hypothesis, viterbi
from lipsound2.decoding.grammar import grammar as find_grammar
from lipsound2.decoding.graph_posterior import graph_n_best
from lipsound2.decoding.hypothesis import Hypothesis
from lipsound2.decoding.joint import DecoderScorer, joint_n_best
from lipsound2.decoding.phrases import PhraseCalibration
from lipsound2.decoding.search_options import FILE as SEARCH
from lipsound2.decoding.search_options import SearchOptions, own_search
from lipsound2.errors import LipsoundError
from lipsound2.inference.familiarity import WatchedFace
from lipsound2.inference.phrases import PhraseReader, Phrases, Texts, ranked
from lipsound2.inference.windows import READER_WINDOW
from lipsound2.text.tokenizer import Tokenizer
from lipsound2.text.tokens import known_words, unknown_parts
from lipsound2.timing import FRAME_RATE

log = logging.getLogger(__name__)

_SEGMENTATIONS = 8  # ways to cut a sentence into pieces that count
# Of own sentences, fitted on GRID (tests/benchmarks/bench_phrases.py): grid-s1-asr on what grid-s1-parallel makes of
# `valid`; grid-s1-vsr on `valid`, and on unseen speakers, for faces that are unlike those of the training set.
_SPEECH, _LIPS, _UNLIKE = PhraseCalibration(0.243, 0.48), PhraseCalibration(0.196, 0.58), PhraseCalibration(0.118, 0.7)
_MARGIN = 5.0  # texts that are less probable than the best by exp(-5) are no alternatives


@runtime_checkable
class OwnReader(PhraseReader, Protocol):
    """What reads a clip and was trained with this toolkit, or converted.

    Attributes:
        knows: voices and words it knows.
        input: feature type of what it reads.
        language: of its texts.
        calibration: of its confidences; None: they are as the search has them.
    """

    knows: str
    input: str
    language: str
    calibration: Calibration | None

    def recognize(self, clips: Sequence[np.ndarray]) -> list[Hypothesis]:
        """Hypotheses of waveforms, or of crops (T, H, W)."""


@dataclass(frozen=True)
class Heard:
    """What the networks of a recognizer say of one clip.

    Attributes:
        log_probs: (S, V) natural log-probabilities of CTC.
        word_log_probs: (S, words + 1) those of the word head, class 0 silence; None: there is none.
        decoder: makes the decoder's scorer of the clip; None: there is no decoder, or the clip is too long for it.
        unlike: whether its face is unlike those of the training set.
    """

    log_probs: np.ndarray
    word_log_probs: np.ndarray | None = None
    decoder: Callable[[], DecoderScorer] | None = None
    unlike: bool = False


@dataclass(frozen=True)
class Facts:
    """What is known of a recognizer apart from its networks.

    Attributes:
        folder: it was read from.
        knows: voices and words it knows.
        input: feature type of what it reads.
        language: of its texts.
        tokenizer: texts to tokens and back.
        words: classes of the word head after silence.
        seconds: length of a state.
        has_decoder: whether there is a decoder beside CTC.
    """

    folder: Path
    knows: str
    input: str
    language: str
    tokenizer: Tokenizer
    words: tuple[str, ...]
    seconds: float
    has_decoder: bool


class OwnRecognizer(ABC):
    """A recognizer that was trained with this toolkit, or converted: of audio, or of lips.

    Args:
        name: as it was given.
        facts: of it.
        options: of the search.
        language_model: makes the language model of the search, of its file, weight and bonus.
        face: whose lips it reads; of one that hears audio it can tell nothing.

    Attributes:
        name: as it was given.
        knows: voices and words it knows.
        input: feature type of what it reads.
        language: of its texts.
        fusion: the language model of its search.
        calibration: of its confidences; None: they are as the search has them.
        unlike_calibration: likewise, where the face is unlike those of the training set.

    Raises:
        LipsoundError: options that do not go together, or not with it.
    """

    def __init__(
        self,
        name: str,
        facts: Facts,
        options: SearchOptions,
        language_model: Callable[[Path, float, float], Fusion],
        face: WatchedFace,
    ) -> None:
        self.name, self.facts, self._face = name, facts, face
        self.knows, self.input, self.language = facts.knows, facts.input, facts.language
        self._search = chosen = options.filled(own_search(facts.folder))
        self.calibration = load_calibration(facts.folder, chosen.way)
        self.unlike_calibration = load_calibration(facts.folder, of_unlike_faces(chosen.way)) or self.calibration
        grammar, lm, bonus = chosen.grammar, chosen.lm, chosen.word_bonus
        if grammar and lm:
            raise LipsoundError("--grammar and --lm: only one of them can be used; leave one out")
        if grammar and (bonus or chosen.ctc_weight < 1):
            raise LipsoundError(
                "--grammar: its sentences are scored by CTC alone; leave --word-bonus and --ctc-weight out"
            )
        self._graph = Graph.of(find_grammar(grammar), facts.tokenizer) if grammar else None
        if chosen.ctc_weight < 1 and not facts.has_decoder:
            if options.ctc_weight is None:
                raise LipsoundError(
                    f"{facts.folder / SEARCH}: asks for a decoder beside CTC (ctc_weight: {chosen.ctc_weight:g}), "
                    "which the model does not have; copy the pack again, or give --ctc-weight 1"
                )
            raise LipsoundError(f"{name}: has no decoder beside CTC (its decoder_layers are 0); leave --ctc-weight out")
        self.fusion: Fusion = WordBonus(facts.tokenizer, bonus) if bonus else NoModel()
        if lm is not None:
            self.fusion = language_model(lm, chosen.lm_weight, bonus)

    def begin(self) -> None:
        """A new clip begins, perhaps with another face."""
        self._face.begin()

    @property
    def warnings(self) -> list[str]:
        """Reasons to doubt what was read since `begin`."""
        return self._face.warnings

    @abstractmethod
    def hear(self, clips: Sequence[np.ndarray]) -> list[Heard]:
        """What the networks say of waveforms, or of lips: crops (T, H, W) uint8, or the states of their trunk."""

    def texts_of(self, phrases: Phrases) -> Texts:
        """Sentences in its tokens.

        Raises:
            LipsoundError: it cannot write one of them.
        """
        tokenizer = self.facts.tokenizer
        return phrases.spelled(
            lambda sentence: tokenizer.segmentations(sentence, _SEGMENTATIONS),
            lambda sentence: unknown_parts(tokenizer, sentence),
            self.name,
            known_words(tokenizer),
        )

    def rank(self, clip: np.ndarray, phrases: Phrases, texts: Texts) -> Hypothesis:
        """Which sentence was said in a waveform (samples,), or in crops (T, H, W) uint8; by CTC alone."""
        heard = self.hear([clip])[0]
        how = _UNLIKE if heard.unlike else _SPEECH if self.facts.input == AUDIO else _LIPS
        what = ranked(heard.log_probs, self.facts.seconds, phrases, texts, how, self.facts.tokenizer)
        if not what.words or heard.word_log_probs is None:
            return what
        # Of the word head its times alone: how sure the choice is, the ranking says.
        timed = align_words(what, heard.word_log_probs, self.facts.words, self.facts.seconds)
        return replace(what, words=[replace(word, confidence=None) for word in timed.words])

    def recognize(self, clips: Sequence[np.ndarray]) -> list[Hypothesis]:
        """Hypotheses of waveforms, or of lips: crops (T, H, W) uint8, or the states of their trunk."""
        found = []
        for heard in self.hear(clips):
            what = self._decode(heard)
            if heard.word_log_probs is not None:
                what = align_words(what, heard.word_log_probs, self.facts.words, self.facts.seconds)
            calibration = self.unlike_calibration if heard.unlike else self.calibration
            found.append(what if calibration is None else calibration(what))
        return found

    def _decode(self, heard: Heard) -> Hypothesis:
        """The chosen text of one clip, and how sure it is among the n best."""
        tokenizer, log_probs, seconds = self.facts.tokenizer, heard.log_probs, self.facts.seconds
        if self._search.ctc_weight < 1 and heard.decoder is None:
            log.warning(
                "%s: a clip of %.0f s is read by CTC alone, because decoders are given %g s at most; transcribe cuts "
                "clips in pauses, and uses the decoder",
                *(self.name, len(log_probs) * seconds, READER_WINDOW / FRAME_RATE),
            )
        normalized = True  # whether the scores of the n best are log-probabilities over all texts
        if self._graph is not None:
            path, score = viterbi(self._graph, log_probs)
            n_best = graph_n_best(self._graph, log_probs, also=tuple(token.token for token in path))
        elif self._search.ctc_weight < 1 and heard.decoder is not None:
            n_best = joint_n_best(
                heard.decoder(),
                log_probs,
                beam=self._search.width,
                ctc_weight=self._search.ctc_weight,
                model=self.fusion,
                margin=_MARGIN,
            ) or [((), -math.inf)]
            path, score, normalized = forced_align(n_best[0][0], log_probs), n_best[0][1], False
        elif self._search.width > 1 or not isinstance(self.fusion, NoModel):
            n_best = search(log_probs, self.fusion, self._search.width)
            path, score = forced_align(n_best[0][0], log_probs), n_best[0][1]
            normalized = isinstance(self.fusion, NoModel)
        else:
            return greedy_hypothesis(log_probs, tokenizer, seconds)
        scores = by_text((tokenizer.decode(tokens), each) for tokens, each in n_best)
        return with_doubt(hypothesis(path, tokenizer, seconds, score), scores, normalized=normalized)
