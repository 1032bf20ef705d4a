"""A session that records: a prompt is shown, said between two keys, looked at, kept or repeated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lipsound2.files import write_text
from lipsound2.live.audio_input import AudioInput
from lipsound2.live.clip_writer import write_clip
from lipsound2.live.loudspeaker import Loudspeaker
from lipsound2.live.prompts import Place
from lipsound2.live.tracker import Sight
from lipsound2.live.viewer import View, Viewer
from lipsound2.timing import SAMPLE_RATE

LONGEST = 15.0  # seconds of one recording: its frames are held in memory
_SHORTEST = 0.5  # seconds
_SEEN = 0.9  # share of the frames that must show the mouth
_QUIET = 0.02  # peak of audio that is too low
_CLIPPED, _OFTEN = 0.99, 0.002  # peak that is cut off, and the share of such samples that is too many
_KEYS = "[space] next  [r] repeat  [p] play  [q] quit"


@dataclass(frozen=True)
class Take:
    """What was recorded of one prompt.

    Attributes:
        sights: of its frames.
        times: their time stamps, seconds.
        seconds: its length.
        audio: (samples,) float32; None: none was recorded.
    """

    sights: Sequence[Sight]
    times: Sequence[float]
    seconds: float
    audio: np.ndarray | None

    def doubts(self) -> list[str]:
        """Why it should be repeated, a line each."""
        found = []
        seen = sum(sight.mouth_inside for sight in self.sights) / len(self.sights)
        if seen < _SEEN:
            found.append(f"the mouth is seen in {seen:.0%} of the frames")
        if self.seconds < _SHORTEST:
            found.append(f"it is {self.seconds:.2f} s long, {_SHORTEST} s at least are wanted")
        if self.audio is not None:
            peak = float(np.abs(self.audio).max(initial=0.0))
            if peak < _QUIET:
                found.append(f"hardly anything is heard (peak {peak:.3f}); is the microphone on?")
            elif (np.abs(self.audio) > _CLIPPED).mean() > _OFTEN:
                found.append("the audio is cut off: speak lower, or move away from the microphone")
        return found


class PromptedSession(Viewer):
    """Goes through prompts until all are recorded, or q is pressed.

    Args:
        view: see `Viewer`.
        place: where recordings go.
        prompts: sentences to be said.
        audio: records beside the camera.
        loudspeaker: plays what was recorded.
    """

    def __init__(
        self, view: View, place: Place, prompts: Sequence[str], audio: AudioInput, loudspeaker: Loudspeaker
    ) -> None:
        super().__init__(view)
        self._place, self._prompts, self._audio, self._loudspeaker = place, prompts, audio, loudspeaker
        self._takes = self._key = ""  # keys beside space that are taken now, and which was pressed

    def press(self, key: str) -> None:
        """See `Viewer`."""
        if key in self._takes:
            self._key = key

    def run(self) -> int:
        """Record what is not there yet. Returns how many of the prompts are recorded now."""
        done = self._place.recorded()
        for number, text in enumerate(self._prompts, 1):
            if text in done:
                continue
            if not self._recorded(f"{number} of {len(self._prompts)}: {text}", text):
                break
        done = self._place.recorded()
        return sum(text in done for text in self._prompts)

    def _recorded(self, prompt: str, text: str) -> bool:
        """Record one prompt until it is kept; False: the session ends."""
        path = None
        while True:
            self.screen.line(prompt)
            self._idle("[space] record  [q] quit")
            if self.quit or self.ended:
                return False
            self.taken_key()
            take = self._take(text)
            if take is None:
                return False
            path = path or self._place.next()
            self._keep(take, path, text)
            if not self._repeat(take):
                return not (self.quit or self.ended)

    def _idle(self, keys: str, takes: str = "") -> None:
        """Wait for space, or for one of the keys that are taken beside it."""
        self._takes, self._key = takes, ""
        for frame in self.grid(lambda: self.key_at is not None or bool(self._key)):
            self.see(frame)
            self.screen.status(f"{keys}   {self.told}")

    def _take(self, text: str) -> Take | None:
        """Record from one key to the next; None: nothing came."""
        sights: list[Sight] = []
        times: list[float] = []
        step = 0.0
        for stamp, length, frame in self.shots(lambda: self.key_at is not None or _seconds(times) > LONGEST):
            if not times:
                self._audio.begin(stamp)
            sights.append(self.see(frame, recorded=True))
            times.append(stamp)
            step = length
            self.screen.status(f"recording {_seconds(times):.1f} s   [space] ends it   {text}")
        self.taken_key()
        if self.quit or not times:
            return None
        seconds = _seconds(times) + step
        return Take(sights, times, seconds, self._audio.end(seconds))

    def _keep(self, take: Take, path: Path, text: str) -> None:
        """Write it at once: nothing is lost if the machine stops. The text first, as a video makes it a recording.

        What is repeated stays until the new video is whole.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path.with_suffix(".txt"), f"{text}\n")
        frames = [(at, sight.frame) for at, sight in zip(take.times, take.sights, strict=True)]
        write_clip(path, frames, self.capture.measured or self.capture.camera.fps, take.audio, SAMPLE_RATE)
        self.screen.line(f"{path}: {take.seconds:.2f} s, {len(frames)} frames")
        for line in take.doubts():
            self.screen.line(f"better repeat it: {line}")

    def _repeat(self, take: Take) -> bool:
        """Whether it is to be said again."""
        while True:
            self._idle(_KEYS, takes="rp")
            if self._key == "p" and not self.quit:
                with self.capture.unattended():
                    self._play(take)
                continue
            self.taken_key()
            return self._key == "r" and not (self.quit or self.ended)

    def _play(self, take: Take) -> None:
        """Show it, and play its audio."""
        if take.audio is not None:
            self._loudspeaker.play(take.audio, SAMPLE_RATE)
        begun = time.perf_counter()
        for at, sight in zip(take.times, take.sights, strict=True):
            time.sleep(max(0.0, begun + at - take.times[0] - time.perf_counter()))
            self.screen.frame(sight, recorded=False)
        self._loudspeaker.wait()


def _seconds(times: Sequence[float]) -> float:
    return times[-1] - times[0] if times else 0.0
