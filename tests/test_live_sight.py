"""What `lipsound2 live` sees: the tracker beside the offline cropper, what is told at once, and the preview."""

from __future__ import annotations

import io
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipsound2.live import preview
from lipsound2.live.preview import Terminal, preview_image
from lipsound2.live.tracker import LiveTracker, Recording
from lipsound2.live.watch import GOOD, Watch
from lipsound2.video.align import REGIONS
from lipsound2.video.cropper import Cropper
from lipsound2.video.decode import Source, read_video
from lipsound2.video.detect import make_detector
from lipsound2.video.frame import ArrayFrame
from lipsound2.video.frame_copy import copied


@pytest.fixture(scope="module")
def rgb(grid: Path) -> np.ndarray:
    """A clip (T, H, W, 3) uint8 RGB of one face."""
    return read_video(grid / "s1" / "bbil3s.mp4")[0]


def test_crops_are_those_of_the_file(grid):
    """What looks at frames as they come gives the landmarks of what may look ahead, to a pixel of the crop."""
    clip = grid / "s1" / "bbil3s.mp4"
    offline = Cropper(("mouth",))(clip)
    tracker, recording = LiveTracker(make_detector("facemesh")), Recording()
    for decoded in Source(clip):
        recording.add(tracker.see(copied(decoded)))
    found = recording.landmarks()
    assert found.shape == offline.landmarks.shape
    scenes = [(0, len(found))]
    ours, theirs = (
        REGIONS["mouth"].transforms(points[:, :136].reshape(-1, 68, 2), scenes) for points in (found, offline.landmarks)
    )
    middle = np.array([47.5, 47.5, 1])
    step = np.hypot(theirs[:, 0, 0], theirs[:, 1, 0])
    assert np.median(np.linalg.norm((ours - theirs) @ middle, axis=1) / step) < 1.0


def told(frames: list[np.ndarray], fps: float | None = 25.0, face: str = "largest") -> list[str]:
    tracker, watch = LiveTracker(make_detector("facemesh"), face), Watch(face)
    return [line for frame in frames if (line := watch.add(tracker.see(ArrayFrame(frame)), fps))]


def test_fault_dark_and_empty_and_two_faces_are_told_at_once(rgb):
    assert told([*rgb[:12]]) == [GOOD]
    (dark,) = told([frame // 8 for frame in rgb[:12]])
    assert dark.startswith("too dark: ")
    (nobody,) = told([np.full_like(rgb[0], 120)] * 12)
    assert nobody.startswith("no face is seen: ")
    both = np.concatenate([rgb[:12], rgb[:12]], axis=2)
    (line,) = told([*both], face="right")
    assert line.startswith("2 faces: the right is followed, at the right of the frame")
    (slow,) = told([*rgb[:12]], fps=5.0)
    assert slow.startswith("a slow camera: 5 frames a second")
    small = [cv2.resize(frame, None, fx=0.35, fy=0.35, interpolation=cv2.INTER_AREA) for frame in rgb[:12]]
    wide = [cv2.copyMakeBorder(frame, 60, 60, 60, 60, cv2.BORDER_REPLICATE) for frame in small]
    (far,) = told(wide)
    assert far.startswith("the face is small")


def test_what_begins_before_a_face_is_seen_has_crops_all_the_same(rgb):
    """As of a file: frames behind a cut without a face take the place of the nearest one."""
    tracker, recording = LiveTracker(make_detector("facemesh")), Recording()
    for frame in [*[np.full_like(rgb[0], 120)] * 8, *rgb[:12]]:
        recording.add(tracker.see(ArrayFrame(frame)))
    found = recording.landmarks()
    assert not found[:8, 136].any()
    np.testing.assert_array_equal(found[:8, :136], found[8:9, :136].repeat(8, 0))


def test_a_mouth_outside_of_the_frame_is_told(rgb):
    height = int(LiveTracker(make_detector("facemesh")).see(ArrayFrame(rgb[0])).face.points[57, 1]) - 4
    (line,) = told([np.ascontiguousarray(frame[:height]) for frame in rgb[:12]])
    assert line.startswith("the mouth is not seen")


def test_the_face_that_is_followed_stays_the_same(rgb):
    """A second one that comes, and is larger, is not taken in the middle of a sentence."""
    alone = np.concatenate([rgb[:20], np.full_like(rgb[:20], 90)], axis=2)
    large = np.stack([cv2.resize(frame, None, fx=1.2, fy=1.2)[20:308, :360] for frame in rgb[20:40]])
    both = np.concatenate([rgb[20:40], large], axis=2)
    tracker = LiveTracker(make_detector("facemesh"))
    places = [tracker.see(ArrayFrame(frame)).face.box[0] for frame in (*alone, *both)]
    assert max(places) < 360


def test_the_preview_is_a_mirror_with_a_box_around_the_mouth(rgb):
    sight = LiveTracker(make_detector("facemesh")).see(ArrayFrame(rgb[0]))
    green, red = preview_image(sight, recorded=False), preview_image(sight, recorded=True)
    assert green.shape == rgb[0].shape
    differ = np.argwhere((green != red).any(-1))
    (top, left), (bottom, right) = differ.min(0), differ.max(0)
    points = sight.face.points[48:68]
    assert left < rgb.shape[2] - 1 - points[:, 0].max() < right
    assert top < points[:, 1].mean() < bottom
    outside = np.ones(len(green), bool)
    outside[top : bottom + 1] = False
    np.testing.assert_array_equal(green[outside], rgb[0][outside, ::-1])


def test_what_goes_on_fits_a_narrow_terminal(monkeypatch):
    """A line that wraps would not be replaced by the next one."""
    out = io.StringIO()
    out.isatty = lambda: True
    monkeypatch.setenv("COLUMNS", "30")
    terminal = Terminal(out)
    terminal.status("[space] record  [q] quit   " + GOOD)
    terminal.line("a line that stays may be longer than that")
    terminal.close()
    terminal.line("somebody's own \x1b[2J\x07 sentence, \u05e9\u05dc")
    assert "somebody's own \\x1b[2J\\x07 sentence, \u05e9\u05dc" in out.getvalue()
    shown = out.getvalue().replace("\n", "\r\x1b[K").split("\r\x1b[K")
    assert max(len(each) for each in shown if "record" in each) == 29
    assert "a line that stays may be longer than that" in shown


def test_a_window_needs_a_display(monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY", raising=False)
    with preview.find_screen("window") as screen:
        assert isinstance(screen, Terminal)
    assert re.match("no window: .*; --preview off goes without", capsys.readouterr().out)
