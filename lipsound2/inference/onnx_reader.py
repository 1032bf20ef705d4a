"""Exported recognizers and language models (`lipsound2 export`), run by onnxruntime: text without torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lipsound2 import model_names
from lipsound2.audio.mel_numpy import speech_features
from lipsound2.datasets.word_alignment import load_words
from lipsound2.decoding.arpa import LanguageModel
from lipsound2.decoding.beam import Fusion, fusion
from lipsound2.decoding.joint import DecoderScorer
from lipsound2.decoding.search_options import DEFAULT_SEARCH, SearchOptions
from lipsound2.errors import LipsoundError
from lipsound2.inference.familiarity import FILE as FAMILIARITY
from lipsound2.inference.familiarity import Familiarity, WatchedFace
from lipsound2.inference.neural_fusion import Ahead, NeuralFusion, check_tokens
from lipsound2.inference.onnx_folder import (
    DECODER,
    ENCODER,
    LANGUAGE,
    LANGUAGE_MODEL,
    MEMORY,
    READER,
    TRUNK,
    UNLIKE,
    check_files,
    is_exported,
    read_folder,
)
from lipsound2.inference.onnx_session import open_session
from lipsound2.inference.own_recognizer import Facts, Heard, OwnRecognizer
from lipsound2.inference.windows import READER_WINDOW, reader_windows
from lipsound2.text.tokenizer import Tokenizer
from lipsound2.text.tokens import load as load_tokens


class OnnxRecognizer(OwnRecognizer):
    """A folder that `lipsound2 export` wrote of a recognizer, of audio or of lips; see `OwnRecognizer`.

    Args:
        folder: the folder.
        options: of the search.
        threads: it may use; 0: as many as OMP_NUM_THREADS says, else all cores.

    Raises:
        LipsoundError: it is no such folder, or its files are not as they were written.
    """

    def __init__(self, folder: Path | str, options: SearchOptions = DEFAULT_SEARCH, threads: int = 0) -> None:
        folder = Path(folder)
        made = read_folder(folder, READER)
        check_files(folder, made)
        tokenizer = load_tokens(folder)
        facts = Facts(
            *(folder, made.knows, made.input, made.language, tokenizer, load_words(folder), made.seconds),
            has_decoder=made.boundary >= 0,
        )
        known = Familiarity.load(folder / FAMILIARITY) if FAMILIARITY in made.files else None
        super().__init__(
            str(folder),
            facts,
            options,
            lambda lm, weight, bonus: language_model(lm, tokenizer, weight, bonus, threads),
            WatchedFace(known, made.name),
        )
        self._side, self._memory = made.side, made.memory
        self._encoder = open_session(folder / ENCODER, threads)
        if known is not None:
            self._trunk, self._unlike = open_session(folder / TRUNK, threads), open_session(folder / UNLIKE, threads)
        self._decoder: tuple[Any, Any] | None = None
        if self._search.ctc_weight < 1:
            self._decoder = open_session(folder / MEMORY, threads), open_session(folder / DECODER, threads)

    def encode(self, clip: np.ndarray) -> tuple[np.ndarray, ...]:
        """One clip through the encoder; longer ones of lips in windows that overlap.

        Args:
            clip: crops (T, side, side) uint8, or a waveform (samples,) float32 at 16 kHz.

        Returns:
            (1, S, width) states, (1, S, tokens) natural log-probabilities of CTC and, where there is a word head,
            (1, S, words + 1) of it.

        Raises:
            LipsoundError: crops of another size, or audio that is too short.
        """
        if self._side and (clip.shape[1:] != (self._side, self._side) or not len(clip)):
            raise LipsoundError(f"{self.name}: wanted crops of {self._side} x {self._side}, found {clip.shape}")
        if not self._side:
            return self._run(speech_features(clip))
        parts = [tuple(each[:, kept] for each in self._run(clip[window])) for window, kept in reader_windows(len(clip))]
        return tuple(np.concatenate(each, 1) for each in zip(*parts, strict=True))

    def _run(self, given: np.ndarray) -> tuple[np.ndarray, ...]:
        clip = {"clip": np.ascontiguousarray(given)[None]}
        if self._face.known is not None:
            (seen,) = self._trunk.run(None, clip)
            if self._face.look(seen[0]):
                (seen,) = self._unlike.run(None, clip)
            clip = {"seen": seen}
        found: list[np.ndarray] = self._encoder.run(None, clip)
        return tuple(found)

    def hear(self, clips: Sequence[np.ndarray]) -> list[Heard]:
        """See `OwnRecognizer`."""
        heard = []
        for clip in clips:
            self._face.unlike.clear()
            states, log_probs, *words = self.encode(clip)
            decoder = None
            # No decoder was trained on texts of such length.
            if self._decoder is not None and not (self._side and len(clip) > READER_WINDOW):
                decoder = partial(self._scorer, states, *self._decoder)
            heard.append(Heard(log_probs[0], words[0][0] if words else None, decoder, self._face.mostly_unlike))
        return heard

    def _scorer(self, states: np.ndarray, memory: Any, decoder: Any) -> DecoderScorer:
        (seen,) = memory.run(None, {"states": states})
        nothing = empty(self._memory)

        def step(last: np.ndarray, rows: np.ndarray, past: Any) -> tuple[np.ndarray, Any]:
            given = {"tokens": last, "rows": rows, "past": nothing if past is None else past, "seen": seen}
            log_probs, grown = decoder.run(None, given)
            return log_probs, grown

        return step


class OnnxLanguageModel(NeuralFusion):
    """A folder that `lipsound2 export` wrote of a language model.

    Args:
        folder: the folder.
        tokenizer: the recognizer's.
        weight: of its log-probabilities.
        bonus: added for every token, the end too.
        threads: it may use.

    Raises:
        LipsoundError: it is no such folder, its files are not as they were written, or it has other tokens.
    """

    def __init__(self, folder: Path, tokenizer: Tokenizer, weight: float, bonus: float, threads: int = 0) -> None:
        made = read_folder(folder, LANGUAGE_MODEL)
        check_files(folder, made)
        check_tokens(folder, load_tokens(folder), tokenizer)
        self._session = open_session(folder / LANGUAGE, threads)
        super().__init__(made.boundary, empty(made.memory)[0], weight, bonus)

    def compute(self, states: Sequence[Ahead]) -> None:
        """See `NeuralFusion`."""
        lengths = np.array([state.past.shape[3] for state in states])
        shape = states[0].past.shape
        past = np.zeros((len(states), *shape[:3], lengths.max(), shape[4]), np.float32)
        for row, state in enumerate(states):
            past[row, :, :, :, : lengths[row]] = state.past
        given = {"tokens": np.array([state.token for state in states]), "lengths": lengths, "past": past}
        follows, own = self._session.run(None, given)
        for row, state in enumerate(states):
            state.past, state.follows = np.concatenate([state.past, own[row]], 3), follows[row]


def empty(memory: tuple[int, int, int]) -> np.ndarray:
    """Keys and values (1, layers, 2, heads, 0, channels) before any token, of (layers, heads, channels a head)."""
    layers, heads, width = memory
    return np.zeros((1, layers, 2, heads, 0, width), np.float32)


def language_model(lm: Path, tokenizer: Tokenizer, weight: float, bonus: float, threads: int = 0) -> Fusion:
    """A language model for an exported recognizer.

    Args:
        lm: ARPA file, or the folder of an exported language model.
        tokenizer: the recognizer's.
        weight: of its log-probabilities.
        bonus: added for every word; for every token, when the model is a network or one of characters.
        threads: it may use.

    Raises:
        LipsoundError: there is none, or it was built for other tokens than the recognizer's.
    """
    if is_exported(lm):
        return OnnxLanguageModel(lm, tokenizer, weight, bonus, threads)
    if lm.is_dir() or (not lm.exists() and model_names.found(lm) is not None):
        raise LipsoundError(f"--lm {lm}: is no exported language model, and --onnx runs no other; lipsound2 export it")
    return fusion(LanguageModel.read(lm), tokenizer, weight, bonus, str(lm))
