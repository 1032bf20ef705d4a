"""Decoding: the 25 fps grid by time stamps, rotation, interlacing, range, and files that are broken."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video_making import levels, numbers_of, set_matrix, write_clip

from lipsound2.errors import ClipFailure
from lipsound2.video.cropper import Cropper
from lipsound2.video.decode import Source, read_video
from lipsound2.video.frame import ArrayFrame
from lipsound2.video.frame_buffer import FrameBuffer


def shown(path: Path) -> tuple[list[int], Source]:
    source = Source(path)
    return numbers_of([video_frame.luma() for part in FrameBuffer().parts(source) for video_frame in part]), source


def nearest(times: list[float], count: int, middle: float = 0.0) -> list[int]:
    """The definition, spelled out: for each grid point the source frame nearest in time."""
    return [
        int(np.argmin([abs(t - times[0] - middle - i / 25) - 1e-9 * (k == 0) for k, t in enumerate(times)]))
        for i in range(count)
    ]


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(15)])
def test_constant_rates_keep_duration_and_take_the_nearest_frame(tmp_path: Path, rate: Fraction) -> None:
    count = round(2 * rate)
    times = [float(i / rate) for i in range(count)]
    numbers, source = shown(write_clip(tmp_path / "a.mp4", levels(range(count)), times))
    assert source.timeline is not None
    assert source.timeline.num_frames == len(numbers) == round(count / float(rate) * 25)
    assert source.timeline.fps == pytest.approx(float(rate), rel=1e-3)
    assert numbers == nearest(times, len(numbers))


@pytest.mark.parametrize("rate", [Fraction(50), Fraction(60000, 1001), Fraction(60), Fraction(120)])
def test_fault_B10_fast_sources_give_the_frame_in_the_middle_of_each_forty_milliseconds(
    tmp_path: Path, rate: Fraction
) -> None:
    count = round(1.2 * rate)
    times = [float(i / rate) for i in range(count)]
    numbers, source = shown(write_clip(tmp_path / "a.mp4", levels(range(count)), times))
    assert source.timeline is not None
    assert source.timeline.num_frames == len(numbers) == round(count / float(rate) * 25)
    assert numbers == nearest(times, len(numbers), middle=0.02)


def test_variable_rate(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    times = np.cumsum([0.0, *rng.uniform(0.01, 0.11, 50)]).tolist()
    numbers, _ = shown(write_clip(tmp_path / "a.mkv", levels(range(51)), times))
    times = [round(t, 3) for t in times]  # Matroska keeps milliseconds
    assert abs(len(numbers) - 25 * times[-1]) <= 3
    expected = nearest(times, len(numbers))
    assert (
        np.mean([a == b for a, b in zip(numbers, expected, strict=True)]) > 0.97
    )  # half-way points may round either way


def test_the_grid_begins_at_the_first_frame(tmp_path: Path) -> None:
    times = [1.5 + i / 25 for i in range(20)]
    numbers, source = shown(write_clip(tmp_path / "a.mkv", levels(range(20)), times))
    assert source.timeline is not None
    assert source.timeline.start == pytest.approx(1.5, abs=2e-3)
    assert numbers == list(range(20))


def test_a_hole_in_the_stream_is_filled_with_the_nearest_frame(tmp_path: Path) -> None:
    kept = [*range(10), *range(16, 25)]
    numbers, _ = shown(write_clip(tmp_path / "a.mp4", levels(kept), [i / 25 for i in kept]))
    assert numbers == [*range(10), 9, 9, 9, 16, 16, 16, *range(16, 25)]


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_phone_clips_come_out_upright(tmp_path: Path, turned: int) -> None:
    upright = np.full((96, 64, 3), 40, np.uint8)
    upright[:30, :20] = (250, 40, 40)  # red, top left
    stored = np.rot90(upright, turned // 90)  # the display matrix turns clockwise
    path = write_clip(tmp_path / "a.mp4", [stored] * 10, [i / 25 for i in range(10)], turned=turned)
    video_frames, timeline = read_video(path)
    assert (timeline.height, timeline.width) == (96, 64) == video_frames.shape[1:3]
    assert np.abs(video_frames[5].astype(int) - upright).mean() < 6
    source = Source(path)
    part = next(FrameBuffer().parts(source))
    assert part[5].size == (64, 96)
    assert np.abs(part[5].rgb(640).astype(int) - upright).mean() < 6
    assert part[5].luma().shape == (96, 64)


MATRICES = [(a, 0, 0, d) for a in (1, -1) for d in (1, -1)] + [(0, b, c, 0) for b in (1, -1) for c in (1, -1)]


def shown_by(matrix: tuple[int, int, int, int], stored: np.ndarray) -> np.ndarray:
    """The definition, spelled out: pixel (x, y) goes to (a x + c y, b x + d y), and that is moved into sight."""
    a, b, c, d = matrix
    y, x = np.mgrid[: stored.shape[0], : stored.shape[1]]
    right, down = a * x + c * y, b * x + d * y
    out = np.empty((np.ptp(down) + 1, np.ptp(right) + 1, *stored.shape[2:]), stored.dtype)
    out[down - down.min(), right - right.min()] = stored
    return out


@pytest.mark.parametrize("matrix", MATRICES)
def test_fault_A6_the_whole_display_matrix_is_obeyed(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    stored = np.full((96, 64, 3), 40, np.uint8)
    stored[:30, :20] = (250, 40, 40)  # red, top left
    stored[60:, 10:20] = (40, 250, 40)
    path = set_matrix(write_clip(tmp_path / "a.mp4", [stored] * 6, [i / 25 for i in range(6)]), *matrix)
    wanted = shown_by(matrix, stored)
    video_frames, timeline = read_video(path)
    assert (timeline.height, timeline.width) == wanted.shape[:2]
    assert np.abs(video_frames[3].astype(int) - wanted).mean() < 6
    part = next(FrameBuffer().parts(Source(path)))
    assert np.abs(part[3].rgb(640).astype(int) - wanted).mean() < 6
    gray = wanted @ (0.299, 0.587, 0.114) * (219 / 255) + 16
    assert np.abs(part[3].luma() - gray).mean() < 4


def test_levels_are_stretched_once(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(16, 235, 96).round().astype(np.uint8), (64, 1))
    limited = next(
        FrameBuffer().parts(Source(write_clip(tmp_path / "tv.mp4", [ramp] * 6, [i / 25 for i in range(6)])))
    )[3]
    assert not limited.full_range
    assert np.abs(limited.luma().astype(int) - ramp).max() <= 3
    wide = np.tile(np.linspace(0, 255, 96).round().astype(np.uint8), (64, 1))
    path = write_clip(tmp_path / "full.mp4", [wide] * 6, [i / 25 for i in range(6)], full_range=True)
    video_frame = next(FrameBuffer().parts(Source(path)))[3]
    assert video_frame.full_range
    assert np.abs(video_frame.luma().astype(int) - wide).max() <= 3


def test_fields_are_deinterlaced(tmp_path: Path) -> None:
    woven = []
    for i in range(20):
        pair = np.full((2, 64, 128), 30, np.uint8)
        pair[0, :, 4 * i : 4 * i + 20] = 220  # the bar moves between the two fields
        pair[1, :, 4 * i + 8 : 4 * i + 28] = 220
        frame = pair[0].copy()
        frame[1::2] = pair[1, 1::2]
        woven.append(frame)
    path = write_clip(tmp_path / "a.mp4", woven, [i / 25 for i in range(20)], interlaced=True)
    source = Source(path)
    video_frames = [video_frame.luma().astype(int) for part in FrameBuffer().parts(source) for video_frame in part]
    assert source.interlaced
    assert len(video_frames) == 20
    comb = [np.abs(np.diff(p[16:-16], axis=0)).mean() for p in video_frames[4:-4]]
    raw = np.abs(np.diff(woven[10][16:-16].astype(int), axis=0)).mean()
    assert np.mean(comb) < 0.3 * raw


def test_non_square_pixels_become_square(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mp4", levels(range(8)), [i / 25 for i in range(8)], options={"x264-params": "sar=4/3"}
    )
    numbers, source = shown(path)
    assert source.timeline is not None
    assert (source.timeline.width, source.timeline.height) == (128, 64)
    assert numbers == list(range(8))


def test_a_long_clip_comes_in_parts_and_once_more(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", levels(range(150)), [i / 25 for i in range(150)])
    buffer = FrameBuffer(budget=1)  # 64 frames a part at least
    source = Source(path)
    parts = [numbers_of([video_frame.luma() for video_frame in part]) for part in buffer.parts(source)]
    assert [len(part) for part in parts] == [64, 64, 22]
    assert [number for part in parts for number in part] == list(range(150))
    assert [numbers_of([video_frame.luma()])[0] for video_frame in buffer.decode_again(source)] == list(range(150))


def test_broken_files_have_a_verdict(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "a.mp4", levels(range(50)), [i / 25 for i in range(50)]).read_bytes()
    empty = tmp_path / "empty.mp4"
    empty.touch()
    headless = tmp_path / "headless.mp4"
    headless.write_bytes(whole[: len(whole) // 2])
    text = tmp_path / "text.mpg"
    text.write_text("not a video " * 1000)
    for path, words in ((empty, "0 bytes"), (tmp_path / "none.mp4", "no such file"), (headless, "moov"), (text, "")):
        with pytest.raises(ClipFailure) as failure:
            list(Source(path))
        assert failure.value.reason == "unreadable"
        assert str(path) in failure.value.detail
        assert words in failure.value.detail


def test_audio_only(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ClipFailure, match=r"no-video.*audio"):
        list(Source(path))


def test_damaged_packets_are_counted_and_survived(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(30, 220, (64, 96), dtype=np.uint8) for _ in range(60)]
    path = write_clip(tmp_path / "a.ts", noise, [i / 25 for i in range(60)])
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 3, len(data) // 2, 997):
        data[at] ^= 0xFF
    path.write_bytes(data)
    source = Source(path)
    video_frames = list(source)
    assert len(video_frames) > 40
    assert source.damaged or source.log


def test_a_real_damaged_clip_is_read(grid_original: Path) -> None:
    source = Source(next((grid_original / "damaged").glob("*.mpg")))
    frames = len(list(source))
    assert source.timeline is not None
    assert source.decoded == 71
    assert frames == source.timeline.num_frames
    assert source.log


def test_a_clip_that_ends_too_early_says_so(grid: Path, tmp_path: Path) -> None:
    """Half of a download: it plays, and what is lacking must not look as if nothing were said."""
    whole = next(iter(sorted((grid / "s1").glob("*.mp4"))))
    (tmp_path / "half.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    for clip, lacking in ((whole, False), (tmp_path / "half.mp4", True)):
        warnings = Cropper(("mouth",))(clip).report.warnings
        assert any("75 frames and ends after" in line for line in warnings) == lacking


def test_a_color_frame_is_converted_to_gray_once() -> None:
    pixels = np.full((4, 6, 3), (255, 0, 0), np.uint8)
    color = ArrayFrame(pixels)
    assert color.luma() is color.luma()
    assert (color.luma() == 76).all()
    gray = pixels[..., 0]
    assert ArrayFrame(gray).luma() is gray
