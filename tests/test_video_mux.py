"""Speech under frames: copied or encoded again, the result shows what the clip shows, from its first frame on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video_making import levels, numbers_of, set_matrix, write_clip

from lipsound2.decoding.hypothesis import Word
from lipsound2.decoding.subtitles import Cue
from lipsound2.errors import LipsoundError
from lipsound2.media.opening import opened
from lipsound2.video import mux
from lipsound2.video.captions import Captions, Painter
from lipsound2.video.decode import Source, read_video
from lipsound2.video.frame import to_full_range
from lipsound2.video.frame_buffer import FrameBuffer
from lipsound2.video.mux import mux_speech

RATE = 16000


@pytest.fixture(params=["copied", "encoded"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the frames get into the file."""
    if request.param == "encoded":
        monkeypatch.setattr(mux, "_COPIED", frozenset())
    return request.param


def laid(clip: Path, out: Path, captions: Captions | None = None) -> tuple[np.ndarray, np.ndarray, Source]:
    """Full-range lumas of a clip, and of what was made of it; and the latter's source."""
    source = Source(clip)
    before = lumas(source)
    assert source.timeline is not None
    waveform = (0.1 * np.sin(np.arange(source.timeline.num_frames * 640) / 8)).astype(np.float32)
    mux_speech(clip, lambda: [waveform[:1000], waveform[1000:]], RATE, source.timeline.start, out, captions)
    made = Source(out)
    after = lumas(made)
    assert made.timeline is not None
    assert made.timeline.num_frames == source.timeline.num_frames
    assert made.timeline.start == pytest.approx(0, abs=2e-3)
    with av.open(str(out)) as container:
        heard = [frame.to_ndarray() for frame in container.decode(audio=0)]
    assert sum(each.shape[1] for each in heard) == pytest.approx(len(waveform), abs=2100)
    assert not list(out.parent.glob("*.tmp*"))
    return before, after, made


def lumas(source: Source) -> np.ndarray:
    return np.stack(
        [to_full_range(each.luma(), each.full_range).copy() for part in FrameBuffer().parts(source) for each in part]
    )


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("start", [0.0, 1.52])
def test_fault_A3_first_key_frame_is_kept(tmp_path: Path, suffix: str, start: float) -> None:
    """Matroska tells no times of decoding: with B-frames the first packets come without."""
    options = {"bf": "3", "preset": "medium", "x264-params": "b-pyramid=normal:b-adapt=0:scenecut=0"}
    times = [start + i / 25 for i in range(40)]
    clip = write_clip(tmp_path / "a.mkv", levels(range(40)), times, options=options)
    with opened(clip) as media:
        assert next(packet for packet in media.container.demux(video=0)).dts is None
    out = tmp_path / f"out{suffix}"
    _, after, _ = laid(clip, out)
    assert numbers_of([luma * (219 / 255) + 16 for luma in after]) == list(range(40))
    count = [len(packets(path)) for path in (clip, out)]
    assert count == [40, 40]
    if suffix == ".mkv":
        assert packets(out)[1:] == packets(clip)[1:]


def test_fault_A3_a_stream_without_times_is_encoded_again(tmp_path: Path) -> None:
    clip = tmp_path / "a.h264"
    whole = write_clip(tmp_path / "a.mp4", levels(range(30)), [i / 25 for i in range(30)])
    with av.open(str(whole)) as source, av.open(str(clip), "w", format="h264") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    before, after, _ = laid(clip, tmp_path / "out.mp4")
    assert len(before) == 30
    assert np.abs(before.astype(int) - after).max() <= 3


def test_fault_A3_the_result_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_clip(tmp_path / "a.mkv", levels(range(40)), [i / 25 for i in range(40)])
    copy = mux._stamps

    def without_the_first(path: Path) -> list[tuple[int, int]]:
        return [(pts + 400, dts + 400) for pts, dts in copy(path)]

    monkeypatch.setattr(mux, "_stamps", without_the_first)
    laid(clip, tmp_path / "out.mp4")  # what was copied begins 0.4 s late: encoded instead
    monkeypatch.setattr(mux, "_encode", lambda *given: mux._copy(*given[:4]))
    with pytest.raises(LipsoundError, match="the first frame comes after"):
        laid(clip, tmp_path / "bad.mp4")
    assert not (tmp_path / "bad.mp4").exists()


