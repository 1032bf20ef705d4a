"""Subtitles in a video file: drawn into the frames, or as a track of text that players show and hide."""

from __future__ import annotations

import bisect
import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.stream import Disposition
from av.subtitles.stream import SubtitleStream

from lipsound2.decoding.subtitles import Cue
from lipsound2.errors import LipsoundError

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

# Suffix of a video file -> ffmpeg's name of the text that players read in it.
_TRACKS = {".mp4": "mov_text", ".m4v": "mov_text", ".mov": "mov_text", ".mkv": "subrip"}
_CLOCK = Fraction(1, 1000)
# What a style is called where a player knows none: white, at the bottom.
_STYLE = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Bold, Alignment
Style: Default,Sans,18,&Hffffff,0,2
"""
_ROWS = 14  # lines of text that a frame is high
_LEAST = 9  # pixels of a letter's height
_WIDE = 0.92  # share of a frame's width that text fills at most
_MARGIN = 0.04  # of a frame's height, below the text
_BELOW, _LINE = 0.25, 1.25  # of a letter's height: what hangs below a line, and the step from line to line
_BLACK, _WHITE, _GRAY = 16, 235, 128  # levels of limited range


@dataclass(frozen=True)
class Captions:
    """Subtitles of a clip, and how they get into its video file.

    Attributes:
        cues: what is shown when.
        burn: draw them into the frames; else they are a track of their own.
        title: of that track.
    """

    cues: Sequence[Cue]
    burn: bool = False
    title: str = ""


class CaptionTrack:
    """The track of text of a file that is being written, in step with its frames.

    Args:
        target: the file; its frames and its audio have joined before.
        suffix: of its name.
        captions: what is written.

    Raises:
        ValueError: this kind of file has no such track.
    """

    def __init__(self, target: OutputContainer, suffix: str, captions: Captions) -> None:
        self._kind = _TRACKS.get(suffix.lower(), "")
        if not self._kind:
            raise ValueError(f"a {suffix} file has no track of text")
        self._target, self._left = target, list(captions.cues)
        self._stream = cast(SubtitleStream, target.add_stream(self._kind))
        self._stream.codec_context.subtitle_header = _STYLE
        self._stream.time_base = _CLOCK
        self._stream.disposition = Disposition.default
        self._stream.metadata["handler_name" if self._kind == "mov_text" else "title"] = captions.title

    def until(self, seconds: float) -> None:
        """Write the subtitles that begin until then."""
        while self._left and self._left[0].start <= seconds:
            cue = self._left.pop(0)
            text = cue.text.encode()
            packet = av.Packet(struct.pack(">H", len(text)) + text if self._kind == "mov_text" else text)
            packet.stream, packet.time_base = self._stream, _CLOCK
            packet.pts = packet.dts = round(cue.start / _CLOCK)
            packet.duration = max(1, round((cue.end - cue.start) / _CLOCK))
            self._target.mux(packet)


@dataclass
class Painter:
    """Draws subtitles into the frames of a clip, white with a black edge.

    Attributes:
        cues: in the order of their times.
    """

    cues: Sequence[Cue]
    _until: list[float] = field(init=False)  # of each cue, the latest end of it and those before
    _drawn: tuple[int, tuple[int, ...]] = (-1, ())
    _layers: list[list[_Layer]] = field(default_factory=list)  # of each plane, of what was drawn last

    def __post_init__(self) -> None:
        """Note the ends, in an order that can be searched."""
        self._until = [*itertools.accumulate((cue.end for cue in self.cues), max)]

    def draw(self, planes: Sequence[np.ndarray], seconds: float) -> None:
        """Draw what is said at a time.

        Args:
            planes: Y (H, W), U and V (H / 2, W / 2) of limited range, which are changed.
            seconds: since the beginning of the clip.

        Raises:
            LipsoundError: the font lacks a letter.
        """
        # The first that has not ended: where the latest end rises above the time, it is by that cue's own end.
        at = bisect.bisect_right(self._until, seconds)
        if at == len(self.cues) or self.cues[at].start > seconds:
            return
        if self._drawn != (at, planes[0].shape):
            luma = _layers(self.cues[at].text, planes[0].shape)
            color = _halved(luma)
            self._drawn, self._layers = (at, planes[0].shape), [luma, color, color]
        for plane, layers in zip(planes, self._layers, strict=True):
            for layer in layers:
                part = plane[layer.top : layer.top + layer.cover.shape[0]]
                # Not by the difference of the levels, which wraps in uint8.
                part[:] = (part * (1 - layer.cover) + layer.level * layer.cover).round()


@dataclass(frozen=True)
class _Layer:
    """One color of the text.

    Attributes:
        top: first row of the frame that it covers.
        cover: (h, W) float32, how much of each pixel.
        level: of the color.
    """

    top: int
    cover: np.ndarray
    level: float


def _layers(text: str, shape: tuple[int, ...]) -> list[_Layer]:
    """The text's edge and the text, for the luma plane."""
    from PIL import Image, ImageDraw  # comes with matplotlib

    height, width = shape
    size = max(_LEAST, height // _ROWS)
    font, edge = _font(size), max(1, size // 10)
    _check_letters(font, text)
    lines = _wrapped(text, font, width * _WIDE)
    covers = []
    for stroke in (edge, 0):
        image = Image.new("L", (width, height))
        for number, line in enumerate(reversed(lines)):
            baseline = height * (1 - _MARGIN) - size * (_BELOW + number * _LINE)
            ImageDraw.Draw(image).text((width // 2, round(baseline)), line, 255, font, "ms", stroke_width=stroke)
        covers.append(np.asarray(image, np.float32) / 255)
    rows = np.flatnonzero(covers[0].any(axis=1))
    top, end = (rows[0] // 2 * 2, rows[-1] + 1 + (rows[-1] + 1) % 2) if len(rows) else (0, 0)
    return [_Layer(int(top), cover[top:end], level) for cover, level in zip(covers, (_BLACK, _WHITE), strict=True)]


def _halved(layers: list[_Layer]) -> list[_Layer]:
    """The same for a plane of color: gray wherever there is text."""
    edge = layers[0]
    if not edge.cover.size:
        return []
    rows, width = edge.cover.shape
    return [_Layer(edge.top // 2, cv2.resize(edge.cover, (width // 2, rows // 2), interpolation=cv2.INTER_AREA), _GRAY)]


def _wrapped(text: str, font: FreeTypeFont, width: float) -> list[str]:
    """Lines of a text that are no wider than a frame, unless a single word is."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _font(size: int) -> FreeTypeFont:
    import matplotlib as mpl
    from PIL import ImageFont

    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def _check_letters(font: FreeTypeFont, text: str) -> None:
    """Refuse a text that would be drawn as boxes."""
    box = bytes(font.getmask("\uffff"))
    lacking = [letter for letter in dict.fromkeys(text) if letter.strip() and bytes(font.getmask(letter)) == box]
    if lacking:
        raise LipsoundError(
            f"--subtitles burn: the font has no letter '{lacking[0]}' ({len(lacking)} of this kind); "
            "take --subtitles soft, which a player draws with its own fonts"
        )
