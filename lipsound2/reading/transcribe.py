"""The verb `transcribe`: what is said in a sound, or by the lips in a silent video."""

from __future__ import annotations

import logging
from json import dumps
from pathlib import Path
from typing import Literal

import av
import numpy as np

from lipsound2 import experiment
from lipsound2.audio.sound import read_sound
from lipsound2.errors import LipsoundError
from lipsound2.files import write_text
from lipsound2.reading.listeners import OwnListener, listener
from lipsound2.recognition.hypothesis import Hypothesis, Word, to_json
from lipsound2.recognition.readymade import RATE
from lipsound2.scoring.metrics import to_rate
from lipsound2.speaking.speak import DEFAULT_MODEL, crop_of, say
from lipsound2.speaking.voice import TrainedVoice
from lipsound2.tasks.words import PICTURE_RATE
from lipsound2.video.align import REGIONS

log = logging.getLogger(__name__)

DEFAULT_ASR = "grid-s1-asr"
LONGEST = 30.0  # seconds a recogniser hears at once
_LINE = 7  # words in a subtitle at most


def transcribe(
    media: Path,
    *,
    model: str = DEFAULT_MODEL,
    asr: str = DEFAULT_ASR,
    grammar: str = "",
    sound: bool = False,
    json: bool = False,
    srt: Path | None = None,
    detector: Literal["mediapipe", "dlib"] = "mediapipe",
    choose: Literal["largest", "left", "right", "center"] = "largest",
    ngpu: int = 0,
) -> None:
    """Write down what is said: by the lips in a video (read, or spoken first and then heard), or in a sound file.

    Args:
        media: video with a talking face, or sound file.
        model: what speaks for the lips: experiment or pack of the task regress, or the name of one that ships; or what
            reads them: one of the task recognise whose input is crops (then nothing is heard).
        asr: what listens: experiment or pack of the task recognise, the name of one that ships, or pocketsphinx:grid,
            whisper:NAME, ...
        grammar: listen for the sentences of a grammar alone: grid, or a file with one place a line.
        sound: listen to the video's own sound instead of reading lips.
        json: print words with times and confidences as JSON.
        srt: also write subtitles to this file.
        detector: what finds faces.
        choose: which face when there are several.
        ngpu: GPUs to use: 0 or 1.
    """
    if not media.is_file():
        raise LipsoundError(f"{media}: no such file")
    seen = not sound and has_pictures(media)
    task = experiment.task_of(model) if seen else ""
    if task == "classify":
        raise LipsoundError(f"{model}: reads single words, whose times it is told: lipsound2 decode")
    reads = task == "recognise"
    asr = model if reads else asr
    who = listener(asr, grammar=grammar, ngpu=ngpu, lips=reads)
    if isinstance(who, OwnListener):
        log.info("%s knows: %s", asr, who.knows)
    if reads:
        assert isinstance(who, OwnListener)
        if who.input not in REGIONS:
            raise LipsoundError(
                f"{model}: reads '{who.input}', not {' or '.join(REGIONS)} crops; a recogniser of sound is given as "
                "--asr, what reads the states of another network's trunk is asked by lipsound2 decode"
            )
        crops = crop_of(media, who.input, detector, choose)
        log.info("%s", crops.report)
        _too_long(media, len(crops.regions[who.input]) / PICTURE_RATE)
        _show(who.hear([crops.regions[who.input]])[0], json, srt)
        return
    if not seen:
        heard = read_sound(media, rate=RATE)
    else:
        loaded = experiment.load(model, experiment.device_for(ngpu), "regress")
        said = say(media, TrainedVoice(loaded), detector=detector, choose=choose)
        log.info("%s; %s knows: %s", said.crops.report, loaded.path.name, loaded.knows)
        heard = to_rate(said.sound, said.rate, RATE)
    _too_long(media, len(heard) / RATE)
    _show(who.hear([np.asarray(heard, np.float32)])[0], json, srt)


def _too_long(media: Path, seconds: float) -> None:
    """Refuse what does not fit into a recogniser's memory and training."""
    if seconds > LONGEST:
        raise LipsoundError(
            f"{media}: {seconds:.0f} s of speech, at most {LONGEST:.0f} s are heard at once; cut it into sentences"
        )


def _show(what: Hypothesis, json: bool, srt: Path | None) -> None:
    if srt is not None:
        write_text(srt, subtitles(what))
    print(dumps(to_json(what), ensure_ascii=False) if json else what.text)


def has_pictures(media: Path) -> bool:
    """Whether a file has a video track (a cover picture is none).

    Raises:
        LipsoundError: it is neither sound nor video.
    """
    try:
        with av.open(str(media)) as container:
            videos = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
            if not videos and not container.streams.audio:
                raise LipsoundError(f"{media}: holds neither pictures nor sound")
            return bool(videos)
    except (av.FFmpegError, OSError) as error:
        raise LipsoundError(f"{media}: cannot be read ({error}); expected a video or a sound file") from error


def subtitles(what: Hypothesis) -> str:
    """Words with times as SubRip subtitles, a few words each; a pause of a second begins a new one."""
    lines: list[list[Word]] = []
    for word in what.words:
        fresh = not lines or len(lines[-1]) == _LINE or word.start - lines[-1][-1].end > 1.0
        if fresh:
            lines.append([])
        lines[-1].append(word)
    blocks = (
        f"{number}\n{_clock(line[0].start)} --> {_clock(line[-1].end)}\n{' '.join(word.text for word in line)}\n"
        for number, line in enumerate(lines, start=1)
    )
    return "\n".join(blocks)


def _clock(seconds: float) -> str:
    """`00:01:02,345`."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"
