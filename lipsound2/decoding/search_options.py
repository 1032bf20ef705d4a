"""Search options of trained recognizers, shared by all verbs that recognize. Torch is not imported."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated

from lipsound2.arguments import AtLeast0, Share, Within
from lipsound2.config import from_mapping
from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import LipsoundError

FILE = "search.yaml"  # of a pack that has a search of its own
_BEAM = 16  # default beam of a search


@dataclass(frozen=True)
class OwnSearch:
    """The search that a model was published with, used where no option says otherwise.

    Attributes:
        lm_weight: weight of a language model.
        word_bonus: score added for every word, see `SearchOptions`.
        beam: beam width; 0: 16 where a search is needed at all, else greedy decoding.
        ctc_weight: weight of CTC in joint CTC/attention decoding; 1: CTC alone.
    """

    lm_weight: float = 0.5
    word_bonus: float = 0.0
    beam: int = 0
    ctc_weight: float = 1.0


@dataclass(frozen=True)
class Search(OwnSearch):
    """A search with all of its values; see `SearchOptions`."""

    grammar: str = ""
    lm: Path | None = None

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


@dataclass(frozen=True)
class SearchOptions:
    """Search options of trained recognizers; pretrained recognizers have a search of their own.

    What is not given is as the model was published, where its pack has a search.yaml.

    Attributes:
        grammar: recognize the sentences of a grammar alone: grid, or a file with a slot per line (bin | lay | place).
        lm: language model: ARPA file over words or characters (lipsound2 ngram), or experiment or pack of the task
            language with the recognizer's tokens.
        lm_weight: weight of the language model; default: 0.5, or the model's own.
        word_bonus: score added for every word, with or without a language model; default: 0, or the model's own. With
            one of characters, or a neural one, it is added for every token.
        beam: beam width of the search, such as 16; default: the model's own, or 0. 0 chooses: 16 with --lm,
            --word-bonus or --ctc-weight, else greedy decoding.
        ctc_weight: weight of CTC in joint CTC/attention decoding, such as 0.3; 1: CTC alone; default: 1, or the
            model's own.

    Raises:
        LipsoundError: a number out of range.
    """

    grammar: str = ""
    lm: Path | str | None = None
    lm_weight: Annotated[float, Within(0)] | None = None
    word_bonus: float | None = None
    beam: AtLeast0 | None = None
    ctc_weight: Share | None = None

    def __post_init__(self) -> None:
        if self.beam is not None and self.beam < 0:
            raise LipsoundError(f"--beam: expected 0 or more, found {self.beam}")
        if self.lm_weight is not None and not 0 <= self.lm_weight < math.inf:
            raise LipsoundError(f"--lm-weight: expected 0 or more, found {self.lm_weight:g}")
        if self.word_bonus is not None and not math.isfinite(self.word_bonus):
            raise LipsoundError(f"--word-bonus: expected a number, found {self.word_bonus:g}")
        if self.ctc_weight is not None and not 0 <= self.ctc_weight <= 1:
            raise LipsoundError(f"--ctc-weight: expected 0 to 1, found {self.ctc_weight:g}")

    def filled(self, own: OwnSearch | None = None) -> Search:
        """The search with all values.

        Args:
            own: of the model; None: ours. A grammar is scored by CTC alone, so nothing of the model's is taken then.
                Its bonus belongs to its language model.
        """
        values = asdict(own if own is not None and not self.grammar else OwnSearch())
        if self.lm is None:
            values["word_bonus"] = 0.0
        values |= {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
        values["lm"] = None if self.lm is None else Path(self.lm)  # from Python it may be a str
        return Search(**values)


DEFAULT_SEARCH = SearchOptions()


def own_search(folder: Path) -> OwnSearch | None:
    """The search of an experiment or pack; None: it has none of its own.

    Raises:
        LipsoundError: its file is not as it was written, or holds a number out of range.
    """
    path = folder / FILE
    if not path.exists():
        return None
    own = from_mapping(OwnSearch, read_yaml(path), str(path))
    try:
        SearchOptions(**asdict(own))
    except LipsoundError as error:
        raise LipsoundError(f"{path}: {error}; convert the model again") from error
    return own
