"""Pretrained recognizers of other projects, with the interface of our own.

    pocketsphinx, pocketsphinx:grid          offline, no download; with a grammar it recognizes its sentences alone
    torchaudio:WAV2VEC2_ASR_BASE_960H        a bundle of torchaudio's, fetched on first use
    whisper:base                             OpenAI's Whisper, fetched on first use
    faster-whisper:base.en                   the same by CTranslate2, without torch; or a folder

Packages and weights are loaded when a recognizer is asked for, never before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np

from lipsound2.decoding.faster_whisper import FasterWhisper
from lipsound2.decoding.fetching import fetched
from lipsound2.decoding.grammar import Grammar, grammar
from lipsound2.decoding.hypothesis import Hypothesis, Word, confidence_of_all
from lipsound2.decoding.pronunciations import dictionary_spelling
from lipsound2.errors import LipsoundError, require
from lipsound2.text.tokenizer import UNKNOWN, Characters
from lipsound2.timing import SAMPLE_RATE


class SpeechRecognizer(Protocol):
    """Recognizes words in audio.

    Attributes:
        name: as it was given to --asr.
    """

    name: str

    def recognize(self, audio: Sequence[np.ndarray]) -> list[Hypothesis]:
        """Hypotheses of waveforms, (samples,) float32 at 16 kHz."""


class PocketSphinx:
    """CMU's PocketSphinx with the American English models of its wheel: no training, no download.

    Args:
        rest: name or file of a grammar; empty: its own trigram model of general English.
    """

    def __init__(self, rest: str) -> None:
        self.name = f"pocketsphinx:{rest}" if rest else "pocketsphinx"
        sphinx = require("pocketsphinx", "asr")
        config = sphinx.Config(samprate=SAMPLE_RATE, loglevel="FATAL")
        self._words: dict[str, str] = {}
        if rest:
            allowed = grammar(rest)
            self._words = {word: dictionary_spelling(word) for slot in allowed.slots for word in slot if len(word) == 1}
            config["lm"] = None
            self._decoder = sphinx.Decoder(config)
            self._refuse_unknown(allowed)
            self._decoder.add_jsgf_string("sentences", allowed.jsgf(self._words))
            self._decoder.activate_search("sentences")
        else:
            self._decoder = sphinx.Decoder(config)

    def _refuse_unknown(self, allowed: Grammar) -> None:
        words = [self._words.get(word, word) for slot in allowed.slots for word in slot]
        unknown = sorted({word for word in words if self._decoder.lookup_word(word) is None})
        if unknown:
            raise LipsoundError(f"{self.name}: words its dictionary does not know: {', '.join(unknown)}")

    def recognize(self, audio: Sequence[np.ndarray]) -> list[Hypothesis]:
        """Hypotheses of waveforms."""
        return [self._recognize(waveform) for waveform in audio]

    def _recognize(self, waveform: np.ndarray) -> Hypothesis:
        decoder = self._decoder
        decoder.start_utt()
        samples = np.clip(np.rint(waveform * 32767), -32768, 32767).astype(np.int16)
        decoder.process_raw(samples.tobytes(), full_utt=True)
        decoder.end_utt()
        best = decoder.hyp()
        if best is None:
            return Hypothesis("")
        back = {spelling: word for word, spelling in self._words.items()}
        words = []
        for segment in decoder.seg():
            text = segment.word.split("(")[0]
            if text.startswith(("<", "[")):
                continue
            confidence = min(float(segment.prob), 1.0)  # its rounding may exceed 1
            start, end = segment.start_frame / 100, (segment.end_frame + 1) / 100
            words.append(Word(back.get(text, text), start, end, confidence))
        # Its own probability of the whole is that of one way through its lattice, silences among words included.
        return Hypothesis(" ".join(word.text for word in words), words, float(best.score), confidence_of_all(words))


class Bundle:
    """A CTC recognizer among torchaudio's bundles.

    Args:
        rest: name of the bundle.
    """

    def __init__(self, rest: str) -> None:
        self.name = f"torchaudio:{rest}"
        torchaudio = require("torchaudio", "torchaudio")
        bundle = getattr(torchaudio.pipelines, rest, None)
        if bundle is None or not hasattr(bundle, "get_labels"):
            known = [key for key in dir(torchaudio.pipelines) if "_ASR_" in key]
            raise LipsoundError(f"--asr {self.name}: no such bundle; one of {', '.join(known)}")
        place = "$TORCH_HOME/hub/checkpoints of a machine that has them"
        self._model = fetched(bundle.get_model, f"--asr {self.name}", "torchaudio's weights", place).eval()
        self._tokenizer = tokenizer_of(bundle.get_labels())

    def recognize(self, audio: Sequence[np.ndarray]) -> list[Hypothesis]:
        """Hypotheses of waveforms by greedy decoding."""
        import torch

        from lipsound2.decoding.beam import greedy_hypothesis

        found = []
        for waveform in audio:
            with torch.inference_mode():
                scores = self._model(torch.from_numpy(np.ascontiguousarray(waveform, np.float32))[None])[0][0]
            # Our tokens have UNKNOWN as their second; a bundle has no such class.
            log_probs = np.insert(scores.log_softmax(-1).numpy(), UNKNOWN, -np.inf, axis=1)
            found.append(greedy_hypothesis(log_probs, self._tokenizer, len(waveform) / SAMPLE_RATE / len(log_probs)))
        return found


def tokenizer_of(labels: Sequence[str]) -> Characters:
    """The characters that a bundle's labels stand for: the blank first, `|` between words, letters in capitals."""
    return Characters([" " if label == "|" else label.lower() for label in labels[1:]])


