"""A first look at a clip, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.media.clips import check_is_file
from lipsound2.media.opening import opened, shown
from lipsound2.media.tracks import Tracks, tracks


def has_frames(media: Path) -> bool:
    """Whether a file has a video track (a cover frame is none).

    Raises:
        LipsoundError: it is no file, or neither audio nor video.
    """
    return bool(_frames(media).words)


def check_frames(media: Path) -> None:
    """Make sure that a file has a video track that can be decoded.

    Raises:
        LipsoundError: see `has_frames`; or it has audio alone, or frames of an unknown codec.
    """
    found = _frames(media)
    if not found.words:
        raise LipsoundError(f"{media}: no-video: holds audio, but no frames; a video of a talking face is wanted")
    if not found.known:
        raise LipsoundError(f"{media}: unreadable: {found.unknown()}")


def _frames(media: Path) -> Tracks:
    check_is_file(media)
    try:
        with opened(media) as file:
            frames, audio = (tracks(file.container, kind) for kind in ("video", "audio"))
    except ClipFailure as failure:
        why = failure.detail.removeprefix(f"{shown(media)}: ")
        raise LipsoundError(f"{media}: {failure.reason}: {why}; expected a video or an audio file") from failure
    if not frames.words and not audio.words:
        raise LipsoundError(f"{media}: holds neither frames nor audio")
    return frames
