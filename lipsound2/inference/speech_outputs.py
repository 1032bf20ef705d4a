"""Where the speech of clips goes: under given names, or names that follow from the clips. All are checked first."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lipsound2.errors import LipsoundError, UsageError
from lipsound2.media.clips import Clip, check_distinct, check_results, find_clips
from lipsound2.media.standard_streams import STANDARD
from lipsound2.outputs import check_apart, check_file

PLAYED = (".mp4", ".m4v", ".mov", ".mkv")  # containers that hold video with AAC audio and a track of text
_SPOKEN = ".spoken.mp4"  # of a video whose name was not given: beside a clip, it must not be called as the clip is


@dataclass(frozen=True)
class PlannedSpeech:
    """A clip, and what is made of it.

    Attributes:
        clip: the clip.
        speech: audio file to write; `-`: standard output.
        video: video file to write; None: none.
    """

    clip: Clip
    speech: Path
    video: Path | None


@dataclass(frozen=True)
class SpeechPlaces:
    """What was asked for.

    Attributes:
        output: audio file of the only clip; None: see `output_dir`.
        output_dir: folder of all audio files; None as well: beside the clips.
        suffix: of audio files whose name was not given, such as `.wav`.
        video: video file of the only clip, or folder; None: none.
        subtitles: whether a video is wanted in any case, for subtitles.
    """

    output: Path | None
    output_dir: Path | None
    suffix: str
    video: Path | None
    subtitles: bool


def targets(given: Sequence[Path], wanted: SpeechPlaces) -> list[PlannedSpeech]:
    """The clips of a call with their outputs, looked at before any work.

    Raises:
        UsageError: two places for the speech, or none for a video.
        LipsoundError: the only clip cannot be used; an output cannot be written, or would replace what may not be.
    """
    from lipsound2.audio.writing import audio_suffixes
    from lipsound2.data.folders import VIDEO_SUFFIXES
    from lipsound2.video.check import check_video

    if wanted.output is not None and wanted.output_dir is not None:
        raise UsageError("where should the speech go? give either -o FILE or --output-dir DIR")
    if wanted.suffix not in audio_suffixes():
        raise LipsoundError(f"--format {wanted.suffix[1:]}: this libsndfile writes {' '.join(audio_suffixes())} only")
    single = len(given) == 1 and not given[0].is_dir()
    if wanted.output is not None and not single:
        what = f"{len(given)} clips" if len(given) > 1 else "a folder of clips"
        raise LipsoundError(
            f"{given[0]}: -o {wanted.output} is one file, for one clip, found {what}; give --output-dir DIR"
        )
    if single:
        check_video(given[0])
    clips = find_clips(given, VIDEO_SUFFIXES)
    speech = _speech(clips, wanted, single=single)
    videos = _videos(clips, speech, wanted, single=single)
    check_apart([path for path in (*speech, *videos) if path is not None and path != STANDARD])
    return [PlannedSpeech(*target) for target in zip(clips, speech, videos, strict=True)]


def _speech(clips: Sequence[Clip], wanted: SpeechPlaces, *, single: bool) -> list[Path]:
    """The audio file of each clip."""
    from lipsound2.audio.writing import audio_suffixes

    if wanted.output is not None:
        if wanted.output != STANDARD:
            check_file(wanted.output, [clip.path for clip in clips], audio_suffixes())
        return [wanted.output]
    if wanted.output_dir is not None:
        check_results(clips, [(wanted.output_dir, wanted.suffix)])
        return [clip.out(wanted.output_dir, wanted.suffix) for clip in clips]
    found = [_beside(clip, clip.path.parent, wanted.suffix) for clip in clips]
    check_distinct(clips, found)
    for path in found:
        check_file(path)
        if path.exists():
            what = f"to replace it, give -o {path}" if single else "give a folder for all: --output-dir DIR"
            raise LipsoundError(f"{path}: is there already, and may be your own; {what}")
    return found


def _videos(
    clips: Sequence[Clip], speech: Sequence[Path], wanted: SpeechPlaces, *, single: bool
) -> Sequence[Path | None]:
    """The video file of each clip."""
    video = wanted.video
    if video is None and not wanted.subtitles:
        return [None] * len(clips)
    if video is not None and (wanted.output_dir is not None or not single):
        check_results(clips, [(video, ".mp4")])
        return [clip.out(video, ".mp4") for clip in clips]
    if video is None and speech[0] == STANDARD:
        raise UsageError("--subtitles are put into a video; say into which: --video clip.spoken.mp4")
    if video is None:
        found = [_beside(clip, path.parent, _SPOKEN) for clip, path in zip(clips, speech, strict=True)]
    else:
        found = [_beside(clips[0], video, _SPOKEN) if video.is_dir() else video]
    inputs = {os.path.realpath(clip.path) for clip in clips}
    for path in found:
        check_file(path, suffixes=PLAYED)
        if os.path.realpath(path) in inputs:
            raise LipsoundError(f"{path}: is one of the clips, which would be lost; choose another name for the video")
    named = video is not None and not video.is_dir()
    for clip, path in zip(clips, found, strict=True):
        beside = path.exists() and path.parent.samefile(clip.path.parent)
        if path.exists() and not named and (wanted.output_dir is None or beside):
            what = (
                "choose another folder" if wanted.output_dir is not None else "give a folder for all: --output-dir DIR"
            )
            what = f"to replace it, give --video {path}" if single and wanted.output_dir is None else what
            raise LipsoundError(f"{path}: is there already, and may be your own; {what}")
    return found


def _beside(clip: Clip, folder: Path, suffix: str) -> Path:
    return folder / f"{Path(clip.name).name}{suffix}"
