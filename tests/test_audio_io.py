"""Audio files: nothing is shifted, timestamps are kept, what is missing is reported."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from lipsound2.audio.io import decode_flac, encode_flac, load_audio, load_span, resample, write_wav
from lipsound2.errors import ClipFailure, LipsoundError


def sine(rate: int, seconds: float, frequency: float = 440.0, start: float = 0.0) -> np.ndarray:
    time = start + np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * frequency * time + 0.3)).astype(np.float32)


def mux(path: Path, pieces: list[tuple[float, np.ndarray]], rate: int, codec: str = "pcm_s16le") -> Path:
    """A file of 16-bit audio whose pieces carry the given times in seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        for time, waveform in pieces:
            for begin in range(0, len(waveform), 1024):
                samples = np.rint(waveform[begin : begin + 1024] * 32767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
                frame.rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = round(time * rate) + begin
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 25000, 44100, 48000])
@pytest.mark.parametrize("start", [0.0, 0.1])
def test_resampling_shifts_nothing(tmp_path: Path, rate: int, start: float) -> None:
    path = tmp_path / "sine.wav"
    soundfile.write(path, sine(rate, 1.0), rate, subtype="FLOAT")
    start = round(start * rate) / rate  # the cut is to the nearest sample of the file
    made = load_audio(path, start=start, seconds=0.8)
    assert made.dtype == np.float32
    # At its very beginning the filter sees silence before the audio.
    assert np.abs(made - sine(16000, 0.8, start=start))[200:].max() < 1e-5


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_waveform_is_resampled_as_its_file_is(tmp_path: Path, rate: int) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, rate).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", noise, rate, subtype="FLOAT")
    np.testing.assert_allclose(resample(noise, rate), load_audio(tmp_path / "noise.wav"), atol=1e-6)


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_a_click_stays_where_it_was(tmp_path: Path, rate: int) -> None:
    waveform = np.zeros(rate, np.float32)
    waveform[rate // 2] = 1.0
    soundfile.write(tmp_path / "click.flac", waveform, rate)
    made = load_audio(tmp_path / "click.flac", seconds=0.9)
    assert made.argmax() == 8000
    np.testing.assert_allclose(made[7900:8000], made[8001:8101][::-1], atol=1e-5)


def test_what_cannot_be_kept_does_not_fold_back(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "high.wav", sine(44100, 1.0, 9000.0), 44100, subtype="FLOAT")
    soundfile.write(tmp_path / "low.wav", sine(44100, 1.0, 7300.0), 44100, subtype="FLOAT")
    inner = slice(2000, 12000)
    assert np.abs(load_audio(tmp_path / "high.wav", seconds=0.9)[inner]).max() < 1e-4
    low = load_audio(tmp_path / "low.wav", seconds=0.9)
    assert np.abs(low - sine(16000, 0.9, 7300.0))[inner].max() < 1e-3


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_sample_formats_have_one_scale(tmp_path: Path, subtype: str) -> None:
    waveform = sine(16000, 0.3)
    soundfile.write(tmp_path / "a.wav", waveform, 16000, subtype=subtype)
    made = load_audio(tmp_path / "a.wav")
    assert len(made) == len(waveform)
    assert np.abs(made - waveform).max() < (0.02 if subtype == "PCM_U8" else 1e-4)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = sine(16000, 0.3), sine(16000, 0.3, 1000.0)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), 16000, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav"), (left + right) / 2, atol=1e-6)


def test_the_files_clock_is_kept(tmp_path: Path) -> None:
    """Audio that begins at 0.54 s, asked for from 0.5 s on: 40 ms of silence, then the audio."""
    path = mux(tmp_path / "late.mkv", [(0.54, sine(44100, 1.0))], 44100)
    span = load_span(path, start=0.5, seconds=1.2)
    assert len(span.waveform) == 19200
    assert span.missing_before == pytest.approx(0.04, abs=1e-3)
    assert span.missing_after == pytest.approx(0.16, abs=1e-3)
    begin = round(0.04 * 16000)
    assert np.abs(span.waveform[: begin - 70]).max() < 1e-3
    assert np.abs(span.waveform[begin + 200 : begin + 15000] - sine(16000, 1.0)[200:15000]).max() < 1e-3
    assert not span.waveform[-2000:].any()
    assert len(load_audio(path)) == pytest.approx(16000, abs=1)  # without a start: from where it begins


def test_a_hole_in_the_audio_stays_a_hole(tmp_path: Path) -> None:
    waveform = sine(16000, 0.512)
    path = mux(tmp_path / "hole.mkv", [(0.0, waveform), (1.0, waveform)], 16000)
    span = load_span(path, start=0.0, seconds=1.6)
    made = span.waveform
    assert span.missing_inside == pytest.approx(1.0 - 0.512, abs=1e-3)
    assert np.abs(made[: len(waveform)] - waveform).max() < 1e-3
    assert not made[len(waveform) : 16000 - 16].any()
    assert np.abs(made[16000 : 16000 + len(waveform)] - waveform).max() < 1e-3


