"""How a recognizer of ours searches for words: the options of every verb that recognizes. Torch is not imported."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from lipsound2.arguments import AtLeast0, Share, Within
from lipsound2.errors import LipsoundError

_BEAM = 16  # hypotheses that are kept, where there is something to search for


@dataclass(frozen=True)
class SearchOptions:
    """How a recognizer of ours searches for words; pretrained recognizers have ways of their own.

    Attributes:
        grammar: recognize the sentences of a grammar alone: grid, or a file with one place a line (bin | lay | place).
        lm: language model: ARPA file over words or characters (lipsound2 ngram), or experiment or pack of the task
            language with the recognizer's tokens.
        lm_weight: of the language model.
        word_bonus: for every word, with and without --lm; for every token, with a model of characters or a network.
        beam: hypotheses that are kept; 0: 16 with a language model, a bonus or a decoder, else the best path alone.
        ctc_weight: share of CTC beside the model's decoder, such as 0.3; 1: CTC alone.

    Raises:
        LipsoundError: a number that means nothing.
    """

    grammar: str = ""
    lm: Path | None = None
    lm_weight: Annotated[float, Within(0)] = 0.5
    word_bonus: float = 0.0
    beam: AtLeast0 = 0
    ctc_weight: Share = 1.0

    def __post_init__(self) -> None:
        if self.beam < 0:
            raise LipsoundError(f"--beam: expected 0 or more, found {self.beam}")
        if not 0 <= self.lm_weight < math.inf:
            raise LipsoundError(f"--lm-weight: expected 0 or more, found {self.lm_weight:g}")
        if not math.isfinite(self.word_bonus):
            raise LipsoundError(f"--word-bonus: expected a number, found {self.word_bonus:g}")
        if not 0 <= self.ctc_weight <= 1:
            raise LipsoundError(f"--ctc-weight: expected 0 to 1, found {self.ctc_weight:g}")

    @property
    def width(self) -> int:
        """Of the beam; 1, with neither a language model nor a bonus: the best path, no search."""
        return self.beam or (_BEAM if self.lm or self.word_bonus or self.ctc_weight < 1 else 1)


DEFAULT_SEARCH = SearchOptions()
