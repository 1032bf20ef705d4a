"""The verb `transcribe`: text of audio, or of the lips in silent videos.

Clips and outputs are checked before anything is loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from lipsound2.decoding.search_options import DEFAULT_SEARCH, SearchOptions
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.files import write_text
from lipsound2.inference.speak import DEFAULT_MODEL
from lipsound2.media.clips import Clip, check_results, describe_failure, find_clips
from lipsound2.media.standard_streams import takes_standard_input
from lipsound2.outputs import check_file

if TYPE_CHECKING:
    from lipsound2.inference.synthesizer import Detect, FaceChoice
    from lipsound2.inference.transcript import Transcript

log = logging.getLogger(__name__)

DEFAULT_ASR = "grid-s1-asr"
_AUDIO = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac")
_SRT = ".srt"


@takes_standard_input
def transcribe(
    *media: Path,
    output_dir: Path | None = None,
    model: str = DEFAULT_MODEL,
    asr: str = DEFAULT_ASR,
    search: SearchOptions = DEFAULT_SEARCH,
    audio: bool = False,
    json: bool = False,
    srt: Path | None = None,
    detector: Literal["mediapipe", "dlib"] = "mediapipe",
    face: Literal["largest", "left", "right", "center"] = "largest",
    device: Literal["cpu", "cuda", "mps"] = "cpu",
) -> int:
    """Transcribe audio files, or the lips in videos: by a lip reader, or by lip-to-speech and a recognizer of audio.

    Clips may have any length: long ones are cut in pauses, and where the scene changes. One clip's words are printed
    alone; of several clips, a line each with the name of the clip.

    Args:
        media: videos with a talking face, audio files, and folders of such files; or - for one from standard input.
        output_dir: also write NAME.txt (with --json: NAME.json) for every clip into this folder.
        model: lip-to-speech model: experiment or pack of the task regress, or the name of one that ships. Or a lip
            reader: one of the task recognize whose input is crops; then --asr is not used for videos.
        asr: recognizer of audio: experiment or pack of the task recognize, the name of one that ships, or
            pocketsphinx:grid, whisper:NAME, ...
        audio: recognize the videos' own audio instead of the lips.
        json: print words with times and confidences as JSON; for several clips, a line each with the clip's name.
        srt: also write subtitles to this file; for several clips, to NAME.srt in this folder.
        detector: face detector.
        face: which face, where there are several.
        device: where the networks run: cpu, cuda (an NVIDIA or AMD GPU) or mps (Apple's).
    """
    from lipsound2.video.check import has_video

    many = len(media) > 1 or media[0].is_dir()
    found = _find(media, many, output_dir, ".json" if json else ".txt", srt)
    kinds = set()
    for clip in found:
        try:
            kinds.add("lips" if not audio and has_video(clip.path) else "audio")
        except LipsoundError:
            if not many:
                raise  # of many clips, each is reported in its turn
    model = model if "lips" in kinds else ""
    _check_names(model, asr, audio="audio" in kinds)
    from lipsound2.inference.each_clip import each_clip

    loaded = _load(model, asr, search, device, detector, face, audio="audio" in kinds)

    def work(clip: Clip) -> str:
        lips = not audio and has_video(clip.path)
        what = (loaded.lips if lips else loaded.audio)(clip.path)
        row = {"clip": str(clip.path), **what.to_json()} if many else what.to_json()
        if srt is not None:
            what.save(clip.out(srt, _SRT) if many else srt)
        if output_dir is not None:
            text = dumps(row, ensure_ascii=False) if json else what.text
            write_text(clip.out(output_dir, ".json" if json else ".txt"), f"{text}\n")
        return dumps(row, ensure_ascii=False) if json else f"{clip.path}\t{what.text}" if many else what.text

    if many:
        return each_clip(found, work, "transcribe")
    try:
        print(work(found[0]))
    except ClipFailure as failure:
        raise LipsoundError(describe_failure(found[0].path, failure)) from failure
    return 0


class _Loaded(NamedTuple):
    """What transcribes the lips in a video file, and the audio of a file."""

    lips: Callable[[Path], Transcript]
    audio: Callable[[Path], Transcript]


def _load(
    model: str, asr: str, search: SearchOptions, device: str, detector: Detect, face: FaceChoice, *, audio: bool
) -> _Loaded:
    """Load the models.

    Args:
        model: lip-to-speech model or lip reader; empty: there is audio only.
        asr: recognizer of audio.
        search: search options of trained recognizers.
        device: where networks run.
        detector: face detector.
        face: which face, where there are several.
        audio: whether the recognizer of audio is needed even if `model` reads lips.

    Raises:
        LipsoundError: a model is absent or of another task.
    """
    from lipsound2.inference.recognizers import recognizer
    from lipsound2.inference.transcriber import Transcriber
    from lipsound2.model_names import task_of

    reads_lips = bool(model) and task_of(model) == "recognize"
    if reads_lips:
        reader = Transcriber(recognizer(model, search, device, lips=True), detector=detector, face=face)
        if not reader.reads_lips:
            raise LipsoundError(f"{model}: reads 'audio', not face or mouth crops; give a recognizer of audio as --asr")
        log.info("%s knows: %s", model, reader.knows)
        if not audio:
            return _Loaded(reader, reader)
    recognize = Transcriber(recognizer(asr, search, device))
    if recognize.knows:
        log.info("%s knows: %s", asr, recognize.knows)
    if reads_lips or not model:
        return _Loaded(reader if reads_lips else recognize, recognize)
    from lipsound2.inference.lip_to_speech import load_lip_to_speech
    from lipsound2.inference.synthesizer import Synthesizer

    synthesize = Synthesizer(load_lip_to_speech(model, device=device), detector=detector, face=face)
    log.info("%s knows: %s", synthesize.name, synthesize.knows)

    def cascade(clip: Path) -> Transcript:
        speech = synthesize(clip)
        log.info("%s: %s", clip, speech.video.report)
        return recognize(speech)

    return _Loaded(cascade, recognize)


def _check_names(model: str, asr: str, *, audio: bool) -> None:
    """Check that the models exist, before torch is loaded.

    Args:
        model: see `_load`.
        asr: likewise.
        audio: likewise.

    Raises:
        LipsoundError: one is absent or of another task.
    """
    from lipsound2.inference.recognizer_names import check_recognizer
    from lipsound2.model_names import check_task, task_of

    task = task_of(model) if model else ""
    if task == "classify":
        raise LipsoundError(f"{model}: classifies single words, whose times must be known; use lipsound2 decode")
    if model and task != "recognize":
        check_task(model, "regress")
    if audio or task != "recognize":
        check_recognizer(asr)


def _find(given: Sequence[Path], many: bool, output_dir: Path | None, suffix: str, srt: Path | None) -> list[Clip]:
    """The clips; all outputs are checked."""
    from lipsound2.data.folders import VIDEO_SUFFIXES

    found = find_clips(given, (*VIDEO_SUFFIXES, *_AUDIO)) if many else [Clip(given[0], given[0].stem)]
    if srt is not None and many and srt.suffix.lower() == _SRT and not srt.is_dir():
        raise LipsoundError(f"--srt {srt}: is one file, for one clip; for several clips give a folder: --srt DIR")
    if srt is not None and not many:
        check_file(srt, given, (_SRT,))
    places = ((output_dir, suffix), (srt if many else None, _SRT))
    check_results(found, [(folder, ending) for folder, ending in places if folder is not None])
    return found
