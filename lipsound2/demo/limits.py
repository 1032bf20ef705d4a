"""What a clip may be at most, looked at before any work on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from av.video.stream import VideoStream

from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.media.opening import opened
from lipsound2.media.tracks import tracks

_LARGEST = 4096 * 2304  # pixels of a frame
_STILL = ("_pipe", "image2")  # how ffmpeg calls PNG, JPEG and the like
_SENTENCES, _LETTERS = 500, 300  # own sentences, and letters of each


@dataclass(frozen=True)
class Limits:
    """What the page takes.

    Attributes:
        megabytes: of a file, 1e6 bytes.
        seconds: of a clip.
        waiting: clips that may wait for their turn.
    """

    megabytes: int = 100
    seconds: int = 60
    waiting: int = 200

    def check(self, clip: Path) -> None:
        """Look at a clip's size, length and frames. Packets are counted, because files of browsers tell no length.

        Raises:
            ClipFailure: it is too large or too long, or no video.
        """
        if (size := clip.stat().st_size) > self.megabytes * 1_000_000:
            raise ClipFailure("too-large", f"{size / 1e6:.0f} MB, at most {self.megabytes} MB are taken")
        first, last = math.inf, -math.inf
        with opened(clip) as media:
            found = tracks(media.container, "video")
            if not found.decodable:
                raise ClipFailure("no-video", "a video of a talking face is wanted")
            stream = found.decodable[0]
            assert isinstance(stream, VideoStream)
            if media.container.format.name.endswith(_STILL):
                raise ClipFailure("no-video", "a still image; a video of a talking face is wanted")
            if stream.width * stream.height > _LARGEST:
                raise ClipFailure(
                    "too-large", f"frames of {stream.width}x{stream.height}, at most {_LARGEST} pixels are taken"
                )
            for packet in media.packets():
                if packet.stream is not stream or packet.pts is None:
                    continue
                time = float(packet.pts * packet.time_base)
                first, last = min(time, first), max(time, last)
                if last - first > self.seconds:
                    raise ClipFailure("too-long", f"longer than the {self.seconds} s that are taken; cut it first")


def sentences_of(text: str) -> list[str]:
    """Own sentences of a text box, one a line, without empty ones.

    Raises:
        LipsoundError: more or longer ones than are taken.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > _SENTENCES or max(map(len, lines), default=0) > _LETTERS:
        longest = max(map(len, lines))
        raise LipsoundError(
            f"your own sentences: found {len(lines)} of up to {longest} letters, "
            f"at most {_SENTENCES} of {_LETTERS} are taken"
        )
    return lines
