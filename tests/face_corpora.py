"""Tiny corpora of talking faces in the layouts of the large ones: real speech and pictures, names and formats."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import av
import numpy as np
import soundfile

from lipsound2.synthetic.clip import ClipFormat
from lipsound2.synthetic.speech import VOICES, Spoken, Voice, say
from lipsound2.synthetic.talk import film, record

MANDARIN = Voice("cmn")
# Enough of a clip for tests that only read names and tables.
SMALL = ClipFormat(width=128, height=96, sample_rate=16000)
TCD_TIMIT = ClipFormat(width=1920, height=1080, fps=30000 / 1001, sample_rate=48000)


def talking_clip(
    path: Path,
    words: Sequence[str],
    voice: Voice = VOICES[0],
    *,
    look: int = 0,
    form: ClipFormat = SMALL,
    seconds: float | None = None,
    wav: Path | None = None,
    silent: bool | None = None,
    seed: int = 0,
) -> list[tuple[float, float, str]]:
    """Write a clip of a face that says some words.

    Args:
        path: of the clip; its suffix takes the place of the format's.
        words: what is said, each by itself, so any language will do: Hanzi one by one.
        voice: who says it.
        look: whose face.
        form: size, rates and codecs.
        seconds: length; None: as long as it takes.
        wav: also write the sound beside it, .wav, .flac or .m4a.
        silent: leave the sound out of the video; None: when it is beside it.
        seed: of pauses and movements.

    Returns:
        Start and end in seconds of each word.
    """
    rng = np.random.default_rng([seed, len(words)])
    speak = functools.partial(_apart, words, voice)
    usual = speak(1.0)
    sound, times = record(speak, seconds or len(usual.sound) / usual.rate + 0.8, form.sample_rate, rng)
    path.parent.mkdir(parents=True, exist_ok=True)
    if wav is not None:
        write_sound(wav, sound, form.sample_rate)
    film(path, sound, look, form, rng, silent=wav is not None if silent is None else silent)
    return times


def _apart(words: Sequence[str], voice: Voice, pace: float) -> Spoken:
    """Words said one by one."""
    parts = [say([word], voice, pace) for word in words]
    ends = np.cumsum([len(part.sound) for part in parts]) / parts[0].rate
    times = [
        (float(end - len(part.sound) / part.rate), float(end), word)
        for part, end, word in zip(parts, ends, words, strict=True)
    ]
    return Spoken(np.concatenate([part.sound for part in parts]), parts[0].rate, times)


def write_sound(path: Path, sound: np.ndarray, rate: int) -> None:
    """Write a sound file: AAC for .m4a, PCM for others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".m4a":
        soundfile.write(path, sound, rate)
        return
    with av.open(str(path), "w", format="ipod") as container:
        stream = cast(av.AudioStream, container.add_stream("aac", rate=rate, layout="mono"))
        frame = av.AudioFrame.from_ndarray(sound[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        fifo = av.AudioFifo()
        fifo.write(frame)
        for block in fifo.read_many(stream.codec_context.frame_size or 1024, partial=True):
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))
