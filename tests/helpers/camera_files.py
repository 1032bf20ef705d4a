"""Sessions at the camera without one: a file is played as if it were a camera."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from lipsound2.live.camera import FileCamera
from lipsound2.live.capture import Capture
from lipsound2.live.keys import NoKeys
from lipsound2.live.preview import Screen
from lipsound2.live.tracker import LiveTracker
from lipsound2.live.viewer import View
from lipsound2.live.watch import Watch
from lipsound2.video.detect import make_detector


@contextlib.contextmanager
def seeing(clip: Path, screen: Screen) -> Iterator[View]:
    """See the file in the block, which begins at once; a test sets `keys`, none are pressed by themselves.

    Args:
        clip: the file.
        screen: where things are shown.
    """
    tracker = LiveTracker(make_detector("facemesh"))
    capture = Capture(FileCamera(clip))
    try:
        yield View(capture, tracker, Watch("largest"), NoKeys(), screen)
    finally:
        capture.close()
