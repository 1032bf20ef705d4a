"""Own sentences: a list of which one was said. They are read, checked against a reader's words, ranked and shown.

Torch is not imported before one is ranked, so that a mistake in a list is told at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from lipsound2.data.texts import read_lines, shown
from lipsound2.decoding.beam import forced_align
from lipsound2.decoding.ctc import tokens_of_words
from lipsound2.decoding.hypothesis import Alternative, Hypothesis, Word
from lipsound2.decoding.look_alikes import look_alikes, visemes_of
from lipsound2.decoding.phrases import NONE, PhraseCalibration, Ranking, forward_scores, rank
from lipsound2.decoding.pronunciations import has_dictionary
from lipsound2.errors import LipsoundError, install_command
from lipsound2.text.normalize import normalize
from lipsound2.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)

_ALTERNATIVES = 20  # of a hypothesis; its ranking has all sentences
_SHOWN = 5
_FEW = 100  # words of a reader that a message lists


@dataclass(frozen=True)
class Phrases:
    """Sentences of which one may have been said.

    Attributes:
        texts: as they were given, each once.
        normal: the same, normalized.
        places: where each stands, for messages.
        groups: numbers of sentences that look alike on the lips.
    """

    texts: list[str]
    normal: list[str]
    places: list[str]
    groups: list[list[int]]

    @classmethod
    def read(cls, path: Path, language: str = "en") -> Phrases:
        """The sentences of a file, one a line; empty lines are left out.

        Args:
            path: the file.
            language: decides how sentences are normalized.

        Raises:
            LipsoundError: there is no such file, it is not UTF-8, or holds no sentence.
        """
        _check_file(path)
        rows = ((f"{path}:{number}", line) for number, line in read_lines(path))
        return cls._of(rows, language, str(path), "write one a line")

    @classmethod
    def of(cls, sentences: Iterable[str], language: str = "en") -> Phrases:
        """The sentences of a list.

        Args:
            sentences: texts.
            language: decides how they are normalized.

        Raises:
            LipsoundError: there is none.
        """
        if isinstance(sentences, str):
            raise LipsoundError(f"phrases: expected a list of sentences, found the text {shown(sentences)}")
        rows = ((f"phrases[{number}]", text) for number, text in enumerate(sentences))
        return cls._of(rows, language, "phrases", "give a list of texts")

    @classmethod
    def _of(cls, rows: Iterable[tuple[str, str]], language: str, where: str, advice: str) -> Phrases:
        found: dict[str, tuple[str, str]] = {}  # normalized -> as it was given, and where
        again = []
        for place, text in rows:
            if not isinstance(text, str):
                raise LipsoundError(f"{place}: expected a text, found {type(text).__name__}")
            normal = normalize(text, language)
            if not normal and text.strip():
                raise LipsoundError(f"{place}: expected a sentence, found no word in {shown(text.strip())}")
            if normal in found:
                again.append(f"{place} says what {found[normal][1]} says")
            elif normal:
                found[normal] = (text.strip(), place)
        if not found:
            raise LipsoundError(f"{where}: holds no sentence; {advice}")
        if again:
            one, many = "1 sentence stands there twice and counts", "%d sentences stand there twice and count"
            log.warning("%s: %s once: %s", where, one if len(again) == 1 else many % len(again), again[0])
        sentences = [*found]
        alike = look_alikes(sentences, visemes_of({word for text in sentences for word in text.split()}))
        return cls([text for text, _ in found.values()], sentences, [place for _, place in found.values()], alike)

    def warn_of_look_alikes(self) -> None:
        """Log which sentences look alike, or that there is no dictionary to tell this by."""
        if len(self.texts) > 1 and not has_dictionary():
            log.warning("not checked whether sentences look alike: %s", install_command("asr"))
        for group in self.groups[:_SHOWN]:
            log.warning("look alike on the lips: %s", ", ".join(f"'{self.texts[each]}'" for each in group[:_SHOWN]))
        if len(self.groups) > _SHOWN:
            log.warning("%d more groups of sentences look alike on the lips", len(self.groups) - _SHOWN)

    def told_of_look_alikes(self) -> list[str]:
        """Lines of `doubt` that say again what `warn_of_look_alikes` says."""
        return [
            line for group in self.groups[:_SHOWN] for each in group[:_SHOWN] for line in self.doubt(self.texts[each])
        ]

    def doubt(self, text: str) -> list[str]:
        """A line if a sentence looks like others, else none."""
        others = ", ".join(f"'{each}'" for each in self.like(text)[:_SHOWN])
        return [f"'{text}' looks like {others} on the lips; they cannot be told apart"] if others else []

    def like(self, text: str) -> list[str]:
        """Other sentences that look like one of them."""
        for group in self.groups:
            alike = [self.texts[each] for each in group]
            if text in alike:
                return [each for each in alike if each != text]
        return []

    def spelled(
        self,
        write: Callable[[str], list[list[int]]],
        unknown: Callable[[str], list[str]],
        writer: str,
        known: Sequence[str] = (),
    ) -> Texts:
        """Every sentence in the tokens of a reader.

        Args:
            write: a normalized sentence to its tokens, in each way that counts; none: it cannot be written.
            unknown: the words or characters of a sentence that cannot be written.
            writer: name of the reader.
            known: all words that it can write; empty: they cannot be listed.

        Raises:
            LipsoundError: a sentence cannot be written: which, where, and because of what.
        """
        texts = [write(sentence) for sentence in self.normal]
        wrong = [number for number, ways in enumerate(texts) if not ways]
        if wrong:
            first = wrong[0]
            parts = ", ".join(f"'{part}'" for part in unknown(self.normal[first])) or "it"
            more = f", nor all of {_listed([self.places[each] for each in wrong[1:]])}" if len(wrong) > 1 else ""
            raise LipsoundError(
                f"{self.places[first]}: {writer} cannot write {parts} in {shown(self.texts[first])}{more}; it was not "
                f"trained for this: use words that it knows{_in_full(known)}, or another model; for any words of "
                "English get a published lip reader, lipsound2 models get vsr-lrs3-19.1, and give it as --model"
            )
        return texts


def _in_full(words: Sequence[str]) -> str:
    """Words in brackets, where they are few enough for a message."""
    return f" ({' '.join(words)})" if 0 < len(words) <= _FEW else ""


def _listed(places: Sequence[str]) -> str:
    """Places shortly, those in a file by their lines: line 3; lines 3, 8 and 2 more."""
    ends = [place.rpartition(":")[2] for place in places]
    kind = f"line{'s' * (len(ends) > 1)} " if ends[0].isdecimal() else ""
    more = f" and {len(ends) - _SHOWN} more" if len(ends) > _SHOWN else ""
    return kind + ", ".join(ends[:_SHOWN]) + more


def _check_file(path: Path) -> None:
    """Check that a file of sentences is there; a sentence in its place is a mistake that people make.

    Raises:
        LipsoundError: it is not, or it is a folder.
        PermissionError: it cannot be looked for.
    """
    wants = "--phrases: wants a file with one sentence a line"
    try:
        path.stat()
    except PermissionError:
        raise
    except OSError as error:  # none there, or a name that is too long for one
        raise LipsoundError(f"{wants}; there is no file {str(path)!r}") from error
    if path.is_dir():
        raise LipsoundError(f"{wants}; {str(path)!r} is a folder")


Texts = Sequence[Sequence[Sequence[int]]]  # for each sentence its tokens, in one or more ways


class PhraseReader(Protocol):
    """Ranks own sentences.

    Attributes:
        name: of the reader.
    """

    name: str

    @property
    def warnings(self) -> list[str]:
        """Reasons to doubt what was read since `begin`."""
        ...

    def begin(self) -> None:
        """A new clip begins."""

    def texts_of(self, phrases: Phrases) -> Texts:
        """The sentences in its tokens.

        Raises:
            LipsoundError: it cannot write one of them.
        """

    def rank(self, clip: np.ndarray, phrases: Phrases, texts: Texts) -> Hypothesis:
        """Which sentence was said in a clip: waveform (samples,), or crops (T, H, W) uint8."""


def ranked(
    log_probs: np.ndarray,
    seconds: float,
    phrases: Phrases,
    texts: Texts,
    calibration: PhraseCalibration,
    tokenizer: Tokenizer | None = None,
) -> Hypothesis:
    """The most probable sentence with the times of its words, and all others as its ranking.

    Args:
        log_probs: (T, V) natural log-probabilities, class 0 the blank or silence.
        seconds: length of a frame.
        phrases: the sentences.
        texts: their tokens.
        calibration: of these log-probabilities.
        tokenizer: of the tokens; None: each is a whole word.
    """
    ranking = rank(log_probs, phrases.texts, texts, calibration, 0.0, len(log_probs) * seconds)
    others = [(each.text, each.probability) for each in ranking.choices[: _ALTERNATIVES + 1]] + [(NONE, ranking.none)]
    others.sort(key=lambda pair: -pair[1])
    alternatives = [Alternative(text, share) for text, share in others if text != ranking.text]
    score = ranking.choices[0].score if ranking.text else 0.0
    return Hypothesis(
        ranking.text,
        _timed(ranking, log_probs, seconds, phrases, texts, tokenizer),
        score,
        ranking.confidence,
        alternatives[:_ALTERNATIVES],
        [ranking],
    )


def _timed(
    ranking: Ranking,
    log_probs: np.ndarray,
    seconds: float,
    phrases: Phrases,
    texts: Texts,
    tokenizer: Tokenizer | None,
) -> list[Word]:
    """Words of the chosen sentence with their times; none where tokens go beyond a word."""
    if not ranking.text or not np.isfinite(ranking.choices[0].score):
        return []
    number = phrases.texts.index(ranking.text)
    words, ways = phrases.normal[number].split(), texts[number]
    best = int(np.argmax(forward_scores(log_probs, ways)))  # the usual way may be too long for the clip
    path = forced_align(ways[best], log_probs)
    parts = [[token] for token in path] if tokenizer is None else tokens_of_words(path, tokenizer)
    if len(words) != len(parts):
        return []
    return [
        Word(word, part[0].start * seconds, part[-1].end * seconds) for word, part in zip(words, parts, strict=True)
    ]
