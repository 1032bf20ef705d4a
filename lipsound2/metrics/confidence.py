"""How well confidences tell right words from wrong ones: against references, as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lipsound2.decoding.hypothesis import DOUBTFUL, Hypothesis
from lipsound2.errors import LipsoundError
from lipsound2.metrics.alignment import NOTHING, align
from lipsound2.text.normalize import normalization

BINS = 10  # of confidence, equally wide


@dataclass(frozen=True)
class Judged:
    """Confidences beside the truth.

    Attributes:
        confidences: (n,) float64 in [0, 1].
        right: (n,) bool.
    """

    confidences: np.ndarray
    right: np.ndarray

    @property
    def auroc(self) -> float:
        """Area under the ROC curve: the chance that a right one is surer than a wrong one; NaN without either."""
        sure, other = self.confidences[self.right], self.confidences[~self.right]
        if not len(sure) or not len(other):
            return float("nan")
        ordered = np.sort(other)
        below, upto = (np.searchsorted(ordered, sure, side) for side in ("left", "right"))
        return float((below + upto).mean() / 2 / len(other))

    @property
    def ece(self) -> float:
        """Expected calibration error: the gap between mean confidence and share of right ones, averaged over bins."""
        return sum(len(found) / len(self.right) * abs(found.gap) for found in self.bins())

    def bins(self) -> list[Bin]:
        """Equally wide bins of confidence that have anything in them, the least sure first."""
        places = np.minimum((self.confidences * BINS).astype(int), BINS - 1)
        return [
            Bin(place / BINS, (place + 1) / BINS, self.confidences[places == place], self.right[places == place])
            for place in range(BINS)
            if (places == place).any()
        ]


@dataclass(frozen=True)
class Bin:
    """Those of about the same confidence.

    Attributes:
        low: its least confidence.
        high: its most.
        confidences: (n,).
        right: (n,) bool.
    """

    low: float
    high: float
    confidences: np.ndarray
    right: np.ndarray

    def __len__(self) -> int:
        return len(self.right)

    @property
    def gap(self) -> float:
        """Mean confidence minus the share of right ones."""
        return float(self.confidences.mean() - self.right.mean())


def judge(hypotheses: Mapping[str, Hypothesis], references: Mapping[str, str], language: str) -> tuple[Judged, Judged]:
    """Words and whole texts beside the truth.

    A word is right if the alignment with the fewest errors has it. Clips whose words cannot be told apart from
    those of the normalized text count as whole texts alone.

    Args:
        hypotheses: id -> hypothesis; those without confidences are left out.
        references: id -> text.
        language: `en` or `zh`.

    Raises:
        LipsoundError: no text has a confidence.
    """
    rules = normalization(language)
    known = {name: rules.apply(references[name]) for name in hypotheses if rules.apply(references.get(name, ""))}
    words: list[tuple[float, bool]] = []
    texts: list[tuple[float, bool]] = []
    for row in align(known, {name: what.text for name, what in hypotheses.items()}, rules):
        what = hypotheses[row.id]
        if what.confidence is not None:
            texts.append((what.confidence, row.reference == row.hypothesis))
        sure = [word.confidence for word in what.words if word.confidence is not None]
        right = [wanted == found for wanted, found in row.alignment if found != NOTHING]
        if len(sure) == len(right) == len(what.words):
            words += zip(sure, right, strict=True)
    if not texts or not words:
        raise LipsoundError("no clip has a text with confidences and a reference; is it the right recognizer?")
    return _judged(words), _judged(texts)


def _judged(rows: list[tuple[float, bool]]) -> Judged:
    return Judged(np.array([row[0] for row in rows]), np.array([row[1] for row in rows]))


def summary(systems: Mapping[str, tuple[Judged, Judged]]) -> str:
    """A Markdown table: a row for the words and one for the texts of each system."""
    rows = [
        f"| {name} | {what} | {len(found.right)} | {found.right.mean():.3f} | {found.confidences.mean():.3f} "
        f"| {'-' if math.isnan(found.auroc) else f'{found.auroc:.3f}'} | {found.ece:.3f} |"
        for name, pair in systems.items()
        for what, found in zip(("words", "texts"), pair, strict=True)
    ]
    head = "| clips | what | number | right | mean confidence | AUROC | ECE |"
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- | --- |", *rows])


def reliability(systems: Mapping[str, Judged]) -> str:
    """A Markdown table: share of right ones, and how many, in each bin of confidence."""
    edges = [f"{place / BINS:.1f} to {(place + 1) / BINS:.1f}" for place in range(BINS)]
    cells = {name: {round(each.low * BINS): each for each in found.bins()} for name, found in systems.items()}
    rows = [
        f"| {edge} | " + " | ".join(_cell(cells[name].get(place)) for name in systems) + " |"
        for place, edge in enumerate(edges)
    ]
    return "\n".join([f"| confidence | {' | '.join(systems)} |", f"| --- |{' --- |' * len(systems)}", *rows])


def _cell(found: Bin | None) -> str:
    return "" if found is None else f"{found.right.mean():.2f} of {len(found)}"


def marked(found: Judged) -> str:
    """What marking doubtful words finds, in a sentence."""
    chosen, wrong = found.confidences < DOUBTFUL, ~found.right
    return (
        f"below {DOUBTFUL:g}: {int((chosen & wrong).sum())} of {int(wrong.sum())} wrong words, "
        f"and {int((chosen & ~wrong).sum())} of {int((~wrong).sum())} right ones"
    )
