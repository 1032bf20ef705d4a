"""Sentences spoken offline by espeak-ng, with the exact times of their words.

The wheel `espeakng-loader` brings the library (GPL-3) and its voices; it is called through ctypes.
"""

from __future__ import annotations

import _ctypes
import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lipsound2.errors import LipsoundError, require

_SYNCHRONOUS, _PHONEME_EVENTS = 2, 1  # of espeak_Initialize: a call ends when all audio went to the callback
_TEXT, _UTF8_PHONEMES = 1, 0x101  # position by character; UTF-8, [[...]] holds phonemes
_END, _WORD, _PHONEME = 0, 1, 7  # types of events
_RATE, _PITCH, _RANGE = 1, 3, 4  # parameters
_SPELLED = {"a": "[['eI]]"}  # the letter, which would be read as the article


@dataclass(frozen=True)
class Voice:
    """A way of speaking.

    Args:
        name: espeak's language, and a variant after `+`.
        pitch: 0 to 99, 50 is the voice's own.
        liveliness: range of the pitch, 0 to 99.
        rate: words a minute.
    """

    name: str
    pitch: int = 50
    liveliness: int = 50
    rate: int = 145


VOICES: tuple[Voice, ...] = (
    Voice("en-us+f3", pitch=45),
    Voice("en-gb-x-rp+m3", pitch=38, rate=138),
    Voice("en-gb-scotland+f2", pitch=60, rate=150),
    Voice("en-us+m7", pitch=30, rate=140),
    Voice("en-gb-x-gbcwmd+f4", pitch=50, liveliness=70),
    Voice("en-us+m1", pitch=52, liveliness=40, rate=155),
    Voice("en-029+f1", pitch=55, rate=142),
    Voice("en-gb-x-gbclan+m4", pitch=44, rate=148),
)


@dataclass(frozen=True)
class Utterance:
    """A spoken sentence: audio (samples,) float32 in [-1, 1], and start, end in seconds of each word."""

    waveform: np.ndarray
    rate: int
    words: list[tuple[float, float, str]]


class _Identity(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("message", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identity),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class _Library:
    """espeak-ng, loaded afresh: its pitch wobble and noise go on from sentence to sentence, and a corpus must not
    depend on the order in which its clips are made."""

    def __init__(self) -> None:
        loader = require("espeakng_loader", "mini")
        data = str(loader.get_data_path())
        self._library: Any = ctypes.CDLL(loader.get_library_path())
        self.rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _PHONEME_EVENTS)
        if self.rate <= 0:
            raise LipsoundError(f"espeak-ng does not start with the voices in {data}")
        self.pieces: list[np.ndarray] = []
        self.words: list[int] = []
        self.phonemes: list[tuple[int, bytes]] = []
        self._callback = _Callback(self._take)  # kept: the library holds only its address
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_Synth.argtypes = (
            *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int),
            *(ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p),
        )

    def __enter__(self) -> _Library:
        return self

    def __exit__(self, *_: object) -> None:
        self._library.espeak_Terminate()
        _ctypes.dlclose(self._library._handle)

    def _take(self, samples: Any, count: int, events: Any) -> int:
        """Called by the library with a piece of audio and what happens in it."""
        if samples and count > 0:
            self.pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != _END:
            event = events[index]
            if event.type == _WORD:
                self.words.append(event.sample)
            elif event.type == _PHONEME:
                self.phonemes.append((event.sample, event.id.string))
            index += 1
        return 0

    def speak(self, text: str, voice: Voice, pace: float) -> None:
        """Fill `pieces`, `words` and `phonemes`."""
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise LipsoundError(f"espeak-ng knows no voice '{voice.name}'")
        for parameter, value in ((_RATE, round(voice.rate * pace)), (_PITCH, voice.pitch), (_RANGE, voice.liveliness)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._library.espeak_ng_SetRandSeed(1)
        self._library.espeak_Synth(text.encode(), len(text.encode()) + 1, 0, _TEXT, 0, _UTF8_PHONEMES, None, None)


def say(words: Sequence[str], voice: Voice, pace: float = 1.0) -> Utterance:
    """Speak a sentence. The same arguments give the same samples, in any order and process.

    Args:
        words: what to say; a single letter is spelled.
        voice: who says it.
        pace: factor of the voice's rate.

    Raises:
        LipsoundError: espeak-ng is missing, knows no such voice, or lost a word.
    """
    with _Library() as library:
        library.speak(" ".join(_SPELLED.get(word, word) for word in words), voice, pace)
    if len(library.words) != len(words):
        raise LipsoundError(f"espeak-ng spoke {len(library.words)} words of '{' '.join(words)}'")
    waveform = np.concatenate(library.pieces).astype(np.float32) / 32768
    pauses = [start for start, name in library.phonemes if name.startswith(b"_") and start > library.words[-1]]
    edges = [*library.words, pauses[0] if pauses else len(waveform)]
    rate = library.rate
    times = [(edges[i] / rate, edges[i + 1] / rate, word) for i, word in enumerate(words)]
    return Utterance(waveform[: edges[-1] + rate // 20], rate, times)
