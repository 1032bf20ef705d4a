"""Subtitles: a recognizer's words, a few at a time, with the time at which they are shown."""

from __future__ import annotations

from dataclasses import dataclass

from lipsound2.decoding.hypothesis import Hypothesis, Word

_LINE = 7  # words in a subtitle at most
_PAUSE = 1.0  # seconds without a word, after which a new subtitle begins


@dataclass(frozen=True)
class Cue:
    """One subtitle.

    Attributes:
        start: seconds from the beginning of the clip.
        end: likewise.
        words: what is shown.
    """

    start: float
    end: float
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        """The words with blanks between."""
        return " ".join(word.text for word in self.words)


def cues(what: Hypothesis) -> list[Cue]:
    """The subtitles of a clip; none where the recognizer has no times of words."""
    lines: list[list[Word]] = []
    for word in what.words:
        fresh = not lines or len(lines[-1]) == _LINE or word.start - lines[-1][-1].end > _PAUSE
        if fresh:
            lines.append([])
        lines[-1].append(word)
    return [Cue(line[0].start, line[-1].end, tuple(line)) for line in lines]
