"""Audio files: read by timestamps, kept as FLAC, written as WAV."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from lipsound2.audio.track import read_track
from lipsound2.audio.waveform_buffer import WaveformBuffer
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.files import atomic_path
from lipsound2.media.opening import shown
from lipsound2.timing import SAMPLE_RATE

# The resampling filter: samples of the lower rate on each side, shape of the Kaiser window, and its cut-off (half
# amplitude) as a share of the lower Nyquist frequency. For 16 kHz: flat to 7.4 kHz, 80 dB down from 8.1 kHz on.
_TAPS = 64
_KAISER = 8.0
_CUTOFF = 0.97
_WIDEST = 100_000  # of the ratio of two rates: the filter then takes half a gigabyte
_STRETCH = 1 << 18  # samples that are resampled at once


@dataclass(frozen=True)
class Span:
    """A part of a clip's audio.

    Attributes:
        waveform: (samples,) float32 mono.
        missing_before: seconds at its start where the file has no audio (zeros there).
        missing_after: seconds at its end where the file has no audio (zeros there).
        missing_inside: seconds of holes in the file's audio: pauses of its clock, or damage (zeros there).
    """

    waveform: np.ndarray
    missing_before: float
    missing_after: float
    missing_inside: float


def load_audio(
    path: Path | str, *, start: float | None = None, seconds: float | None = None, rate: int = SAMPLE_RATE
) -> np.ndarray:
    """A file's audio (the track that `track.read_track` chooses), mono, cut or padded by timestamps.

    Args:
        path: any container FFmpeg reads: wav, flac, mp4, mpg, mkv, ...
        start: time of the first sample on the file's own clock, in seconds, such as the timestamp of the first
            video frame; None: where the audio starts.
        seconds: how much to take; None: to the end of the audio.
        rate: samples per second wanted.

    Returns:
        (round(seconds * rate),) float32 in about [-1, 1]; zeros where the file has no audio.

    Raises:
        ClipFailure: `unreadable`, or `no-audio` when there is no audio track, or nothing in it.
        OSError, MemoryError: the machine failed, not the file.
    """
    return load_span(path, start=start, seconds=seconds, rate=rate).waveform


def load_span(
    path: Path | str, *, start: float | None = None, seconds: float | None = None, rate: int = SAMPLE_RATE
) -> Span:
    """As `load_audio`, and how much of that part the file does not cover."""
    track = read_track(path)
    if track.torn and start is not None:
        raise ClipFailure(
            "unreadable",
            f"{shown(path)}: the clock of the audio starts anew where that of the video goes on, or the other way "
            "round: how they lie to each other is not known",
        )
    begin, source_rate, end = track.begin, track.rate, track.end
    start = begin if start is None else start
    samples = round((end - start if seconds is None else seconds) * rate)
    if samples <= 0:
        raise ClipFailure("no-audio", f"{shown(path)}: the audio ends at {end:.3f} s, wanted from {start:.3f} s on")
    stop = start + samples / rate
    return Span(
        _resample(track.samples, round((start - begin) * source_rate), source_rate, samples, rate),
        missing_before=min(max(begin - start, 0.0), samples / rate),
        missing_after=min(max(stop - end, 0.0), samples / rate),
        missing_inside=track.holes,
    )


def audio_in_blocks(path: Path | str, rate: int = SAMPLE_RATE) -> Iterator[np.ndarray]:
    """All that `load_audio` gives from the start of the audio to its end, (n,) float32 at a time.

    The memory it takes does not grow with the audio.

    Raises:
        ClipFailure: see `load_audio`.
    """
    track = read_track(path)
    divisor = math.gcd(track.rate, rate)
    up, down = rate // divisor, track.rate // divisor
    samples = round((track.end - track.begin) * rate)
    # Where a block begins, the grids of both rates meet: nothing is shifted.
    length = max(1, _STRETCH // up) * up
    for first in range(0, samples, length):
        yield _resample(track.samples, first // up * down, track.rate, min(length, samples - first), rate)


def _resample(track: WaveformBuffer, first: int, source_rate: int, samples: int, rate: int) -> np.ndarray:
    """`samples` samples at `rate`, the first one at the position `first` of the track (which may lie outside).

    The filter is symmetric and its delay is taken off, so nothing is shifted.
    """
    divisor = math.gcd(source_rate, rate)
    up, down = rate // divisor, source_rate // divisor
    if max(up, down) > _WIDEST:
        raise ClipFailure("unreadable", f"{source_rate} samples a second have no ratio to {rate} that can be computed")
    # The filter sees what lies beside the block: whole periods of the rate ratio keep the grids together.
    margin = -(-2 * _TAPS // min(up, down))
    needed = -(-samples * down // up) + 1
    block = _cut(track, first - margin * down, needed + 2 * margin * down)
    return resample(block, source_rate, rate)[margin * up : margin * up + samples]


def resample(waveform: np.ndarray, source_rate: int, rate: int = SAMPLE_RATE) -> np.ndarray:
    """A waveform at another rate, by the filter of `load_audio`; zeros lie beside it.

    Args:
        waveform: (N,) float.
        source_rate: its samples a second.
        rate: those wanted.

    Returns:
        (ceil(N * rate / source_rate),) float32.
    """
    if source_rate == rate:
        return np.asarray(waveform, np.float32)
    from scipy import signal  # here: it takes as long to import as all the rest together

    divisor = math.gcd(source_rate, rate)
    up, down = rate // divisor, source_rate // divisor
    return signal.resample_poly(waveform, up, down, window=_low_pass(up, down)).astype(np.float32)


@functools.lru_cache(maxsize=16)
def _low_pass(up: int, down: int) -> np.ndarray:
    from scipy import signal

    widest = max(up, down)
    return signal.firwin(2 * _TAPS * widest + 1, _CUTOFF / widest, window=("kaiser", _KAISER)).astype(np.float32)


def _cut(track: WaveformBuffer, first: int, samples: int) -> np.ndarray:
    """`samples` samples from the position `first` on, zeros outside the track."""
    out = np.zeros(samples, np.float32)
    begin, end = max(first, 0), min(first + samples, len(track))
    if begin < end:
        out[begin - first : end - first] = track.read(begin, end - begin)
    return out


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """16-bit samples of float audio in [-1, 1]; the rare sample beyond full scale is held there."""
    return np.clip(np.rint(np.asarray(waveform, np.float64) * 32768.0), -32768, 32767).astype(np.int16)


def encode_flac(waveform: np.ndarray, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Audio (samples,) float in [-1, 1] as a FLAC stream of 16 bits, a uint8 vector; the same bytes on every run."""
    buffer = io.BytesIO()
    soundfile.write(buffer, to_int16(waveform), rate, format="FLAC", subtype="PCM_16")
    return np.frombuffer(buffer.getvalue(), np.uint8)


