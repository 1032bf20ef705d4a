"""Words with times of clips, one after the other: models are loaded once, and a clip may have any length.

Torch is not imported here: exported networks run without it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from lipsound2.audio.check import as_waveform, check_audio, load_checked
from lipsound2.audio.io import resample
from lipsound2.audio.kind import AUDIO
from lipsound2.audio.waveform_buffer import WaveformBuffer
from lipsound2.decoding.hypothesis import Hypothesis, joined
from lipsound2.decoding.pretrained_asr import SpeechRecognizer
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.inference.own_recognizer import OwnReader
from lipsound2.inference.pauses import FAMILIAR, LEVELS, LONGEST, first_cut, levels_of, stretches
from lipsound2.inference.phrases import PhraseReader, Phrases
from lipsound2.inference.reader_steps import ReaderSteps
from lipsound2.inference.speech import ClipVideo, Speech
from lipsound2.inference.synthesizer import BUDGET, FaceChoice
from lipsound2.inference.transcript import Transcript
from lipsound2.timing import FRAME_RATE, SAMPLE_RATE
from lipsound2.video.align import REGIONS
from lipsound2.video.cropper import Cropper
from lipsound2.video.detect import DEFAULT_DETECTOR, DetectorName
from lipsound2.video.frame_arrays import check_clip
from lipsound2.video.scenes import differences, find_scenes, thumbnail

log = logging.getLogger(__name__)


class Transcriber(ReaderSteps):
    """Transcribes clips by a recognizer: loaded once, called for each clip.

    A recognizer of audio takes the speech of a lip-to-speech model, the audio of a file, or a waveform. A lip reader
    takes a video, or its frames. It may be called from several threads: they take turns. Of one that was trained with
    this toolkit, or converted, the steps of its search can be taken one by one.

    Args:
        recognizer: of audio or of lips, see `recognizers.recognizer`.
        detector: face detector, of a lip reader.
        face: which face, where there are several, likewise.
        asd: with the face `speaking`: file of LR-ASD's weights.

    Attributes:
        name: of the recognizer.
        knows: voices and words it knows; empty: it does not say.
        reads_lips: whether it reads lips.

    Raises:
        LipsoundError: a trained recognizer of neither audio nor crops.
    """

    def __init__(
        self,
        recognizer: SpeechRecognizer,
        *,
        detector: DetectorName = DEFAULT_DETECTOR,
        face: FaceChoice = "largest",
        asd: Path | None = None,
    ) -> None:
        own = recognizer if isinstance(recognizer, OwnReader) else None
        self._ranker: PhraseReader | None = own
        self._language = own.language if own else "en"
        self._recognizer = recognizer
        self.name, self.knows = recognizer.name, own.knows if own else ""
        self._calibrated = own is not None and own.calibration is not None
        self._sentences = own is not None
        self.reads_lips = own is not None and own.input != AUDIO
        if self.reads_lips and own is not None:
            if own.input not in REGIONS:
                raise LipsoundError(
                    f"{self.name}: reads '{own.input}', not {' or '.join(REGIONS)} crops; give a recognizer of audio "
                    "as --asr; a recognizer of stored trunk states runs with lipsound2 decode"
                )
            self._cropper = Cropper((own.input,), detector=detector, which_face=face, asd=asd, budget=BUDGET)
        self._lock = threading.Lock()

    def __call__(
        self,
        clip: Speech | Path | str | np.ndarray,
        *,
        fps: float | None = None,
        rate: int | None = None,
        phrases: Sequence[str] | Phrases | None = None,
        landmarks: np.ndarray | None = None,
    ) -> Transcript:
        """Transcribe one clip.

        Args:
            clip: for a lip reader: a video file, or frames (T, H, W, 3) RGB or (T, H, W) gray, uint8. For a recognizer
                of audio: the speech of a lip-to-speech model; an audio or video file, whose audio is taken, not its
                lips; or a waveform (samples,), float in [-1, 1] or int16.
            fps: of frames, frames a second.
            rate: of a waveform, samples a second.
            phrases: sentences of which one may have been said: the text is then the most probable of them, or empty for
                none of these, and `Transcript.phrases` ranks them, for each stretch of a long clip.
            landmarks: of a lip reader's video, (T, 137) float32 at 25 frames a second, as `Crops.landmarks`, given
                instead of detected.

        Raises:
            ClipFailure: the clip cannot be transcribed: unreadable, silent, without audio, without a face, ...
            LipsoundError: what was given is not what the recognizer takes.
        """
        asked = _Asked(self._recognizer, self._ranker, None if phrases is None else self._as_phrases(phrases))
        if self.reads_lips:
            if isinstance(clip, Speech):
                raise LipsoundError(f"{self.name}: reads lips, not speech; give it the video itself")
            if rate is not None:
                raise LipsoundError(f"{self.name}: reads lips; rate is of a waveform, frames have fps")
            check_clip(clip, fps, landmarks)
            with self._lock:
                return self._lips(clip, fps or FRAME_RATE, asked, landmarks)
        if fps is not None or landmarks is not None:
            raise LipsoundError(
                f"{self.name}: recognizes audio; fps is of frames, and so are landmarks; a waveform has a rate"
            )
        if isinstance(clip, np.ndarray):
            waveform = as_waveform(clip, rate)
            assert rate is not None
            check_audio(waveform, rate)
            audio = WaveformBuffer()
            audio.add(waveform)
            return self._audio(audio.blocks(), rate, audio.read, asked)
        if rate is not None:
            raise LipsoundError("rate: is for waveforms; files and speech have their own; leave it out")
        if isinstance(clip, Speech):
            return self._speech(clip, asked)
        check_clip(clip, None)
        return self._file(Path(clip), asked)

    def check(self, phrases: Sequence[str] | Phrases) -> None:
        """Check that sentences can be ranked.

        Raises:
            LipsoundError: the recognizer cannot rank, or cannot write one of them.
        """
        _Asked(self._recognizer, self._ranker, self._as_phrases(phrases))

    def can_rank(self, phrases: Sequence[str] | Phrases) -> bool:
        """Whether `check` finds nothing wrong."""
        try:
            self.check(phrases)
        except LipsoundError:
            return False
        return True

    def _as_phrases(self, phrases: Sequence[str] | Phrases) -> Phrases:
        """Sentences in the language of the recognizer."""
        return phrases if isinstance(phrases, Phrases) else Phrases.of(phrases, self._language)

    def _lips(
        self, clip: Path | str | np.ndarray, fps: float, asked: _Asked, landmarks: np.ndarray | None
    ) -> Transcript:
        taken: list[_Reading] = []

        def store(shape: tuple[int, int, int]) -> _Reading:
            taken.append(_Reading(shape[0], asked.read))
            return taken[0]

        assert self._ranker is not None
        self._ranker.begin()
        crops = self._cropper(clip, landmarks, store, fps)
        if not isinstance(clip, np.ndarray):
            log.info("%s: %s", clip, crops.report)
        found = joined(taken[0].found)
        what = self._transcript(found, {}, [*crops.report.warnings, *self._ranker.warnings, *asked.alike(found)])
        return replace(what, video=ClipVideo.of(crops))

    def _speech(self, speech: Speech, asked: _Asked) -> Transcript:
        scenes = [round(first / FRAME_RATE * LEVELS) for first, _ in speech.video.report.scenes[1:]]
        models = {speech.model: speech.knows}
        what = self._audio(speech.blocks(), speech.sample_rate, speech.read, asked, scenes, models, speech.warnings)
        return replace(what, warnings=[*what.warnings, *asked.alike(what)])

    def _file(self, media: Path, asked: _Asked) -> Transcript:
        try:
            track = load_checked(media, SAMPLE_RATE)
        except ClipFailure as failure:
            if failure.reason != "no-audio":
                raise
            detail = f"{failure.detail}; {self.name} recognizes audio, not lips"
            raise ClipFailure(failure.reason, detail) from failure
        return self._audio(track.blocks(), SAMPLE_RATE, track.read, asked)

    def _audio(
        self,
        blocks: Iterable[np.ndarray],
        rate: int,
        read: Callable[[int, int], np.ndarray],
        asked: _Asked,
        scenes: Sequence[int] = (),
        models: Mapping[str, str] = MappingProxyType({}),
        warnings: Sequence[str] = (),
    ) -> Transcript:
        """Recognize audio stretch by stretch.

        Args:
            blocks: of the audio, (n,) float, in order.
            rate: of the audio, samples a second.
            read: function from a first sample and a number of samples to these.
            asked: what the recognizer is asked.
            scenes: levels at which another scene begins.
            models: what each model knows that made the audio, by its name.
            warnings: reasons to doubt the audio.
        """
        found: list[tuple[float, Hypothesis]] = []
        cuts = stretches(levels_of(blocks, rate), LEVELS, scenes, sentences=self._sentences)
        for number, (first, end) in enumerate(cuts):
            begin = first * rate // LEVELS
            # Samples after the last whole level belong to the last stretch.
            stop = end * rate // LEVELS if number + 1 < len(cuts) else end * rate // LEVELS + rate
            waveform = resample(read(begin, stop - begin), rate)
            if len(cuts) == 1 or _is_usable(waveform):
                with self._lock:
                    found.append((begin / rate, asked.read(waveform)))
        return self._transcript(joined(found), models, warnings)

    def _transcript(self, found: Hypothesis, models: Mapping[str, str], warnings: Sequence[str]) -> Transcript:
        """A hypothesis with its origin: models that made what was recognized, and the recognizer."""
        origin = {**models, self.name: self.knows}
        return Transcript.of(found, origin, calibrated=self._calibrated and not found.phrases, warnings=warnings)


class _Asked:
    """What a recognizer is asked about one clip: its own text, or which of some sentences was said.

    Args:
        recognizer: writes texts.
        ranker: the same, if it ranks sentences too.
        phrases: the sentences; None: its own text.

    Raises:
        LipsoundError: it cannot rank, or cannot write a sentence.
    """

    def __init__(self, recognizer: SpeechRecognizer, ranker: PhraseReader | None, phrases: Phrases | None) -> None:
        self._recognizer, self._ranker, self._phrases = recognizer, ranker, phrases
        if phrases is not None and ranker is None:
            raise LipsoundError(
                f"{recognizer.name}: cannot rank sentences; give one that was trained with lipsound2, as grid-s1-asr"
            )
        self._texts = ranker.texts_of(phrases) if ranker is not None and phrases is not None else []

    def read(self, clip: np.ndarray) -> Hypothesis:
        """Hypothesis of a stretch: waveform (samples,), or crops (T, H, W)."""
        if self._phrases is None or self._ranker is None:
            return self._recognizer.recognize([clip])[0]
        return self._ranker.rank(clip, self._phrases, self._texts)

    def alike(self, what: Hypothesis) -> list[str]:
        """Lines about chosen sentences that look like others."""
        if self._phrases is None:
            return []
        chosen = dict.fromkeys(ranking.text for ranking in what.phrases)
        return [line for text in chosen for line in self._phrases.doubt(text)]


class _Reading:
    """Recognizes the crops of one clip as they come, stretch by stretch.

    Args:
        total: number of crops that will come.
        read: function from crops (T, S, S) uint8 to a hypothesis.

    Attributes:
        found: for each stretch, the second at which it begins and its hypothesis.
    """

    def __init__(self, total: int, read: Callable[[np.ndarray], Hypothesis]) -> None:
        self._read = read
        self._sentences = total > FAMILIAR * FRAME_RATE
        self._crops: list[np.ndarray] = []
        self._moves: list[float] = []  # of each crop to the next
        self._begin = 0
        self.found: list[tuple[float, Hypothesis]] = []

    def add(self, frame: np.ndarray) -> None:
        """The next crop."""
        if len(self._crops) > int(LONGEST * FRAME_RATE):
            self._read_stretch(self._next_cut())
        if self._crops:
            self._moves += differences([thumbnail(self._crops[-1]), thumbnail(frame)]).tolist()
        self._crops.append(frame)

    def whole(self) -> np.ndarray:
        """End the clip. Returns the crops, none of which are kept: (0,)."""
        while cut := self._next_cut():
            self._read_stretch(cut)
        self._read_stretch(len(self._crops))
        return np.empty(0, np.uint8)

    def _next_cut(self) -> int:
        """Where the first stretch of the waiting crops ends; 0: all of them are one stretch."""
        if not self._moves:
            return 0
        moves = np.array([*self._moves, self._moves[-1]])
        scenes = [first for first, _ in find_scenes(np.array(self._moves))[1:]]
        return first_cut(np.log(moves + 0.1), FRAME_RATE, scenes, sentences=self._sentences)

    def _read_stretch(self, end: int) -> None:
        self.found.append((self._begin / FRAME_RATE, self._read(np.stack(self._crops[:end]))))
        self._crops, self._moves, self._begin = self._crops[end:], self._moves[end:], self._begin + end


def _is_usable(audio: np.ndarray) -> bool:
    """Whether a stretch holds usable audio."""
    try:
        check_audio(audio, SAMPLE_RATE)
    except ClipFailure:
        return False
    return True
