"""A first look at a clip, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.media.clips import check_is_file
from lipsound2.media.opening import opened, shown
from lipsound2.media.tracks import Tracks, tracks


def has_pictures(media: Path) -> bool:
    """Whether a file has a video track (a cover picture is none).

    Raises:
        LipsoundError: it is no file, or neither sound nor video.
    """
    return bool(_pictures(media).words)


def check_pictures(media: Path) -> None:
    """Make sure that a file has a video track that can be decoded.

    Raises:
        LipsoundError: see `has_pictures`; or it has sound alone, or pictures of an unknown codec.
    """
    found = _pictures(media)
    if not found.words:
        raise LipsoundError(f"{media}: no-video: holds sound, but no pictures; a video of a talking face is wanted")
    if not found.known:
        raise LipsoundError(f"{media}: unreadable: {found.unknown()}")


def _pictures(media: Path) -> Tracks:
    check_is_file(media)
    try:
        with opened(media) as file:
            pictures, sounds = (tracks(file.container, kind) for kind in ("video", "audio"))
    except ClipFailure as failure:
        why = failure.detail.removeprefix(f"{shown(media)}: ")
        raise LipsoundError(f"{media}: {failure.reason}: {why}; expected a video or a sound file") from failure
    if not pictures.words and not sounds.words:
        raise LipsoundError(f"{media}: holds neither pictures nor sound")
    return pictures
