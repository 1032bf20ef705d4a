"""One session: frames are shown and judged as they come, a key begins a sentence, another one reads and says it."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lipsound2.audio.io import write_wav
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.files import write_text
from lipsound2.live.capture import Capture, Ended
from lipsound2.live.keys import Keys
from lipsound2.live.lip_pauses import LipMotion, PauseFinder, Sentence
from lipsound2.live.loudspeaker import Kept, Loudspeaker, Silent
from lipsound2.live.preview import Screen
from lipsound2.live.reading import Answer, Reader
from lipsound2.live.tracker import LONGEST, LiveTracker, Recording, Sight
from lipsound2.live.typing_out import Typist
from lipsound2.live.voice_activity import VoiceActivity
from lipsound2.live.watch import Watch
from lipsound2.timing import FRAME_RATE
from lipsound2.video.frame import Frame
from lipsound2.video.grid import on_grid

_WAIT = 0.03  # seconds for a frame, between two looks at the keys
_FIRST_FRAME = 10.0  # seconds that a camera may take to give its first frame
_STALLED = 5.0  # seconds without a frame, later
_DRAWN = 2  # frames: every so many one is drawn
_QUIT = ("q", "\x1b", "\x03")


@dataclass
class Parts:
    """What a session is made of; see their modules.

    Attributes:
        say: function from a text to its speech (samples,) and rate: what number keys choose is said so; None: what
            was made from the lips is played.
        kept: where speech and words are written; None: nowhere.
        spare: where speech is written once there is no loudspeaker any more.
    """

    capture: Capture
    tracker: LiveTracker
    watch: Watch
    reader: Reader
    keys: Keys
    screen: Screen
    loudspeaker: Loudspeaker
    spare: Kept
    kept: Kept | None = None
    typist: Typist | None = None
    say: Callable[[str], tuple[np.ndarray, int]] | None = None


@dataclass
class _Read:
    """A sentence that is being read.

    Attributes:
        future: its answer.
        since: when the second key was pressed, or lips came to rest: `time.perf_counter`.
        place: where it lies, in words; empty: nothing is said of it.
        heard: seconds from then to its speech; None: it was not played.
    """

    future: Future[Answer]
    since: float
    place: str = ""
    heard: list[float] = field(default_factory=list)


class Session:
    """Runs until the key q, or the end of the camera.

    Args:
        parts: what it is made of.

    Attributes:
        ended: whether the camera gives no more frames.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="reading")
        self._reading: deque[_Read] = deque()
        self._answer: Answer | None = None
        self._place: Path | None = None  # where the last answer is kept
        self._quit = self.ended = False
        self._key_at: float | None = None  # when space was pressed, if nobody took notice yet
        self._told = ""
        self._later: deque[str] = deque()  # lines of the thread that reads, which must not draw
        self._dropped = 0
        self._number = 0

    def by_key(self) -> None:
        """Read what is mouthed from one press of the space bar to the next."""
        while not (self._quit or self.ended):
            for frame in self._grid(lambda: self._key_at is not None):
                self._see(frame)
                self._show_state(f"{self._told}   [space] record  [q] quit")
            if self._quit or (self.ended and self._key_at is None):
                break
            self._key_at = None
            self._record()
        self._finish()

    def _record(self) -> None:
        """Record until the key, and have that read."""
        recording, lost = Recording(self._parts.tracker.which_face), self._parts.capture.lost
        for frame in self._grid(lambda: self._key_at is not None or recording.full):
            recording.add(self._see(frame, recorded=True))
            self._show_state(f"recording {len(recording) / FRAME_RATE:.1f} s   [space] read it")
        if recording.full:
            self._parts.screen.line(f"{LONGEST} s are the longest that is read at once: this is read now")
        since = self._key_at or time.perf_counter()
        self._key_at = None
        if not self._quit and len(recording):
            self._read(recording, since, lost)

    def continuously(self, voice: VoiceActivity) -> None:
        """Read on and on: each sentence when lips have come to rest behind it.

        Args:
            voice: whether somebody is heard.
        """
        finder, motion = PauseFinder(), LipMotion()
        recording, forgotten = Recording(self._parts.tracker.which_face), 0

        def over(sentence: Sentence | None, count: int) -> None:
            if sentence is None:
                return
            part = recording.cut(sentence.first - forgotten, sentence.end - forgotten)
            since = time.perf_counter() - (count - sentence.closed) / FRAME_RATE
            begin, end = sentence.first / FRAME_RATE, sentence.end / FRAME_RATE
            self._read(part, since, self._parts.capture.lost, f"{begin:.2f}-{end:.2f} s")

        count = 0
        for frame in self._grid(lambda: False):
            sight = self._see(frame, recorded=True)
            recording.add(sight)
            found = finder.add(motion.add(sight), voice.heard(count / FRAME_RATE))
            count += 1
            over(found, count)
            if (spare := finder.needed - forgotten) > FRAME_RATE:
                recording.drop(spare)
                forgotten += spare
            self._show_state(f"{self._told}   reading on and on  [q] quit")
        if not self._quit:
            over(finder.end(), count)
        self._finish()

    def _grid(self, leave: Callable[[], bool]) -> Iterator[Frame]:
        """Frames at 25 a second, as they come, until `leave` says so, or all ends."""
        shots = self._shots(leave)
        first = next(shots, None)
        if first is not None:
            yield from on_grid(itertools.chain([first], shots), lambda: self._parts.capture.camera.fps)

    def _shots(self, leave: Callable[[], bool]) -> Iterator[tuple[float, float, Frame]]:
        patience, waited = _FIRST_FRAME if not self._number else _STALLED, time.perf_counter()
        while True:
            self._poll()
            if self._quit or leave():
                return
            try:
                shot = self._parts.capture.take(_WAIT)
            except Ended:
                self.ended = True
                return
            if shot is not None:
                yield shot.time, shot.length, shot.frame
                patience, waited = _STALLED, time.perf_counter()
            elif time.perf_counter() - waited > patience:
                raise LipsoundError(
                    f"--camera {self._parts.capture.camera.name}: gave no frame for {patience:.0f} s; is it still "
                    "plugged in, and free?"
                )

    def _see(self, frame: Frame, *, recorded: bool = False) -> Sight:
        parts = self._parts
        sight = parts.tracker.see(frame)
        if told := parts.watch.add(sight, parts.capture.measured):
            self._told = told.partition(":")[0]
            parts.screen.line(told)
        if parts.capture.dropped > self._dropped:
            if not self._dropped:
                parts.screen.line(
                    "frames are dropped: this machine is too slow for the camera; what is read may be wrong"
                )
            self._dropped = parts.capture.dropped
        if self._number % _DRAWN == 0:
            parts.screen.frame(sight, recorded=recorded)
        self._number += 1
        return sight

    def _show_state(self, text: str) -> None:
        self._parts.screen.status(f"reading ...   {text}" if self._reading else text)

    def _poll(self) -> None:
        """Keys, and answers that are there by now."""
        for keys in (self._parts.keys, self._parts.screen):
            while key := keys.pressed():
                self._press(key)
                if self._quit or self._key_at is not None:
                    break
        self._take_answers()
        self._tell_later()

    def _tell_later(self) -> None:
        while self._later:
            self._parts.screen.line(self._later.popleft())

    def _press(self, key: str) -> None:
        if key in _QUIT:
            self._quit = True
        elif key == " ":
            self._key_at = time.perf_counter()
        elif key.isdecimal() and self._answer is not None:
            self._choose(int(key))
        elif key == "r" and self._answer is not None and self._answer.speech is not None:
            self._play(self._answer.speech, self._answer.rate)

    def _read(self, recording: Recording, since: float, lost: int, place: str = "") -> None:
        """Have it read in the background."""
        captured = time.perf_counter() - since
        lost = self._parts.capture.lost - lost
        read = _Read(Future(), since, place)

        def on_speech(answer: Answer) -> None:
            if self._parts.reader.phrases is None and answer.speech is not None:
                if place:  # the sentence before may not be over yet
                    self._parts.loudspeaker.wait()
                self._play(answer.speech, answer.rate)
                read.heard.append(time.perf_counter() - since)

        def work() -> Answer:
            answer = self._parts.reader.read(recording, on_speech)
            answer.spent = {"capture": captured, **answer.spent}
            if lost:
                answer.warnings.append(f"{lost} frames of it were lost on the way from the camera")
            return answer

        read.future = self._worker.submit(work)
        self._reading.append(read)

    def _take_answers(self, *, wait: bool = False) -> None:
        while self._reading and (wait or self._reading[0].future.done()):
            read = self._reading.popleft()
            try:
                answer = read.future.result()
            except ClipFailure as failure:
                self._parts.screen.line(f"not read: {failure}")
                continue
            self._show(answer, read)

    def _show(self, answer: Answer, read: _Read) -> None:
        parts, phrases = self._parts, self._parts.reader.phrases
        took = time.perf_counter() - read.since
        self._answer, self._place = answer, None
        sure = "" if answer.confidence is None else f"{answer.confidence:.0%}"
        text = answer.text or ("(none of these)" if phrases else "(no words)")
        if read.place:
            behind = f"{took:.1f} s behind the lips"
            parts.screen.line(f"{read.place}  {text}  ({', '.join(filter(None, (sure, behind)))})")
        else:
            parts.screen.line(f"{text}  ({sure})" if sure else text)
            for number, (choice, probability) in enumerate(answer.choices, 1):
                parts.screen.line(f"  [{number}] {probability:>4.0%}  {choice}")
            steps = ", ".join(f"{step} {seconds:.2f}" for step, seconds in answer.spent.items())
            heard = f", speech after {read.heard[0]:.2f} s" if read.heard else ""
            parts.screen.line(f"words after {took:.2f} s{heard}: {steps}")
        for line in answer.warnings:
            parts.screen.line(f"doubtful: {line}")
        if phrases is None or read.place:
            if phrases is not None and answer.text:
                self._say(answer.text)
            else:
                self._use(answer.text, answer.speech, answer.rate)
        elif answer.choices:
            parts.screen.line("press a number to say it")

    def _choose(self, number: int) -> None:
        """Take one of the texts that were offered."""
        answer = self._answer
        assert answer is not None
        if not 1 <= number <= len(answer.choices):
            self._parts.screen.line(f"[{number}]: there is no such text; choose from 1 to {len(answer.choices)}")
            return
        text = answer.choices[number - 1][0]
        self._parts.screen.line(f"[{number}] {text}")
        self._say(text)

    def _say(self, text: str) -> None:
        """Play, type and keep a text of the last answer."""
        assert self._answer is not None
        speech, rate = self._answer.speech, self._answer.rate
        if self._parts.say is not None:
            speech, rate = self._parts.say(text)
        if speech is not None:
            self._play(speech, rate)
        self._use(text, speech, rate)

    def _use(self, text: str, speech: np.ndarray | None, rate: int) -> None:
        """Type and keep what was read or chosen."""
        if self._parts.typist is not None and text:
            self._parts.typist.type(text)
        if self._parts.kept is None:
            return
        self._place = self._place or self._parts.kept.next()
        self._place.parent.mkdir(parents=True, exist_ok=True)
        write_text(self._place.with_suffix(".txt"), f"{text}\n")
        if speech is not None:
            write_wav(self._place.with_suffix(".wav"), speech, rate)

    def _play(self, speech: np.ndarray, rate: int) -> None:
        """Play it; from when the loudspeaker is gone, speech is written into a folder."""
        try:
            self._parts.loudspeaker.play(speech, rate)
        except LipsoundError as error:
            self._parts.loudspeaker = Silent()
            self._parts.kept = self._parts.kept or self._parts.spare
            self._later.append(f"{error}; from now on speech is written into {self._parts.kept.folder}")

    def _finish(self) -> None:
        """Read what is still to be read, and end."""
        self._take_answers(wait=not self._quit)
        self._worker.shutdown(wait=True, cancel_futures=True)
        self._tell_later()
        if not self._quit:
            self._parts.loudspeaker.wait()
