"""One session: frames are shown and judged as they come, a key begins a sentence, another one reads and says it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lipsound2.audio.io import write_wav
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.files import write_text
from lipsound2.inference.freed_memory import give_back
from lipsound2.live.kept import Kept
from lipsound2.live.lip_pauses import LipMotion, PauseFinder, Sentence
from lipsound2.live.loudspeaker import Loudspeaker, Silent
from lipsound2.live.reading import Answer, Reader
from lipsound2.live.tracker import LONGEST, Recording
from lipsound2.live.typing_out import Typist
from lipsound2.live.viewer import View, Viewer
from lipsound2.live.voice_activity import VoiceActivity
from lipsound2.timing import FRAME_RATE

_BETWEEN = 0.03  # seconds between two looks at the keys, when there are no frames
_MOST_WAITING = 3  # sentences that are read, or wait for it: each holds its frames


@dataclass
class Parts:
    """What a session has besides its view; see their modules.

    Attributes:
        say: function from a text to its speech (samples,) and rate: what number keys choose is said so; None: what
            was made from the lips is played.
        kept: where speech and words are written; None: nowhere.
        spare: where speech is written once there is no loudspeaker any more.
    """

    reader: Reader
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


class Session(Viewer):
    """Reads lips until the key q, or the end of the camera.

    Args:
        view: see `Viewer`.
        parts: what it has besides.
    """

    def __init__(self, view: View, parts: Parts) -> None:
        super().__init__(view)
        self._parts = parts
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="reading")
        self._reading: deque[_Read] = deque()
        self._later: deque[str] = deque()  # lines of the thread that reads, which must not draw
        self._answer: Answer | None = None
        self._place: Path | None = None  # where the last answer is kept

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.shutdown(wait=False, cancel_futures=True)  # on Ctrl-C nothing more is read

    def by_key(self) -> None:
        """Read what is mouthed from one press of the space bar to the next."""
        recorded = False
        while not (self.quit or self.ended):
            for frame in self.grid(lambda: self.key_at is not None):
                self.see(frame)
                self._show_state(f"[space] record  [q] quit   {self.told}")
            if self.quit or (self.ended and self.key_at is None):
                break
            self.taken_key()
            if len(self._reading) >= _MOST_WAITING:
                self.screen.line(f"{_MOST_WAITING} sentences are still to be read: wait for them")
            else:
                recorded = True
                self._record()
        if self.capture.camera.recorded is not None and not (recorded or self.quit):
            self.screen.line("nothing was recorded: press the space bar while it plays, or give --continuous")
        if self._reading and not self.quit:
            self.screen.status("reading ...")
        self._take_answers(wait=not self.quit)
        self._choose_on()
        self._finish()

    def _choose_on(self) -> None:
        """Behind the end of a file: whoever tries things by hand can still choose what is said."""
        recorded, keys = self.capture.camera.recorded is not None, self._view.keys
        while recorded and self._answer is not None and keys.by_hand and not self.quit:
            self.screen.status("[1-9] say a text  [r] say it again  [q] quit")
            self.key_at = None  # nothing can be recorded any more
            self._poll()
            time.sleep(_BETWEEN)

    def _record(self) -> None:
        """Record until the key, and have that read."""
        recording, lost = Recording(self.which_face), self.capture.lost
        for frame in self.grid(lambda: self.key_at is not None or recording.full):
            if recording.full:  # the grid still gives the frame that it held
                break
            recording.add(self.see(frame, recorded=True))
            self._show_state(f"recording {len(recording) / FRAME_RATE:.1f} s   [space] read it  [q] quit")
        if recording.full:
            self.screen.line(f"{LONGEST} s are the longest that is read at once: this is read now")
        since = self.taken_key()
        if not self.quit and len(recording):
            self._read(recording, since, lost)

    def continuously(self, voice: VoiceActivity) -> None:
        """Read on and on: each sentence when lips have come to rest behind it.

        Args:
            voice: whether somebody is heard.
        """
        finder, motion = PauseFinder(), LipMotion()
        recording, forgotten = Recording(self.which_face), 0

        def over(sentence: Sentence | None, count: int) -> None:
            if sentence is None:
                return
            begin, end = sentence.first / FRAME_RATE, sentence.end / FRAME_RATE
            if len(self._reading) >= _MOST_WAITING:
                self.screen.line(f"{begin:.2f}-{end:.2f} s  not read: this machine is too slow to read on and on")
                return
            part = recording.cut(sentence.first - forgotten, sentence.end - forgotten)
            since = time.perf_counter() - (count - sentence.closed) / FRAME_RATE
            self._read(part, since, self.capture.lost, f"{begin:.2f}-{end:.2f} s")

        count = 0
        for frame in self.grid(lambda: False):
            sight = self.see(frame, recorded=True)
            recording.add(sight)
            found = finder.add(motion.add(sight), voice.heard(count / FRAME_RATE))
            count += 1
            over(found, count)
            if (spare := finder.needed - forgotten) > FRAME_RATE:
                recording.drop(spare)
                forgotten += spare
            self._show_state(f"reading on and on  [q] quit   {self.told}")
        if not self.quit:
            over(finder.end(), count)
        self._finish()

    def _show_state(self, text: str) -> None:
        self.screen.status(f"reading ... {text}" if self._reading else text)

    def meanwhile(self) -> None:
        """See `Viewer`."""
        self._take_answers()
        self._tell_later()

    def _tell_later(self) -> None:
        while self._later:
            self.screen.line(self._later.popleft())

    def press(self, key: str) -> None:
        """See `Viewer`."""
        if key.isdecimal() and self._answer is not None:
            self._choose(int(key))
        elif key == "r" and self._answer is not None and self._answer.speech is not None:
            self._play(self._answer.speech, self._answer.rate)

    def _read(self, recording: Recording, since: float, lost: int, place: str = "") -> None:
        """Have it read in the background."""
        captured = time.perf_counter() - since
        lost = self.capture.lost - lost
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
            self._worker.submit(give_back)
            try:
                answer = read.future.result()
            except ClipFailure as failure:
                self.screen.line(f"not read: {failure}")
                continue
            self._show(answer, read)

    def _show(self, answer: Answer, read: _Read) -> None:
        phrases = self._parts.reader.phrases
        took = time.perf_counter() - read.since
        self._answer, self._place = answer, None
        sure = "" if answer.confidence is None else f"{answer.confidence:.0%}"
        text = answer.text or ("(none of these)" if phrases else "(no words)")
        if read.place:
            behind = f"{took:.1f} s behind the lips"
            self.screen.line(f"{read.place}  {text}  ({', '.join(filter(None, (sure, behind)))})")
        else:
            self.screen.line(f"{text}  ({sure})" if sure else text)
            for number, (choice, probability) in enumerate(answer.choices, 1):
                self.screen.line(f"  [{number}] {probability:>4.0%}  {choice}")
            steps = ", ".join(f"{step} {seconds:.2f}" for step, seconds in answer.spent.items())
            heard = f", speech after {read.heard[0]:.2f} s" if read.heard else ""
            self.screen.line(f"words after {took:.2f} s{heard}: {steps}")
        for line in answer.warnings:
            self.screen.line(f"doubtful: {line}")
        if phrases is None or read.place:
            if phrases is not None and answer.text:
                self._say(answer.text)
            else:
                self._use(answer.text, answer.speech, answer.rate)
        elif answer.choices:
            self.screen.line("press a number to say it")

    def _choose(self, number: int) -> None:
        """Take one of the texts that were offered."""
        answer = self._answer
        assert answer is not None
        if not answer.choices:
            self.screen.line(f"[{number}]: no text was read")
            return
        if not 1 <= number <= len(answer.choices):
            self.screen.line(f"[{number}]: there is no such text; choose from 1 to {len(answer.choices)}")
            return
        text = answer.choices[number - 1][0]
        self.screen.line(f"[{number}] {text}")
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
            try:
                self._parts.typist.type(text)
            except LipsoundError as error:  # the next one may go
                self.screen.line(f"--type: {error}")
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
        self._take_answers(wait=not self.quit)
        self._tell_later()
        if not self.quit:
            self._parts.loudspeaker.wait()