@pytest.mark.parametrize(
    "matrix", [(-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1), (0, 1, -1, 0), (0, 1, 1, 0), (0, -1, -1, 0)]
)
def test_fault_A4_turned_and_mirrored_clips_stand_as_the_clip_does(
    tmp_path: Path, way: str, matrix: tuple[int, int, int, int]
) -> None:
    stored = np.full((96, 64, 3), 40, np.uint8)
    stored[:30, :20] = (250, 40, 40)
    stored[60:, 10:20] = (40, 250, 40)
    clip = set_matrix(write_clip(tmp_path / "a.mp4", [stored] * 10, [i / 25 for i in range(10)]), *matrix)
    out = tmp_path / "out.mp4"
    laid(clip, out)
    (wanted, _), (found, _) = read_video(clip), read_video(out)
    assert wanted.shape == found.shape
    assert np.abs(wanted.astype(int) - found).mean() < 4
    assert (str(Source(out).orientation) == "") or way == "copied"


def squeezed(path: Path) -> Path:
    ramp = np.tile(np.linspace(20, 230, 96).astype(np.uint8), (64, 1))
    return write_clip(path, [ramp] * 12, [i / 25 for i in range(12)], options={"x264-params": "sar=4/3"})


def woven(path: Path) -> Path:
    frames = []
    for i in range(20):
        pair = np.full((2, 64, 128), 30, np.uint8)
        pair[0, :, 4 * i : 4 * i + 20] = 220
        pair[1, :, 4 * i + 8 : 4 * i + 28] = 220
        frames.append(np.where(np.arange(64)[:, None] % 2 == 0, pair[0], pair[1]))
    return write_clip(path, frames, [i / 25 for i in range(20)], interlaced=True)


def unsteady(path: Path) -> Path:
    times = np.cumsum([0.0, *np.random.default_rng(0).uniform(0.015, 0.09, 40)])
    return write_clip(path, levels(range(41)), times.tolist())


def full(path: Path) -> Path:
    ramp = np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1))
    return write_clip(path, [ramp] * 12, [i / 25 for i in range(12)], full_range=True)


@pytest.mark.parametrize("make", [squeezed, woven, unsteady, full])
def test_fault_A4_frames_and_their_times_stay(tmp_path: Path, way: str, make: Callable[[Path], Path]) -> None:
    before, after, made = laid(make(tmp_path / "a.mp4"), tmp_path / "out.mp4")
    assert before.shape == after.shape
    assert np.abs(before.astype(int) - after).mean() < 2.5
    assert made.interlaced == (make is woven and way == "copied")


def test_fault_A4_odd_sides(tmp_path: Path) -> None:
    frame = np.zeros((63, 95, 3), np.uint8)
    frame[:, 40:] = 200
    clip = write_clip(tmp_path / "a.webm", [frame] * 12, [i / 25 for i in range(12)], codec="libvpx")
    before, after, _ = laid(clip, tmp_path / "out.mp4")
    assert before.shape[1:] == after.shape[1:] == (62, 94)
    assert np.abs(before.astype(int) - after).mean() < 2.5


@pytest.mark.parametrize("codec", ["mjpeg", "ffv1"])
def test_fault_H28_full_range_and_gray_keep_their_contrast(tmp_path: Path, codec: str) -> None:
    ramp = np.tile(np.linspace(0, 255, 96).round().astype(np.uint8), (64, 1))
    clip = tmp_path / "a.mkv"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "gray" if codec == "ffv1" else "yuvj420p"
        for _ in range(12):
            planes = ramp if codec == "ffv1" else np.concatenate([ramp, np.full((32, 96), 128, np.uint8)])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, stream.pix_fmt)))
        container.mux(stream.encode(None))
    before, after, made = laid(clip, tmp_path / "out.mp4")
    assert np.abs(before[3].astype(int) - ramp).mean() < 2
    assert np.abs(after[3].astype(int) - ramp).mean() < 2
    assert len(before) == len(after) == 12
    assert made.log == []


@pytest.mark.real
def test_fault_A5_joined_recordings_are_laid_under_whole(tmp_path: Path, grid_original: Path) -> None:
    path = tmp_path / "joined.mpg"
    pair = sorted(grid_original.glob("s1/*.mpg"))[:2]
    path.write_bytes(b"".join(each.read_bytes() for each in pair))
    before, after, _ = laid(path, tmp_path / "out.mp4")
    assert len(before) == 150
    alone = lumas(Source(pair[1]))
    assert np.abs(before[75:].astype(int) - alone).mean() < 1
    assert np.abs(after[75:].astype(int) - alone).mean() < 3


