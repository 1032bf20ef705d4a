"""The audio of media files: which track, which channel, joined recordings in step with the video, absurd headers."""

from __future__ import annotations

import resource
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.logging
import numpy as np
import pytest
import soundfile
from helpers.video_making import levels, numbers_of

from lipsound2.audio.io import load_audio, load_span
from lipsound2.audio.segment import Segment, cut_audio
from lipsound2.errors import ClipFailure
from lipsound2.media.clock import Clock
from lipsound2.metrics.audio_sources import read_wav
from lipsound2.video.decode import Source
from lipsound2.video.frame_buffer import FrameBuffer

RATE = 48000


def tone(seconds: float, frequency: float = 440.0) -> np.ndarray:
    return (0.4 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def write_video(
    path: Path,
    tracks: list[np.ndarray],
    *,
    default: int = 0,
    first: int = 0,
    start: float = 0.0,
    jump: tuple[float, float] = (9e9, 0.0),
    codec: str = "flac",
) -> Path:
    """Levels from `first` on at 25 fps for as long as the tracks (C, n) at 48 kHz; audio from jump[0] s on is moved."""
    seconds = tracks[0].shape[-1] / RATE
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "2", "crf": "12"})
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        packets = []
        for number, level in enumerate(levels(range(first, first + round(seconds * 25)))):
            planes = np.full((96, 96), 128, np.uint8)
            planes[:64] = level
            frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += video.encode(frame)
        packets += video.encode(None)
        audio = []
        for number, track in enumerate(tracks):
            waveform = np.atleast_2d(track)
            layout = "stereo" if len(waveform) == 2 else "mono"
            stream = container.add_stream(codec, rate=RATE, layout=layout)
            stream.disposition = av.stream.Disposition.default if number == default else 0
            audio.append((stream, waveform, layout))
        for stream, waveform, layout in audio:
            for begin in range(0, waveform.shape[1], 1152):
                block = np.rint(waveform[:, begin : begin + 1152] * 32767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(block.T.reshape(1, -1), format="s16", layout=layout)
                frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), begin
                packets += stream.encode(frame)
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda packet: float((packet.dts or 0) * packet.time_base)):
            moved = jump[1] if packet.stream.type == "audio" and packet.pts * packet.time_base >= jump[0] else 0.0
            ticks = round((start + moved) / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            container.mux(packet)
    return path


@dataclass
class Packet:
    """As much of a packet as a clock looks at; times in milliseconds."""

    stream_index: int
    pts: int
    duration: int = 40
    time_base: Fraction = Fraction(1, 1000)

    def __post_init__(self) -> None:
        self.dts: int | None = self.pts


def loudest(waveform: np.ndarray, frequency: float) -> bool:
    spectrum = np.abs(np.fft.rfft(waveform))
    return abs(spectrum.argmax() * 16000 / len(waveform) - frequency) < 5


def click(seconds: float, at: float) -> np.ndarray:
    waveform = np.zeros(round(seconds * RATE), np.float32)
    place = round(at * RATE)
    waveform[place : place + 480] = tone(0.01, 3000.0)
    return waveform


@pytest.mark.parametrize("starts", [(0.0, 0.0), (0.0, 7000.0), (500.0, 3.0), (0.0, 0.0, 0.0)])
def test_fault_A5_joined_recordings_go_on_frames_and_audio_in_step(tmp_path: Path, starts: tuple[float, ...]) -> None:
    parts = [
        write_video(tmp_path / f"{at}.ts", [click(2.0, 1.0)], first=50 * at, start=start, codec="mp2")
        for at, start in enumerate(starts)
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    source = Source(path)
    found = numbers_of([video_frame.luma() for part in FrameBuffer().parts(source) for video_frame in part])
    assert source.timeline is not None
    assert len(found) == pytest.approx(50 * len(starts), abs=2)
    assert len(set(found)) >= 50 * len(starts) - 2
    assert sum("clock starts anew" in note for note in source.notes) == 1
    waveform = cut_audio(Segment(str(path), source.timeline.start, len(found)), 16000)
    for part in range(len(starts)):
        video_frame = found.index(50 * part + 25)  # the click is under the 26th frame of each part
        heard = np.abs(waveform[(video_frame - 3) * 640 : (video_frame + 4) * 640]).argmax() / 16000 - 3 * 0.04
        assert -0.03 < heard < 0.05


def test_fault_A5_what_cannot_be_joined_is_reported(tmp_path: Path) -> None:
    parts = [write_video(tmp_path / f"{at}.mp4", [tone(1.0)], first=25 * at) for at in (0, 1)]
    path = tmp_path / "joined.mp4"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    source = Source(path)
    assert len(list(source)) == 25
    assert any("second recording" in note for note in source.notes)


@pytest.mark.parametrize(("suffix", "codec"), [("flv", "aac"), ("wmv", "mp3"), ("asf", "aac")])
def test_fault_A5_a_recording_behind_one_of_known_end_is_reported(tmp_path: Path, suffix: str, codec: str) -> None:
    parts = [write_video(tmp_path / f"{at}.{suffix}", [tone(1.0)], first=25 * at, codec=codec) for at in (0, 1)]
    path = tmp_path / f"joined.{suffix}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    for clip, joined in ((parts[0], False), (path, True)):
        source = Source(clip)
        assert len(list(source)) == pytest.approx(25, abs=1)
        assert any("second recording" in note for note in source.notes) == joined


def test_fault_A5_audio_behind_audio_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    alone, path = tmp_path / "alone.wav", tmp_path / "joined.wav"
    soundfile.write(alone, tone(1.0), RATE)
    path.write_bytes(2 * alone.read_bytes())
    assert len(load_audio(alone)) == len(load_audio(path)) == 16_000
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [str(path)]
    assert "a second recording is joined behind this one" in caplog.text


def test_tags_behind_a_recording_are_no_second_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(0.1), RATE)
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 4_000) + 1_000 * b"INFO")
    assert len(load_audio(path)) == 1_600
    assert not caplog.text


