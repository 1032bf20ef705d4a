"""STOI, ESTOI and PESQ of one clip, and the rule that makes them comparable.

The rule (`registry.rule`, also in `docs/scores.md`) is what published numbers usually leave open: the sample rate, the
band, how lengths are matched, and how a clip counts that cannot be scored. It is printed beside every table.

STOI: Taal et al. 2011. ESTOI: Jensen and Taal 2016; both from `pystoi`. PESQ: ITU-T P.862 with the mappings P.862.1
(narrow band) and P.862.2 (wide band), from `pesq`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lipsound2.errors import ClipFailure, require
from lipsound2.metrics.registry import METRICS, STANDARD
from lipsound2.timing import SAMPLE_RATE, SAMPLES_PER_FRAME

NARROW_RATE = 8_000
_STEP = 2.0**-15  # of 16-bit audio; anything below is silence
_PYSTOI_TOO_SHORT = 1e-5  # what pystoi returns, exactly, for less than 30 frames of speech


@dataclass(frozen=True)
class ClipScores:
    """Scores of one clip.

    Attributes:
        values: by metric; the floor where it failed, absent where it failed and has none.
        failures: metric -> reason, for those that failed.
        difference: samples the speech is longer (+) or shorter (-) than its reference.
    """

    values: dict[str, float]
    failures: dict[str, str]
    difference: int = 0

    @staticmethod
    def floor(reason: str, metrics: Sequence[str] = tuple(STANDARD)) -> ClipScores:
        """The scores of a clip on which none of `metrics` can be computed."""
        floors = {name: METRICS[name].floor for name in metrics}
        return ClipScores(
            {name: floor for name, floor in floors.items() if floor is not None}, dict.fromkeys(metrics, reason)
        )

    def add(self, other: ClipScores) -> None:
        """Take over another's values and failures."""
        self.values.update(other.values)
        self.failures.update(other.failures)

    @property
    def mismatched_length(self) -> bool:
        """Whether the lengths differ by more than one video frame."""
        return abs(self.difference) > SAMPLES_PER_FRAME


def measure(reference: np.ndarray, speech: np.ndarray, metrics: Sequence[str] = tuple(STANDARD)) -> ClipScores:
    """Score one clip by the rule.

    Args:
        reference: (N,) float, the ground truth, 16 kHz.
        speech: (M,) float, what is scored, 16 kHz; cut or zero-padded to N.
        metrics: names out of `STANDARD`.

    Returns:
        A value for each metric. Bad audio raises no error: a metric that cannot be computed gets its floor, with the
        reason (`silent-reference`, `silent`, `not-finite`, `too-short`, `no-utterance`).
    """
    difference = len(speech) - len(reference)
    try:
        pair = _Pair(
            finite_and_audible(reference, "silent-reference"), fit(finite_and_audible(speech, "silent"), len(reference))
        )
    except ClipFailure as failure:
        scores = ClipScores.floor(failure.reason, metrics)
        return ClipScores(scores.values, scores.failures, difference)
    found = ClipScores({}, {}, difference)
    for name in metrics:
        try:
            found.values[name] = _COMPUTE[name](pair)
        except ClipFailure as failure:
            found.add(ClipScores.floor(failure.reason, (name,)))
    return found


def stoi(reference: np.ndarray, speech: np.ndarray) -> float:
    """STOI in [-1, 1] of (M,) speech against its (N,) reference, both 16 kHz; 0 where it cannot be computed."""
    return measure(reference, speech, ("stoi",)).values["stoi"]


def estoi(reference: np.ndarray, speech: np.ndarray) -> float:
    """ESTOI in [-1, 1] of (M,) speech against its (N,) reference, both 16 kHz; 0 where it cannot be computed."""
    return measure(reference, speech, ("estoi",)).values["estoi"]


def fit(waveform: np.ndarray, samples: int) -> np.ndarray:
    """`waveform` (M,) cut or zero-padded to (samples,)."""
    return np.pad(waveform[:samples], (0, max(0, samples - len(waveform))))


def to_rate(waveform: np.ndarray, rate: int, wanted: int = SAMPLE_RATE) -> np.ndarray:
    """`waveform` (N,) resampled by a rational, zero-phase polyphase filter."""
    if rate == wanted:
        return waveform
    from scipy.signal import resample_poly  # here: it takes half as long to import as torch

    divisor = int(np.gcd(rate, wanted))
    return resample_poly(waveform, wanted // divisor, rate // divisor)


class _Pair:
    """Reference and speech of equal length, and their 8 kHz versions."""

    def __init__(self, reference: np.ndarray, speech: np.ndarray) -> None:
        self.wide = (reference, speech)

    @property
    def narrow(self) -> tuple[np.ndarray, np.ndarray]:
        reference, speech = self.wide
        return to_rate(reference, SAMPLE_RATE, NARROW_RATE), to_rate(speech, SAMPLE_RATE, NARROW_RATE)


def finite_and_audible(waveform: np.ndarray, silent: str) -> np.ndarray:
    """`waveform` (N,) as float64; ClipFailure `not-finite`, or `silent`."""
    waveform = np.asarray(waveform, np.float64)
    if not np.isfinite(waveform).all():
        raise ClipFailure("not-finite")
    if waveform.size == 0 or np.abs(waveform).max() < _STEP:
        raise ClipFailure(silent)
    return waveform


def pystoi(reference: np.ndarray, speech: np.ndarray, rate: int, extended: bool) -> float:
    """STOI, or ESTOI, of (N,) speech against its (N,) reference by the package; ClipFailure where it has no value."""
    package = require("pystoi", "metrics")
    import warnings

    with _fixed_noise(), warnings.catch_warnings():
        # pystoi warns and returns a mark; the mark becomes a counted failure below.
        warnings.filterwarnings("ignore", message="Not enough STFT frames", category=RuntimeWarning)
        try:
            value = float(package.stoi(reference, speech, rate, extended=extended))
        except (ValueError, IndexError) as error:  # less than one analysis frame
            raise ClipFailure("too-short", str(error)) from error
    if value == _PYSTOI_TOO_SHORT:
        raise ClipFailure("too-short", "less than 0.4 s of speech in the reference")
    if not np.isfinite(value):
        raise ClipFailure("not-finite")
    return value


def _pesq(pair: _Pair, band: str) -> float:
    package = require("pesq", "metrics")
    rate, audio = (NARROW_RATE, pair.narrow) if band == "nb" else (SAMPLE_RATE, pair.wide)
    try:
        value = float(package.pesq(rate, *audio, band))
    except package.NoUtterancesError as error:
        raise ClipFailure("no-utterance", str(error)) from error
    except package.BufferTooShortError as error:
        raise ClipFailure("too-short", str(error)) from error
    if not np.isfinite(value):
        raise ClipFailure("not-finite")
    return value


@contextlib.contextmanager
def _fixed_noise() -> Iterator[None]:
    """Make pystoi repeatable, and keep it from touching the caller's random numbers.

    It adds noise of 1e-16 from numpy's global generator before it normalizes; under exact zeros that noise is all
    there is.
    """
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)


_COMPUTE: Mapping[str, Callable[[_Pair], float]] = {
    "stoi": lambda pair: pystoi(*pair.wide, SAMPLE_RATE, extended=False),
    "estoi": lambda pair: pystoi(*pair.wide, SAMPLE_RATE, extended=True),
    "pesq_nb": lambda pair: _pesq(pair, "nb"),
    "pesq_wb": lambda pair: _pesq(pair, "wb"),
}
