"""Which track of a file is meant: the one marked as default, else the best, among those that can be decoded."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from lipsound2.media.opening import cover

# Tracks beside the main ones: comments, descriptions for the blind, mixes for the deaf.
_BESIDE = Disposition.comment | Disposition.visual_impaired | Disposition.hearing_impaired | Disposition.descriptions


@dataclass(frozen=True)
class Tracks:
    """The tracks of one kind, covers and thumbnails left out.

    Attributes:
        kind: video or audio.
        decodable: those that can be decoded, the best first.
        descriptions: stream number -> what it is, of all.
    """

    kind: Literal["video", "audio"]
    decodable: list[Stream] = field(default_factory=list)
    descriptions: dict[int, str] = field(default_factory=dict)

    def undecodable(self) -> str:
        """The tracks that cannot be decoded, in words; empty when there are none."""
        decodable = {stream.index for stream in self.decodable}
        return ", ".join(text for index, text in self.descriptions.items() if index not in decodable)

    def choice(self, taken: Stream) -> str:
        """Which of several was taken, in words; empty when there is one."""
        if len(self.descriptions) < 2:
            return ""
        others = ", ".join(text for index, text in self.descriptions.items() if index != taken.index)
        count = len(self.descriptions)
        return f"{count} {self.kind} tracks, taken: {self.descriptions[taken.index]}; not taken: {others}"


def tracks(container: InputContainer, kind: Literal["video", "audio"]) -> Tracks:
    """The tracks of one kind, the best first. Default ones come before others, main ones before comments and the like.
    Then large frames, or many channels and high rates, come first; last counts the file's order."""
    found = Tracks(kind)
    streams = [each for each in container.streams if each.type == kind and not cover(each)]
    found.descriptions.update((each.index, _description(container, each)) for each in streams)
    found.decodable.extend(sorted((each for each in streams if each.codec_context is not None), key=_rank))
    return found


def _rank(stream: Stream) -> tuple[bool, bool, int, int, int]:
    first = (not stream.disposition & Disposition.default, bool(stream.disposition & _BESIDE))
    if isinstance(stream, VideoStream):
        return (*first, -stream.width * stream.height, 0, stream.index)
    assert isinstance(stream, AudioStream)
    return (*first, -stream.channels, -stream.rate, stream.index)


def _description(container: InputContainer, stream: Stream) -> str:
    """A track as ffmpeg describes it: `stream 3: h264 480x270`."""
    if isinstance(stream, VideoStream) and stream.codec_context is not None:
        what = f"{stream.codec_context.name} {stream.width}x{stream.height}"
    elif isinstance(stream, AudioStream) and stream.codec_context is not None:
        what = f"{stream.codec_context.name} {stream.rate} Hz, {stream.channels} channels"
    else:
        # Only ffmpeg's own listing knows the tag of a codec that it has no decoder for.
        listed = re.search(rf"Stream #0:{stream.index}\b.*?: (?:Video|Audio): (.*)", container.dumps_format())  # type: ignore[attr-defined]
        what = f"codec {listed[1].split(',')[0].strip() if listed else 'none'} unknown to this build of ffmpeg"
    return f"stream {stream.index} ({what})" if stream.codec_context is not None else f"stream {stream.index}: {what}"
