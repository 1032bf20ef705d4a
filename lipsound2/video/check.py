"""A first look at a clip, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.media.clips import check_is_file
from lipsound2.media.opening import opened, shown
from lipsound2.media.tracks import Tracks, tracks


def has_video(media: Path) -> bool:
    """Whether a file has a video track (a cover image is none).

    Raises:
        LipsoundError: it is no file, or neither audio nor video.
    """
    return bool(_video_tracks(media).descriptions)


def check_video(media: Path) -> None:
    """Make sure that a file has a video track that can be decoded.

    Raises:
        LipsoundError: see `has_video`; or it has audio alone, or video of an unknown codec.
    """
    found = _video_tracks(media)
    if not found.descriptions:
        raise LipsoundError(f"{media}: no-video: holds audio, but no video; a video of a talking face is wanted")
    if not found.decodable:
        raise LipsoundError(f"{media}: unreadable: {found.undecodable()}")


def _video_tracks(media: Path) -> Tracks:
    check_is_file(media)
    try:
        with opened(media) as file:
            video, audio = (tracks(file.container, kind) for kind in ("video", "audio"))
    except ClipFailure as failure:
        why = failure.detail.removeprefix(f"{shown(media)}: ")
        raise LipsoundError(f"{media}: {failure.reason}: {why}; expected a video or an audio file") from failure
    if not video.descriptions and not audio.descriptions:
        raise LipsoundError(f"{media}: holds neither video nor audio")
    return video
