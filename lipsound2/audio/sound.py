"""Sound files: read by timestamps, kept as FLAC, written as WAV."""

from __future__ import annotations

import functools
import io
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
from scipy import signal

from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.files import atomic_path

log = logging.getLogger(__name__)

# Timestamps of packed streams jitter by less than this; a larger jump is a hole in the recording, and is kept as one.
_JITTER = 0.04
# The resampling filter: samples of the lower rate on each side, shape of the Kaiser window, and where it has halved,
# as a share of the lower Nyquist frequency. For 16 kHz: flat to 7.4 kHz, 80 dB down from 8.1 kHz on.
_TAPS = 64
_KAISER = 8.0
_CUTOFF = 0.97


@dataclass(frozen=True)
class Span:
    """A stretch of a clip's sound.

    Attributes:
        sound: (samples,) float32 mono.
        missing_before: seconds at its start where the file has no sound (zeros there).
        missing_after: seconds at its end where the file has no sound (zeros there).
        missing_inside: seconds of holes in the file's sound: pauses of its clock, or damage (zeros there).
    """

    sound: np.ndarray
    missing_before: float
    missing_after: float
    missing_inside: float


def read_sound(
    path: Path | str, *, start: float | None = None, seconds: float | None = None, rate: int = 16000
) -> np.ndarray:
    """The first sound track of a file, mono, cut or padded by timestamps.

    Args:
        path: any container FFmpeg reads: wav, flac, mp4, mpg, mkv, ...
        start: time of the first sample on the file's own clock, in seconds, such as the timestamp of the first
            picture; None: where the sound starts.
        seconds: how much to take; None: to the end of the sound.
        rate: samples per second wanted.

    Returns:
        (round(seconds * rate),) float32 in about [-1, 1]; zeros where the file has no sound.

    Raises:
        ClipFailure: `unreadable`, or `no-sound` when there is no sound track, or nothing in it.
    """
    return read_span(path, start=start, seconds=seconds, rate=rate).sound


def read_span(path: Path | str, *, start: float | None = None, seconds: float | None = None, rate: int = 16000) -> Span:
    """As `read_sound`, and how much of the stretch the file does not cover."""
    track, begin, source_rate, holes = _decode(path)
    end = begin + len(track) / source_rate
    start = begin if start is None else start
    samples = round((end - start if seconds is None else seconds) * rate)
    if samples <= 0:
        raise ClipFailure("no-sound", f"{path}: the sound ends at {end:.3f} s, wanted from {start:.3f} s on")
    stop = start + samples / rate
    return Span(
        _resample(track, round((start - begin) * source_rate), source_rate, samples, rate),
        missing_before=min(max(begin - start, 0.0), samples / rate),
        missing_after=min(max(stop - end, 0.0), samples / rate),
        missing_inside=holes,
    )


def _decode(path: Path | str) -> tuple[np.ndarray, float, int, float]:
    """The whole first sound track: mono float32 samples, time of the first one in seconds, rate, seconds of holes."""
    pieces: list[tuple[float | None, np.ndarray]] = []
    rate = damaged = 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise ClipFailure("no-sound", f"{path}: no sound track")
            for packet in container.demux(container.streams.audio[0]):
                try:
                    frames = packet.decode()
                except av.InvalidDataError:
                    damaged += 1  # a hole; the timestamps of what follows tell how long
                    continue
                for frame in frames:
                    assert isinstance(frame, av.AudioFrame)
                    if rate not in (0, frame.sample_rate):
                        raise ClipFailure(
                            "unreadable", f"{path}: the sample rate changes from {rate} to {frame.sample_rate}"
                        )
                    rate = frame.sample_rate
                    pieces.append((frame.time, _mono(frame)))
    except (av.FFmpegError, OSError) as error:
        raise ClipFailure("unreadable", f"{path}: {error}") from error
    if not sum(len(piece) for _, piece in pieces):
        if damaged:
            raise ClipFailure("unreadable", f"{path}: none of its {damaged} packets of sound can be decoded")
        raise ClipFailure("no-sound", f"{path}: the sound track is empty")
    if damaged:
        log.warning("%s: %d packets of sound are damaged and were passed over", path, damaged)
    begin = next((time for time, _ in pieces if time is not None), 0.0)
    track, holes = _lay_out(pieces, begin, rate)
    return track, begin, rate, holes


