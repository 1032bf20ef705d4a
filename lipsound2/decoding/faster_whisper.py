"""Whisper by CTranslate2 (package `faster-whisper`), which needs no torch: a judge of speech that knows no corpus.

    faster-whisper:tiny.en                     fetched on first use
    faster-whisper:whisper/tiny.en             a folder with model.bin, such as a package that carries one
    faster-whisper:base,language=en,prompt=grid

Whisper always listens to 30 seconds. So clips share a window, with pauses between them, and each word goes to the clip
in which its middle lies.

On what it cannot understand it may repeat itself until the window is full. Such a window is heard again in halves, and
what it repeats in a clip alone is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lipsound2.data.texts import read_text
from lipsound2.decoding.fetching import fetched
from lipsound2.decoding.grammar import GRID, Grammar
from lipsound2.decoding.hypothesis import Hypothesis, Word, confidence_of_all
from lipsound2.errors import LipsoundError, require
from lipsound2.timing import SAMPLE_RATE

_WINDOW = 30 * SAMPLE_RATE  # samples that Whisper listens to at once
_PAUSE = SAMPLE_RATE  # between two clips: longer than the errors of Whisper's word times
_REPEATS = 2.4  # compression ratio of a text above which Whisper's own code says that it repeats itself
_SETTINGS = ("language", "prompt")


class FasterWhisper:
    """Whisper; see above.

    It searches with beam 5 and without sampling, in float32, so that the same audio gives the same text.

    Args:
        rest: size such as base.en, or folder; then `,language=` of the texts (default: heard) and `,prompt=`: a file of
            text that it takes for what was said before, or grid for sentences of GRID, which are English. A prompt
            pulls its texts towards its words.

    Raises:
        LipsoundError: the package or the model is missing, or a setting is none.
    """

    def __init__(self, rest: str) -> None:
        self.name = f"faster-whisper:{rest}"
        size, *given = rest.split(",")
        settings = dict(_setting(self.name, each) for each in given)
        module = require("faster_whisper", "faster-whisper")
        known = module.available_models()
        folder = Path(size)
        if not folder.is_dir() and size not in known:
            raise LipsoundError(f"--asr {self.name}: no such folder, nor a model; one of {', '.join(known)}")
        if folder.is_dir() and not (folder / "model.bin").is_file():
            raise LipsoundError(f"--asr {self.name}: has no model.bin; give a folder of Whisper's for CTranslate2")
        prompt = settings.get("prompt")
        self._language = settings.get("language", "en" if prompt == "grid" else None)
        self._prompt = None if prompt is None else _sentences(GRID) if prompt == "grid" else read_text(Path(prompt))

        def load() -> Any:
            return module.WhisperModel(size, device="cpu", compute_type="float32")

        place = "the hub's cache of a machine that has them, and give their folder"
        self._model = load() if folder.is_dir() else fetched(load, f"--asr {self.name}", "Whisper's weights", place)
        if self._language is not None and self._language not in self._model.supported_languages:
            raise LipsoundError(
                f"--asr {self.name}: no such language; one of {', '.join(self._model.supported_languages)}"
            )

    def recognize(self, audio: Sequence[np.ndarray]) -> list[Hypothesis]:
        """Hypotheses of waveforms, (samples,) float32 at 16 kHz."""
        found: list[Hypothesis] = []
        for group in windows([len(waveform) for waveform in audio]):
            found += self._recognize([audio[number] for number in group])
        return found

    def _recognize(self, clips: Sequence[np.ndarray]) -> list[Hypothesis]:
        """Texts of clips that share a window."""
        pause = np.zeros(_PAUSE, np.float32)
        parts = [part for clip in clips for part in (np.asarray(clip, np.float32), pause)]
        told, _ = self._model.transcribe(
            np.concatenate(parts[:-1]),
            language=self._language,
            initial_prompt=self._prompt,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
        )
        segments = [*told]
        fresh = [segment for segment in segments if segment.compression_ratio <= _REPEATS]
        if len(fresh) < len(segments) and len(clips) > 1:
            middle = len(clips) // 2
            return [*self._recognize(clips[:middle]), *self._recognize(clips[middle:])]
        words = [
            Word(word.word.strip(), float(word.start), float(word.end), float(word.probability))
            for segment in fresh
            for word in segment.words or ()
        ]
        return split([len(clip) for clip in clips], words)


def windows(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Runs of clips that fit into Whisper's window together, pauses between them; a longer one stands alone.

    Args:
        sizes: of the clips, samples.

    Yields:
        Their numbers.
    """
    group: list[int] = []
    used = 0
    for number, size in enumerate(sizes):
        if group and used + _PAUSE + size > _WINDOW:
            yield group
            group, used = [], 0
        used += size + (_PAUSE if group else 0)
        group.append(number)
    if group:
        yield group


def split(sizes: Sequence[int], words: Sequence[Word]) -> list[Hypothesis]:
    """What was said in each of some clips that were heard in a row, with times within the clip.

    Args:
        sizes: of the clips, samples.
        words: of all, with times in the row.
    """
    found: list[list[Word]] = [[] for _ in sizes]
    starts = np.cumsum([0, *(size + _PAUSE for size in sizes[:-1])]) / SAMPLE_RATE
    ends = starts + np.array(sizes) / SAMPLE_RATE
    borders = (ends[:-1] + starts[1:]) / 2
    for word in words:
        number = int(np.searchsorted(borders, (word.start + word.end) / 2))
        least, most = starts[number], ends[number]
        start, end = (float(np.clip(time, least, most) - least) for time in (word.start, word.end))
        found[number].append(Word(word.text, start, end, word.confidence))
    return [Hypothesis(" ".join(word.text for word in own), own, confidence=confidence_of_all(own)) for own in found]


def _setting(name: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or key not in _SETTINGS or not value:
        known = " or ".join(f"{each}=..." for each in _SETTINGS)
        raise LipsoundError(f"--asr {name}: '{text}' is no setting, wanted {known}")
    return key, value


def _sentences(grammar: Grammar) -> str:
    """Sentences that hold each word of a grammar, as Whisper writes sentences."""
    most = max(map(len, grammar.slots))
    rows = [[slot[number % len(slot)] for slot in grammar.slots] for number in range(most)]
    spelled = [[word.upper() if len(word) == 1 else word for word in row] for row in rows]
    return " ".join(f"{row[0].capitalize()} {' '.join(row[1:])}." for row in spelled)