class Whisper:
    """OpenAI's Whisper (package `openai-whisper`).

    Args:
        rest: size, such as base.en.
    """

    def __init__(self, rest: str) -> None:
        self.name = f"whisper:{rest or 'base'}"
        whisper = require("whisper", "whisper")
        size = rest or "base"
        if size not in whisper.available_models():
            raise LipsoundError(f"--asr {self.name}: no such model; one of {', '.join(whisper.available_models())}")
        place = "~/.cache/whisper of a machine that has them"
        self._model = fetched(lambda: whisper.load_model(size), f"--asr {self.name}", "Whisper's weights", place)

    def recognize(self, audio: Sequence[np.ndarray]) -> list[Hypothesis]:
        """Hypotheses of waveforms."""
        return [self._recognize(waveform) for waveform in audio]

    def _recognize(self, waveform: np.ndarray) -> Hypothesis:
        result = self._model.transcribe(np.asarray(waveform, np.float32), word_timestamps=True, fp16=False)
        words = [
            Word(word["word"].strip(), float(word["start"]), float(word["end"]), float(word["probability"]))
            for segment in result["segments"]
            for word in segment.get("words", ())
        ]
        return Hypothesis(result["text"].strip(), words, confidence=confidence_of_all(words))


PRETRAINED_ASR: dict[str, Callable[[str], SpeechRecognizer]] = {
    "pocketsphinx": PocketSphinx,
    "torchaudio": Bundle,
    "whisper": Whisper,
    "faster-whisper": FasterWhisper,
}


def recognize_all(
    recognizer: SpeechRecognizer, audio: Iterable[tuple[str, np.ndarray]], batch: int = 16
) -> dict[str, Hypothesis]:
    """Hypotheses of many clips by id, a batch at a time.

    Args:
        recognizer: the recognizer.
        audio: (id, (samples,) float32).
        batch: clips in a batch.
    """
    found: dict[str, Hypothesis] = {}
    waiting: list[tuple[str, np.ndarray]] = []

    def flush() -> None:
        hypotheses = recognizer.recognize([waveform for _, waveform in waiting])
        found.update({name: what for (name, _), what in zip(waiting, hypotheses, strict=True)})
        waiting.clear()

    for pair in audio:
        waiting.append(pair)
        if len(waiting) == batch:
            flush()
    if waiting:
        flush()
    return found
