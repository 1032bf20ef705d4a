"""Metrics of speech as functions of waveforms."""

from __future__ import annotations

import functools
from typing import Protocol

import numpy as np

from lipsound2.audio.check import as_waveform
from lipsound2.errors import LipsoundError
from lipsound2.metrics.registry import FAMILIES, STANDARD, Family, Metric
from lipsound2.metrics.requested import Request, compute, requested
from lipsound2.metrics.speech import measure, to_rate
from lipsound2.timing import SAMPLE_RATE


class ComparingMetric(Protocol):
    """Compares speech (M,) with its ground truth (N,), float in [-1, 1] or int16; both of the same rate.

    `argument` is what `--metrics` has after the colon.
    """

    def __call__(
        self, reference: np.ndarray, degraded: np.ndarray, rate: int = SAMPLE_RATE, argument: str = ""
    ) -> float: ...


class BlindMetric(Protocol):
    """Judges speech (N,), float in [-1, 1] or int16, by itself; `argument` is what `--metrics` has after the colon."""

    def __call__(self, speech: np.ndarray, rate: int = SAMPLE_RATE, argument: str = "") -> float: ...


@functools.cache
def function_of(name: str) -> ComparingMetric | BlindMetric:
    """The function of a metric.

    Audio of another rate than 16 kHz is resampled. Speech is cut, or filled up with zeros, to the length of its
    reference. What cannot be scored, such as silence, gets the floor of the metric, as in every table.

    Args:
        name: one of `registry.FROM_AUDIO`.
    """
    family_name, family = next(each for each in FAMILIES.items() if name in each[1].metrics)
    function: ComparingMetric | BlindMetric
    function = _comparing(name, family_name) if family.reference else _blind(name, family_name)
    function.__name__ = function.__qualname__ = name  # type: ignore[union-attr]
    function.__doc__ = _document(family.metrics[name], family)
    return function


def _comparing(name: str, family: str) -> ComparingMetric:
    def metric(reference: np.ndarray, degraded: np.ndarray, rate: int = SAMPLE_RATE, argument: str = "") -> float:
        true, speech = _at_rate(reference, rate), _at_rate(degraded, rate)
        if name in STANDARD:
            return measure(true, speech, (name,)).values[name]
        return _requested(name, _request(family, argument), speech, true)

    return metric


def _blind(name: str, family: str) -> BlindMetric:
    def metric(speech: np.ndarray, rate: int = SAMPLE_RATE, argument: str = "") -> float:
        waveform = _at_rate(speech, rate)
        return _requested(name, _request(family, argument), waveform, waveform)

    return metric


def _request(family: str, argument: str) -> Request:
    (request,) = requested([f"{family}:{argument}" if argument else family])
    return request


def _requested(name: str, request: Request, speech: np.ndarray, reference: np.ndarray) -> float:
    return compute([request], "", speech, reference).values[name]


def _at_rate(samples: np.ndarray, rate: int) -> np.ndarray:
    waveform = as_waveform(samples, rate)
    if wrong := np.count_nonzero(~np.isfinite(waveform)):
        raise LipsoundError(f"waveform: found {wrong} of {len(waveform)} samples not finite, wanted float in [-1, 1]")
    return to_rate(waveform, int(rate), SAMPLE_RATE)


def _document(metric: Metric, family: Family) -> str:
    if family.reference:
        takes = "reference: (N,) ground truth.\n    degraded: (M,) speech; cut or filled up with zeros to N."
    else:
        takes = "speech: (N,)."
    return f"""{metric.title} of one clip, {metric.scale}.

{family.rule}

Args:
    {takes}
    rate: samples a second.

Audio is float in [-1, 1] or int16. What cannot be scored, such as silence, gets the floor of the metric.

Raises:
    LipsoundError: another shape or type of array, samples that are not finite, a rate that is none, or a
        package is missing.
"""
