"""Search options of trained recognizers, shared by all verbs that recognize. Torch is not imported."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from lipsound2.arguments import AtLeast0, Share, Within
from lipsound2.errors import LipsoundError

_BEAM = 16  # default beam of a search


@dataclass(frozen=True)
class SearchOptions:
    """Search options of trained recognizers; pretrained recognizers have a search of their own.

    Attributes:
        grammar: recognize the sentences of a grammar alone: grid, or a file with a slot per line (bin | lay | place).
        lm: language model: ARPA file over words or characters (lipsound2 ngram), or experiment or pack of the task
            language with the recognizer's tokens.
        lm_weight: weight of the language model.
        word_bonus: score added for every word, with or without a language model. With one of characters, or a neural
            one, it is added for every token.
        beam: beam width of the search, such as 16. 0 chooses: 16 with --lm, --word-bonus or --ctc-weight, else greedy
            decoding.
        ctc_weight: weight of CTC in joint CTC/attention decoding, such as 0.3; 1: CTC alone.

    Raises:
        LipsoundError: a number out of range.
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
        """Width of the beam; 1 (greedy decoding) without a language model, bonus or decoder."""
        return self.beam or (_BEAM if self.lm or self.word_bonus or self.ctc_weight < 1 else 1)

    @property
    def way(self) -> str:
        """Name of the way of decoding, as calibrations are kept: greedy, beam, joint, lm, or the name of a grammar."""
        if self.grammar:
            return f"grammar {Path(self.grammar).stem}"
        if self.ctc_weight < 1:
            return "joint"
        if self.lm is not None:
            return "lm"
        return "beam" if self.width > 1 else "greedy"


DEFAULT_SEARCH = SearchOptions()
