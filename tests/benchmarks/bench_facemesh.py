"""The detectors facemesh and mediapipe beside each other: how far their landmarks and crops are apart, and their time.

    python tests/benchmarks/bench_facemesh.py CLIP ... [--detect-interval 25]

`same window` feeds both networks the window that follows from mediapipe's own points, so that nothing adds up; it looks
at every video frame. `clip` is what `crop` writes. Distances are in pixels of the video frame, over all points and
video frames; crops are the mouth's, in gray levels. Core time is the CPU time of the process.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from lipsound2.errors import ClipFailure, require
from lipsound2.video.cropper import EVERY, Cropper, Crops
from lipsound2.video.decode import read_video
from lipsound2.video.face_networks import faces, mesh, window_of


def same_window(clip: Path) -> np.ndarray:
    """Distances of the 468 vertices of every video frame in which mediapipe follows the face: (N,)."""
    graph = require("mediapipe", "mediapipe").solutions.face_mesh.FaceMesh(max_num_faces=1)
    window, apart = None, []
    for rgb in read_video(clip)[0]:
        theirs = graph.process(rgb).multi_face_landmarks
        found = faces(rgb) if window is None else []
        window = found[0].window if found else window
        if not theirs or window is None:
            window = None
            continue
        wanted = np.array([(p.x, p.y) for p in theirs[0].landmark], np.float32) * rgb.shape[1::-1]
        ours = mesh(rgb, window)
        if ours is not None:
            apart.append(np.linalg.norm(ours - wanted, axis=1))
        window = window_of(wanted)
    return np.concatenate(apart) if apart else np.zeros(0)


def timed(cropper: Cropper, clip: Path) -> tuple[Crops | ClipFailure, float]:
    """Crops, or why there are none, and the seconds of CPU time."""
    before = time.process_time()
    try:
        result: Crops | ClipFailure = cropper(clip)
    except ClipFailure as failure:
        result = failure
    return result, time.process_time() - before


def shown(apart: np.ndarray) -> str:
    """Mean, 99th percentile and the most."""
    return (
        f"{apart.mean():6.3f} {np.percentile(apart, 99):6.3f} {apart.max():6.3f}"
        if apart.size
        else "     -      -      -"
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--detect-interval", type=int, default=EVERY)
    options = parser.parse_args()
    croppers = [
        Cropper(("mouth",), name, detect_interval=options.detect_interval) for name in ("facemesh", "mediapipe")
    ]
    spent = np.zeros(2)
    print(f"{'':36} face   same window: mean 99 % most   clip: mean 99 % most   crop: mean   seconds")
    for clip in options.clips:
        (ours, own), (theirs, their) = (timed(cropper, clip) for cropper in croppers)
        spent += own, their
        if isinstance(ours, ClipFailure) or isinstance(theirs, ClipFailure):
            failed = [each.reason if isinstance(each, ClipFailure) else "cropped" for each in (ours, theirs)]
            print(f"{clip.parent.name}/{clip.name[:30]}: {' and '.join(failed)}")
            continue
        points, wanted = (crops.landmarks[:, :136].reshape(-1, 68, 2) for crops in (ours, theirs))
        levels = np.abs(ours.regions["mouth"].astype(float) - theirs.regions["mouth"]).mean()
        print(
            f"{f'{clip.parent.name}/{clip.name[:30]}':36} {np.ptp(wanted[:, :, 0], axis=1).mean():4.0f}   "
            f"{shown(same_window(clip))}   {shown(np.linalg.norm(points - wanted, axis=2))}   {levels:5.3f}   "
            f"{own:.2f} {their:.2f}"
            + ("" if str(ours.report) == str(theirs.report) else f"\n  {ours.report}\n  {theirs.report}"),
            flush=True,
        )
    print(f"facemesh {spent[0]:.1f} s, mediapipe {spent[1]:.1f} s of CPU time")


if __name__ == "__main__":
    main()
