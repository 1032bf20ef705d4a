"""One clock for the tracks of a file, also where recordings were joined and their clocks start anew.

Recordings joined by `cat` (MPEG programs and transport streams), and recorders that were stopped, go back to an earlier
time, or far ahead. There the clock goes on: what comes next is laid behind all that came before, video and audio by
the same amount.
"""

from __future__ import annotations

from dataclasses import dataclass

import av

LONGEST_PAUSE = 60.0  # seconds without any packet that are taken for a pause; a longer one is a clock that starts anew
MOST_PAUSES = 600.0  # seconds of all pauses together
_BACK = 0.5  # seconds back that are a clock starting anew; packets are out of order by less
_PAUSE = 1.0  # seconds from which on a gap counts as a pause
_TORN = 1.0  # seconds one track may go on after another one's clock started anew


@dataclass
class _Track:
    base: float  # seconds a tick
    last: float  # time stamp of its newest packet, as the file has it
    end: float  # where its packets end, on the one clock
    part: int  # which of the joined recordings it is in


class Clock:
    """Lays packets on one clock.

    Attributes:
        anew: where, in seconds on the one clock, the file's clock started anew.
    """

    def __init__(self) -> None:
        self.anew: list[float] = []
        self._offsets = [0.0]  # of each part, to be added to the file's time stamps
        self._tracks: dict[int, _Track] = {}
        self._end = 0.0
        self._pauses = 0.0

    def place(self, packet: av.Packet) -> None:
        """Change a packet's time stamps to the one clock. Every packet has to come by, in the file's order.

        Raises:
            ValueError: the pauses between packets add up to more than `MOST_PAUSES`.
        """
        stamps = [stamp for stamp in (packet.pts, packet.dts) if stamp is not None]
        if not stamps:
            return
        track = self._tracks.get(packet.stream_index)
        base = track.base if track else float(packet.time_base)
        # Behind a join ffmpeg may go on with the decoding times of the recording before: both are looked at.
        time, least = stamps[0] * base, min(stamps) * base
        if track is None:
            self._end = max(self._end, time) if self._tracks else time
            track = self._tracks[packet.stream_index] = _Track(base, least, time, len(self._offsets) - 1)
        elif least < track.last - _BACK or time + self._offsets[track.part] > self._end + LONGEST_PAUSE:
            track.part = self._part(track, time)
            packet.dts = packet.pts or packet.dts
            least = time
        moved = time + self._offsets[track.part]
        if moved > self._end + _PAUSE:
            self._pauses += moved - self._end
            if self._pauses > MOST_PAUSES:
                raise ValueError(f"its time stamps leave pauses of {self._pauses:.0f} s in all; its clock is broken")
        track.last = least
        track.end = max(track.end, moved + (packet.duration or 0) * base)
        self._end = max(self._end, track.end)
        if ticks := round(self._offsets[track.part] / base):
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks

    def part(self, stream: int) -> int:
        """Which of the joined recordings a track is in, counted from 0."""
        return self._tracks[stream].part if stream in self._tracks else 0

    def torn(self, one: int, other: int) -> bool:
        """Whether the clock of one track started anew while the other's went on: how they lie is not known then.

        Args:
            one: number of a stream.
            other: likewise.
        """
        if one not in self._tracks or other not in self._tracks:
            return False
        early, late = sorted((self._tracks[one], self._tracks[other]), key=lambda track: track.part)
        return early.part < late.part and early.end > self.anew[late.part - 1] + _TORN

    def _part(self, track: _Track, time: float) -> int:
        """For a track whose clock jumps to `time`: where it fits to another part, or a new one behind all others."""
        for part in reversed(range(len(self._offsets))):
            moved = time + self._offsets[part]
            if part != track.part and track.end - _BACK <= moved <= self._end + LONGEST_PAUSE:
                return part
        self._offsets.append(self._end - time)
        self.anew.append(self._end)
        return len(self._offsets) - 1
