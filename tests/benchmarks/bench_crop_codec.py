"""The crop codec on real crops: bytes a video frame, PSNR, decoding and encoding in pictures/s per core.

    python tests/benchmarks/bench_crop_codec.py [CLIPS] [--clips 2] [--runs 5]

Ours beside the same encoder with its stock settings, beside the usual way of gray video (limited range through a color
conversion), and beside video frames that are merely deflated. Aim: 250 bytes a video frame or less at 42 dB or more,
and 15,000 pictures/s per core or more in decoding.
"""

from __future__ import annotations

import argparse
import statistics
import time
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange

from lipsound2.video.cropper import Cropper
from lipsound2.video.encode import decode, encode

SHARED = Path(__file__).resolve().parents[3] / "shared" / "grid"
Codec = tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]


def stock(clip: np.ndarray) -> np.ndarray:
    """The same encoder as it comes: preset medium, crf 23."""
    frames = [av.VideoFrame.from_ndarray(video_frame, "gray") for video_frame in clip]
    for frame in frames:
        frame.color_range = ColorRange.JPEG
    options = {"crf": "23", "preset": "medium", "tune": "film", "x264-params": "mbtree=0"}
    return libx264(frames, "gray", options, ColorRange.JPEG)


def through_rgb(clip: np.ndarray) -> np.ndarray:
    """Gray video frames as most programs store them: to RGB, to limited-range YUV."""
    colors = (np.repeat(video_frame[..., None], 3, -1) for video_frame in clip)
    frames = [av.VideoFrame.from_ndarray(color, "rgb24").reformat(format="yuv420p") for color in colors]
    return libx264(frames, "yuv420p", {"crf": "20"}, ColorRange.MPEG)


def libx264(frames: list[av.VideoFrame], pix_fmt: str, options: dict[str, str], levels: ColorRange) -> np.ndarray:
    """The stream (bytes,) uint8 of frames, by the encoder itself."""
    context = cast(VideoCodecContext, av.CodecContext.create("libx264", "w"))
    context.height, context.width = frames[0].height, frames[0].width
    context.pix_fmt, context.framerate, context.thread_count = pix_fmt, Fraction(25), 1
    context.color_range, context.options = levels, options
    packets: list[bytes] = []
    for index, frame in enumerate(frames):
        frame.pts = index
        packets += map(bytes, context.encode(frame))
    return np.frombuffer(b"".join([*packets, *map(bytes, context.encode(None))]), np.uint8)


def gray_of_rgb(vector: np.ndarray) -> np.ndarray:
    """And how they are read back."""
    context = cast(VideoCodecContext, av.CodecContext.create("h264", "r"))
    context.thread_count = 1
    packets = context.parse(vector.tobytes()) + context.parse(None)
    frames = [frame for packet in packets for frame in context.decode(packet)] + context.decode(None)
    return np.stack([frame.to_ndarray(format="gray") for frame in frames])


def deflate(clip: np.ndarray) -> np.ndarray:
    """Differences from video frame to video frame, deflated: without loss."""
    first = np.concatenate([clip[:1], np.diff(clip, axis=0)])
    return np.frombuffer(np.uint32(clip.shape).tobytes() + zlib.compress(first.tobytes(), 6), np.uint8)


def inflate(vector: np.ndarray) -> np.ndarray:
    """The inverse of `deflate`."""
    shape = np.frombuffer(vector[:12], np.uint32)
    return np.cumsum(np.frombuffer(zlib.decompress(vector[12:]), np.uint8).reshape(shape), 0, dtype=np.uint8)


CODECS: dict[str, Codec] = {
    "ours": (encode, decode),
    "stock settings": (stock, decode),
    "through RGB": (through_rgb, gray_of_rgb),
    "deflated": (deflate, inflate),
}


def measure(name: str, clips: list[np.ndarray], runs: int) -> str:
    """One row: bytes, PSNR over clips, speeds."""
    store, load = CODECS[name]
    vectors = [store(clip) for clip in clips]
    errors = [np.mean((clip.astype(float) - load(vector)) ** 2) for clip, vector in zip(clips, vectors, strict=True)]
    quality = [10 * np.log10(255**2 / error) if error else np.inf for error in errors]
    frames = sum(map(len, clips))
    rates = []
    for work, items in ((store, clips), (load, vectors)):
        taken = []
        for _ in range(runs):
            before = time.process_time()
            for item in items:
                work(item)
            taken.append(time.process_time() - before)
        rates.append(frames / statistics.median(taken))
    size = sum(map(len, vectors)) / frames
    return (
        f"  {name:<16} {size:7.0f} bytes a video frame   {np.mean(quality):6.2f} dB (worst clip {min(quality):.2f})   "
        f"encode {rates[0]:6.0f}/s   decode {rates[1]:6.0f}/s"
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="?", type=Path, default=SHARED, help="folder of speakers' folders of clips")
    parser.add_argument("--number", type=int, default=2, help="clips a speaker")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    cropper = Cropper()
    crops: dict[str, list[np.ndarray]] = {name: [] for name in cropper.regions}
    speakers = sorted(path for path in options.clips.iterdir() if path.is_dir() and path.name.startswith("s"))
    for speaker in speakers:
        for path in sorted(speaker.glob("*.mp4"))[: options.number]:
            for name, video_frames in cropper(path).regions.items():
                crops[name].append(video_frames)
    for name, clips in crops.items():
        print(f"{name}: {len(clips)} clips of {len(speakers)} speakers, {clips[0].shape[1]}x{clips[0].shape[2]}")
        for codec in CODECS:
            print(measure(codec, clips, options.runs))


if __name__ == "__main__":
    main()
