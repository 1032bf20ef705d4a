"""Detectors by their names.

A detector lives as long as its worker; `reset()` forgets the face it follows, so that a clip's result does not depend
on which clip came before.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from lipsound2.errors import LipsoundError, UsageError, require
from lipsound2.video.face import Detector

DetectorName = Literal["facemesh", "mediapipe", "dlib"]
DEFAULT_DETECTOR: DetectorName = "facemesh"


def check_detector(name: str, dlib_landmarks: Path | None = None) -> None:
    """Check that the package of a detector is installed; one that is there is not imported yet.

    Raises:
        LipsoundError: it is not.
        UsageError: landmarks of dlib are given for another detector, which would not read them.
    """
    if dlib_landmarks is not None and name != "dlib":
        raise UsageError(
            f"--dlib-landmarks {dlib_landmarks}: is for --detector dlib, found --detector {name}; give that, or leave "
            "--dlib-landmarks out"
        )
    if name in ("dlib", "mediapipe") and find_spec(name) is None:
        require(name, name)


def make_detector(name: str, dlib_landmarks: Path | None = None) -> Detector:
    """The detector of that name. Only the package that runs it is imported.

    Raises:
        LipsoundError: no such detector, its package is not installed, or see `check_detector`.
    """
    check_detector(name, dlib_landmarks)
    if name == "facemesh":
        from lipsound2.video.facemesh import facemesh

        return facemesh()
    if name == "mediapipe":
        from lipsound2.video.mediapipe_detector import mediapipe

        return mediapipe()
    if name == "dlib":
        from lipsound2.video.dlib_detector import DlibDetector

        return DlibDetector(dlib_landmarks)
    raise LipsoundError(f"unknown detector '{name}'; one of: {', '.join(get_args(DetectorName))}")