def said(*rows: tuple[float, float, str]) -> list[Cue]:
    return [Cue(start, end, tuple(Word(word, start, end, 1.0) for word in text.split())) for start, end, text in rows]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_soft_subtitles_are_a_track_with_its_times(tmp_path: Path, way: str, suffix: str) -> None:
    clip = write_clip(tmp_path / "a.mp4", levels(range(60)), [i / 25 for i in range(60)])
    out = tmp_path / f"out{suffix}"
    before, after, _ = laid(clip, out, Captions(said((0.2, 1.0, "bin blue"), (1.5, 2.0, "é now")), title="by me"))
    assert np.abs(before.astype(int) - after).mean() < 1
    with av.open(str(out)) as container:
        (track,) = container.streams.subtitles
        assert "by me" in track.metadata.values()
        packets = [packet for packet in container.demux(track) if packet.size > 2]
    assert [(packet.pts, packet.duration) for packet in packets] == [(200, 800), (1500, 500)]
    assert [bytes(packet)[2 * (suffix != ".mkv") :].decode() for packet in packets] == ["bin blue", "é now"]


def test_burnt_subtitles_are_in_the_frames_while_they_are_said(tmp_path: Path) -> None:
    frames = [np.full((96, 160, 3), (30, 60, 200), np.uint8)] * 50
    clip = write_clip(tmp_path / "a.mp4", frames, [i / 25 for i in range(50)])
    before, after, _ = laid(clip, tmp_path / "out.mp4", Captions(said((0.4, 1.2, "bin blue at f two now")), burn=True))
    moved = np.abs(before.astype(int) - after).max(axis=2)  # (T, H)
    drawn = moved.max(axis=1) > 100
    assert np.flatnonzero(drawn).tolist() == [*range(10, 30)]
    rows = np.flatnonzero(moved[15] > 60)
    assert rows.min() > 48  # below the middle
    assert rows.max() < 94
    assert after[15].max() > 220  # white ...
    assert after[15].min() < 30  # ... with a black edge
    assert moved[15][:40].max() < 6
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.subtitles


@pytest.mark.parametrize("level", [16, 72, 128, 200, 235, 255])
def test_the_edges_of_letters_are_mixed_with_what_is_behind_them(level: int) -> None:
    """Where a letter covers a part of a pixel, its level is that part of the way to the letter's."""
    painter, shapes = Painter(said((0.0, 1.0, "bin blue"))), ((96, 160), (48, 80), (48, 80))
    planes = [np.full(shape, level, np.uint8) for shape in shapes]
    painter.draw(planes, 0.5)
    for plane, layers in zip(planes, painter._layers, strict=True):
        wanted = np.full(plane.shape, level, np.float64)
        for layer in layers:
            part = wanted[layer.top : layer.top + len(layer.cover)]
            part += (layer.level - part) * layer.cover.astype(np.float64)
        assert np.abs(plane - wanted).max() <= 1


@pytest.mark.parametrize(
    "rows", [(), ((0.2, 0.4), (0.6, 0.8)), ((0.2, 1.0), (0.4, 0.6), (0.8, 1.4)), ((0.2, 0.2), (0.2, 0.4))]
)
def test_of_subtitles_that_overlap_the_first_is_drawn(rows: tuple[tuple[float, float], ...]) -> None:
    painter = Painter(said(*((*row, "bin") for row in rows)))
    for time in np.arange(0, 1.6, 0.1).round(1):
        planes = [np.full(shape, 72, np.uint8) for shape in ((96, 160), (48, 80), (48, 80))]
        painter.draw(planes, time)
        shown = [number for number, (start, end) in enumerate(rows) if start <= time < end]
        assert (planes[0] != 72).any() == bool(shown)
        assert not shown or painter._drawn[0] == shown[0]


def test_letters_that_the_font_lacks_are_not_burnt_as_boxes(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", levels(range(30)), [i / 25 for i in range(30)])
    with pytest.raises(LipsoundError, match=r"no letter '你' .*take --subtitles soft"):
        laid(clip, tmp_path / "out.mp4", Captions(said((0.0, 1.0, "你 好")), burn=True))
    assert not (tmp_path / "out.mp4").exists()
