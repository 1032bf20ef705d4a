"""The crop codec: small, faithful, the same bytes on every run."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.video.encode import count_frames, decode, encode


def clip(frames: int = 40, size: int = 96, seed: int = 0) -> np.ndarray:
    """Smooth moving frames that use the whole range of levels."""
    y, x = np.mgrid[:size, :size] / size
    rng = np.random.default_rng(seed)
    waves = rng.uniform(0.3, 2, (4, 3))
    t = np.arange(frames)[:, None, None]
    frame = sum(np.sin(2 * np.pi * (a * x + b * y) + 0.1 * c * t) for a, b, c in waves)
    frame = (frame - frame.min()) / np.ptp(frame)
    return np.round(255 * frame).astype(np.uint8)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


@pytest.mark.parametrize("size", [96, 112])
def test_round_trip_keeps_number_range_and_detail(size: int) -> None:
    video_frames = clip(size=size)
    vector = encode(video_frames)
    back = decode(vector)
    assert vector.dtype == back.dtype == np.uint8
    assert back.shape == video_frames.shape
    assert count_frames(vector) == len(video_frames)
    assert psnr(video_frames, back) > 40
    assert back.min() < 8  # limited range would end at 16
    assert back.max() > 247


def test_the_bytes_do_not_depend_on_memory_or_process() -> None:
    video_frames = clip(30)
    first = encode(video_frames).tobytes()
    for seed in range(6):
        # Memory that was used before: encoders that read past their rows show it here.
        for size in range(1_000, 200_000, 7_000):
            np.full(size, seed * 40, np.uint8)
        encode(clip(8, size=112, seed=seed))
        assert encode(video_frames).tobytes() == first
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_video_encode import clip, encode; import hashlib; "
        "print(hashlib.sha256(encode(clip(30)).tobytes()).hexdigest())"
    )
    out = subprocess.run(
        [sys.executable, "-c", script, __file__.rpartition("/")[0]], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == hashlib.sha256(first).hexdigest()


def test_quality_follows_crf() -> None:
    video_frames = clip()
    fine, coarse = encode(video_frames, crf=16), encode(video_frames, crf=30)
    assert len(fine) > len(coarse)
    assert psnr(video_frames, decode(fine)) > psnr(video_frames, decode(coarse))


def test_one_frame_and_many() -> None:
    for frames in (1, 2, 5, 300):
        assert decode(encode(clip(frames))).shape[0] == frames


def test_a_stream_without_the_encoders_signature() -> None:
    assert b"x264" not in encode(clip(5)).tobytes()


def test_missing_encoder_names_others() -> None:
    with pytest.raises(LipsoundError, match=r"h264_of_mars.*--codec.*libx264"):
        encode(clip(2), codec="h264_of_mars")


@pytest.mark.parametrize("vector", [np.zeros(100, np.uint8), np.arange(250, dtype=np.uint8), np.zeros(0, np.uint8)])
def test_garbage_is_a_verdict(vector: np.ndarray) -> None:
    with pytest.raises(ClipFailure, match="damaged-crop"):
        decode(vector)


def test_a_cut_stream_is_a_verdict_or_fewer_frames() -> None:
    vector = encode(clip(20))
    assert count_frames(vector[: len(vector) // 2]) < 20
