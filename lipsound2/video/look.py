"""A first look at a clip, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import av

from lipsound2.clips import check_is_file
from lipsound2.errors import LipsoundError, machine_trouble


def has_pictures(media: Path) -> bool:
    """Whether a file has a video track (a cover picture is none).

    Raises:
        LipsoundError: it is no file, or neither sound nor video.
    """
    check_is_file(media)
    if not media.stat().st_size:
        raise LipsoundError(f"{media}: unreadable: the file is empty (0 bytes)")
    try:
        with av.open(str(media)) as container:
            videos = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
            if not videos and not container.streams.audio:
                raise LipsoundError(f"{media}: holds neither pictures nor sound")
            return bool(videos)
    except (av.FFmpegError, OSError) as error:
        if machine_trouble(error):
            raise
        raise LipsoundError(
            f"{media}: unreadable: cannot be opened ({error.strerror or error}); expected a video or a sound file"
        ) from error


def check_pictures(media: Path) -> None:
    """Make sure that a file has a video track.

    Raises:
        LipsoundError: see `has_pictures`; or it has sound alone.
    """
    if not has_pictures(media):
        raise LipsoundError(f"{media}: no-video: holds sound, but no pictures; a video of a talking face is wanted")
