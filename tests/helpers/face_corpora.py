"""Tiny corpora of talking faces in the layouts of the large ones: real speech and video frames, names and formats."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import av
import numpy as np
import soundfile

from lipsound2.synthetic.clip import ClipFormat
from lipsound2.synthetic.render import record, render_clip
from lipsound2.synthetic.speech import VOICES, Utterance, Voice, say

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
        wav: also write the audio beside it, .wav, .flac or .m4a.
        silent: leave the audio out of the video; None: when it is beside it.
        seed: of pauses and movements.

    Returns:
        Start and end in seconds of each word.
    """
    rng = np.random.default_rng([seed, len(words)])
    speak = functools.partial(_apart, words, voice)
    usual = speak(1.0)
    waveform, times = record(speak, seconds or len(usual.waveform) / usual.rate + 0.8, form.sample_rate, rng)
    path.parent.mkdir(parents=True, exist_ok=True)
    if wav is not None:
        write_audio(wav, waveform, form.sample_rate)
    render_clip(path, waveform, look, form, rng, silent=wav is not None if silent is None else silent)
    return times


def _apart(words: Sequence[str], voice: Voice, pace: float) -> Utterance:
    """Words said one by one."""
    parts = [say([word], voice, pace) for word in words]
    ends = np.cumsum([len(part.waveform) for part in parts]) / parts[0].rate
    times = [
        (float(end - len(part.waveform) / part.rate), float(end), word)
        for part, end, word in zip(parts, ends, words, strict=True)
    ]
    return Utterance(np.concatenate([part.waveform for part in parts]), parts[0].rate, times)


def write_audio(path: Path, waveform: np.ndarray, rate: int) -> None:
    """Write an audio file: AAC for .m4a, PCM for others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix != ".m4a":
        soundfile.write(path, waveform, rate)
        return
    with av.open(str(path), "w", format="ipod") as container:
        stream = cast(av.AudioStream, container.add_stream("aac", rate=rate, layout="mono"))
        frame = av.AudioFrame.from_ndarray(waveform[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        fifo = av.AudioFifo()
        fifo.write(frame)
        for block in fifo.read_many(stream.codec_context.frame_size or 1024, partial=True):
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))


# Sentence of each clip; what is read under a name is the same for all.
SENTENCES = {
    "sa1": "she sees a red boat",
    "sa2": "ask me for the map",
    "si1540": "nobody knows why",
    "sx3": "this was all",
    "sx4": "the sea is far",
    "sx5": "we saw two birds",
    "sx7": "nothing is new",
    "sx17": "a map of the sea",
    "sx19": "birds are far away",
    "sx33": "two red birds",
    "sx94": "she saw nothing",
    "sx191": "the boat is new",
}
# Speaker -> clips. si1540 and sx191 are in the list of the speaker-dependent test, 08F is held out as a speaker. Of the
# lipspeakers, the protocol with shares puts by their hashes sx7 and 2's sx3 into `test`, sx33 and sx17 into `valid`;
# of 01M, sx19 is in every `valid`.
TCD_CLIPS = {
    "volunteers/01M": ("sa1", "si1540", "sx191", "sx19"),
    "volunteers/02M": ("sa2", "sx4"),
    "volunteers/08F": ("sx94",),
    "lipspeakers/Lipspkr1": ("sx7", "sx33", "sx4"),
    "lipspeakers/Lipspkr2": ("sx3", "sx17", "sx4", "sx5"),
    "lipspeakers/Lipspkr3": ("sx4", "sx5"),
}


def make_tcd_timit(root: Path, form: ClipFormat = SMALL, speakers: Sequence[str] = tuple(TCD_CLIPS)) -> Path:
    """ROOT/TCD-TIMIT with some speakers, audio beside the clips of volunteers, and a list of sentences; returns it."""
    top = root / "TCD-TIMIT"
    for number, speaker in enumerate(speakers):
        for name in TCD_CLIPS[speaker]:
            path = top / speaker / "Clips" / "straightcam" / f"{name}{'.MP4' if name == 'sx94' else '.mp4'}"
            wav = path.with_suffix(".wav") if name == "sa1" else None
            words = SENTENCES[name].split()
            talking_clip(path, words, VOICES[number], look=number, form=form, wav=wav, silent=False, seed=number)
    if "volunteers/01M" in speakers:
        side = top / "volunteers/01M/Clips/30degcam"
        side.mkdir()
        shutil.copy(side.parent / "straightcam" / "sa1.mp4", side)
        phones = '#!MLF!#\n"Q:/Videos/TCD-TIMIT/volunteers/01M/Clips/straightcam/sa1.rec"\n0 1950000 sil\n.\n'
        (top / "volunteer_labelfiles.mlf").write_text(phones, encoding="utf-8")
    prompts = "".join(f"{text.capitalize()}. ({name})\n" for name, text in SENTENCES.items())
    (top / "prompts.txt").write_text(f"; the sentences\n{prompts}", encoding="utf-8")
    return top


# Speaker and date -> clips with their words, and the list that has them.
CMLR_CLIPS = {
    ("s1", "20170121"): {"section_1_000.80_002.91": ("各位", "观众"), "section_2_003.00_004.20": ("晚上", "好")},
    ("s2", "20170121"): {"section_1_000.80_002.91": ("主要", "内容")},
    ("s11", "20130613"): {"section_4_002.92_004.59": ("今天", "内容")},
    ("s6", "20120904"): {"section_2_010.10_012.00": ("天气", "预报")},
    ("s4", "20110304"): {"section_1_002.92_004.59": ("谢谢", "收看"), "section_4_002.92_004.59": ("今天", "天气")},
}
CMLR_LISTS = {"s1": "train", "s2": "train", "s11": "train", "s6": "val", "s4": "test"}


def make_cmlr(root: Path, form: ClipFormat = SMALL) -> Path:
    """ROOT/CMLR with five hosts; the files of s6 repeat their date. Returns it."""
    top = root / "CMLR"
    for number, ((speaker, date), clips) in enumerate(CMLR_CLIPS.items()):
        for name, words in clips.items():
            stem = f"{date}_{name}" if speaker == "s6" else name
            video, wav, text = (
                top / kind / speaker / date / f"{stem}{suffix}"
                for kind, suffix in (("video", ".mp4"), ("audio", ".wav"), ("text", ".txt"))
            )
            voice = Voice(MANDARIN.name, pitch=35 + 7 * number)
            spoken = talking_clip(video, list("".join(words)), voice, look=number, form=form, wav=wav, seed=number)
            times = iter(spoken)
            rows = [f"{''.join(words)}\n"]
            for word in words:
                said = [next(times) for _ in word]
                rows.append(f"{said[0][0]:.2f} {said[-1][1]:.2f} {word}\n")
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text("".join(rows), encoding="utf-8")
            with (top / f"{CMLR_LISTS[speaker]}.csv").open("a", encoding="utf-8") as file:
                file.write(f"{speaker}/{date}_{name}\n")
    return top
