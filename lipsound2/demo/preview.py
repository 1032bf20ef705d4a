"""The clip as the page shows it: small, with a box about the mouth that was read, and with its speech."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from lipsound2.demo.reading import Answer
from lipsound2.files import write_bytes
from lipsound2.inference.speech import ClipVideo
from lipsound2.report.clip_video import frames_of, small_video
from lipsound2.timing import FRAME_RATE
from lipsound2.video.mouth_box import mouth_boxes
from lipsound2.video.mux import mux_speech

SIDE = 640  # pixels of the longer side, at most
_COLOR, _EDGE = (94, 234, 212), (15, 23, 42)  # teal with a dark edge, seen on any skin


def write_preview(clip: Path, answer: Answer, out: Path) -> None:
    """Write an MP4 file that browsers play.

    Args:
        clip: the video file.
        answer: what was made of it.
        out: the file; without speech it is silent.

    Raises:
        LipsoundError: it cannot be written.
    """
    speech = answer.speech
    silent = out if speech is None else out.with_name(f"silent-{out.name}")
    length = answer.video.report.num_frames / FRAME_RATE
    write_bytes(silent, small_video(_boxed(clip, answer.video), SIDE, length))
    if speech is not None:
        mux_speech(silent, speech.blocks, speech.sample_rate, 0.0, out)
        silent.unlink()


def _boxed(clip: Path, video: ClipVideo) -> Iterator[np.ndarray]:
    """Frames (h, w, 3) uint8 no longer than `SIDE`, with boxes where a face was seen."""
    scale = min(1.0, SIDE / max(video.size))
    width, height = (round(side * scale) for side in video.size)
    boxes, seen = mouth_boxes(video.landmarks) * scale, video.confidence > 0
    for number, frame in enumerate(frames_of(clip)):
        small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) if scale < 1 else frame.copy()
        if number < len(boxes) and seen[number]:
            x0, y0, x1, y1 = boxes[number].round().astype(int).tolist()
            for color, thick in ((_EDGE, 4), (_COLOR, 2)):
                cv2.rectangle(small, (x0, y0), (x1, y1), color, thick, cv2.LINE_AA)
        yield small
