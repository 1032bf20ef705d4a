"""Search options of trained recognizers, shared by all verbs that recognize. Torch is not imported."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any

from lipsound2.arguments import Share, Within
from lipsound2.config import from_mapping
from lipsound2.data.texts import read_text
from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import LipsoundError

FILE = "search.yaml"  # of a pack that has a search of its own
_BEAM = 16  # default beam of a search
WIDEST = 10_000  # beam; a search keeps that many texts at every step
HEAVIEST = 1000  # weight or bonus, beside scores that are logarithms of probabilities
_NAMES: dict[Any, str] = {Integral: "a whole number", Real: "a number"}


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
        LipsoundError: a number out of range, or a value of another kind.
    """

    grammar: str = ""
    lm: Path | str | None = None
    lm_weight: Annotated[float, Within(0, HEAVIEST)] | None = None
    word_bonus: Annotated[float, Within(-HEAVIEST, HEAVIEST)] | None = None
    beam: Annotated[int, Within(0, WIDEST)] | None = None
    ctc_weight: Share | None = None

    def __post_init__(self) -> None:
        for option, value in (("--grammar", self.grammar), ("--lm", self.lm)):
            if not isinstance(value, str | Path | None):
                raise LipsoundError(f"{option}: expected a name or file, found {value!r:.60}")
        for option, number, least, most, kind in (
            ("--beam", self.beam, 0, WIDEST, Integral),
            ("--lm-weight", self.lm_weight, 0, HEAVIEST, Real),
            ("--word-bonus", self.word_bonus, -HEAVIEST, HEAVIEST, Real),
            ("--ctc-weight", self.ctc_weight, 0, 1, Real),
        ):
            if number is not None:
                check_number(option, number, least, most, kind)

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


def check_number(option: str, value: Any, least: int, most: int, kind: Any = Real) -> None:
    """Check that a value is a number in a range.

    Args:
        option: its name, for the message.
        value: what was given.
        least: the smallest that is allowed.
        most: the largest.
        kind: `Real`, or `Integral` for whole numbers.

    Raises:
        LipsoundError: it is none.
    """
    if isinstance(value, kind) and not isinstance(value, bool) and least <= value <= most:
        return
    # Python writes no whole number of thousands of digits.
    found = f"one of {value.bit_length()} bits" if isinstance(value, int) and abs(value) >= 2**63 else f"{value!r:.60}"
    raise LipsoundError(f"{option}: expected {_NAMES[kind]} from {least} to {most}, found {found}")


DEFAULT_SEARCH = SearchOptions()


def own_search(folder: Path) -> OwnSearch | None:
    """The search of an experiment or pack; None: it has none of its own.

    Raises:
        LipsoundError: its file is not as it was written, or holds a number out of range.
    """
    path = folder / FILE
    if not path.exists():
        return None
    advice = "copy the pack again, or convert the model again"
    if not read_text(path).strip():
        raise LipsoundError(f"{path}: is empty, expected lines such as 'beam: 16'; {advice}")
    own = from_mapping(OwnSearch, read_yaml(path), str(path))
    try:
        SearchOptions(**asdict(own))
    except LipsoundError as error:
        raise LipsoundError(f"{path}: {error}; {advice}") from error
    return own
