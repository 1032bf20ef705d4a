"""A person says something: its sound between two pauses, and the face that goes with a sound, as an ordinary clip."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from lipsound2.synthetic.appearance import look
from lipsound2.synthetic.articulation import articulate
from lipsound2.synthetic.clip import ClipFormat, write_clip
from lipsound2.synthetic.face import TalkingFace, motion
from lipsound2.synthetic.speech import Spoken

_LEAD, _TRAIL = (0.25, 0.55), 0.2  # seconds of silence before and at least after what is said
_NOISE = 10 ** (-62 / 20)  # of the room; no recording is digitally silent
_LEVEL = 0.06  # root mean square of the spoken part


def record(
    speak: Callable[[float], Spoken], seconds: float, rate: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[float, float, str]]]:
    """What is said, somewhere in a recording of given length; said faster when it would not fit.

    Args:
        speak: factor of the usual pace -> what is said.
        seconds: length of the recording.
        rate: samples a second.
        rng: chooses the pause before it, and the room's noise.

    Returns:
        The sound (round(seconds * rate),) float32, and start and end in seconds of each word.
    """
    lead = rng.uniform(*_LEAD)
    room = seconds - lead - _TRAIL
    spoken = speak(1.0)
    if len(spoken.sound) / spoken.rate > room:
        spoken = speak(1.03 * len(spoken.sound) / spoken.rate / room)
    sound = rng.normal(scale=_NOISE, size=round(seconds * rate))
    speech = _at_rate(spoken, rate)[: round(room * rate)]
    start = round(lead * rate)
    sound[start : start + len(speech)] += speech
    return sound.astype(np.float32), [(lead + a, lead + b, word) for a, b, word in spoken.words]


def film(
    path: Path, sound: np.ndarray, number: int, form: ClipFormat, rng: np.random.Generator, *, silent: bool = False
) -> None:
    """Write a clip of a face whose mouth is moved by a sound.

    Args:
        path: of the clip, with the format's suffix.
        sound: (samples,) float32 in [-1, 1] at the format's rate; the clip is as long.
        number: of the look.
        form: size, rates and codecs.
        rng: moves the head.
        silent: leave the sound out of the file.
    """
    articulation = articulate(sound, form.sample_rate, round(len(sound) / form.sample_rate * form.fps), form.fps)
    pictures = _face(number, form.width, form.height).pictures(articulation, motion(articulation, rng, form.fps))
    write_clip(path, pictures, None if silent else sound, form)


def _at_rate(spoken: Spoken, rate: int) -> np.ndarray:
    """The speech at another rate and a fixed loudness, never clipped."""
    sound = resample_poly(spoken.sound.astype(np.float64), rate, spoken.rate)
    sound *= _LEVEL / np.sqrt((sound**2).mean())
    return sound / max(1.0, np.abs(sound).max() / 0.95)


@functools.lru_cache(maxsize=4)
def _face(number: int, width: int, height: int) -> TalkingFace:
    return TalkingFace(look(number), width, height)