def decode_flac(vector: np.ndarray) -> np.ndarray:
    """The audio (samples,) float32 of a FLAC stream.

    Raises:
        ClipFailure: `unreadable`: it is no FLAC stream.
    """
    try:
        samples, _ = soundfile.read(io.BytesIO(np.asarray(vector, np.uint8).tobytes()), dtype="int16")
    except (soundfile.LibsndfileError, ValueError) as error:  # ValueError: an entry of text
        raise ClipFailure("unreadable", f"stored audio: {error}") from error
    return samples.astype(np.float32) / np.float32(32768.0)


def write_wav(path: Path | str, waveform: np.ndarray, rate: int = SAMPLE_RATE) -> None:
    """Write (samples,) float audio as a 16-bit WAV file, whole or not at all.

    Audio beyond full scale is turned down as a whole: clipping would be heard, a change of level is not.

    Raises:
        LipsoundError: some samples are not finite, or the file cannot be written.
    """
    waveform = np.asarray(waveform, np.float32)
    if not np.isfinite(waveform).all():
        raise LipsoundError(
            f"{path}: {np.count_nonzero(~np.isfinite(waveform))} of {waveform.size} samples are not finite"
        )
    peak = float(np.abs(waveform).max(initial=0.0))
    with atomic_path(Path(path)) as temporary:
        soundfile.write(
            temporary, to_int16(waveform / peak if peak > 1.0 else waveform), rate, format="WAV", subtype="PCM_16"
        )