def damaged(path: Path) -> Path:
    content = bytearray(write_video(path, [tone(2.0)], codec="mp2").read_bytes())
    for place in range(len(content) // 3, len(content), 211):
        content[place] ^= 0x5A
    path.write_bytes(content)
    return path


def test_fault_C3_a_track_that_damage_makes_appear_is_passed_over(tmp_path: Path) -> None:
    assert len(list(Source(damaged(tmp_path / "a.ts")))) > 10


def test_what_ffmpeg_says_is_of_the_file_that_it_reads(tmp_path: Path) -> None:
    files = [damaged(tmp_path / f"a.{suffix}") for suffix in ("mkv", "ts")]

    def words(path: Path) -> list[str]:
        source = Source(path)
        list(source)
        return source.log

    alone = [words(path) for path in files]
    assert all(alone)
    assert alone[0] != alone[1]
    assert av.logging.get_level() is None
    together = [Source(path) for path in files]
    readers = [iter(source) for source in together]
    for _ in range(40):
        for reader in readers:
            next(reader, None)
            av.logging.log(av.logging.ERROR, "somebody", "else")
    for reader in readers:  # the first that was opened is closed first
        list(reader)
    assert [source.log for source in together] == alone
    assert av.logging.get_level() is None


def test_fault_C2_an_audio_clock_that_jumps_takes_no_memory(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = write_video(tmp_path / "a.mkv", [tone(2.0)], jump=(0.5, 40_000.0))
    assert len(list(Source(path))) == 50  # the frames do not mind
    assert 31_000 < len(load_audio(path)) < 4 * 16_000
    with pytest.raises(ClipFailure, match="short-audio"):
        cut_audio(Segment(str(path), 0.0, 50), 16000)
    # Many jumps, each of them short enough to be a pause.
    path = tmp_path / "steps.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for number in range(300):
            frame = av.AudioFrame.from_ndarray(np.ones((1, 80), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = 8000, Fraction(1, 8000), number * 50 * 8000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ClipFailure, match=r"unreadable.*pauses"):
        load_audio(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kilobytes


def test_fault_C2_audio_that_jumps_while_the_video_goes_on_is_not_laid_under_it() -> None:
    """Packets in the order a recorder writes them; muxers would sort them by their time."""
    clock = Clock()
    for number in range(100):
        video_frame, waveform = Packet(0, number * 40), Packet(1, number * 40 + (40_000_000 if number > 20 else 0))
        clock.place(video_frame)  # type: ignore[arg-type]
        clock.place(waveform)  # type: ignore[arg-type]
        assert video_frame.pts == number * 40
        assert abs(waveform.pts - number * 40) <= 40
    assert clock.torn(0, 1)
    assert clock.torn(1, 0)


def test_fault_C2_one_packet_with_a_wrong_time_moves_nothing() -> None:
    for wrong in (40_000_000, -40_000_000):
        clock = Clock()
        for number in range(100):
            video_frame, waveform = Packet(0, number * 40), Packet(1, number * 40 + (wrong if number == 20 else 0))
            clock.place(video_frame)  # type: ignore[arg-type]
            clock.place(waveform)  # type: ignore[arg-type]
            assert video_frame.pts == number * 40
            assert abs(waveform.pts - number * 40) <= (40 if number == 20 else 0)
        assert not clock.torn(0, 1)


@pytest.mark.parametrize(("rate", "channels"), [(1, 1), (0x7FFFFFFF, 1), (383_999, 1), (16000, 600)])
def test_fault_C2_absurd_headers_are_refused(tmp_path: Path, rate: int, channels: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(48_000), 16000)
    data = bytearray(path.read_bytes())
    at = data.index(b"fmt ") + 10
    struct.pack_into("<HIIH", data, at, channels, rate, min(rate * 2 * channels, 0xFFFFFFFF), 2 * channels)
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ClipFailure, match=r"unreadable"):
        load_audio(path)
    if rate != 383_999:
        with pytest.raises(ClipFailure, match=r"unreadable"):
            read_wav(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize("default", [0, 1])
def test_fault_A7_the_default_track_of_audio_is_taken(tmp_path: Path, default: int) -> None:
    path = write_video(tmp_path / "a.mkv", [tone(1.0, 440.0), tone(1.0, 1000.0)], default=default)
    assert loudest(load_audio(path), (440.0, 1000.0)[default])


def test_fault_A7_a_silent_default_track_gives_way_and_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_video(tmp_path / "a.mkv", [tone(1.0), np.zeros((2, RATE), np.float32)], default=1)
    assert loudest(load_audio(path), 440.0)
    assert "the first choice holds nothing" in caplog.text
    assert "taken: stream 1" in caplog.text
    silent = write_video(tmp_path / "b.mkv", [np.zeros(RATE, np.float32)] * 2)
    assert not load_audio(silent).any()


def test_fault_A7_an_audio_track_no_decoder_knows_gives_way(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [tone(1.0, 440.0), tone(1.0, 1000.0)])
    data = path.read_bytes()
    at = data.index(b"A_FLAC")
    path.write_bytes(data[:at] + b"A_QQ42" + data[at + 6 :])
    assert loudest(load_audio(path), 1000.0)
    path.write_bytes(path.read_bytes().replace(b"A_FLAC", b"A_QQ42"))
    with pytest.raises(ClipFailure, match=r"unreadable: .*codec .* unknown"):
        load_audio(path)


@pytest.mark.parametrize("share", [-1.0, -0.8])
def test_fault_A10_channels_in_opposite_phase_do_not_cancel(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, share: float
) -> None:
    one = tone(1.0)
    path = write_video(tmp_path / "a.mkv", [np.stack([one, share * one])])
    assert np.abs(load_span(path, start=0.0, seconds=1.0).waveform).max() > 0.35
    assert "channel 1 is taken alone" in caplog.text
    caplog.clear()
    for other in (0 * one, tone(1.0, 700.0), one):  # one channel alone, unrelated, the same
        path = write_video(tmp_path / "a.mkv", [np.stack([one, other])])
        assert np.abs(load_audio(path)).max() < 0.41
        assert not caplog.text
