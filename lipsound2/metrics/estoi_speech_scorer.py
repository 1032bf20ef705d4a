"""ESTOI of speech alone: what is no speech in the reference is taken out of both, and cannot count.

STOI's own rule leaves out frames more than 40 dB below the loudest. Where a recording has noise above that, such as the
hum of GRID's, most of what it keeps is noise, which nothing could predict. Here the limit lies between the recording's
own quiet and loud frames, and first differences take the weight off low frequencies.
"""

from __future__ import annotations

import numpy as np

from lipsound2.metrics.requested import Request, Scorer
from lipsound2.metrics.speech import pystoi, to_rate
from lipsound2.timing import SAMPLE_RATE

_RATE = 10_000  # Hz, STOI's
_FRAME, _HOP = 256, 128  # samples, STOI's
_QUIET, _LOUD = 10, 95  # percentiles of a clip's levels
_LIMIT = 0.25  # of the way from quiet to loud, in dB


def scorer(request: Request) -> Scorer:
    """The scorer; see `requested`."""

    def compute(id: str, speech: np.ndarray, reference: np.ndarray) -> dict[str, float]:
        spoken, true = (to_rate(each, SAMPLE_RATE, _RATE) for each in (speech, reference))
        kept = speech_frames(true)
        return {"estoi_speech": pystoi(_only(true, kept), _only(spoken, kept), _RATE, extended=True)}

    return compute


def speech_frames(reference: np.ndarray) -> np.ndarray:
    """Which frames of a recording are speech.

    Args:
        reference: (N,) float, 10 kHz.

    Returns:
        (F,) bool, frames of 25.6 ms every 12.8 ms; none of a recording shorter than one.
    """
    frames = _frames(np.diff(reference, prepend=reference[:1]))
    if not len(frames):
        return np.zeros(0, bool)
    levels = 10 * np.log10(np.square(frames).sum(1) + 1e-12)
    quiet, loud = np.percentile(levels, (_QUIET, _LOUD))
    return levels > quiet + _LIMIT * (loud - quiet)


def _frames(waveform: np.ndarray) -> np.ndarray:
    """(N,) to windowed frames (F, 256)."""
    if len(waveform) < _FRAME:
        return np.zeros((0, _FRAME))
    return np.lib.stride_tricks.sliding_window_view(waveform, _FRAME)[::_HOP] * np.hanning(_FRAME + 2)[1:-1]


def _only(waveform: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The kept frames of (N,), joined by overlap and add as STOI joins its own."""
    frames = _frames(waveform)[kept]
    joined = np.zeros((len(frames) + 1) * _HOP)
    for number, frame in enumerate(frames):
        joined[number * _HOP : number * _HOP + _FRAME] += frame
    return joined
