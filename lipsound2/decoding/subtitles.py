"""Subtitles: a recognizer's words, a few at a time, with the time at which they are shown; SubRip and WebVTT files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lipsound2.decoding.hypothesis import Hypothesis, Word, is_doubtful

_LINE = 7  # words in a subtitle at most
_PAUSE = 1.0  # seconds without a word, after which a new subtitle begins
# SubRip has no escapes, and players read tags in it: what would begin one is replaced by what looks like it.
_NO_TAGS = str.maketrans({"<": "\u2039", ">": "\u203a", "{": "(", "}": ")"})
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


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


def as_srt(what: Hypothesis) -> str:
    """A file of SubRip subtitles. The format has no comments, so that it holds the words alone."""
    blocks = (
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text.translate(_NO_TAGS)}\n"
        for number, cue in enumerate(cues(what), start=1)
    )
    return "\n".join(blocks)


def as_vtt(what: Hypothesis, notes: Iterable[str] = ()) -> str:
    """A file of WebVTT subtitles. Doubtful words have the class `doubtful`, which a page may style.

    Args:
        what: the words.
        notes: comments at the top, which players do not show.
    """
    comments = (f"NOTE {' '.join(re.sub('-+->+', '->', note).split())}\n" for note in notes)
    blocks = (
        f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{' '.join(map(_vtt_word, cue.words))}\n"
        for cue in cues(what)
    )
    return "\n".join(["WEBVTT\n", *comments, *blocks])


def _vtt_word(word: Word) -> str:
    text = word.text.translate(_ENTITIES)
    return f"<c.doubtful>{text}</c>" if is_doubtful(word) else text


def _clock(seconds: float, point: str) -> str:
    """`00:01:02,345`."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"
