"""Render a clip: a sentence between two pauses, and a face whose mouth moves with the audio."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from lipsound2.synthetic.appearance import appearance_of
from lipsound2.synthetic.articulation import articulate
from lipsound2.synthetic.clip import ClipFormat, write_clip
from lipsound2.synthetic.face import TalkingFace, motion
from lipsound2.synthetic.speech import Utterance

_LEAD, _TRAIL = (0.25, 0.55), 0.2  # seconds of silence before and at least after what is said
_NOISE = 10 ** (-62 / 20)  # of the room; no recording is digitally silent
_LEVEL = 0.06  # root mean square of the spoken part


def record(
    speak: Callable[[float], Utterance], seconds: float, rate: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[float, float, str]]]:
    """What is said, somewhere in a recording of given length; said faster when it would not fit.

    Args:
        speak: factor of the usual pace -> what is said.
        seconds: length of the recording.
        rate: samples a second.
        rng: chooses the pause before it, and the room's noise.

    Returns:
        The audio (round(seconds * rate),) float32, and start and end in seconds of each word.
    """
    lead = rng.uniform(*_LEAD)
    room = seconds - lead - _TRAIL
    spoken = speak(1.0)
    if len(spoken.waveform) / spoken.rate > room:
        spoken = speak(1.03 * len(spoken.waveform) / spoken.rate / room)
    waveform = rng.normal(scale=_NOISE, size=round(seconds * rate))
    speech = _at_rate(spoken, rate)[: round(room * rate)]
    start = round(lead * rate)
    waveform[start : start + len(speech)] += speech
    return waveform.astype(np.float32), [(lead + a, lead + b, word) for a, b, word in spoken.words]


def render_clip(
    path: Path, waveform: np.ndarray, number: int, form: ClipFormat, rng: np.random.Generator, *, silent: bool = False
) -> None:
    """Write a clip of a face whose mouth is moved by audio.

    Args:
        path: of the clip, with the format's suffix.
        waveform: (samples,) float32 in [-1, 1] at the format's rate; the clip is as long.
        number: of the appearance.
        form: size, rates and codecs.
        rng: moves the head.
        silent: leave the audio out of the file.
    """
    articulation = articulate(waveform, form.sample_rate, round(len(waveform) / form.sample_rate * form.fps), form.fps)
    frames = _face(number, form.width, form.height).frames(articulation, motion(articulation, rng, form.fps))
    write_clip(path, frames, None if silent else waveform, form)


def _at_rate(spoken: Utterance, rate: int) -> np.ndarray:
    """The speech at another rate and a fixed loudness, never clipped."""
    waveform = resample_poly(spoken.waveform.astype(np.float64), rate, spoken.rate)
    waveform *= _LEVEL / np.sqrt((waveform**2).mean())
    return waveform / max(1.0, np.abs(waveform).max() / 0.95)


@functools.lru_cache(maxsize=4)
def _face(number: int, width: int, height: int) -> TalkingFace:
    return TalkingFace(appearance_of(number), width, height)