def _mono(frame: av.AudioFrame) -> np.ndarray:
    """Mean of a frame's channels, float32, full scale 1."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128.0) / 128.0
    elif samples.dtype.kind == "i":
        samples = samples.astype(np.float64) / 2.0 ** (8 * samples.dtype.itemsize - 1)
    return samples.mean(axis=0, dtype=np.float64).astype(np.float32)


def _lay_out(pieces: list[tuple[float | None, np.ndarray]], begin: float, rate: int) -> tuple[np.ndarray, float]:
    """Join decoded pieces, one behind the other; where timestamps jump ahead, silence fills the hole.

    Returns:
        The samples, and how many seconds of them fill holes.
    """
    parts: list[np.ndarray] = []
    filled = holes = 0
    for time, samples in pieces:
        hole = 0 if time is None else round((time - begin) * rate) - filled
        if hole > _JITTER * rate:
            parts.append(np.zeros(hole, np.float32))
            filled += hole
            holes += hole
        parts.append(samples)
        filled += len(samples)
    return np.concatenate(parts), holes / rate


def _resample(track: np.ndarray, first: int, source_rate: int, samples: int, rate: int) -> np.ndarray:
    """`samples` samples at `rate`, the first one at the position `first` of the track (which may lie outside).

    The filter is symmetric and its delay is taken off, so nothing is shifted.
    """
    divisor = math.gcd(source_rate, rate)
    up, down = rate // divisor, source_rate // divisor
    # The filter sees what lies beside the stretch: whole periods of the rate ratio keep the grids together.
    margin = -(-2 * _TAPS // min(up, down))
    needed = -(-samples * down // up) + 1
    stretch = _cut(track, first - margin * down, needed + 2 * margin * down)
    if up == down:
        return stretch[margin * down : margin * down + samples]
    resampled = signal.resample_poly(stretch, up, down, window=_low_pass(up, down))
    return resampled[margin * up : margin * up + samples].astype(np.float32)


@functools.lru_cache(maxsize=16)
def _low_pass(up: int, down: int) -> np.ndarray:
    widest = max(up, down)
    return signal.firwin(2 * _TAPS * widest + 1, _CUTOFF / widest, window=("kaiser", _KAISER)).astype(np.float32)


def _cut(track: np.ndarray, first: int, samples: int) -> np.ndarray:
    """`samples` samples from the position `first` on, zeros outside the track."""
    out = np.zeros(samples, np.float32)
    begin, end = max(first, 0), min(first + samples, len(track))
    if begin < end:
        out[begin - first : end - first] = track[begin:end]
    return out


def to_int16(sound: np.ndarray) -> np.ndarray:
    """16-bit samples of float sound in [-1, 1]; the rare sample beyond full scale is held there."""
    return np.clip(np.rint(np.asarray(sound, np.float64) * 32768.0), -32768, 32767).astype(np.int16)


def encode_flac(sound: np.ndarray, rate: int = 16000) -> np.ndarray:
    """Sound (samples,) float in [-1, 1] as a FLAC stream of 16 bits, a uint8 vector; the same bytes on every run."""
    buffer = io.BytesIO()
    soundfile.write(buffer, to_int16(sound), rate, format="FLAC", subtype="PCM_16")
    return np.frombuffer(buffer.getvalue(), np.uint8)


def decode_flac(vector: np.ndarray) -> np.ndarray:
    """The sound (samples,) float32 of a FLAC stream.

    Raises:
        ClipFailure: `unreadable`: it is no FLAC stream.
    """
    try:
        samples, _ = soundfile.read(io.BytesIO(np.asarray(vector, np.uint8).tobytes()), dtype="int16")
    except soundfile.LibsndfileError as error:
        raise ClipFailure("unreadable", f"stored sound: {error}") from error
    return samples.astype(np.float32) / np.float32(32768.0)


def write_wav(path: Path | str, sound: np.ndarray, rate: int = 16000) -> None:
    """Write (samples,) float sound as a 16-bit WAV file, whole or not at all.

    Sound beyond full scale is turned down as a whole: clipping would be heard, a change of level is not.

    Raises:
        LipsoundError: some samples are not finite, or the file cannot be written.
    """
    sound = np.asarray(sound, np.float32)
    if not np.isfinite(sound).all():
        raise LipsoundError(f"{path}: {np.count_nonzero(~np.isfinite(sound))} of {sound.size} samples are not finite")
    peak = float(np.abs(sound).max(initial=0.0))
    with atomic_path(Path(path)) as temporary:
        soundfile.write(
            temporary, to_int16(sound / peak if peak > 1.0 else sound), rate, format="WAV", subtype="PCM_16"
        )
