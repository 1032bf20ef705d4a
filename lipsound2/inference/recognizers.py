"""Recognizers by name: trained ones, of audio or of lips, and pretrained ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from lipsound2 import experiment, model_names
from lipsound2.audio.kind import AUDIO
from lipsound2.datasets.audio_to_text import features_of, padded
from lipsound2.decoding.beam import Fusion, NoModel, WordBonus, forced_align, greedy_hypothesis, search
from lipsound2.decoding.calibration import FILE as CALIBRATION
from lipsound2.decoding.calibration import load as load_calibration
from lipsound2.decoding.confidence import by_text, with_doubt
from lipsound2.decoding.ctc import Graph, align_words, hypothesis, viterbi
from lipsound2.decoding.grammar import grammar as find_grammar
from lipsound2.decoding.graph_posterior import graph_n_best
from lipsound2.decoding.hypothesis import Hypothesis
from lipsound2.decoding.joint import joint_n_best
from lipsound2.decoding.phrases import PhraseCalibration
from lipsound2.decoding.pretrained_asr import PRETRAINED_ASR, SpeechRecognizer
from lipsound2.decoding.search_options import DEFAULT_SEARCH, SearchOptions, own_search
from lipsound2.decoding.search_options import FILE as SEARCH
from lipsound2.errors import LipsoundError
from lipsound2.inference.lm_fusion import decoder_scorer, language_model
from lipsound2.inference.lm_fusion import file_of as lm_file
from lipsound2.inference.phrases import Phrases, Texts, ranked
from lipsound2.inference.recognizer_names import check_recognizer, is_own, search_of
from lipsound2.models.asr.recognizer import RecognizerOutput
from lipsound2.tasks.recognize import Recognize
from lipsound2.text.tokens import unknown_parts
from lipsound2.timing import FRAME_RATE

_SEGMENTATIONS = 8  # ways to cut a sentence into pieces that count
_PHRASES = PhraseCalibration(0.245, 0.47)  # fitted on GRID's `valid` as grid-s1-parallel speaks it, for grid-s1-asr
_MARGIN = 5.0  # texts that are less probable than the best by exp(-5) are no alternatives


class TrainedRecognizer:
    """An experiment, or a pack, of the task *recognize*: of audio, or of lips.

    Args:
        name: its folder, or the name of one that ships.
        options: of the search.
        device: where the network runs.

    Attributes:
        name: as it was given.
        knows: voices and words it knows.
        input: feature type of what it reads.
        language: of its texts.
        network: in evaluation mode.
        assets: of its training, the tokenizer among them.
        fusion: the language model of its search.
        device: where it runs.
        calibration: of its confidences; None: they are as the search has them.
        warnings: reasons to doubt the last ranking; there are none.
    """

    warnings: tuple[str, ...] = ()

    def __init__(self, name: str, options: SearchOptions = DEFAULT_SEARCH, device: torch.device | str = "cpu") -> None:
        self.name = name
        self.device = torch.device(device)
        loaded = experiment.load(name, self.device, task=Recognize)
        self._search = chosen = options.filled(own_search(loaded.path))
        self.knows, self.calibration = loaded.knows, load_calibration(loaded.path, chosen.way)
        self._task, self.assets, self.network = loaded.task, loaded.assets, loaded.model
        grammar, lm, bonus = chosen.grammar, chosen.lm, chosen.word_bonus
        if grammar and lm:
            raise LipsoundError("--grammar and --lm: only one of them can be used; leave one out")
        if grammar and (bonus or chosen.ctc_weight < 1):
            raise LipsoundError(
                "--grammar: its sentences are scored by CTC alone; leave --word-bonus and --ctc-weight out"
            )
        self.input, self.language = self._task.settings.input, self._task.settings.language
        self._graph = Graph.of(find_grammar(grammar), self.assets.tokenizer) if grammar else None
        if chosen.ctc_weight < 1 and self.network.decoder is None:
            if options.ctc_weight is None:
                raise LipsoundError(
                    f"{loaded.path / SEARCH}: asks for a decoder beside CTC (ctc_weight: {chosen.ctc_weight:g}), which "
                    "the model does not have; copy the pack again, or give --ctc-weight 1"
                )
            raise LipsoundError(f"{name}: has no decoder beside CTC (its decoder_layers are 0); leave --ctc-weight out")
        self.fusion: Fusion = WordBonus(self.assets.tokenizer, bonus) if bonus else NoModel()
        if lm is not None:
            self.fusion = language_model(lm, self.assets.tokenizer, chosen.lm_weight, bonus, self.device)

    @property
    def _seconds(self) -> float:
        """Length of a state."""
        seconds: float = self.network.stride / self._task.rate / FRAME_RATE
        return seconds

    def _run(self, clips: Sequence[np.ndarray]) -> RecognizerOutput:
        features, lengths = padded([*clips] if self._task.sees else [features_of(waveform) for waveform in clips])
        output: RecognizerOutput = self.network(features.to(self.device), lengths.to(self.device))
        return output

    def encode(self, clip: np.ndarray) -> torch.Tensor:
        """States (S, width) of a waveform (samples,), or of crops (T, H, W) uint8."""
        output = self._run([clip])
        return output.states[0, : int(output.lengths[0])]

    def texts_of(self, phrases: Phrases) -> Texts:
        """Sentences in its tokens.

        Raises:
            LipsoundError: it cannot write one of them.
        """
        tokenizer = self.assets.tokenizer
        return phrases.spelled(
            lambda sentence: tokenizer.segmentations(sentence, _SEGMENTATIONS),
            lambda sentence: unknown_parts(tokenizer, sentence),
            self.name,
        )

    @torch.no_grad()
    def rank(self, clip: np.ndarray, phrases: Phrases, texts: Texts) -> Hypothesis:
        """Which sentence was said in a waveform (samples,), or in crops (T, H, W) uint8; by CTC alone."""
        log_probs = self._run([clip]).log_probs[0].cpu().numpy()
        return ranked(log_probs, self._seconds, phrases, texts, _PHRASES)

    @torch.no_grad()
    def recognize(self, clips: Sequence[np.ndarray]) -> list[Hypothesis]:
        """Hypotheses of waveforms, or of lips: crops (T, H, W) uint8, or the states of their trunk."""
        output, seconds = self._run(clips), self._seconds
        found = [
            self._decode(output.log_probs[row, :length], output.states[row, :length], seconds)
            for row, length in enumerate(output.lengths.tolist())
        ]
        if output.word_scores is not None:
            word_log_probs = output.word_scores.float().log_softmax(-1).cpu().numpy()
            found = [
                align_words(what, word_log_probs[row, :length], self.assets.words, seconds)
                for row, (what, length) in enumerate(zip(found, output.lengths.tolist(), strict=True))
            ]
        return found if self.calibration is None else [self.calibration(what) for what in found]

    def _decode(self, probabilities: torch.Tensor, states: torch.Tensor, seconds: float) -> Hypothesis:
        """The chosen text of one clip, and how sure it is among the n best."""
        tokenizer = self.assets.tokenizer
        log_probs = probabilities.cpu().numpy()
        normalized = True  # whether the scores of the n best are log-probabilities over all texts
        if self._graph is not None:
            path, score = viterbi(self._graph, log_probs)
            n_best = graph_n_best(self._graph, log_probs, also=tuple(token.token for token in path))
        elif self._search.ctc_weight < 1:
            assert self.network.decoder is not None
            n_best = joint_n_best(
                decoder_scorer(self.network.decoder, states),
                probabilities,
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


def recognizer(
    name: str, options: SearchOptions = DEFAULT_SEARCH, device: torch.device | str = "cpu", *, lips: bool = False
) -> SpeechRecognizer:
    """A recognizer by name: an experiment or pack of the task *recognize*, or a pretrained one.

    Args:
        name: folder, or name; see `decoding.pretrained_asr` for those that need no training.
        options: search options, for recognizers trained with this toolkit.
        device: where their networks run.
        lips: whether a lip reader is accepted.

    Raises:
        LipsoundError: there is none of this name, its package or weights are missing, or it reads lips and the input
            is audio.
    """
    check_recognizer(name, lips=lips)
    if is_own(name):
        own = TrainedRecognizer(name, options, device)
        if own.input != AUDIO and not lips:
            raise LipsoundError(f"{name}: reads lips ('{own.input}'), not audio; give a recognizer of audio")
        return own
    kind, _, rest = name.partition(":")
    if options.lm is not None or (options.grammar and not rest):
        raise LipsoundError(
            f"--asr {name}: --grammar and --lm are for recognizers trained with lipsound2 (pocketsphinx:grid has one)"
        )
    if options.word_bonus or options.filled().ctc_weight < 1:
        raise LipsoundError(
            f"--asr {name}: --word-bonus and --ctc-weight are for recognizers trained with lipsound2; leave them out"
        )
    return PRETRAINED_ASR[kind](rest)


def files_of(name: str, options: SearchOptions) -> list[Path]:
    """Files that text and confidences depend on: weights and calibration of a trained recognizer, a grammar file, the
    language model."""
    folder = model_names.find(name) if is_own(name) else None
    weights = [] if folder is None else [folder / model_names.WEIGHTS]
    if folder is not None and load_calibration(folder, search_of(name, options).way) is not None:
        weights.append(folder / CALIBRATION)
    grammar = [Path(options.grammar)] if Path(options.grammar).is_file() else []
    return [*weights, *grammar, *([lm_file(Path(options.lm))] if options.lm else [])]
