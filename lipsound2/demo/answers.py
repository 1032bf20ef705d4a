"""One clip's way through the page: looked at, read, and what was made of it put into files."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from lipsound2.decoding.subtitles import cues
from lipsound2.demo.doubts import with_doubts, with_light
from lipsound2.demo.limits import Limits, sentences_of
from lipsound2.demo.preview import write_preview
from lipsound2.demo.reading import Answer, Reader
from lipsound2.error_messages import message_for, plain
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.media.clips import describe_failure
from lipsound2.timing import FRAME_RATE
from lipsound2.video.captions import Captions

log = logging.getLogger(__name__)

# Where all clips are read, one at a time. Memory that torch and the C library keep for each thread is kept once.
_turns = ThreadPoolExecutor(1, "reader")

Made = TypeVar("Made")


class NoAnswer(Exception):  # noqa: N818 - it is told to a visitor, not an error of the program
    """Why a clip has no answer, in one line."""


class Files(NamedTuple):
    """What can be played and downloaded.

    Attributes:
        preview: the clip with the mouth's box and the speech.
        wav: the speech; None: there is none.
        srt: the words as subtitles.
        mp4: the clip with the speech and subtitles; None: there is no speech.
    """

    preview: Path
    wav: Path | None
    srt: Path
    mp4: Path | None


def read(reader: Reader, limits: Limits, clip: str | None, model: str, face: str, phrases: str) -> Answer:
    """Read a clip that was sent.

    Raises:
        NoAnswer: it cannot be read.
    """
    if not clip:
        raise NoAnswer("no clip: upload one, or record one with the camera")
    path = Path(clip)

    def work() -> Answer:
        sentences = sentences_of(phrases or "")
        limits.check(path)
        try:
            answer = reader(path, model, face, sentences)
        except ClipFailure as failure:
            raise with_light(failure, path) from failure
        return with_doubts(answer, path)

    started = time.perf_counter()
    answer = _told(work, path)
    spent, seconds = time.perf_counter() - started, answer.video.report.num_frames / FRAME_RATE
    log.info("a clip of %.1f s read by %s in %.1f s", seconds, model, spent)
    return answer


def worth_playing(answer: Answer) -> Answer:
    """The same answer, without its speech if that has no words in it, or none of the own sentences."""
    return answer if answer.transcript.text else replace(answer, speech=None)


def write(answer: Answer, clip: Path, folder: Path) -> Files:
    """Write all files of an answer.

    Raises:
        NoAnswer: one of them cannot be written.
    """
    stem = clip.stem or "clip"
    preview, srt = folder / f"{stem}.preview.mp4", folder / f"{stem}.srt"

    def work() -> Files:
        write_preview(clip, answer, preview)
        answer.transcript.save(srt)
        if answer.speech is None:
            return Files(preview, None, srt, None)
        wav, mp4 = folder / f"{stem}.wav", folder / f"{stem}.mp4"
        answer.speech.save(wav)
        title = ", then ".join(answer.transcript.models)
        answer.speech.save(mp4, Captions(cues(answer.transcript), title=title))
        return Files(preview, wav, srt, mp4)

    return _told(work, clip)


def as_json(answer: Answer) -> dict[str, Any]:
    """An answer as plain values, as `transcribe --json` has it, with what was seen in the video and the subtitles."""
    x0, y0, x1, y1 = answer.video.report.box
    return {
        **answer.transcript.to_json(),
        "warnings": answer.warnings,
        "srt": answer.transcript.render(".srt"),
        "video": {
            "report": str(answer.video.report),
            "frames": answer.video.report.num_frames,
            "face": [x0, y0, x1, y1],
        },
    }


def _told(work: Callable[[], Made], clip: Path) -> Made:
    """What some work makes; an error becomes a line that calls clip and sentences as the page does.

    Raises:
        NoAnswer: the work failed.
    """
    try:
        return _turns.submit(work).result()
    except Exception as error:  # a visitor is told of a bug, too
        if isinstance(error, ClipFailure):
            line = describe_failure(clip, error)
        else:
            line = str(error) if isinstance(error, LipsoundError) else message_for(error)
        if not line:
            log.exception("a clip was not read")
            line = (
                f"this clip was not read because of a bug ({type(error).__name__}); the terminal of the page tells more"
            )
        line = re.sub(r"\bphrases\[(\d+)\]", lambda found: f"sentence {int(found[1]) + 1}", line)
        raise NoAnswer(plain(line.replace(str(clip), clip.name))) from error