def test_a_damaged_packet_is_a_hole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = mux(tmp_path / "source.mp4", [(0.0, sine(44100, 2.0))], 44100, "flac")
    packets = remuxed(source, tmp_path / "whole.mp4", damaged=range(0))
    remuxed(source, tmp_path / "damaged.mp4", damaged=range(8, 9))
    whole, damaged = (load_span(tmp_path / name, seconds=1.8) for name in ("whole.mp4", "damaged.mp4"))
    assert "1 packets of audio are damaged" in caplog.text
    assert whole.missing_inside == 0
    assert damaged.missing_inside == pytest.approx(4608 / 44100, abs=2e-3)
    inner = slice(round(1.0 * 16000), round(1.7 * 16000))  # behind the hole nothing has moved
    assert np.abs(whole.waveform - damaged.waveform)[inner].max() < 1e-3
    remuxed(source, tmp_path / "rubbish.mp4", damaged=range(packets))
    with pytest.raises(ClipFailure, match="unreadable"):
        load_audio(tmp_path / "rubbish.mp4")


def remuxed(source: Path, target: Path, damaged: range) -> int:
    """Copy packets of audio into MP4 (its clock is exact), some with their content overwritten; returns how many."""
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        stream = after.add_stream_from_template(before.streams.audio[0])
        number = 0
        for packet in before.demux(before.streams.audio[0]):
            if packet.dts is None:
                continue
            copy = av.Packet(bytes(packet) if number not in damaged else bytes(packet.size))
            copy.stream, copy.time_base, copy.duration = stream, packet.time_base, packet.duration
            copy.pts = copy.dts = packet.pts
            after.mux(copy)
            number += 1
    return number


@pytest.mark.parametrize("seconds", [0.04, 0.333, 2.0])
def test_lengths_are_exact(tmp_path: Path, seconds: float) -> None:
    soundfile.write(tmp_path / "a.wav", sine(44100, 1.0), 44100)
    assert len(load_audio(tmp_path / "a.wav", start=-0.1, seconds=seconds)) == round(seconds * 16000)


def test_files_without_usable_audio(tmp_path: Path) -> None:
    (tmp_path / "zero.wav").touch()
    (tmp_path / "text.wav").write_text("no audio at all " * 50)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), 16000)
    soundfile.write(tmp_path / "a.wav", sine(16000, 0.5), 16000)
    with av.open(str(tmp_path / "mute.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    for name, reason in {
        "absent.wav": "unreadable",
        "zero.wav": "unreadable",
        "text.wav": "unreadable",
        "empty.wav": "no-audio",
        "mute.mkv": "no-audio",
    }.items():
        with pytest.raises(ClipFailure) as caught:
            load_audio(tmp_path / name)
        assert caught.value.reason == reason, name
    with pytest.raises(ClipFailure, match=r"the audio ends at 0.500 s, wanted from 2.000 s on"):
        load_audio(tmp_path / "a.wav", start=2.0)


def test_flac_is_exact_and_always_the_same() -> None:
    waveform = np.concatenate([sine(16000, 0.5), [1.2, -1.2]]).astype(np.float32)
    stream = encode_flac(waveform)
    assert stream.dtype == np.uint8
    assert stream.tobytes() == encode_flac(waveform.copy()).tobytes()
    once = decode_flac(stream)
    assert np.abs(once[:-2] - waveform[:-2]).max() <= 0.5 / 32768
    assert once[-2] == pytest.approx(32767 / 32768)
    assert once[-1] == -1.0
    assert encode_flac(once).tobytes() == stream.tobytes()
    with pytest.raises(ClipFailure, match="unreadable"):
        decode_flac(stream[:20])


def test_wav_files_are_whole_and_do_not_clip(tmp_path: Path) -> None:
    path = tmp_path / "näme with blank.wav"
    write_wav(path, sine(16000, 0.5))
    samples, rate = soundfile.read(path)
    assert (rate, len(samples), soundfile.info(path).subtype) == (16000, 8000, "PCM_16")
    assert np.abs(samples - sine(16000, 0.5)).max() < 1e-4
    write_wav(path, 4 * sine(16000, 0.5))
    loud, _ = soundfile.read(path)
    assert np.corrcoef(loud, samples)[0, 1] > 0.99999  # turned down, not cut off
    assert np.abs(loud).max() > 0.99
    with pytest.raises(LipsoundError, match="not finite"):
        write_wav(tmp_path / "bad.wav", np.array([0.0, np.nan]))
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]


@pytest.mark.real
def test_grid_as_distributed_and_re_encoded_lie_alike(grid: Path, grid_original: Path) -> None:
    pairs = [(p, grid / p.parent.name / f"{p.stem}.mp4") for p in sorted(grid_original.glob("s[12]*/*.mpg"))]
    pairs = [pair for pair in pairs if pair[1].exists()][:6]
    assert pairs
    for pair in pairs:
        first, second = (load_audio(path, start=first_frame(path), seconds=3.0) for path in pair)
        spectrum = np.fft.rfft(first, 1 << 17) * np.conj(np.fft.rfft(second, 1 << 17))
        assert np.fft.irfft(spectrum).argmax() == 0
        assert np.abs(first - second).max() < 0.01


def first_frame(path: Path) -> float:
    with av.open(str(path)) as container:
        time = next(container.decode(video=0)).time
    assert time is not None
    return time
