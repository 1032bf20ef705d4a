"""The audio track of a media file, chosen where there are several, as one channel on the file's clock."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream

from lipsound2.audio.waveform_buffer import WaveformBuffer
from lipsound2.errors import ClipFailure, is_machine_error
from lipsound2.media.clock import MOST_PAUSES
from lipsound2.media.opening import Media, opened, shown
from lipsound2.media.tracks import Tracks, tracks

log = logging.getLogger(__name__)

LOWEST_RATE, HIGHEST_RATE = 4_000, 384_000  # samples a second
MOST_CHANNELS = 64
# Timestamps of packed streams jitter by less than this; a larger jump is a hole in the recording, and is kept as one.
_JITTER = 0.04
_SILENCE = 1 / 32768  # a track that is nowhere louder than the least step of 16 bits holds nothing
# Unrelated channels leave the sum of their energies / channels^2 in the mean; with less than this share of that, they
# cancel each other out: one was recorded upside down.
_CANCELLED = 0.1


@dataclass(frozen=True)
class AudioTrack:
    """A whole track.

    Attributes:
        samples: mono, full scale 1; zeros in holes.
        begin: time of the first one on the file's clock, in seconds.
        rate: samples a second.
        holes: seconds of holes.
        torn: its clock starts anew where that of the video frames goes on, or the other way round.
    """

    samples: WaveformBuffer
    begin: float
    rate: int
    holes: float
    torn: bool

    @property
    def end(self) -> float:
        """Time behind the last sample, as `begin`."""
        return self.begin + len(self.samples) / self.rate

    @property
    def silent(self) -> bool:
        """Whether it holds nothing at all."""
        return self.samples.loudest < _SILENCE


@dataclass
class _DecodedTrack:
    """What was decoded, and how much energy its channels have.

    Attributes:
        path: of the file, as it is shown.
        channels: sums of squares of each channel.
        mean: of the mean of the channels.
        unrelated: what the mean would have if the channels had nothing in common.
        samples: one behind the other; where timestamps jump ahead, silence fills the hole.
        begin: time of the first of them, if one is known.
        holes: how many fill holes.
    """

    path: str
    channels: np.ndarray = field(default_factory=lambda: np.zeros(MOST_CHANNELS))
    mean: float = 0.0
    unrelated: float = 0.0
    rate: int = 0
    damaged: int = 0
    samples: WaveformBuffer = field(default_factory=WaveformBuffer)
    begin: float | None = None
    holes: int = 0

    @property
    def cancelled(self) -> bool:
        """Whether the channels cancel each other out."""
        return self.mean < _CANCELLED * self.unrelated

    def lay(self, time: float | None, joined: bool, piece: np.ndarray) -> None:
        """Lay a piece behind the others.

        Args:
            time: of its first sample, in seconds, if known.
            joined: a joined recording begins there, at its very time: what would overlap is cut off.
            piece: (n,) float32.

        Raises:
            ClipFailure: `unreadable`: more holes than a recording has.
        """
        if self.begin is None:
            self.begin = time
        hole = 0 if time is None or self.begin is None else round((time - self.begin) * self.rate) - len(self.samples)
        if hole > (0 if joined else _JITTER * self.rate):
            if (self.holes + hole) / self.rate > MOST_PAUSES:
                raise ClipFailure(
                    "unreadable",
                    f"{self.path}: its clock leaves {(self.holes + hole) / self.rate:.0f} s without audio, at most "
                    f"{MOST_PAUSES:.0f}",
                )
            self.samples.silence(hole)
            self.holes += hole
        elif joined and hole < 0:
            piece = piece[-hole:]
        self.samples.add(piece)


def read_track(path: Path | str) -> AudioTrack:
    """The default audio track, else the best; where it is silent throughout and another one is not, that one.

    Raises:
        ClipFailure: `unreadable`, or `no-audio` when there is no audio track, or nothing in any.
        OSError, MemoryError: the machine failed, not the file.
    """
    silent: AudioTrack | None = None
    failure: ClipFailure | None = None
    number, count = 0, 1
    while number < count:
        with opened(path) as media:
            found = tracks(media.container, "audio")
            count = len(found.decodable)
            _some(found, path)
            stream = found.decodable[number]
            assert isinstance(stream, AudioStream)
            try:
                track = _read(media, stream)
            except ClipFailure as error:
                failure = failure or error
            else:
                if not track.silent:
                    _tell(path, found, stream, silent is not None)
                    return track
                silent = silent or track
        number += 1
    if silent is None:
        assert failure is not None
        raise failure
    return silent


def check_rate(path: Path | str, rate: int, channels: int) -> None:
    """Refuse what a damaged header says, before memory is taken for it.

    Raises:
        ClipFailure: `unreadable`.
    """
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ClipFailure(
            "unreadable", f"{shown(path)}: {rate} samples a second, {LOWEST_RATE} to {HIGHEST_RATE} are wanted"
        )
    if not 1 <= channels <= MOST_CHANNELS:
        raise ClipFailure("unreadable", f"{shown(path)}: {channels} channels, at most {MOST_CHANNELS} are wanted")


def _some(found: Tracks, path: Path | str) -> None:
    if not found.descriptions:
        raise ClipFailure("no-audio", f"{shown(path)}: no audio track")
    if not found.decodable:
        raise ClipFailure("unreadable", f"{shown(path)}: {found.undecodable()}")


def _tell(path: Path | str, found: Tracks, taken: AudioStream, instead: bool) -> None:
    if found.choice(taken):
        level = logging.WARNING if instead else logging.INFO
        why = "; the first choice holds nothing" if instead else ""
        log.log(level, "%s: %s%s", shown(path), found.choice(taken), why)


def _read(media: Media, stream: AudioStream) -> AudioTrack:
    path = shown(media.path)
    check_rate(path, stream.rate, stream.channels)
    decoded = _decode(media, stream, None)
    if decoded.cancelled:
        loudest = int(decoded.channels.argmax())
        log.warning("%s: its channels cancel each other out, channel %d is taken alone", path, loudest + 1)
        with opened(media.path) as again:
            same = again.container.streams[stream.index]
            assert isinstance(same, AudioStream)
            decoded = _decode(again, same, loudest)
    if not len(decoded.samples):
        if decoded.damaged:
            raise ClipFailure("unreadable", f"{path}: none of its {decoded.damaged} packets of audio can be decoded")
        raise ClipFailure("no-audio", f"{path}: the audio track is empty")
    if decoded.damaged:
        log.warning("%s: %d packets of audio are damaged and were passed over", path, decoded.damaged)
    if media.behind:
        log.warning("%s: %s", path, media.behind)
    videos = tracks(media.container, "video").decodable
    torn = bool(videos) and media.clock.torn(stream.index, videos[0].index)
    return AudioTrack(decoded.samples, decoded.begin or 0.0, decoded.rate, decoded.holes / decoded.rate, torn)


def _decode(media: Media, stream: AudioStream, channel: int | None) -> _DecodedTrack:
    """A track: one channel of it, or the mean of all."""
    path = shown(media.path)
    stream.codec_context.thread_count = 1
    found = _DecodedTrack(path)
    part, joined = 0, False
    for packet in media.packets():
        if packet.stream is not stream:
            continue
        now = media.clock.part(stream.index)
        joined, part = joined or now != part, now
        try:
            av_frames = stream.decode(packet)
        except av.FFmpegError as error:
            if is_machine_error(error):
                raise
            found.damaged += 1  # a hole; the timestamps of what follows tell how long
            continue
        for av_frame in av_frames:
            if found.rate not in (0, av_frame.sample_rate):
                raise ClipFailure(
                    "unreadable", f"{path}: the sample rate changes from {found.rate} to {av_frame.sample_rate}"
                )
            samples = _samples(av_frame)
            check_rate(path, av_frame.sample_rate, len(samples))
            found.rate = av_frame.sample_rate
            mean = samples.mean(axis=0, dtype=np.float64)
            energies = np.einsum("ct,ct->c", samples, samples, dtype=np.float64)
            found.channels[: len(samples)] += energies
            found.mean += float(mean @ mean)
            found.unrelated += float(energies.sum()) / len(samples) ** 2
            kept = mean if channel is None else samples[min(channel, len(samples) - 1)]
            found.lay(av_frame.time, joined, kept.astype(np.float32))
            joined = False
    return found


def _samples(av_frame: av.AudioFrame) -> np.ndarray:
    """A frame's channels (C, n), float, full scale 1."""
    samples = av_frame.to_ndarray()
    if not av_frame.format.is_planar:
        samples = samples.reshape(-1, av_frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128.0) / 128.0
    if samples.dtype.kind == "i":
        return samples.astype(np.float64) / 2.0 ** (8 * samples.dtype.itemsize - 1)
    return samples
