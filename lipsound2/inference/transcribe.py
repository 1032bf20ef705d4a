"""The verb `transcribe`: text of audio, or of the lips in silent videos.

Clips and outputs are checked before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import Literal

from lipsound2.arguments import AtLeast0
from lipsound2.decoding.search_options import DEFAULT_SEARCH, SearchOptions
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.files import write_text
from lipsound2.inference.speak import DEFAULT_MODEL
from lipsound2.media.clips import Clip, check_results, describe_failure, find_clips
from lipsound2.media.standard_streams import takes_standard_input
from lipsound2.outputs import check_file

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
    ngpu: AtLeast0 = 0,
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
        ngpu: GPUs to use: 0 or 1.
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
    from lipsound2.inference.transcriber import Transcriber

    transcriber = Transcriber(
        model,
        asr,
        audio="audio" in kinds,
        search=search,
        detector=detector,
        face=face,
        ngpu=ngpu,
    )

    def work(clip: Clip) -> str:
        lips = not audio and has_video(clip.path)
        what = transcriber.lips(clip.path) if lips else transcriber.audio(clip.path)
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


def _check_names(model: str, asr: str, *, audio: bool) -> None:
    """Check that the models exist, before torch is loaded.

    Args:
        model: see `transcriber.Transcriber`.
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
