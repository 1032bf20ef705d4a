"""Crops: frames/s per core against the same detector on every frame and against decoding alone; distance to it.

    python tests/benchmarks/bench_crop.py [CLIPS] [--speaker s1 ...] [--runs 5] [--number 6]

Core time is the CPU time of the process, all threads together. `decode alone` only asks PyAV for the video frames: the
limit. `every frame` is the same code with a key frame at every video frame. Distances are between the landmarks of the
two, in % of the face width. Jitter is how far the corners of the mouth, found in every video frame, move from one video
frame to the next inside the mouth crop while nobody speaks yet (the first 0.4 s).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np

from lipsound2.video.align import MOUTH, REGIONS, STABLE
from lipsound2.video.cropper import EVERY, Cropper
from lipsound2.video.detect import DEFAULT_DETECTOR
from lipsound2.video.encode import encode

SHARED = Path(__file__).resolve().parents[3] / "shared" / "grid"
QUIET = 10  # video frames at the start of a GRID clip without speech


def decode_alone(clips: Sequence[Path]) -> int:
    """Video frames that PyAV hands over, not looked at."""
    frames = 0
    for clip in clips:
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            frames += sum(1 for _ in container.decode(stream))
    return frames


def with_cropper(cropper: Cropper, *, stored: bool = False) -> Callable[[Sequence[Path]], int]:
    """Crops of every clip, encoded too if `stored`."""

    def work(clips: Sequence[Path]) -> int:
        frames = 0
        for clip in clips:
            crops = cropper(clip)
            frames += len(crops.landmarks)
            if stored:
                for video_frames in crops.regions.values():
                    encode(video_frames)
        return frames

    return work


def speeds(works: dict[str, Callable[[Sequence[Path]], int]], clips: Sequence[Path], runs: int) -> dict[str, float]:
    """Median frames per second of CPU time; the works take turns, so that the machine's other load hits all alike."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for run in range(runs + 1):
        for name, work in works.items():
            before = time.process_time()
            frames = work(clips)
            if run:  # the first is a rehearsal
                found[name].append(frames / (time.process_time() - before))
    return {name: statistics.median(values) for name, values in found.items()}


def distances(clips: Sequence[Path], sparse: Cropper, dense: Cropper) -> None:
    """Print how far the landmarks between key frames are from those of every frame, and the jitter."""
    stable, mouth, center, jitter = [], [], [], []
    for clip in clips:
        ours, theirs = sparse(clip), dense(clip)
        a, b = (crops.landmarks[:, :136].reshape(-1, 68, 2) for crops in (ours, theirs))
        percent = 100 / np.ptp(b[:, :, 0], axis=1).mean()
        stable.append(np.linalg.norm(a[:, STABLE] - b[:, STABLE], axis=2).mean(1) * percent)
        mouth.append(np.linalg.norm(a[:, MOUTH].mean(1) - b[:, MOUTH].mean(1), axis=1) * percent)
        matrices = REGIONS["mouth"].transforms(a, ours.report.scenes)
        reference = REGIONS["mouth"].transforms(b, ours.report.scenes)
        middle = np.array([47.5, 47.5, 1])
        center.append(np.linalg.norm(matrices @ middle - reference @ middle, axis=1) * percent)
        corners = b[:QUIET, [48, 54]] - matrices[:QUIET, None, :, 2]
        inside = np.einsum("tij,tkj->tki", np.linalg.inv(matrices[:QUIET, :, :2]), corners)
        jitter.append(np.linalg.norm(np.diff(inside, axis=0), axis=2).mean())
    for name, values in (("alignment points", stable), ("middle of the mouth", mouth), ("middle of the crop", center)):
        joined = np.concatenate(values)
        print(f"  {name:<20} mean {joined.mean():.2f} %   95 % below {np.percentile(joined, 95):.2f} %   (aim: 2 %)")
    print(
        f"  jitter of the mouth's corners in the crop: {np.mean(jitter):.2f} pixels of 96 a frame, the detector's own"
    )
    print("  noise in single video frames included")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="?", type=Path, default=SHARED, help="folder of speakers' folders of clips")
    parser.add_argument("--speaker", nargs="*", default=["s1", "s4"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--number", type=int, default=6, help="clips a speaker")
    parser.add_argument("--every", type=int, default=EVERY)
    parser.add_argument("--detector", default=DEFAULT_DETECTOR)
    options = parser.parse_args()
    dense = Cropper(("mouth",), options.detector, detect_interval=1)
    one = Cropper(("mouth",), options.detector, detect_interval=options.every)
    both = Cropper(detector=options.detector, detect_interval=options.every)
    for speaker in options.speaker:
        clips = sorted(path for path in (options.clips / speaker).iterdir() if path.suffix in (".mp4", ".mpg"))
        clips = clips[: options.number]
        works = {
            "decode alone": decode_alone,
            "mouth": with_cropper(one),
            "mouth and face": with_cropper(both),
            "mouth and face, encoded": with_cropper(both, stored=True),
            "mouth, every frame": with_cropper(dense),
        }
        found = speeds(works, clips, options.runs)
        print(f"{speaker}: {len(clips)} clips, key frames every {options.every}, median of {options.runs}")
        for name, value in found.items():
            print(f"  {name:<24} {value:7.0f} frames/s per core   {value / found['decode alone']:.2f} of decode")
        distances(clips, one, dense)


if __name__ == "__main__":
    main()
