"""Calibration of confidences: two numbers that bring them to how often a recognizer is right (Platt scaling).

    calibrated = sigmoid(slope * logit(confidence) + offset)

They are fitted on clips with known texts by the verb `calibrate`, and kept beside the weights, for each way of
decoding, and for faces unlike those of the training set where a lip reader can tell them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.decoding.hypothesis import Alternative, Hypothesis
from lipsound2.errors import LipsoundError

FILE = "calibration.yaml"  # in an experiment or a pack
_EDGE = 1e-4  # confidences are kept so far from 0 and 1, where the logit is infinite
_MOST = 1000  # slope and offset that are believed
_STEPS = 100  # of Newton's method; a dozen are enough


@dataclass(frozen=True)
class Platt:
    """One kind of confidence.

    Attributes:
        slope: at least 0.
        offset: 0 with a slope of 1: nothing changes.
    """

    slope: float
    offset: float

    def __call__(self, confidence: float) -> float:
        """The calibrated confidence."""
        return _sigmoid(self.slope * _logit(confidence) + self.offset)

    @classmethod
    def fit(cls, confidences: np.ndarray, right: np.ndarray) -> Platt:
        """The numbers under which what was observed is most probable.

        Targets are a little inside of 0 and 1, as Platt has them, so that few errors are not taken for none.

        Args:
            confidences: (n,) in [0, 1].
            right: (n,) bool.
        """
        x = np.array([[_logit(each), 1.0] for each in confidences])
        yes, no = int(right.sum()), int((~right).sum())
        wanted = np.where(right, (yes + 1) / (yes + 2), 1 / (no + 2))
        weights = np.array([1.0, 0.0])
        for _ in range(_STEPS):
            found = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
            # A trace of a prior keeps the step finite where all confidences are equal.
            prior = 1e-3 * (weights - (1.0, 0.0))
            curvature = (x * (found * (1 - found))[:, None]).T @ x + 1e-3 * np.eye(2)
            step = np.linalg.solve(curvature, x.T @ (found - wanted) + prior)
            size = float(np.abs(step).max())
            weights = weights - step / max(1.0, size)  # no leaps
            if size < 1e-8:
                break
        if weights[0] < 0:  # the less sure, the more often right: its confidences tell nothing
            share = wanted.mean()
            return cls(0.0, math.log(share / (1 - share)))
        return cls(float(weights[0]), float(weights[1]))


@dataclass(frozen=True)
class Calibration:
    """How a recognizer's confidences are corrected, in one way of decoding.

    Attributes:
        words: of single words.
        text: of the whole text.
    """

    words: Platt
    text: Platt

    def __call__(self, what: Hypothesis) -> Hypothesis:
        """The same text with corrected confidences; alternatives share what is left."""
        words = [
            word if word.confidence is None else replace(word, confidence=self.words(word.confidence))
            for word in what.words
        ]
        sure = None if what.confidence is None else self.text(what.confidence)
        return with_confidence(replace(what, words=words), sure)


def with_confidence(what: Hypothesis, confidence: float | None) -> Hypothesis:
    """The same text with another confidence of the whole; alternatives share what is left of 1."""
    if what.confidence is None or confidence is None:
        return replace(what, confidence=confidence)
    left = (1 - confidence) / max(1 - what.confidence, sum(each.probability for each in what.alternatives), 1e-12)
    alternatives = [Alternative(each.text, each.probability * left) for each in what.alternatives]
    return replace(what, confidence=confidence, alternatives=alternatives)


def of_unlike_faces(way: str) -> str:
    """A way of decoding, where the face is unlike those of the training set."""
    return f"{way} of unlike faces"


def load(folder: Path, way: str) -> Calibration | None:
    """The calibration of an experiment or pack for a way of decoding; None: there is none.

    Raises:
        LipsoundError: the file holds something else.
    """
    path = folder / FILE
    ways = read_yaml(path) if path.exists() else {}
    return _read(ways[way], path) if way in ways else None


def save(folder: Path, way: str, calibration: Calibration, fitted_on: Mapping[str, Any]) -> None:
    """Write the calibration for a way of decoding beside those of other ways.

    Args:
        folder: of the experiment or pack.
        way: see `SearchOptions.way`.
        calibration: the numbers.
        fitted_on: numbers about the clips, for people.
    """
    path = folder / FILE
    numbers = {kind: [round(each.slope, 4), round(each.offset, 4)] for kind, each in vars(calibration).items()}
    write_yaml(path, {**(read_yaml(path) if path.exists() else {}), way: {**numbers, **fitted_on}})


def facts(folder: Path) -> dict[str, str]:
    """What the card of a pack says of its calibration; nothing if there is none."""
    ways = read_yaml(folder / FILE) if (folder / FILE).exists() else {}
    told = [f"{way} ({rows.get('clips', '?')} clips)" for way, rows in ways.items() if _read(rows, folder / FILE)]
    return {"Confidences": f"calibrated for {', '.join(told)}"} if told else {}


def _read(rows: Any, path: Path) -> Calibration:
    kinds = {}
    for kind in ("words", "text"):
        pair = rows.get(kind) if isinstance(rows, dict) else None
        numbers = pair if isinstance(pair, list) else []
        # Neither nan, nor a whole number that is longer than any float.
        if [type(each) in (int, float) for each in numbers] != [True, True] or not (
            0 <= numbers[0] <= _MOST and -_MOST <= numbers[1] <= _MOST
        ):
            raise LipsoundError(
                f"{path}: expected '{kind}' with a slope and an offset, 0 to {_MOST} and -{_MOST} to {_MOST}, found "
                f"{str(pair if isinstance(rows, dict) else rows)[:60]}; remove the file and calibrate again"
            )
        kinds[kind] = Platt(*map(float, numbers))
    return Calibration(**kinds)


def _logit(share: float) -> float:
    share = min(max(share, _EDGE), 1 - _EDGE)
    return math.log(share / (1 - share))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
